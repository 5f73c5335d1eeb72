// SPDX-License-Identifier: Apache-2.0
#include "agent/network/network_config.h"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "api/ipam/pools.h"
#include "policy/selector.h"

namespace ripstop::agent {
namespace {

bool ForNode(const policy::Selector& selector, const api::v1::Node* node) {
  if (selector.is_all()) return true;
  return node != nullptr && selector.Matches(policy::Labels(node->metadata().labels().begin(),
                                                            node->metadata().labels().end()));
}

bool ForWorkloads(const api::v1::IPPoolSpec& pool) {
  const auto& uses = pool.allowed_uses();
  return uses.empty() || std::find(uses.begin(), uses.end(), "Workload") != uses.end();
}

// Empty: none. A node of the cluster in whose subnet the pool lies.
std::string InSubnetOf(const api::v1::IPPoolSpec& pool, const ClusterView& cluster) {
  for (const auto& [name, node] : cluster.nodes) {
    if (const auto subnet = ipam::SharedSubnet(pool, node)) {
      return absl::StrCat("overlaps ", subnet->ToString(), ", the subnet of node ", name);
    }
  }
  return "";
}

// Completes "IPPool x, which …"; empty: nothing keeps addresses from being taken.
std::string WhyClosed(const api::v1::IPPool& pool, const ClusterView& cluster) {
  if (pool.spec().disabled()) return "is disabled";
  if (ipam::IsTerminating(pool)) return "is being deleted";
  if (!ForWorkloads(pool.spec())) return "is not for pods (allowedUses)";
  return InSubnetOf(pool.spec(), cluster);
}

void SetUse(const api::v1::IPPool& pool, const ClusterView& cluster, const std::string& node,
            PoolConfig& config) {
  const api::v1::IPPoolSpec& spec = pool.spec();
  const auto nodes = policy::Selector::Parse(spec.node_selector());
  const auto namespaces = policy::Selector::Parse(spec.namespace_selector());
  config.use = PoolUse::kNone;
  config.why = WhyClosed(pool, cluster);
  if (!config.why.empty()) return;
  if (!nodes.ok() || !namespaces.ok()) {
    config.why = "has a selector that cannot be read";
    return;
  }
  config.use = PoolUse::kOnRequest;
  if (spec.assignment_mode() == "Manual") {
    config.why = "is assigned by hand (assignmentMode Manual)";
  } else if (!ForNode(*nodes, cluster.FindNode(node))) {
    config.why = absl::StrCat("is for other nodes (nodeSelector ", spec.node_selector(), ")");
  } else {
    config.use = PoolUse::kAny;
    if (!namespaces->is_all()) config.namespaces = *namespaces;
  }
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
    const auto cidr = ipam::CidrOf(pool.spec());
    if (!cidr) continue;  // validation refused it at the door; the store was edited by hand
    PoolConfig one = {
        .name = name, .cidr = *cidr, .block_size = static_cast<int>(pool.spec().block_size())};
    SetUse(pool, cluster, node, one);
    config.pools.push_back(std::move(one));
  }
  return config;
}

std::vector<std::string> PoolProblems(const ClusterView& cluster) {
  std::vector<std::string> problems;
  std::map<policy::Cidr, std::string> seen;  // by address: what overlaps stands side by side
  for (const auto& [name, pool] : cluster.pools) {
    const auto cidr = ipam::CidrOf(pool.spec());
    if (!cidr.has_value()) continue;
    if (const std::string what = InSubnetOf(pool.spec(), cluster); !what.empty()) {
      problems.push_back(absl::StrCat("IPPool ", name, " ", what,
                                      ": no address is taken from it; give it another cidr"));
    }
    const auto [at, added] = seen.try_emplace(*cidr, name);
    const auto next = std::next(at);
    const bool before = at != seen.begin() && std::prev(at)->first.Contains(*cidr);
    if (!added || before || (next != seen.end() && cidr->Contains(next->first))) {
      const std::string& other = !added   ? at->second
                                 : before ? std::prev(at)->second
                                          : next->second;
      problems.push_back(absl::StrCat("IPPool ", name, " overlaps IPPool ", other,
                                      ": routes go by the longer prefix; delete one of the two"));
    }
  }
  return problems;
}

VxlanConfig BuildVxlanConfig(const ClusterView& cluster, const std::string& node,
                             uint32_t underlay_mtu, const TunnelSettings& settings) {
  VxlanConfig config;
  config.node_name = node;
  config.underlay_mtu = underlay_mtu;
  config.vni = settings.vni;
  config.port = settings.port;
  config.mtu_v4 = settings.mtu_v4;
  config.mtu_v6 = settings.mtu_v6;
  config.external_nodes = settings.external_nodes;
  const api::v1::Node* self = cluster.FindNode(node);
  if (self == nullptr) return config;
  if (const auto address = NodeIpv4(*self)) config.v4 = address->address;
  if (const auto address = NodeIpv6(*self)) config.v6 = address->address;
  for (const auto& [name, pool] : cluster.pools) {
    if (auto cidr = policy::Cidr::Parse(pool.spec().cidr()); cidr.ok()) {
      config.pools.push_back({*cidr, ModeOf(pool.spec())});
    }
  }
  std::map<std::string, std::vector<policy::Cidr>> blocks;  // by node
  for (const auto& [key, block] : cluster.blocks) {
    blocks[block.node].push_back(block.cidr);
    for (const auto& [address, user] : block.borrowed) {
      blocks[user].push_back(policy::Cidr::Of(address, 128));
    }
  }
  config.own_blocks = std::move(blocks[node]);
  for (const auto& [name, other] : cluster.nodes) {
    if (name == node) continue;
    RemoteNode remote;
    remote.name = name;
    if (const auto address = NodeIpv4(other)) remote.v4 = address->address;
    if (const auto address = NodeIpv6(other)) remote.v6 = address->address;
    remote.same_subnet = ShareSubnet(*self, other);
    remote.blocks = std::move(blocks[name]);
    config.remotes.push_back(std::move(remote));
  }
  return config;
}

}  // namespace ripstop::agent
