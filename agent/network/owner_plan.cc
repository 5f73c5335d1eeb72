// SPDX-License-Identifier: Apache-2.0
#include "agent/network/owner_plan.h"

#include <algorithm>

namespace ripstop::agent {
namespace {

using loader::Owners;

// Flags that refuse what comes natively.
constexpr uint32_t kRefusing = OWNER_ACROSS | OWNER_TUNNEL_NEAR | OWNER_TUNNEL_ACROSS;

uint32_t ReceivingFlags(VxlanMode mode) {
  switch (mode) {
    case VxlanMode::kAlways: return OWNER_TUNNEL_NEAR | OWNER_TUNNEL_ACROSS;
    case VxlanMode::kCrossSubnet: return OWNER_TUNNEL_ACROSS;
    case VxlanMode::kNever: break;
  }
  return 0;
}

policy::Cidr Single(const policy::Address& address) { return policy::Cidr::Of(address, 128); }

void AddAddresses(const std::optional<policy::Address>& v4,
                  const std::optional<policy::Address>& v6, const loader::Owner& owner,
                  Owners& ret) {
  for (const auto& address : {v4, v6}) {
    if (address.has_value()) ret.insert_or_assign(Single(*address), owner);
  }
}

}  // namespace

Owners PlanOwners(const VxlanConfig& config) {
  Owners owners;
  for (const VxlanPool& pool : config.pools) {
    if (pool.mode != VxlanMode::kNever) owners[pool.cidr] = loader::Owner{};
  }
  for (const policy::Cidr& block : config.own_blocks) {
    owners.insert_or_assign(
        block,
        loader::Owner{loader::Owner::Who::kThisNode, {}, ReceivingFlags(ModeOf(config, block))});
  }
  const bool outer_v4 = config.v4.has_value();
  for (const RemoteNode& remote : config.remotes) {
    if (remote.name == config.node_name) continue;
    const std::optional<policy::Address>& vtep = outer_v4 ? remote.v4 : remote.v6;
    loader::Owner owner;
    if (vtep.has_value()) owner = {loader::Owner::Who::kOtherNode, *vtep, 0};
    owner.flags = remote.same_subnet ? 0 : OWNER_ACROSS;
    for (const policy::Cidr& block : remote.blocks) owners.insert_or_assign(block, owner);
    owner.flags = OWNER_HOST;
    AddAddresses(remote.v4, remote.v6, owner, owners);
  }
  AddAddresses(config.v4, config.v6, {loader::Owner::Who::kThisNode, {}, OWNER_HOST}, owners);
  return owners;
}

Owners OwnerTransitions::Apply(const Owners& wanted, absl::Time now) {
  Owners now_in_force = wanted;
  std::map<policy::Cidr, Held> held;
  for (auto& [prefix, owner] : now_in_force) {
    const auto before = last_.find(prefix);
    // Another owner's is another matter: nothing of his was accepted before.
    if (!begun_ || before == last_.end() || before->second.who != owner.who ||
        before->second.vtep != owner.vtep) {
      continue;
    }
    Held hold;
    if (const auto it = held_.find(prefix); it != held_.end() && it->second.until > now) {
      hold = it->second;
    }
    const uint32_t fresh = owner.flags & ~before->second.flags & kRefusing;
    if (fresh != 0) {
      hold.flags |= fresh;
      hold.until = now + kGrace;
    }
    hold.flags &= owner.flags;
    if (hold.flags == 0) continue;
    held[prefix] = hold;
    owner.flags &= ~hold.flags;
  }
  held_ = std::move(held);
  last_ = wanted;
  begun_ = true;
  return now_in_force;
}

absl::Time OwnerTransitions::due() const {
  absl::Time due = absl::InfiniteFuture();
  for (const auto& [prefix, hold] : held_) due = std::min(due, hold.until);
  return due;
}

}  // namespace ripstop::agent
