// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_ROUTES_TESTING_FAKE_ROUTE_KERNEL_H_
#define RIPSTOP_AGENT_ROUTES_TESTING_FAKE_ROUTE_KERNEL_H_

#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agent/routes/route_kernel.h"

namespace ripstop::agent {

// A kernel in memory, which remembers what was asked of it.
class FakeRouteKernel final : public RouteKernel {
 public:
  absl::StatusOr<RoutingState> Read(const std::set<uint32_t>& own_devices) override {
    RoutingState seen;
    for (const auto& [key, entry] : state) {
      const auto* route = std::get_if<Route>(&entry);
      const auto* neighbour = std::get_if<Neighbour>(&entry);
      const bool ours = route != nullptr       ? route->protocol == kRouteProtocol
                        : neighbour != nullptr ? neighbour->protocol == kRouteProtocol
                                               : own_devices.contains(IfindexOf(entry));
      if (ours) seen.emplace(key, entry);
    }
    return seen;
  }
  absl::Status Apply(const RoutingWrite& write) override {
    writes.push_back(write);
    if (down.contains(IfindexOf(write.entry))) {
      return absl::UnavailableError(absl::StrCat(ToString(write.entry), ": Network is down"));
    }
    const RoutingKey key = KeyOf(write.entry);
    if (write.op == RoutingWrite::Op::kDelete) {
      state.erase(key);
    } else if (write.op == RoutingWrite::Op::kAdd && state.contains(key)) {
      return absl::AlreadyExistsError(ToString(write.entry));
    } else {
      Insert(state, write.entry);
    }
    return absl::OkStatus();
  }

  RoutingState state;
  std::set<uint32_t> down;
  std::vector<RoutingWrite> writes;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_ROUTES_TESTING_FAKE_ROUTE_KERNEL_H_
