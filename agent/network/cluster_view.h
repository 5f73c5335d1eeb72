// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_NETWORK_CLUSTER_VIEW_H_
#define RIPSTOP_AGENT_NETWORK_CLUSTER_VIEW_H_

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "api/proto/felix.pb.h"
#include "api/proto/resources.pb.h"
#include "policy/address.h"
#include "policy/selector.h"

namespace ripstop::agent {

// An IPAM block, the node it is affine to, and the addresses that other nodes use of it.
struct BlockView {
  policy::Cidr cidr;
  std::string node;
  std::vector<std::pair<policy::Address, std::string>> borrowed;  // address, its node
  bool operator==(const BlockView&) const = default;
};

// What the store holds of the network itself, as last seen. Plain data; the builders of
// BGP, VXLAN and IPAM configuration read it.
struct ClusterView {
  std::map<std::string, api::v1::Node> nodes;
  std::map<std::string, api::v1::IPPool> pools;
  std::map<std::string, api::v1::BGPConfiguration> bgp_configurations;
  std::map<std::string, api::v1::BGPPeer> bgp_peers;
  std::map<std::string, api::v1::FelixConfiguration> felix_configurations;
  std::map<std::string, BlockView> blocks;  // by store name
  std::map<std::string, policy::Labels> namespaces;

  const api::v1::Node* FindNode(const std::string& name) const;
  // What Kubernetes' API server sees to: a namespace is labelled with its name.
  policy::Labels NamespaceLabels(const std::string& name) const;
  bool HasBlockIn(const policy::Cidr& pool) const;
};

// A node's address with its subnet: "192.0.2.1/24" → 192.0.2.1 and 192.0.2.0/24. A bare
// address is its own subnet. nullopt: absent or not an address.
struct NodeAddress {
  policy::Address address;
  policy::Cidr subnet;
};
std::optional<NodeAddress> NodeAddressOf(const std::string& text);
std::optional<NodeAddress> NodeIpv4(const api::v1::Node& node);
std::optional<NodeAddress> NodeIpv6(const api::v1::Node& node);

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_NETWORK_CLUSTER_VIEW_H_
