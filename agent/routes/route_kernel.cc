// SPDX-License-Identifier: Apache-2.0
#include "agent/routes/route_kernel.h"

#include "policy/status_macros.h"

namespace ripstop::agent {
namespace {

using Op = RoutingWrite::Op;

}  // namespace

absl::StatusOr<RoutingState> NetlinkRouteKernel::Read(const std::set<uint32_t>& own_devices) {
  RoutingState state;
  ASSIGN_OR_RETURN(const std::vector<Route> routes, netlink_->ListRoutes());
  for (const Route& route : routes) Insert(state, route);
  ASSIGN_OR_RETURN(const std::vector<Neighbour> neighbours, netlink_->ListNeighbours());
  for (const Neighbour& neighbour : neighbours) {
    if (neighbour.protocol == kRouteProtocol) Insert(state, neighbour);
  }
  for (const uint32_t device : own_devices) {
    const absl::StatusOr<std::vector<FdbEntry>> entries = netlink_->ListFdb(device);
    if (absl::IsNotFound(entries.status())) continue;  // the device is gone, and they with it
    if (!entries.ok()) return entries.status();
    for (const FdbEntry& entry : *entries) Insert(state, entry);
  }
  return state;
}

absl::Status NetlinkRouteKernel::Apply(const RoutingWrite& write) {
  absl::Status status;
  if (const auto* route = std::get_if<Route>(&write.entry)) {
    status = write.op == Op::kDelete ? netlink_->DeleteRoute(*route)
             : write.op == Op::kAdd  ? netlink_->AddRoute(*route)
                                     : netlink_->ReplaceRoute(*route);
  } else if (const auto* neighbour = std::get_if<Neighbour>(&write.entry)) {
    status = write.op == Op::kDelete ? netlink_->DeleteNeighbour(*neighbour)
                                     : netlink_->ReplaceNeighbour(*neighbour);
  } else {
    const auto& entry = std::get<FdbEntry>(write.entry);
    status = write.op == Op::kDelete ? netlink_->DeleteFdb(entry) : netlink_->ReplaceFdb(entry);
  }
  if (write.op == Op::kDelete && absl::IsNotFound(status)) return absl::OkStatus();
  return status;
}

}  // namespace ripstop::agent
