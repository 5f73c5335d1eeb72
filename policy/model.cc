// SPDX-License-Identifier: Apache-2.0
#include "policy/model.h"

#include "absl/strings/str_cat.h"

namespace ripstop::policy {

bool HasPorts(uint8_t protocol) {
  return protocol == kProtocolTcp || protocol == kProtocolUdp || protocol == kProtocolSctp ||
         protocol == kProtocolUdpLite;
}

const char* ToString(Direction direction) {
  return direction == Direction::kIngress ? "ingress" : "egress";
}

const char* ToString(Action action) {
  switch (action) {
    case Action::kAllow: return "Allow";
    case Action::kDeny: return "Deny";
    case Action::kPass: return "Pass";
    case Action::kLog: return "Log";
  }
  return "Deny";
}

const char* ToString(PolicyKind kind) {
  switch (kind) {
    case PolicyKind::kNetworkPolicy: return "NetworkPolicy";
    case PolicyKind::kGlobalNetworkPolicy: return "GlobalNetworkPolicy";
    case PolicyKind::kKubernetesNetworkPolicy: return "KubernetesNetworkPolicy";
    case PolicyKind::kClusterNetworkPolicy: return "ClusterNetworkPolicy";
    case PolicyKind::kStagedNetworkPolicy: return "StagedNetworkPolicy";
    case PolicyKind::kStagedGlobalNetworkPolicy: return "StagedGlobalNetworkPolicy";
    case PolicyKind::kStagedKubernetesNetworkPolicy: return "StagedKubernetesNetworkPolicy";
  }
  return "unknown";
}

std::string PolicyKey::ToString() const {
  return ns.empty() ? name : absl::StrCat(ns, "/", name);
}

std::string RuleIdentity::ToString() const {
  const char* way = policy::ToString(direction);
  const std::string rule =
      absl::StrCat(" rule ", rule_index, rule_name.empty() ? "" : absl::StrCat(" (", rule_name, ")"));
  switch (kind) {
    case Kind::kRule: return absl::StrCat(tier, "/", policy.ToString(), " ", way, rule);
    case Kind::kTierDefault: return absl::StrCat(tier, "/", policy.ToString(), " ", way, " end of tier");
    case Kind::kProfile: return absl::StrCat("profile ", profile, " ", way, rule);
    case Kind::kNoProfile: break;
  }
  return absl::StrCat(way, " no profile matched");
}

}  // namespace ripstop::policy
