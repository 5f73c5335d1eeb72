// SPDX-License-Identifier: Apache-2.0
//
// Resources to the policy model.
//
//   Resource ─[ToModel]─▶ ModelObjects ─▶ Engine (agent), World (ripstopctl evaluate)
//
// The defaults of each API are applied here, and namespaces and service accounts folded
// into selectors, so that the model knows only labels. Pure; threads may share it.
//
// Reserved labels that converters put on endpoints, over what a user wrote:
//   projectcalico.org/namespace       every namespaced endpoint and network set
//   projectcalico.org/orchestrator    every workload ("k8s" for pods); never a network
//                                     set, which is how a Kubernetes peer, which means
//                                     pods only, keeps network sets out
//   projectcalico.org/serviceaccount  workloads with a service account
//   pcns.*, pcsa.*                    inherited from the namespace and the service account
// What a document says under such a key is kept apart, for selectors of Kubernetes
// (policy/labels.h).
#ifndef RIPSTOP_API_CONVERT_CONVERT_H_
#define RIPSTOP_API_CONVERT_CONVERT_H_

#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "api/resource.h"
#include "policy/model.h"

namespace ripstop::api {

using ModelObject =
    std::variant<policy::Tier, policy::Policy, policy::Profile, policy::Endpoint,
                 policy::NetworkSet, policy::ServiceBackends, policy::Host, policy::HostEndpoint>;

struct ConvertOptions {
  std::string this_host;  // the Node of this name becomes Host::this_host
};

// What the resource means; empty for kinds that policy does not look at (IPPool, BGPPeer,
// Service, …) and for staged policies that propose nothing (Learn, Ignore). A staged policy
// keeps its own kind; api/convert/staged.h says what it would do. Objects keep their keys as
// long as the resource keeps its own, except an EndpointSlice whose service changes.
//
// kInvalidArgument with resource, path and value for what api/validate would refuse and no
// safe meaning is left. Where a safe meaning is left (a peer or field of a future
// version) the rule is Rule::degraded instead.
absl::StatusOr<std::vector<ModelObject>> ToModel(const Resource& resource,
                                                 const ConvertOptions& options = {});

// The profile of a namespace: allows both ways, carries the labels. For worlds whose
// documents leave the Namespace out.
policy::Profile NamespaceProfile(const std::string& name, const policy::Labels& labels);

// The profile that endpoints of a namespace or service account without a document of its
// own refer to: kns.<namespace> as a Namespace without labels would give, ksa.<…> without
// rules or labels. nullopt for other names, whose absence denies.
std::optional<policy::Profile> ImpliedProfile(const std::string& name);

// Puts one object into a policy::Engine (or anything with its methods), and takes it out.
template <typename Engine>
void PutObject(Engine& engine, const ModelObject& object) {
  struct Putter {
    Engine& engine;
    void operator()(const policy::Tier& o) { engine.PutTier(o); }
    void operator()(const policy::Policy& o) { engine.PutPolicy(o); }
    void operator()(const policy::Profile& o) { engine.PutProfile(o); }
    void operator()(const policy::Endpoint& o) { engine.PutEndpoint(o); }
    void operator()(const policy::NetworkSet& o) { engine.PutNetworkSet(o); }
    void operator()(const policy::ServiceBackends& o) { engine.PutServiceBackends(o); }
    void operator()(const policy::Host& o) { engine.PutHost(o); }
    void operator()(const policy::HostEndpoint& o) { engine.PutHostEndpoint(o); }
  };
  std::visit(Putter{engine}, object);
}
template <typename Engine>
void RemoveObject(Engine& engine, const ModelObject& object) {
  struct Remover {
    Engine& engine;
    void operator()(const policy::Tier& o) { engine.RemoveTier(o.name); }
    void operator()(const policy::Policy& o) { engine.RemovePolicy(o.key); }
    void operator()(const policy::Profile& o) { engine.RemoveProfile(o.name); }
    void operator()(const policy::Endpoint& o) { engine.RemoveEndpoint(o.id); }
    void operator()(const policy::NetworkSet& o) { engine.RemoveNetworkSet(o.id); }
    void operator()(const policy::ServiceBackends& o) {
      engine.RemoveServiceBackends(o.service, o.slice);
    }
    void operator()(const policy::Host& o) { engine.RemoveHost(o.name); }
    void operator()(const policy::HostEndpoint& o) { engine.RemoveHostEndpoint(o.id); }
  };
  std::visit(Remover{engine}, object);
}

}  // namespace ripstop::api

#endif  // RIPSTOP_API_CONVERT_CONVERT_H_
