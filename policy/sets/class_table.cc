// SPDX-License-Identifier: Apache-2.0
#include "policy/sets/class_table.h"

#include <algorithm>

namespace ripstop::policy {

void ClassTable::Renumber(const std::vector<uint32_t>& to) {
  const uint32_t count = to.empty() ? 0 : *std::max_element(to.begin(), to.end()) + 1;
  std::vector<Shared> rules(count);
  for (size_t n = to.size(); n-- > 0;) rules[to[n]] = rules_[n];
  rules_ = std::move(rules);
  for (uint32_t& n : numbers_) n = to[n];
  for (auto& [bits, n] : known_) n = to[n];
}

void ClassTable::Compact() {
  std::vector<bool> used(rules_.size());
  if (!used.empty()) used[0] = true;
  for (const uint32_t n : numbers_) used[n] = true;
  std::vector<uint32_t> to(rules_.size());
  std::vector<Shared> rules;
  for (uint32_t n = 0; n < used.size(); ++n) {
    if (!used[n]) continue;
    to[n] = static_cast<uint32_t>(rules.size());
    rules.push_back(rules_[n]);
  }
  rules_ = std::move(rules);
  for (uint32_t& n : numbers_) n = to[n];
  for (auto it = known_.begin(); it != known_.end();) {
    const uint32_t old = it->second;
    it->second = to[old];
    if (used[old]) {
      ++it;
    } else {
      known_.erase(it++);
    }
  }
}

}  // namespace ripstop::policy
