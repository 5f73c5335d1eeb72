// SPDX-License-Identifier: Apache-2.0
#include <net/if.h>

#include "agent/network/network_plane.h"

namespace ripstop::agent {

FirewallScene NetworkPlane::SceneForFirewall(bool host_nat) const {
  FirewallScene scene;
  if (cluster_ == nullptr) return scene;
  scene.through_stack = host_nat;
  for (const uint32_t ifindex : tunnel_->exits()) {
    char name[IF_NAMESIZE];
    if (tunnel_->role(ifindex) != InterfaceRole::kUplink) continue;
    if (if_indextoname(ifindex, name) != nullptr) scene.uplinks.push_back({name, ifindex});
  }
  for (const auto& [name, pool] : cluster_->pools) {
    const auto cidr = policy::Cidr::Parse(pool.spec().cidr());
    if (cidr.ok()) scene.pools.push_back(*cidr);
  }
  const api::v1::Node* self = cluster_->FindNode(options_.node);
  if (self == nullptr) return scene;
  if (tunnel_->ifindex() != 0) scene.vxlan_port = tunnel_->port();
  scene.tunnel = tunnel_->ends();
  for (const auto of_family : {NodeIpv4, NodeIpv6}) {
    const std::optional<NodeAddress> own = of_family(*self);
    if (!own.has_value()) continue;
    if (bird_ != nullptr) scene.bgp.push_back(own->address);
  }
  return scene;
}

}  // namespace ripstop::agent
