// SPDX-License-Identifier: Apache-2.0
//
// The words by which everything the agent says names a rule.
#ifndef RIPSTOP_AGENT_POLICY_RULE_WORDS_H_
#define RIPSTOP_AGENT_POLICY_RULE_WORDS_H_

#include <string>

#include "absl/status/statusor.h"
#include "policy/model.h"

namespace ripstop::agent {

std::string PolicyName(const policy::RuleIdentity& rule);      // "shop/db", "kns.shop"
std::string PolicyKindName(const policy::RuleIdentity& rule);  // "NetworkPolicy", "Profile"
std::string RuleName(const policy::RuleIdentity& rule);        // "ingress rule 1 (audit)"
// "NetworkPolicy shop/db ingress rule 1 (audit)"
std::string FullRuleName(const policy::RuleIdentity& rule);

std::string ProtocolName(uint8_t protocol);  // "TCP", or the number
// The other way round, in any case; "" is TCP.
//   kInvalidArgument  neither a name nor a number from 1 to 255
absl::StatusOr<uint8_t> ProtocolNamed(const std::string& text);
// "TCP 192.0.2.1:40000 -> 192.0.2.2:80", "ICMP 192.0.2.1 -> 192.0.2.2 type 8 code 0"
std::string FlowText(const policy::Packet& packet);

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_POLICY_RULE_WORDS_H_
