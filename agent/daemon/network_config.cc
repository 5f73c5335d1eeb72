// SPDX-License-Identifier: Apache-2.0
#include "agent/daemon/network_config.h"

#include <algorithm>

#include "policy/selector.h"

namespace ripstop::agent {
namespace {

bool ForNode(const api::v1::IPPoolSpec& pool, const api::v1::Node* node) {
  if (pool.node_selector().empty()) return true;
  auto selector = policy::Selector::Parse(pool.node_selector());
  if (!selector.ok() || node == nullptr) return false;
  return selector->Matches(
      policy::Labels(node->metadata().labels().begin(), node->metadata().labels().end()));
}

bool ForWorkloads(const api::v1::IPPoolSpec& pool) {
  const auto& uses = pool.allowed_uses();
  return !pool.disabled() && pool.assignment_mode() != "Manual" &&
         (uses.empty() || std::find(uses.begin(), uses.end(), "Workload") != uses.end());
}

VxlanMode ModeOf(const api::v1::IPPoolSpec& pool) {
  if (pool.vxlan_mode() == "Always") return VxlanMode::kAlways;
  if (pool.vxlan_mode() == "CrossSubnet") return VxlanMode::kCrossSubnet;
  return VxlanMode::kNever;
}

bool ShareSubnet(const api::v1::Node& a, const api::v1::Node& b) {
  const auto a4 = NodeIpv4(a), b4 = NodeIpv4(b);
  const auto& [x, y] = a4 && b4 ? std::pair(a4, b4) : std::pair(NodeIpv6(a), NodeIpv6(b));
  return x && y && x->subnet.Contains(y->address) && y->subnet.Contains(x->address);
}

}  // namespace

IpamConfig BuildIpamConfig(const ClusterView& cluster, const std::string& node) {
  IpamConfig config;
  for (const auto& [name, pool] : cluster.pools) {
    if (!ForWorkloads(pool.spec()) || !ForNode(pool.spec(), cluster.FindNode(node))) continue;
    auto cidr = policy::Cidr::Parse(pool.spec().cidr());
    if (!cidr.ok()) continue;  // validation refused it at the door; the store was edited by hand
    config.pools.push_back({name, *cidr, static_cast<int>(pool.spec().block_size())});
  }
  return config;
}

VxlanConfig BuildVxlanConfig(const ClusterView& cluster, const std::string& node,
                             uint32_t underlay_mtu) {
  VxlanConfig config;
  config.node_name = node;
  config.underlay_mtu = underlay_mtu;
  const api::v1::Node* self = cluster.FindNode(node);
  if (self == nullptr) return config;
  if (const auto address = NodeIpv4(*self)) config.v4 = address->address;
  if (const auto address = NodeIpv6(*self)) config.v6 = address->address;
  for (const auto& [name, pool] : cluster.pools) {
    if (auto cidr = policy::Cidr::Parse(pool.spec().cidr()); cidr.ok()) {
      config.pools.push_back({*cidr, ModeOf(pool.spec())});
    }
  }
  for (const auto& [key, block] : cluster.blocks) {
    if (block.node == node) config.own_blocks.push_back(block.cidr);
    for (const auto& [address, user] : block.borrowed) {
      if (user == node) config.own_blocks.push_back(policy::Cidr::Of(address, 128));
    }
  }
  for (const auto& [name, other] : cluster.nodes) {
    if (name == node) continue;
    RemoteNode remote;
    remote.name = name;
    if (const auto address = NodeIpv4(other)) remote.v4 = address->address;
    if (const auto address = NodeIpv6(other)) remote.v6 = address->address;
    remote.same_subnet = ShareSubnet(*self, other);
    for (const auto& [key, block] : cluster.blocks) {
      if (block.node == name) remote.blocks.push_back(block.cidr);
      for (const auto& [address, user] : block.borrowed) {
        if (user == name) remote.blocks.push_back(policy::Cidr::Of(address, 128));
      }
    }
    config.remotes.push_back(std::move(remote));
  }
  return config;
}

}  // namespace ripstop::agent
