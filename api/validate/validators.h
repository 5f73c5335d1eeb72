// SPDX-License-Identifier: Apache-2.0
//
// One function per kind, or per part that kinds share; validate.cc chooses.
#ifndef RIPSTOP_API_VALIDATE_VALIDATORS_H_
#define RIPSTOP_API_VALIDATE_VALIDATORS_H_

#include "api/proto/felix.pb.h"
#include "api/validate/checker.h"

namespace ripstop::api {

// calico_policy.cc
struct PolicyScope {
  bool global = false;
  bool staged = false;
};
void CheckCalicoPolicy(const v1::PolicySpec& spec, PolicyScope scope, Checker& check);
void CheckTier(const v1::Tier& tier, Checker& check);

// calico_rule.cc
void CheckCalicoRules(const google::protobuf::RepeatedPtrField<v1::Rule>& rules,
                      const std::string& path, bool ingress, bool global, Checker& check);
// A selector of a policy or of a rule: at most 1,024 bytes, and without global(), which only
// the namespaceSelector of a rule may be.
void CheckPolicySelector(const std::string& path, const std::string& text, Checker& check);

// kubernetes_policy.cc
void CheckKubernetesPolicy(const v1::KubernetesNetworkPolicySpec& spec, Checker& check);
void CheckClusterPolicy(const v1::ClusterNetworkPolicySpec& spec, Checker& check);

// endpoints.cc
void CheckWorkloadEndpoint(const v1::WorkloadEndpointSpec& spec, Checker& check);
void CheckHostEndpoint(const v1::HostEndpointSpec& spec, Checker& check);
void CheckPod(const v1::Pod& pod, Checker& check);
void CheckSlice(const v1::EndpointSlice& slice, Checker& check);
void CheckService(const v1::Service& service, Checker& check);

// network.cc
void CheckPool(const v1::IPPoolSpec& spec, Checker& check);
void CheckNode(const v1::NodeSpec& spec, Checker& check);

// bgp.cc
void CheckAsNumber(const std::string& path, bool present, uint32_t number, Checker& check);
void CheckBgpConfiguration(const v1::BGPConfiguration& configuration, Checker& check);
void CheckBgpPeer(const v1::BGPPeerSpec& spec, Checker& check);

// felix.cc
void CheckFelixConfiguration(const v1::FelixConfiguration& configuration, Checker& check);

}  // namespace ripstop::api

#endif  // RIPSTOP_API_VALIDATE_VALIDATORS_H_
