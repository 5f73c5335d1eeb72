// SPDX-License-Identifier: Apache-2.0
//
// The prefix sets of a Model per address family, canonical, sorted and checked, in BIRD's
// notation. Pure; any thread.
#ifndef RIPSTOP_BGP_BRIDGE_PREFIX_PLAN_H_
#define RIPSTOP_BGP_BRIDGE_PREFIX_PLAN_H_

#include <string>
#include <vector>

#include "bgp-bridge/model.h"
#include "bgp-bridge/sessions.h"

namespace ripstop::bgp {

struct FamilyPlan {
  bool ipv6 = false;
  std::vector<std::string> pools;         // "10.65.0.0/16+": any prefix inside
  std::vector<std::string> agent_pools;   // of which the agent writes every route
  std::vector<std::string> subnet_pools;  // of which BIRD writes those of near nodes
  std::vector<std::string> silent_pools;  // which are not told to peers
  std::vector<std::string> admitted;      // "192.0.2.0/24{24,32}"
  std::vector<std::string> near_nodes;    // addresses of other nodes in this node's subnet
  std::vector<std::string> blocks;        // "10.65.1.0/26"
  std::vector<std::string> borrowed;      // "10.65.3.7/32"
};

struct PrefixPlan {
  FamilyPlan ipv4, ipv6;
  std::string router_id;   // valid always: else from the IPv4 address, else from the name
  std::string cluster_id;  // empty: none, or not valid
  std::vector<SetAside> set_aside;
};

PrefixPlan PlanPrefixes(const Model& model);

}  // namespace ripstop::bgp

#endif  // RIPSTOP_BGP_BRIDGE_PREFIX_PLAN_H_
