// SPDX-License-Identifier: Apache-2.0
//
// Everything that policy depends on, at one moment: the input of the reference
// evaluator and of the property tests.
#ifndef RIPSTOP_POLICY_WORLD_H_
#define RIPSTOP_POLICY_WORLD_H_

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "policy/model.h"

namespace ripstop::policy {

struct World {
  std::map<std::string, Tier> tiers;
  std::map<PolicyKey, Policy> policies;
  std::map<std::string, Profile> profiles;
  std::map<std::string, Endpoint> endpoints;                                // by id
  std::map<std::string, NetworkSet> network_sets;                           // by id
  std::map<std::pair<ServiceName, std::string>, ServiceBackends> services;  // by name and slice
  std::map<std::string, Host> hosts;
  std::map<std::string, HostEndpoint> host_endpoints;  // by id
  FailsafePorts failsafe = DefaultFailsafePorts();

  // Whose an address is (DESIGN.md, "Whose an address is"). Never several workloads.
  struct Ownership {
    const Endpoint* workload = nullptr;      // null: no workload's, or disputed
    std::vector<const HostEndpoint*> hosts;  // where no workload claims it
    bool disputed = false;
  };
  Ownership OwnershipOf(const Address& address) const;

  // The host endpoint that has `interface`: by its index, else as any; of several the first
  // by id. Null: nobody has it.
  const HostEndpoint* HostEndpointAt(uint32_t interface) const;

  void Put(Tier t) { tiers[t.name] = std::move(t); }
  void Put(Policy p) { policies[p.key] = std::move(p); }
  void Put(Profile p) { profiles[p.name] = std::move(p); }
  void Put(Endpoint e) { endpoints[e.id] = std::move(e); }
  void Put(NetworkSet s) { network_sets[s.id] = std::move(s); }
  void Put(ServiceBackends b) { services[{b.service, b.slice}] = std::move(b); }
  void Put(Host h) { hosts[h.name] = std::move(h); }
  void Put(HostEndpoint e) { host_endpoints[e.id] = std::move(e); }
};

// The tiers that exist without being written: kube-admin, default, kube-baseline.
const std::map<std::string, Tier>& BuiltInTiers();

// Of two endpoints of this node that claim one address the newer has it: the kernel gives
// later interfaces greater numbers, also after the agent has started anew.
bool IsNewer(const Attachment& a, std::string_view id_a, const Attachment& b,
             std::string_view id_b);

// Whether policy cannot tell them apart, so that it does not matter which has an address.
bool Alike(const Endpoint& a, const Endpoint& b);

// Orders of evaluation: absent last; ties by name, then namespace, then kind.
bool TierBefore(const Tier& a, const Tier& b);
bool PolicyBefore(const Policy& a, const Policy& b);

}  // namespace ripstop::policy

#endif  // RIPSTOP_POLICY_WORLD_H_
