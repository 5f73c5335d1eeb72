// SPDX-License-Identifier: Apache-2.0
//
// Whether a node is who it says: its name one that Kubernetes can have, its addresses its
// own and nobody else's. Pure.
#ifndef RIPSTOP_AGENT_NETWORK_NODE_IDENTITY_H_
#define RIPSTOP_AGENT_NETWORK_NODE_IDENTITY_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "agent/netlink/types.h"
#include "agent/network/cluster_view.h"

namespace ripstop::agent {

// The kernel takes upper case, line ends and any length as a host's name; no Node resource
// can have it.
//   kInvalidArgument  with a name that would do
absl::Status CheckNodeName(const std::string& name);

struct NodeAddressProblems {
  std::vector<std::string> own;     // of this node, which is not ready with them
  std::vector<std::string> others;  // of other nodes: theirs to mend, worth knowing here
};

// Node addresses that no interface of this node has, and addresses that two nodes have.
// `interfaces`: what the kernel has here.
NodeAddressProblems CheckNodeAddresses(const ClusterView& cluster, const std::string& node,
                                       const std::vector<InterfaceAddress>& interfaces);

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_NETWORK_NODE_IDENTITY_H_
