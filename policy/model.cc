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

const char* ToString(HostGroup group) {
  switch (group) {
    case HostGroup::kUntracked: return "untracked";
    case HostGroup::kPreDnat: return "pre-DNAT";
    case HostGroup::kForward: return "forward";
    case HostGroup::kNormal: return "normal";
  }
  return "normal";
}

bool InGroup(const Policy& policy, HostGroup group) {
  switch (group) {
    case HostGroup::kUntracked: return policy.do_not_track;
    case HostGroup::kPreDnat: return policy.pre_dnat && !policy.do_not_track;
    case HostGroup::kForward:
      return policy.apply_on_forward && !policy.pre_dnat && !policy.do_not_track;
    case HostGroup::kNormal: return !policy.pre_dnat && !policy.do_not_track;
  }
  return false;
}

FailsafePorts DefaultFailsafePorts() {
  FailsafePorts ports;
  for (const uint16_t port : {22, 179, 2379, 2380, 5473, 6443, 6666, 6667}) {
    ports.inbound.push_back({kProtocolTcp, port, {}});
    if (port != 22) ports.outbound.push_back({kProtocolTcp, port, {}});
  }
  ports.inbound.push_back({kProtocolUdp, 68, {}});
  ports.outbound.push_back({kProtocolUdp, 53, {}});
  ports.outbound.push_back({kProtocolUdp, 67, {}});
  return ports;
}

std::string FailsafeName(const FailsafePort& port, bool way_back) {
  const char* protocol = port.protocol == kProtocolTcp   ? "tcp"
                         : port.protocol == kProtocolUdp ? "udp"
                                                         : "protocol";
  return absl::StrCat(way_back ? "reply to " : "", protocol, " ", port.port);
}

std::string PolicyKey::ToString() const { return ns.empty() ? name : absl::StrCat(ns, "/", name); }

std::string RuleIdentity::ToString() const {
  const char* way = policy::ToString(direction);
  const std::string rule = absl::StrCat(
      " rule ", rule_index, rule_name.empty() ? "" : absl::StrCat(" (", rule_name, ")"));
  switch (kind) {
    case Kind::kRule: return absl::StrCat(tier, "/", policy.ToString(), " ", way, rule);
    case Kind::kTierDefault:
      return absl::StrCat(tier, "/", policy.ToString(), " ", way, " end of tier");
    case Kind::kProfile: return absl::StrCat("profile ", profile, " ", way, rule);
    case Kind::kFailsafe: return absl::StrCat(way, " failsafe ", rule_name);
    case Kind::kNoForwardPolicy: return absl::StrCat(way, " no policy for forwarded traffic");
    case Kind::kNextGroup: return absl::StrCat(way, " no rule of the group");
    case Kind::kDisputed: return absl::StrCat(way, " address claimed by several endpoints");
    case Kind::kNoProfile: break;
  }
  return absl::StrCat(way, " no profile matched");
}

}  // namespace ripstop::policy
