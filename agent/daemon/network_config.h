// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_DAEMON_NETWORK_CONFIG_H_
#define RIPSTOP_AGENT_DAEMON_NETWORK_CONFIG_H_

#include <string>

#include "agent/daemon/cluster_view.h"
#include "agent/ipam/ipam.h"
#include "agent/routes/vxlan_plan.h"

namespace ripstop::agent {

// The pools that `node` may take pod addresses from: enabled, for workloads, and its
// nodeSelector matches. By name, which is the order of preference. Pure.
IpamConfig BuildIpamConfig(const ClusterView& cluster, const std::string& node);

// What VXLAN needs to know of the cluster, as seen from `node`. Two nodes share a subnet
// when each address is in the other's prefix, in IPv4 if both have it. Pure.
VxlanConfig BuildVxlanConfig(const ClusterView& cluster, const std::string& node,
                             uint32_t underlay_mtu);

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_DAEMON_NETWORK_CONFIG_H_
