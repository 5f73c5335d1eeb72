// SPDX-License-Identifier: Apache-2.0
#include "agent/routes/vxlan_plan.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "policy/base/stable_hash.h"

namespace ripstop::agent {
namespace {

// Outer Ethernet, IP, UDP and VXLAN headers (RFC 7348 section 5).
constexpr uint32_t kOverheadV4 = 50;
constexpr uint32_t kOverheadV6 = 70;

}  // namespace

VxlanMode ModeOf(const VxlanConfig& config, const policy::Cidr& block) {
  // The longest pool decides, though pools do not overlap.
  const VxlanPool* best = nullptr;
  for (const VxlanPool& pool : config.pools) {
    if (pool.cidr.Contains(block) && (best == nullptr || pool.cidr.bits > best->cidr.bits)) {
      best = &pool;
    }
  }
  return best == nullptr ? VxlanMode::kNever : best->mode;
}

Mac VxlanMac(const std::string& node_name) {
  uint64_t hash = StableHash(node_name);
  hash ^= hash >> 32;  // its low bits mix best; fold the rest into the 48 that are used
  Mac mac;
  for (int i = 0; i < 6; ++i) mac.bytes[i] = static_cast<uint8_t>(hash >> (8 * i));
  mac.bytes[0] = (mac.bytes[0] | 0x02) & 0xfe;
  return mac;
}

VxlanPlan PlanVxlan(const VxlanConfig& config) {
  VxlanPlan plan;
  const bool any = std::any_of(config.pools.begin(), config.pools.end(),
                               [](const VxlanPool& p) { return p.mode != VxlanMode::kNever; });
  if (!any) return plan;
  if (!config.v4.has_value() && !config.v6.has_value()) {
    plan.problems.push_back(
        absl::StrCat("node ", config.node_name, " has no address; VXLAN needs one"));
    return plan;
  }
  const bool outer_v4 = config.v4.has_value();
  const uint32_t said = outer_v4 ? config.mtu_v4 : config.mtu_v6;
  const uint32_t mtu = config.underlay_mtu - (outer_v4 ? kOverheadV4 : kOverheadV6);
  plan.device = VxlanSpec{.name = config.device,
                          .mac = VxlanMac(config.node_name),
                          .mtu = said != 0 ? said : mtu,
                          .vni = config.vni,
                          .port = config.port,
                          .local = outer_v4 ? *config.v4 : *config.v6};

  for (const RemoteNode& remote : config.remotes) {
    if (remote.name == config.node_name) continue;
    const std::optional<policy::Address>& outer = outer_v4 ? remote.v4 : remote.v6;
    const Mac mac = VxlanMac(remote.name);
    const policy::Address link_local = mac.LinkLocal();
    std::vector<RoutingEntry> entries;
    bool v4_used = false, v6_used = false;
    for (const policy::Cidr& block : remote.blocks) {
      const VxlanMode mode = ModeOf(config, block);
      if (mode == VxlanMode::kNever) continue;
      if (mode == VxlanMode::kCrossSubnet && remote.same_subnet) continue;
      if (!outer.has_value()) {
        plan.problems.push_back(absl::StrCat("block ", block.ToString(), " of node ", remote.name,
                                             ": the node has no IPv", outer_v4 ? 4 : 6,
                                             " address to send VXLAN to"));
        continue;
      }
      if (block.is_v4() && !remote.v4.has_value()) {
        plan.problems.push_back(absl::StrCat("block ", block.ToString(), " of node ", remote.name,
                                             ": IPv4 pods need a node with an IPv4 address"));
        continue;
      }
      (block.is_v4() ? v4_used : v6_used) = true;
      entries.push_back(Route{.destination = block,
                              .gateway = block.is_v4() ? *remote.v4 : link_local,
                              .onlink = true});
    }
    if (entries.empty()) continue;
    if (v4_used) entries.push_back(Neighbour{.address = *remote.v4, .mac = mac});
    if (v6_used) entries.push_back(Neighbour{.address = link_local, .mac = mac});
    entries.push_back(FdbEntry{.mac = mac, .remote = *outer});
    plan.entries.emplace(remote.name, std::move(entries));
  }
  return plan;
}

}  // namespace ripstop::agent
