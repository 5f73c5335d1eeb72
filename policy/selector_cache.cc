// SPDX-License-Identifier: Apache-2.0
#include "policy/selector_cache.h"

namespace ripstop::policy {

// Prefers few values, and not the namespace, which most selectors share.
std::optional<std::pair<std::string, Selector::Restriction>> IndexKey(const Selector& selector) {
  std::optional<std::pair<std::string, Selector::Restriction>> best;
  size_t best_cost = 0;
  for (const auto& [key, r] : selector.Restricts().keys) {
    const auto name = IndexName(key);
    if (!name) continue;
    const size_t cost =
        (r.any_value ? 1'000'000 : r.values.size()) + (*name == kNamespaceLabel ? 1'000 : 0);
    if (!best || cost < best_cost) {
      best = {std::string(*name), r};
      best_cost = cost;
    }
  }
  return best;
}

const std::optional<Selector>& SelectorCache::Get(const std::string& text) {
  const auto [it, fresh] = parsed_.try_emplace(text);
  if (fresh) {
    if (auto selector = Selector::Parse(text); selector.ok()) it->second = *std::move(selector);
  }
  return it->second;
}

void SelectorCache::Trim() {
  if (parsed_.size() > 100'000) parsed_.clear();
}

}  // namespace ripstop::policy
