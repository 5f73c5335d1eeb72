// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_CNI_POD_SIDE_H_
#define RIPSTOP_AGENT_CNI_POD_SIDE_H_

#include <vector>

#include "absl/status/status.h"
#include "agent/cni/endpoint.h"
#include "agent/routes/routing_state.h"

namespace ripstop::agent {

// Inside the pod's namespace: addresses as /32 and /128, permanent neighbours for the
// gateways, default routes, link and loopback up. Errors as netlink's.
absl::Status ConfigurePodSide(const LocalEndpoint& endpoint, int netns_fd);

// What is missing of that: kFailedPrecondition, naming it.
absl::Status CheckPodSide(const LocalEndpoint& endpoint, int netns_fd);

// On the node: one route and one permanent neighbour per address.
std::vector<RoutingEntry> HostSideEntries(const LocalEndpoint& endpoint);

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_CNI_POD_SIDE_H_
