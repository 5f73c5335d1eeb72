// SPDX-License-Identifier: Apache-2.0
//
// `agents: none`: pods attached by static routes alone, no policy, no Ripstop. What the
// fabric's own tests use, the negative control of the attack tests (what an attack does
// to a host that does not defend itself) and the baseline of benchmarks.
//
// Node number i (from 1, in the order of the file) owns 10.244.i.0/24 and
// fd00:10:244:i::/64. Routers reach a node's pods directly, so only one router may lie
// between any two nodes.
#ifndef RIPSTOP_E2E_LAB_PLAIN_ROUTING_H_
#define RIPSTOP_E2E_LAB_PLAIN_ROUTING_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "e2e/lab/topology.h"

namespace ripstop::lab {

// Makes nodes forward, and routes every node's pods on every other node and router.
// Idempotent; called again after a node was added.
absl::Status RoutePlainly(const Topology& topology);

// Attaches a pod; its namespace exists. `number`, from 2 to 254, is unique on its node.
// Returns its addresses.
absl::StatusOr<std::vector<std::string>> AttachPlainly(const Topology& topology, const Pod& pod,
                                                       int number);

// Takes a pod's veth away at once; its namespace's end would do so some time later.
absl::Status DetachPlainly(const Topology& topology, const std::string& node,
                           const std::vector<std::string>& addresses);

// The host's end of a pod's veth.
std::string PlainInterface(int number);

}  // namespace ripstop::lab

#endif  // RIPSTOP_E2E_LAB_PLAIN_ROUTING_H_
