// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_CNI_POD_SIDE_H_
#define RIPSTOP_AGENT_CNI_POD_SIDE_H_

#include <vector>

#include "absl/status/status.h"
#include "agent/cni/endpoint.h"
#include "agent/routes/routing_state.h"

namespace ripstop::agent {

// Inside the pod's namespace: addresses as /32 and /128, permanent neighbours for the
// gateways, routes, link and loopback up. Errors as netlink's.
//
// The first interface of a family has the default route; one that comes later leaves it
// alone, whoever made the first (says so in the endpoint's default_route). It gets a table of
// its own with a default route, asked for what has its address as source or is bound to it:
// an answer leaves by the interface at which the question came, where its address is known,
// and a program that wants the second network binds to it.
absl::Status ConfigurePodSide(LocalEndpoint& endpoint, int netns_fd);

// Removes the rules of such a table, which would outlive the interface. Best effort: the
// namespace may be gone.
void ForgetPodSide(const LocalEndpoint& endpoint);

// What is missing of that: kFailedPrecondition, naming it.
absl::Status CheckPodSide(const LocalEndpoint& endpoint, int netns_fd);

// On the node: one route and one permanent neighbour per address.
std::vector<RoutingEntry> HostSideEntries(const LocalEndpoint& endpoint);

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_CNI_POD_SIDE_H_
