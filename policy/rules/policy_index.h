// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_POLICY_RULES_POLICY_INDEX_H_
#define RIPSTOP_POLICY_RULES_POLICY_INDEX_H_

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/container/node_hash_map.h"
#include "policy/model.h"
#include "policy/selector_cache.h"

namespace ripstop::policy {

// Policies and tiers, found by the effective labels of the endpoint they select: of 10,000
// policies only those that could match are asked.
class PolicyIndex {
 public:
  explicit PolicyIndex(SelectorCache* selectors) : selectors_(selectors) {}

  // False: equal to what is known.
  bool Put(const Policy& policy);
  bool Remove(const PolicyKey& key);
  const Policy* Find(const PolicyKey& key) const;
  bool PutTier(const Tier& tier);
  bool RemoveTier(std::string_view name);
  size_t size() const { return policies_.size(); }

  // Whether an endpoint with `labels` has `policy` enforced, if it has a group for it.
  bool Selects(const Policy& policy, const Labels& labels) const;

  struct TierPolicies {
    Tier tier;
    std::vector<const Policy*> policies;  // at least one; in order
  };
  // What applies to such an endpoint, in order. Pointers live until the next Put or Remove.
  std::vector<TierPolicies> Applicable(const Labels& labels, Direction direction,
                                       HostGroup group = HostGroup::kNormal) const;

 private:
  using Keys = absl::flat_hash_set<const Policy*>;
  void Index(const Policy& policy, bool add);
  Tier TierNamed(const std::string& name) const;

  SelectorCache* const selectors_;
  absl::node_hash_map<PolicyKey, Policy> policies_;
  std::map<std::string, Tier> tiers_;
  // By one IndexName that the selector needs.
  absl::flat_hash_map<std::string, absl::flat_hash_map<std::string, Keys>> by_label_;
  absl::flat_hash_map<std::string, Keys> by_key_;
  Keys unkeyed_;
};

}  // namespace ripstop::policy

#endif  // RIPSTOP_POLICY_RULES_POLICY_INDEX_H_
