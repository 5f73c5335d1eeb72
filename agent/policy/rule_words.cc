// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/rule_words.h"

#include <charconv>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace ripstop::agent {

std::string PolicyName(const policy::RuleIdentity& rule) {
  if (rule.kind == policy::RuleIdentity::Kind::kProfile) return rule.profile;
  if (PolicyKindName(rule).empty()) return "";
  return rule.policy.ns.empty() ? rule.policy.name
                                : absl::StrCat(rule.policy.ns, "/", rule.policy.name);
}

std::string PolicyKindName(const policy::RuleIdentity& rule) {
  switch (rule.kind) {
    case policy::RuleIdentity::Kind::kRule:
    case policy::RuleIdentity::Kind::kTierDefault: return policy::ToString(rule.policy.kind);
    case policy::RuleIdentity::Kind::kProfile: return "Profile";
    // Nobody's rule.
    case policy::RuleIdentity::Kind::kNoProfile:
    case policy::RuleIdentity::Kind::kFailsafe:
    case policy::RuleIdentity::Kind::kNoForwardPolicy:
    case policy::RuleIdentity::Kind::kNextGroup:
    case policy::RuleIdentity::Kind::kDisputed: return "";
  }
  return "";
}

std::string RuleName(const policy::RuleIdentity& rule) {
  switch (rule.kind) {
    case policy::RuleIdentity::Kind::kTierDefault: return "end of tier";
    case policy::RuleIdentity::Kind::kNoProfile: return "no profile matched";
    case policy::RuleIdentity::Kind::kFailsafe: return absl::StrCat("failsafe ", rule.rule_name);
    case policy::RuleIdentity::Kind::kNoForwardPolicy: return "no policy for forwarded traffic";
    case policy::RuleIdentity::Kind::kNextGroup: return "no rule of the group";
    case policy::RuleIdentity::Kind::kDisputed: return "address claimed by several endpoints";
    default: break;
  }
  const char* direction = rule.direction == policy::Direction::kIngress ? "ingress" : "egress";
  const std::string name = rule.rule_name.empty() ? "" : absl::StrCat(" (", rule.rule_name, ")");
  return absl::StrCat(direction, " rule ", rule.rule_index, name);
}

std::string FullRuleName(const policy::RuleIdentity& rule) {
  const std::string name = PolicyName(rule);
  const std::string kind = PolicyKindName(rule) == "Profile" ? "profile" : PolicyKindName(rule);
  return absl::StrCat(kind, kind.empty() ? "" : " ", name, name.empty() ? "" : " ", RuleName(rule));
}

std::string ProtocolName(uint8_t protocol) {
  switch (protocol) {
    case policy::kProtocolIcmp: return "ICMP";
    case policy::kProtocolTcp: return "TCP";
    case policy::kProtocolUdp: return "UDP";
    case policy::kProtocolIcmpV6: return "ICMPv6";
    case policy::kProtocolSctp: return "SCTP";
    case policy::kProtocolUdpLite: return "UDPLite";
    default: return absl::StrCat(protocol);
  }
}

absl::StatusOr<uint8_t> ProtocolNamed(const std::string& text) {
  static constexpr std::pair<const char*, uint8_t> kNames[] = {
      {"tcp", policy::kProtocolTcp},   {"udp", policy::kProtocolUdp},
      {"icmp", policy::kProtocolIcmp}, {"icmpv6", policy::kProtocolIcmpV6},
      {"sctp", policy::kProtocolSctp}, {"udplite", policy::kProtocolUdpLite}};
  if (text.empty()) return policy::kProtocolTcp;
  for (const auto& [name, number] : kNames) {
    if (absl::AsciiStrToLower(text) == name) return number;
  }
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc{} && end == text.data() + text.size() && number >= 1 && number <= 255) {
    return static_cast<uint8_t>(number);
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "protocol '", text, "': TCP, UDP, SCTP, UDPLite, ICMP, ICMPv6 or a number from 1 to 255"));
}

std::string FlowText(const policy::Packet& packet) {
  const auto end = [&](const policy::Address& address, uint16_t port) {
    const std::string text = address.ToString();
    if (!policy::HasPorts(packet.protocol)) return text;
    return address.is_v4() ? absl::StrCat(text, ":", port) : absl::StrCat("[", text, "]:", port);
  };
  std::string text =
      absl::StrCat(ProtocolName(packet.protocol), " ", end(packet.source, packet.source_port),
                   " -> ", end(packet.destination, packet.destination_port));
  if (packet.protocol == policy::kProtocolIcmp || packet.protocol == policy::kProtocolIcmpV6) {
    absl::StrAppend(&text, " type ", packet.icmp_type, " code ", packet.icmp_code);
  }
  return text;
}

}  // namespace ripstop::agent
