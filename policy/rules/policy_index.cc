// SPDX-License-Identifier: Apache-2.0
#include "policy/rules/policy_index.h"

#include <algorithm>

#include "policy/world.h"

namespace ripstop::policy {

bool PolicyIndex::Put(const Policy& policy) {
  const auto it = policies_.find(policy.key);
  if (it != policies_.end()) {
    if (it->second == policy) return false;
    Index(it->second, false);
    it->second = policy;
    Index(it->second, true);
    return true;
  }
  Index(policies_.emplace(policy.key, policy).first->second, true);
  return true;
}

bool PolicyIndex::Remove(const PolicyKey& key) {
  const auto it = policies_.find(key);
  if (it == policies_.end()) return false;
  Index(it->second, false);
  policies_.erase(it);
  return true;
}

const Policy* PolicyIndex::Find(const PolicyKey& key) const {
  const auto it = policies_.find(key);
  return it == policies_.end() ? nullptr : &it->second;
}

bool PolicyIndex::PutTier(const Tier& tier) {
  const auto [it, fresh] = tiers_.emplace(tier.name, tier);
  if (!fresh && it->second == tier) return false;
  it->second = tier;
  return true;
}

bool PolicyIndex::RemoveTier(std::string_view name) { return tiers_.erase(std::string(name)) > 0; }

void PolicyIndex::Index(const Policy& policy, bool add) {
  const auto toggle = [&](Keys& keys) {
    if (add) {
      keys.insert(&policy);
    } else {
      keys.erase(&policy);
    }
  };
  const std::optional<Selector>& selector = selectors_->Get(policy.selector);
  // A policy that cannot say whom it selects is set aside.
  if (!selector) return;
  const auto key = IndexKey(*selector);
  if (!key) return toggle(unkeyed_);
  if (key->second.any_value) return toggle(by_key_[key->first]);
  for (const std::string& value : key->second.values) toggle(by_label_[key->first][value]);
}

bool PolicyIndex::Selects(const Policy& p, const Labels& labels) const {
  if (p.staged) return false;
  const std::optional<Selector>& selector = selectors_->Get(p.selector);
  return selector && selector->Matches(labels);
}

Tier PolicyIndex::TierNamed(const std::string& name) const {
  if (const auto it = tiers_.find(name); it != tiers_.end()) return it->second;
  if (const auto it = BuiltInTiers().find(name); it != BuiltInTiers().end()) return it->second;
  // Nobody has defined it: last, and closed at its end.
  return {name, std::nullopt, Action::kDeny};
}

std::vector<PolicyIndex::TierPolicies> PolicyIndex::Applicable(const Labels& labels,
                                                               Direction direction,
                                                               HostGroup group) const {
  std::map<std::string, std::vector<const Policy*>> by_tier;
  const auto consider = [&](const Keys& keys) {
    for (const Policy* p : keys) {
      const bool enforced = direction == Direction::kIngress ? p->ingress : p->egress;
      if (enforced && InGroup(*p, group) && Selects(*p, labels)) by_tier[p->tier].push_back(p);
    }
  };
  consider(unkeyed_);
  for (const auto& [key, value] : labels) {
    const auto name = IndexName(key);
    if (!name) continue;
    if (const auto it = by_key_.find(*name); it != by_key_.end()) consider(it->second);
    if (const auto it = by_label_.find(*name); it != by_label_.end()) {
      if (const auto v = it->second.find(value); v != it->second.end()) consider(v->second);
    }
  }
  std::vector<TierPolicies> result;
  for (auto& [name, policies] : by_tier) {
    std::sort(policies.begin(), policies.end(),
              [](const Policy* a, const Policy* b) { return PolicyBefore(*a, *b); });
    // A key in two views leads to a policy twice.
    policies.erase(std::unique(policies.begin(), policies.end()), policies.end());
    result.push_back({TierNamed(name), std::move(policies)});
  }
  std::sort(result.begin(), result.end(),
            [](const auto& a, const auto& b) { return TierBefore(a.tier, b.tier); });
  return result;
}

}  // namespace ripstop::policy
