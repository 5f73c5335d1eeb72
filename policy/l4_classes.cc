// SPDX-License-Identifier: Apache-2.0
#include "policy/l4_classes.h"

#include <algorithm>

#include "absl/container/flat_hash_map.h"

namespace ripstop::policy {

L4Classes::L4Classes() {
  constexpr uint32_t kFirstWithoutPorts = L4_INDEX(L4_ICMP, 0);
  start_ = {{0, 1}, {kFirstWithoutPorts, 0}, {L4_TABLE_ENTRIES, 0}};
  points_ = {L4_TABLE_ENTRIES - kFirstWithoutPorts, kFirstWithoutPorts};
}

void L4Classes::CutAt(uint32_t index) {
  const auto after = start_.upper_bound(index);
  start_.emplace(index, std::prev(after)->second);
}

uint32_t L4Classes::ClassOf(uint32_t index) const {
  return std::prev(start_.upper_bound(index))->second;
}

uint32_t L4Classes::representative(uint32_t l4_class) const {
  if (representative_.size() < count()) {
    representative_.resize(count());
    for (auto it = start_.begin(); std::next(it) != start_.end(); ++it) {
      representative_[it->second] = it->first;
    }
  }
  return representative_[l4_class];
}

std::vector<L4Classes::Split> L4Classes::Refine(const L4Set& set) {
  absl::btree_map<uint32_t, uint32_t> inside;  // class -> points of it in the set
  for (const L4Set::Interval& i : set.intervals()) {
    CutAt(i.first);
    if (i.last + 1 < L4_TABLE_ENTRIES) CutAt(i.last + 1);
    for (auto it = start_.find(i.first); it->first <= i.last; ++it) {
      inside[it->second] += std::next(it)->first - it->first;
    }
  }
  std::vector<Split> splits;
  const auto split = [&](const auto& part) { return part.second != points_[part.first]; };
  if (static_cast<size_t>(std::count_if(inside.begin(), inside.end(), split)) + count() > kClassesMax) {
    full_ = true;
    return splits;
  }
  absl::flat_hash_map<uint32_t, uint32_t> renamed;
  for (const auto& [from, points] : inside) {
    if (points == points_[from]) continue;
    const uint32_t to = count();
    splits.push_back({from, to});
    renamed[from] = to;
    points_[from] -= points;
    points_.push_back(points);
  }
  if (splits.empty()) return splits;
  for (const L4Set::Interval& i : set.intervals()) {
    for (auto it = start_.find(i.first); it->first <= i.last; ++it) {
      const auto new_class = renamed.find(it->second);
      if (new_class == renamed.end()) continue;
      it->second = new_class->second;
      changed_ = changed_.Or(L4Set::Of(it->first, std::next(it)->first - 1));
    }
  }
  return splits;
}

bool L4Classes::Knows(const L4Set& set) const {
  if (!full_) return true;  // all sets in use were refined with
  absl::flat_hash_map<uint32_t, uint32_t> inside;
  for (const L4Set::Interval& i : set.intervals()) {
    for (auto it = std::prev(start_.upper_bound(i.first)); it->first <= i.last; ++it) {
      inside[it->second] += std::min(std::next(it)->first, i.last + 1) - std::max(it->first, i.first);
    }
  }
  return std::all_of(inside.begin(), inside.end(),
                     [&](const auto& part) { return part.second == points_[part.first]; });
}

std::vector<L4Classes::Words> L4Classes::TakeChanges() {
  std::vector<Words> result;
  for (const L4Set::Interval& i : changed_.intervals()) {
    // Two indexes share a word, so neighbouring changes may too.
    uint32_t first = i.first / 2;
    const uint32_t last = i.last / 2;
    if (!result.empty()) {
      const uint32_t done = result.back().first + static_cast<uint32_t>(result.back().words.size());
      first = std::max(first, done);
      if (first > last) continue;
      if (first != done) result.push_back({first, {}});
    } else {
      result.push_back({first, {}});
    }
    std::vector<uint32_t>& words = result.back().words;
    const size_t base = words.size();
    words.resize(base + last - first + 1);
    auto interval = std::prev(start_.upper_bound(first * 2));
    for (uint32_t index = first * 2; index <= last * 2 + 1 && index < L4_TABLE_ENTRIES; ++index) {
      while (std::next(interval)->first <= index) ++interval;
      words[base + index / 2 - first] |= interval->second << (index % 2 == 0 ? 0 : 16);
    }
  }
  changed_ = L4Set::None();
  return result;
}

}  // namespace ripstop::policy
