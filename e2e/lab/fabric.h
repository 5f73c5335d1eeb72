// SPDX-License-Identifier: Apache-2.0
//
// The wires of a lab: one namespace holding a bridge per subnet, and the namespaces of
// routers and nodes with a veth into it.
//
//   rl-LAB-switch          rl-LAB-r1              rl-LAB-node1
//   ┌────────────────┐     ┌──────────────┐       ┌──────────────┐
//   │ br-rack1 ─ r1-0├─────┤eth0  (.1)    │       │              │
//   │        └─ node1├─────┼──────────────┼───────┤eth0  (.11)   │
//   │ br-rack2 ─ r1-1├─────┤eth1  (.1)    │       │ default via .1│
//   └────────────────┘     └──────────────┘       └──────────────┘
//
// What to do is computed as lines for `ip -batch` (pure, tested as text), then applied.
#ifndef RIPSTOP_E2E_LAB_FABRIC_H_
#define RIPSTOP_E2E_LAB_FABRIC_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "e2e/lab/topology.h"

namespace ripstop::lab {

std::string MachineNetns(const std::string& lab, const std::string& machine);
std::string PodNetns(const std::string& lab, const std::string& pod_key);

// Lines for the switch namespace, and for the machine's own.
struct Wiring {
  std::vector<std::string> in_switch;
  std::vector<std::string> in_machine;
};
Wiring SubnetWiring(const Topology& topology);  // in_machine stays empty
Wiring RouterWiring(const Topology& topology, const Router& router);
Wiring NodeWiring(const Topology& topology, const Node& node);

// These need the namespaces to exist.
absl::Status WireSubnets(const Topology& topology);
absl::Status WireRouter(const Topology& topology, const Router& router);
absl::Status WireNode(const Topology& topology, const Node& node);
// Pulls the plug at once; the namespace's end would do so only some time later.
absl::Status UnwireNode(const Topology& topology, const std::string& node);

}  // namespace ripstop::lab

#endif  // RIPSTOP_E2E_LAB_FABRIC_H_
