// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_ROUTES_ROUTE_KERNEL_H_
#define RIPSTOP_AGENT_ROUTES_ROUTE_KERNEL_H_

#include <set>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/netlink/netlink.h"
#include "agent/routes/routing_state.h"

namespace ripstop::agent {

// The kernel as RouteManager sees it; a fake is in testing/.
class RouteKernel {
 public:
  virtual ~RouteKernel() = default;
  // What carries our protocol number, and all forwarding entries of `own_devices`.
  virtual absl::StatusOr<RoutingState> Read(const std::set<uint32_t>& own_devices) = 0;
  // Deleting what is not there succeeds; kAdd of what is there is kAlreadyExists.
  virtual absl::Status Apply(const RoutingWrite& write) = 0;
};

class NetlinkRouteKernel final : public RouteKernel {
 public:
  explicit NetlinkRouteKernel(Netlink* netlink) : netlink_(netlink) {}
  absl::StatusOr<RoutingState> Read(const std::set<uint32_t>& own_devices) override;
  absl::Status Apply(const RoutingWrite& write) override;

 private:
  Netlink* const netlink_;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_ROUTES_ROUTE_KERNEL_H_
