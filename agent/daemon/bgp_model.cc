// SPDX-License-Identifier: Apache-2.0
#include "agent/daemon/bgp_model.h"

#include <charconv>

#include "absl/strings/str_cat.h"
#include "agent/netlink/types.h"
#include "policy/selector.h"

namespace ripstop::agent {
namespace {

constexpr char kDefaultConfiguration[] = "default";

bgp::Node ToBgpNode(const api::v1::Node& node) {
  const api::v1::NodeBgpSpec& spec = node.spec().bgp();
  return {.name = node.metadata().name(),
          .ipv4 = spec.ipv4_address(),
          .ipv6 = spec.ipv6_address(),
          .as_number = spec.as_number(),
          .route_reflector_cluster_id = spec.route_reflector_cluster_id()};
}

// An unreadable selector selects nothing: a session too few is seen, one too many leaks.
bool Selects(const std::string& selector, const api::v1::Node& node) {
  auto parsed = policy::Selector::Parse(selector);
  if (!parsed.ok()) return false;
  policy::Labels labels(node.metadata().labels().begin(), node.metadata().labels().end());
  return parsed->Matches(labels);
}

// "192.0.2.7", "192.0.2.7:1790", "[2001:db8::7]:1790".
void SplitPeerAddress(std::string_view text, bgp::Peer* peer) {
  const size_t colon = text.rfind(':');
  const bool bracketed = text.starts_with('[');
  const bool has_port = colon != std::string_view::npos &&
                        (bracketed ? colon > text.find(']') : text.find(':') == colon);
  std::string_view address = has_port ? text.substr(0, colon) : text;
  if (has_port) {
    uint16_t port = 0;
    const std::string_view digits = text.substr(colon + 1);
    if (std::from_chars(digits.begin(), digits.end(), port).ec == std::errc{}) peer->port = port;
  }
  if (bracketed && address.size() > 2) address = address.substr(1, address.size() - 2);
  peer->address = std::string(address);
}

bgp::NextHopMode NextHop(const api::v1::BGPPeerSpec& spec) {
  if (spec.next_hop_mode() == "Self") return bgp::NextHopMode::kSelf;
  if (spec.next_hop_mode() == "Keep" || spec.keep_original_next_hop())
    return bgp::NextHopMode::kKeep;
  return bgp::NextHopMode::kAuto;
}

bgp::Peer ToBgpPeer(const api::v1::BGPPeer& resource) {
  const api::v1::BGPPeerSpec& spec = resource.spec();
  bgp::Peer peer;
  peer.name = resource.metadata().name();
  const bool global = spec.node().empty() && spec.node_selector().empty();
  peer.type = global ? bgp::PeerType::kGlobal : bgp::PeerType::kNodeSpecific;
  peer.as_number = spec.as_number();
  peer.next_hop = NextHop(spec);
  peer.use_node_address = spec.source_address() != "None";
  peer.ttl_security_hops = static_cast<uint8_t>(spec.ttl_security());
  peer.reachable_by = spec.reachable_by();
  peer.local_as_number = spec.local_as_number();
  peer.allowed_local_as = static_cast<uint8_t>(spec.num_allowed_local_as_numbers());
  SplitPeerAddress(spec.peer_ip(), &peer);
  return peer;
}

// Peers named by address, and nodes that a peerSelector picks, one session per family.
void AddPeers(const ClusterView& cluster, const api::v1::Node& self, bgp::Model* model) {
  for (const auto& [name, resource] : cluster.bgp_peers) {
    const api::v1::BGPPeerSpec& spec = resource.spec();
    if (!spec.node().empty() && spec.node() != self.metadata().name()) continue;
    if (!spec.node_selector().empty() && !Selects(spec.node_selector(), self)) continue;
    if (!spec.peer_ip().empty()) {
      model->peers.push_back(ToBgpPeer(resource));
      continue;
    }
    if (spec.peer_selector().empty()) continue;
    for (const auto& [peer_name, node] : cluster.nodes) {
      if (peer_name == self.metadata().name() || !Selects(spec.peer_selector(), node)) continue;
      for (const auto& address : {NodeIpv4(node), NodeIpv6(node)}) {
        if (!address.has_value()) continue;
        bgp::Peer peer = ToBgpPeer(resource);
        peer.address = address->address.ToString();
        if (peer.as_number == 0) peer.as_number = node.spec().bgp().as_number();
        // We reflect to nodes that are not reflectors themselves (RFC 4456 section 7).
        peer.route_reflector_client = !model->self.route_reflector_cluster_id.empty() &&
                                      node.spec().bgp().route_reflector_cluster_id().empty();
        model->peers.push_back(std::move(peer));
      }
    }
  }
}

bgp::RouteOwner OwnerOf(const api::v1::IPPoolSpec& pool) {
  if (pool.vxlan_mode() == "Always") return bgp::RouteOwner::kAgent;
  if (pool.vxlan_mode() == "CrossSubnet") return bgp::RouteOwner::kBirdWithinSubnet;
  return bgp::RouteOwner::kBird;
}

}  // namespace

absl::StatusOr<bgp::Model> BuildBgpModel(const ClusterView& cluster, const std::string& node) {
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
  model.self = ToBgpNode(*self);
  for (const auto& [name, resource] : cluster.nodes) model.nodes.push_back(ToBgpNode(resource));
  if (const auto it = cluster.bgp_configurations.find(kDefaultConfiguration);
      it != cluster.bgp_configurations.end()) {
    const api::v1::BGPConfigurationSpec& spec = it->second.spec();
    if (spec.has_as_number()) model.as_number = spec.as_number();
    if (spec.has_listen_port()) model.listen_port = static_cast<uint16_t>(spec.listen_port());
    if (spec.has_node_to_node_mesh_enabled()) model.node_mesh = spec.node_to_node_mesh_enabled();
  }
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
  AddPeers(cluster, *self, &model);
  model.agent_route_protocol = kRouteProtocol;
  return model;
}

}  // namespace ripstop::agent
