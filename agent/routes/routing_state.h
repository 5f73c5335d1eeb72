// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_ROUTES_ROUTING_STATE_H_
#define RIPSTOP_AGENT_ROUTES_ROUTING_STATE_H_

#include <map>
#include <string>
#include <variant>
#include <vector>

#include "agent/netlink/types.h"

namespace ripstop::agent {

// What makes two entries of the kernel the same entry.
struct RouteKey {
  policy::Cidr destination;
  uint32_t table = 0;
  uint32_t priority = 0;
  auto operator<=>(const RouteKey&) const = default;
};
struct NeighbourKey {
  uint32_t ifindex = 0;
  policy::Address address;
  auto operator<=>(const NeighbourKey&) const = default;
};
struct FdbKey {
  uint32_t ifindex = 0;
  Mac mac;
  auto operator<=>(const FdbKey&) const = default;
};
using RoutingKey = std::variant<FdbKey, NeighbourKey, RouteKey>;  // in the order of writing
using RoutingEntry = std::variant<FdbEntry, Neighbour, Route>;

RoutingKey KeyOf(const RoutingEntry& entry);  // of the normalized entry
uint32_t IfindexOf(const RoutingEntry& entry);
std::string ToString(const RoutingEntry& entry);

// By key, entries normalized.
using RoutingState = std::map<RoutingKey, RoutingEntry>;
void Insert(RoutingState& state, const RoutingEntry& entry);

struct RoutingWrite {
  enum class Op { kAdd, kReplace, kDelete };  // kAdd fails where something is already
  Op op = Op::kReplace;
  RoutingEntry entry;
  bool operator==(const RoutingWrite&) const = default;
};

// The fewest writes from `present` to `wanted`. A pure function. Forwarding entries and
// neighbours come before the routes that use them, and leave after them.
std::vector<RoutingWrite> Diff(const RoutingState& wanted, const RoutingState& present);

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_ROUTES_ROUTING_STATE_H_
