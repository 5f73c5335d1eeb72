// SPDX-License-Identifier: Apache-2.0
#include "agent/ipam/block_index.h"

#include <utility>

namespace ripstop::agent {

void BlockIndex::Put(const policy::Cidr& block, Entry entry) {
  const auto [it, added] = blocks_.try_emplace(block);
  if (added) ++lengths_[block.bits];
  if (!added && it->second.revision > entry.revision) return;
  if (entry.affinity.empty() && entry.has_free) {
    adoptable_.insert(block);
  } else {
    adoptable_.erase(block);
  }
  it->second = std::move(entry);
}

void BlockIndex::Erase(const policy::Cidr& block) {
  if (blocks_.erase(block) == 0) return;
  adoptable_.erase(block);
  const auto length = lengths_.find(block.bits);
  if (--length->second == 0) lengths_.erase(length);
}

void BlockIndex::Clear() {
  blocks_.clear();
  lengths_.clear();
  adoptable_.clear();
}

const BlockIndex::Entry* BlockIndex::Find(const policy::Cidr& block) const {
  const auto it = blocks_.find(block);
  return it == blocks_.end() ? nullptr : &it->second;
}

std::optional<policy::Cidr> BlockIndex::Overlapping(const policy::Cidr& cidr) const {
  for (const auto& [length, count] : lengths_) {  // one or two, in practice
    if (length > cidr.bits) break;
    const auto around = policy::Cidr::Of(cidr.address, length);
    if (blocks_.contains(around)) return around;
  }
  const auto inside = blocks_.lower_bound(cidr);
  if (inside != blocks_.end() && cidr.Contains(inside->first)) return inside->first;
  return std::nullopt;
}

}  // namespace ripstop::agent
