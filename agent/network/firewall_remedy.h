// SPDX-License-Identifier: Apache-2.0
//
// Whose rules they are, and what to type there. Private to this folder.
#ifndef RIPSTOP_AGENT_NETWORK_FIREWALL_REMEDY_H_
#define RIPSTOP_AGENT_NETWORK_FIREWALL_REMEDY_H_

#include <string>

#include "agent/network/firewall_findings.h"

namespace ripstop::agent {

// By the names of tables and chains that these tools make.
std::string OwnerOf(const FilterRules& rules, const FilterDrop& drop);

// Commands of the owner's own, which outlive its reload; of nobody known, iptables' or nft's.
std::string RemedyFor(const FirewallFinding& finding, const FirewallScene& scene);

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_NETWORK_FIREWALL_REMEDY_H_
