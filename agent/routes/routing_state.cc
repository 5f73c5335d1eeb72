// SPDX-License-Identifier: Apache-2.0
#include "agent/routes/routing_state.h"

namespace ripstop::agent {
namespace {

template <typename... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <typename... F>
Overloaded(F...) -> Overloaded<F...>;

RoutingEntry Normalized(const RoutingEntry& entry) {
  if (const auto* route = std::get_if<Route>(&entry)) return route->Normalized();
  return entry;
}

}  // namespace

RoutingKey KeyOf(const RoutingEntry& entry) {
  return std::visit(
      Overloaded{
          [](const FdbEntry& e) -> RoutingKey { return FdbKey{e.ifindex, e.mac}; },
          [](const Neighbour& e) -> RoutingKey { return NeighbourKey{e.ifindex, e.address}; },
          [](const Route& e) -> RoutingKey {
            const Route route = e.Normalized();
            return RouteKey{route.destination, route.table, route.priority};
          }},
      entry);
}

uint32_t IfindexOf(const RoutingEntry& entry) {
  return std::visit([](const auto& e) { return e.ifindex; }, entry);
}

std::string ToString(const RoutingEntry& entry) {
  return std::visit([](const auto& e) { return e.ToString(); }, entry);
}

void Insert(RoutingState& state, const RoutingEntry& entry) {
  state.insert_or_assign(KeyOf(entry), Normalized(entry));
}

std::vector<RoutingWrite> Diff(const RoutingState& wanted, const RoutingState& present) {
  std::vector<RoutingWrite> writes;
  // Keys order forwarding entries, then neighbours, then routes.
  for (auto it = present.rbegin(); it != present.rend(); ++it) {
    if (!wanted.contains(it->first)) writes.push_back({RoutingWrite::Op::kDelete, it->second});
  }
  for (const auto& [key, entry] : wanted) {
    const auto found = present.find(key);
    if (found == present.end() || found->second != entry) {
      writes.push_back({RoutingWrite::Op::kReplace, entry});
    }
  }
  return writes;
}

}  // namespace ripstop::agent
