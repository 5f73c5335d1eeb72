// SPDX-License-Identifier: Apache-2.0
//
// Expressions of nftables, to steps. Private to this folder.
#ifndef RIPSTOP_AGENT_NETLINK_RULE_STEPS_H_
#define RIPSTOP_AGENT_NETLINK_RULE_STEPS_H_

#include <libmnl/libmnl.h>

#include <functional>
#include <vector>

#include "agent/netlink/filter_rules.h"

namespace ripstop::agent {

// NFTA_RULE_EXPRESSIONS. What is not understood is a step that may match or not.
std::vector<RuleStep> StepsOf(const nlattr* expressions);

// NFTA_VERDICT_*
RuleEnd EndOf(const nlattr* verdict);

// What an attribute of nested attributes holds, one after the other.
void EachNested(const nlattr* nest, const std::function<void(const nlattr*)>& visit);

// NFTA_DATA_VALUE, bytes as in a register.
std::vector<uint8_t> DataValue(const nlattr* data);

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_NETLINK_RULE_STEPS_H_
