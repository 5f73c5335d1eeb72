// SPDX-License-Identifier: Apache-2.0
//
// One function per kind; convert.cc chooses. Errors name the path; the caller adds the
// resource.
#ifndef RIPSTOP_API_CONVERT_CONVERTERS_H_
#define RIPSTOP_API_CONVERT_CONVERTERS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "api/proto/resources.pb.h"
#include "policy/model.h"

namespace ripstop::api {

// calico_policy.cc. `ns` is empty for global kinds and profiles.
absl::StatusOr<policy::Policy> ConvertCalicoPolicy(policy::PolicyKind kind,
                                                   const v1::ObjectMeta& metadata,
                                                   const v1::PolicySpec& spec);
absl::StatusOr<std::vector<policy::Rule>> ConvertCalicoRules(
    const google::protobuf::RepeatedPtrField<v1::Rule>& rules, const std::string& ns,
    const std::string& path);

// kubernetes_policy.cc
absl::StatusOr<policy::Policy> ConvertKubernetesPolicy(policy::PolicyKind kind,
                                                       const v1::ObjectMeta& metadata,
                                                       const v1::KubernetesNetworkPolicySpec& spec);

// cluster_policy.cc
absl::StatusOr<policy::Policy> ConvertClusterPolicy(const v1::ClusterNetworkPolicy& policy);

// endpoints.cc
absl::StatusOr<policy::Endpoint> ConvertPod(const v1::Pod& pod);
absl::StatusOr<policy::Endpoint> ConvertWorkload(const v1::WorkloadEndpoint& endpoint);
// What a WorkloadEndpoint is of: its pod, else its workload, else called as it is itself.
const std::string& WorkloadName(const v1::WorkloadEndpoint& endpoint);
// Without interfaces: a document names one, indexes are known on its node only.
absl::StatusOr<policy::HostEndpoint> ConvertHostEndpoint(const v1::HostEndpoint& endpoint);
absl::StatusOr<policy::NetworkSet> ConvertNetworkSet(const v1::ObjectMeta& metadata,
                                                     const v1::NetworkSetSpec& spec,
                                                     bool namespaced);
absl::StatusOr<policy::Host> ConvertNode(const v1::Node& node, const std::string& this_host);
// Of no service when the slice names none.
absl::StatusOr<std::vector<policy::ServiceBackends>> ConvertSlice(const v1::EndpointSlice& slice);

// Shared.

// Makes `rule` safe where a part of it is not understood: it lets nothing through that it
// might not mean. Allow and Log match nothing; Deny matches all that the rest matches;
// Pass becomes Deny, since what it would skip may be a Deny.
void FailClosed(policy::Rule& rule);
// Likewise all rules, where a part of the policy itself is not understood.
void FailClosed(policy::Policy& policy);

absl::StatusOr<std::vector<policy::Cidr>> ParseCidrs(
    const google::protobuf::RepeatedPtrField<std::string>& texts, const std::string& path);

absl::Status BadValue(const std::string& path, const std::string& value, const std::string& what);
// `status` with the path in front.
absl::Status At(const std::string& path, const absl::Status& status);

}  // namespace ripstop::api

#endif  // RIPSTOP_API_CONVERT_CONVERTERS_H_
