// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_NETWORK_NETWORK_CONFIG_H_
#define RIPSTOP_AGENT_NETWORK_NETWORK_CONFIG_H_

#include <string>
#include <vector>

#include "agent/ipam/ipam.h"
#include "agent/network/cluster_view.h"
#include "agent/network/felix_settings.h"
#include "agent/routes/vxlan_plan.h"

namespace ripstop::agent {

// What `node` may take out of each pool. By name, which is the order of preference. Pure.
IpamConfig BuildIpamConfig(const ClusterView& cluster, const std::string& node);

// Pools that ripstopctl would not have taken: they overlap each other or a node's subnet.
// For the operator's eyes. Pure.
std::vector<std::string> PoolProblems(const ClusterView& cluster);

// What VXLAN needs to know of the cluster, as seen from `node`. Two nodes share a subnet
// when each address is in the other's prefix, in IPv4 if both have it. Pure.
VxlanConfig BuildVxlanConfig(const ClusterView& cluster, const std::string& node,
                             uint32_t underlay_mtu, const TunnelSettings& settings = {});

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_NETWORK_NETWORK_CONFIG_H_
