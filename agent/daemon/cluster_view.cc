// SPDX-License-Identifier: Apache-2.0
#include "agent/daemon/cluster_view.h"

namespace ripstop::agent {

const api::v1::Node* ClusterView::FindNode(const std::string& name) const {
  const auto it = nodes.find(name);
  return it == nodes.end() ? nullptr : &it->second;
}

std::optional<NodeAddress> NodeAddressOf(const std::string& text) {
  auto subnet = policy::Cidr::Parse(text);
  auto address = policy::Address::Parse(text.substr(0, text.find('/')));
  if (!subnet.ok() || !address.ok()) return std::nullopt;
  return NodeAddress{*address, *subnet};
}

std::optional<NodeAddress> NodeIpv4(const api::v1::Node& node) {
  return NodeAddressOf(node.spec().bgp().ipv4_address());
}

std::optional<NodeAddress> NodeIpv6(const api::v1::Node& node) {
  return NodeAddressOf(node.spec().bgp().ipv6_address());
}

}  // namespace ripstop::agent
