// SPDX-License-Identifier: Apache-2.0
#include "policy/classes/l4_classes.h"

#include <algorithm>
#include <utility>

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
  inside_.resize(count());
  renamed_.resize(count());
  std::vector<uint32_t> found;  // classes with points in the set
  for (const L4Set::Interval& i : set.intervals()) {
    CutAt(i.first);
    if (i.last + 1 < L4_TABLE_ENTRIES) CutAt(i.last + 1);
    for (auto it = start_.find(i.first); it->first <= i.last;) {
      const auto [first, of] = *it;
      if (inside_[of] == 0) found.push_back(of);
      inside_[of] += (++it)->first - first;
    }
  }
  std::sort(found.begin(), found.end());
  const auto parted = [&](uint32_t c) { return inside_[c] != points_[c]; };
  const bool fits =
      static_cast<size_t>(std::count_if(found.begin(), found.end(), parted)) + count() <=
      kClassesMax;
  full_ |= !fits;
  std::vector<Split> splits;
  for (const uint32_t from : found) {
    if (fits && parted(from)) {
      splits.push_back({from, count()});
      renamed_[from] = count();
      points_[from] -= inside_[from];
      points_.push_back(inside_[from]);
    }
    inside_[from] = 0;
  }
  if (splits.empty()) return splits;
  for (const L4Set::Interval& i : set.intervals()) {
    for (auto it = start_.find(i.first); it->first <= i.last; ++it) {
      if (renamed_[it->second] == 0) continue;
      it->second = renamed_[it->second];
      changed_.push_back({it->first, std::next(it)->first - 1});
    }
  }
  for (const Split& split : splits) renamed_[split.from] = 0;
  return splits;
}

bool L4Classes::Knows(const L4Set& set) const {
  if (!full_) return true;  // all sets in use were refined with
  absl::flat_hash_map<uint32_t, uint32_t> inside;
  for (const L4Set::Interval& i : set.intervals()) {
    for (auto it = std::prev(start_.upper_bound(i.first)); it->first <= i.last; ++it) {
      inside[it->second] +=
          std::min(std::next(it)->first, i.last + 1) - std::max(it->first, i.first);
    }
  }
  return std::all_of(inside.begin(), inside.end(),
                     [&](const auto& part) { return part.second == points_[part.first]; });
}

std::vector<L4Classes::Words> L4Classes::TakeChanges() {
  std::vector<Words> result;
  const L4Set changed = L4Set::OfIntervals(std::exchange(changed_, {}));
  for (const L4Set::Interval& i : changed.intervals()) {
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
  return result;
}

}  // namespace ripstop::policy
