// SPDX-License-Identifier: Apache-2.0
#include "agent/network/bgp_model.h"

#include "absl/strings/str_cat.h"
#include "agent/netlink/types.h"
#include "agent/network/bgp_peers.h"
#include "agent/network/bgp_settings.h"

namespace ripstop::agent {
namespace {

bgp::Node ToBgpNode(const ClusterView& cluster, const api::v1::Node& node) {
  const api::v1::NodeBgpSpec& spec = node.spec().bgp();
  const std::string& name = node.metadata().name();
  return {.name = name,
          .ipv4 = spec.ipv4_address(),
          .ipv6 = spec.ipv6_address(),
          .as_number = spec.as_number(),
          .route_reflector_cluster_id = spec.route_reflector_cluster_id(),
          .listen_port = SettingsOf(cluster, name).listen_port};
}

void ReadMeshPassword(const ClusterView& cluster, const SecretReader& secrets, bgp::Model* model) {
  const auto it = cluster.bgp_configurations.find("default");
  if (it == cluster.bgp_configurations.end() || !model->node_mesh) return;
  auto password =
      PasswordOf(it->second.spec().node_mesh_password(), "spec.nodeMeshPassword", secrets);
  if (password.ok()) {
    model->node_mesh_password = *std::move(password);
  } else {
    model->node_mesh_unusable = std::string(password.status().message());
  }
}

bgp::RouteOwner OwnerOf(const api::v1::IPPoolSpec& pool) {
  if (pool.vxlan_mode() == "Always") return bgp::RouteOwner::kAgent;
  if (pool.vxlan_mode() == "CrossSubnet") return bgp::RouteOwner::kBirdWithinSubnet;
  return bgp::RouteOwner::kBird;
}

}  // namespace

absl::StatusOr<bgp::Model> BuildBgpModel(const ClusterView& cluster, const std::string& node,
                                         const SecretReader& secrets) {
  const api::v1::Node* self = cluster.FindNode(node);
  if (self == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("Node ", node, ": not in the store yet; apply a Node resource of that name"));
  }
  if (!NodeIpv4(*self).has_value() && !NodeIpv6(*self).has_value()) {
    return absl::FailedPreconditionError(
        absl::StrCat("Node ", node, ": spec.bgp has no ipv4Address or ipv6Address"));
  }
  bgp::Model model;
  model.self = ToBgpNode(cluster, *self);
  for (const auto& [name, resource] : cluster.nodes) {
    model.nodes.push_back(ToBgpNode(cluster, resource));
  }
  BgpSettings settings = SettingsOf(cluster, node);
  model.as_number = settings.as_number;
  model.listen_port = settings.listen_port;
  model.node_mesh = settings.node_mesh;
  model.node_mesh_restart_s = settings.node_mesh_restart_s;
  model.bind_node_address = settings.bind_node_address;
  model.log_severity = settings.log_severity;
  model.ignored_interfaces = std::move(settings.ignored_interfaces);
  model.advertisements = std::move(settings.advertisements);
  ReadMeshPassword(cluster, secrets, &model);
  for (const auto& [name, pool] : cluster.pools) {
    model.pools.push_back({.cidr = pool.spec().cidr(),
                           .owner = OwnerOf(pool.spec()),
                           .disable_bgp_export = pool.spec().disable_bgp_export()});
  }
  for (const auto& [name, block] : cluster.blocks) {
    if (block.node == node) model.blocks.push_back(block.cidr.ToString());
    for (const auto& [address, user] : block.borrowed) {
      if (user == node) model.borrowed.push_back(address.ToString());
    }
  }
  model.peers = PeersOf(cluster, *self, secrets);
  model.agent_route_protocol = kRouteProtocol;
  return model;
}

}  // namespace ripstop::agent
