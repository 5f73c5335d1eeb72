// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_NETWORK_FILTER_WALK_H_
#define RIPSTOP_AGENT_NETWORK_FILTER_WALK_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/netlink/filter_rules.h"
#include "policy/address.h"

namespace ripstop::agent {

// The first packet of a flow, or one of its answers, as far as it is known beforehand: what is not
// said here may be anything.
struct SamplePacket {
  enum Way { kForwarded, kToHost, kFromHost };
  Way way = kForwarded;
  uint8_t family = 4;
  struct Interface {
    std::string name;
    uint32_t index = 0;
    bool operator==(const Interface&) const = default;
  };
  Interface in, out;     // `in` not of what this host sends, `out` not of what it takes
  uint8_t protocol = 0;  // IPPROTO_*
  std::optional<policy::Cidr> source, destination;  // some address of it: its prefix is known
  std::optional<uint16_t> source_port, destination_port;
  bool established = false;  // else new
  bool operator==(const SamplePacket&) const = default;
};

// Where a rule, or the policy of a base chain, drops a packet.
struct FilterDrop {
  FilterTable table;
  std::string base, chain;
  uint64_t handle = 0;  // of the rule; 0: it is the base chain's policy
  RuleVerdict verdict = RuleVerdict::kDrop;
  bool certain = false;  // whatever is not known of the packet
  uint32_t hook = 0;     // NF_INET_*, of the base chain
  auto operator<=>(const FilterDrop&) const = default;
};

// Runs `packet` through the rules as nftables would, in a logic of three values: a step matches,
// does not, or may. So "certain" is certain, and what may be is not passed over. One for each base
// chain that may drop it, the certain ones first. Where a rule may keep the packet from being
// tracked (`notrack`), and before tracking, nothing is known of its connection. Pure.
std::vector<FilterDrop> WhoDrops(const FilterRules& rules, const SamplePacket& packet);

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_NETWORK_FILTER_WALK_H_
