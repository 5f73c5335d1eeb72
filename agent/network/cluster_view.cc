// SPDX-License-Identifier: Apache-2.0
#include "agent/network/cluster_view.h"

#include <algorithm>

namespace ripstop::agent {

const api::v1::Node* ClusterView::FindNode(const std::string& name) const {
  const auto it = nodes.find(name);
  return it == nodes.end() ? nullptr : &it->second;
}

policy::Labels ClusterView::NamespaceLabels(const std::string& name) const {
  const auto it = namespaces.find(name);
  policy::Labels labels = it == namespaces.end() ? policy::Labels() : it->second;
  labels["kubernetes.io/metadata.name"] = name;
  labels["projectcalico.org/name"] = name;
  return labels;
}

bool ClusterView::HasBlockIn(const policy::Cidr& pool) const {
  return std::any_of(blocks.begin(), blocks.end(),
                     [&pool](const auto& item) { return pool.Contains(item.second.cidr); });
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
