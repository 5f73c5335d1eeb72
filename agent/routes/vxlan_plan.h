// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_ROUTES_VXLAN_PLAN_H_
#define RIPSTOP_AGENT_ROUTES_VXLAN_PLAN_H_

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/netlink/netlink.h"
#include "agent/routes/routing_state.h"

namespace ripstop::agent {

enum class VxlanMode { kNever, kAlways, kCrossSubnet };

struct VxlanPool {
  policy::Cidr cidr;
  VxlanMode mode = VxlanMode::kNever;
};

struct RemoteNode {
  std::string name;
  std::optional<policy::Address> v4;
  std::optional<policy::Address> v6;
  bool same_subnet = false;  // as this node, on the underlay
  std::vector<policy::Cidr> blocks;
};

struct VxlanConfig {
  std::string node_name;
  std::optional<policy::Address> v4;  // of this node on the underlay
  std::optional<policy::Address> v6;
  uint32_t underlay_mtu = 1500;
  std::vector<VxlanPool> pools;
  std::vector<RemoteNode> remotes;
  std::vector<policy::Cidr> own_blocks;  // of this node, and what it borrows of others
  std::string device = "vxlan.ripstop";
  uint32_t vni = 4096;
  uint16_t port = 4789;
  uint32_t mtu_v4 = 0, mtu_v6 = 0;  // of the device, with IPv4 or IPv6 outside; 0: by the underlay
  std::set<policy::Cidr> external_nodes;  // may send too, for addresses that are nobody's
};

struct VxlanPlan {
  std::optional<VxlanSpec> device;  // absent: no pool wants VXLAN, or no address to use
  // Per remote node, with ifindex 0: VxlanManager fills it in.
  std::map<std::string, std::vector<RoutingEntry>> entries;
  std::vector<std::string> problems;  // blocks that cannot be reached, and why
};

// What VXLAN needs for this cluster. A pure function.
//
// One device, with IPv4 outside where this node has an IPv4 address, else IPv6. A block
// of a pool gets a route by it when the pool says Always, or says CrossSubnet and the
// node is in another subnet; inside a subnet BIRD's route is the one. The gateway is
// the remote's own IPv4 address, on link, or the link-local address made from its MAC,
// so no tunnel addresses are needed, and IPv6 pods cross an IPv4 underlay.
VxlanPlan PlanVxlan(const VxlanConfig& config);

// What the pool of a block says; kNever where it has none.
VxlanMode ModeOf(const VxlanConfig& config, const policy::Cidr& block);

// The same on every node, so nobody has to be asked. Locally administered, unicast.
Mac VxlanMac(const std::string& node_name);

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_ROUTES_VXLAN_PLAN_H_
