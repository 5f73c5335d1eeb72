// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_POLICY_SELECTOR_CACHE_H_
#define RIPSTOP_POLICY_SELECTOR_CACHE_H_

#include <optional>
#include <string>
#include <utility>

#include "absl/container/node_hash_map.h"
#include "policy/selector.h"

namespace ripstop::policy {

// Selectors by text, parsed once. nullopt: invalid.
class SelectorCache {
 public:
  const std::optional<Selector>& Get(const std::string& text);
  // Forgets all when there are many; no reference outlives a Flush.
  void Trim();

 private:
  absl::node_hash_map<std::string, std::optional<Selector>> parsed_;
};

// The name (IndexName) by which to find a selector, and the values it may have; nullopt: none.
std::optional<std::pair<std::string, Selector::Restriction>> IndexKey(const Selector& selector);

}  // namespace ripstop::policy

#endif  // RIPSTOP_POLICY_SELECTOR_CACHE_H_
