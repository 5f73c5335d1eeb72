// SPDX-License-Identifier: Apache-2.0
//
// When a node parts with its empty blocks.
#include <algorithm>

#include "agent/ipam/ipam.h"
#include "policy/status_macros.h"

namespace ripstop::agent {
namespace {

// Each is a transaction on the agent's loop; the others' turn comes with the next call.
constexpr int kAtATime = 4;

// What must be free beside it, of a block's size: a node at the edge of one block would
// otherwise claim and give back with each pod.
constexpr int kHeadroomPart = 4;

}  // namespace

// Whether the node's other blocks have room enough without this one.
bool Ipam::Spare(const PoolConfig& pool, const policy::Cidr& block) const {
  int free_elsewhere = 0;
  for (auto it = blocks_.blocks().lower_bound(pool.cidr);
       it != blocks_.blocks().end() && pool.cidr.Contains(it->first); ++it) {
    if (it->first == block || it->second.block.affinity() != node_) continue;
    free_elsewhere += it->second.block.free_count();
  }
  return free_elsewhere >= std::max(1, (1 << (128 - block.bits)) / kHeadroomPart);
}

bool Ipam::MayGo(const policy::Cidr& block, const Block& content, absl::Time now) {
  const PoolConfig* pool = PoolOf(block.address);
  if (pool == nullptr || pool->use == PoolUse::kNone) return true;
  Idle& idle = idle_.try_emplace(block, Idle{content.proto().sequence(), now}).first->second;
  if (idle.sequence != content.proto().sequence()) idle = {content.proto().sequence(), now};
  if (now - idle.since < config_.block_idle) return false;
  return pool->use != PoolUse::kAny || Spare(*pool, block);
}

absl::Status Ipam::GiveBackIdle(absl::Time now) {
  std::vector<policy::Cidr> going;
  std::erase_if(idle_, [this](const auto& item) {
    const auto it = blocks_.blocks().find(item.first);
    return it == blocks_.blocks().end() || !it->second.block.empty();
  });
  // From the end: allocation goes from the front, and the node keeps what it fills first.
  for (auto it = blocks_.blocks().rbegin(); it != blocks_.blocks().rend(); ++it) {
    const Block& content = it->second.block;
    if (content.affinity() != node_ || !content.empty()) continue;
    if (MayGo(it->first, content, now)) going.push_back(it->first);
  }
  int gone = 0;
  for (const policy::Cidr& block : going) {
    if (gone == kAtATime) break;
    // Asked again: what went before this one has made the room smaller.
    const auto it = blocks_.blocks().find(block);
    if (it == blocks_.blocks().end() || !MayGo(block, it->second.block, now)) continue;
    ASSIGN_OR_RETURN(const bool given, blocks_.GiveBack(block));
    if (given) idle_.erase(block);
    ++gone;
  }
  return absl::OkStatus();
}

}  // namespace ripstop::agent
