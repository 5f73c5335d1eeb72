// SPDX-License-Identifier: Apache-2.0
#include "policy/sets/rule_conditions.h"

#include <algorithm>
#include <map>

#include "policy/base/sort_unique.h"

namespace ripstop::policy {
namespace {

// An L4 set of some rules begins or ends before this index.
struct Edge {
  uint32_t index = 0;
  uint32_t set = 0;  // index into the rules by set
  bool begins = false;
};

}  // namespace

AddressConditions::AddressConditions(const FlatRules& rules, Side side) {
  std::vector<uint32_t> free;
  clause_count_.reserve(rules.size());
  dense_.resize((rules.size() + 63) / 64);
  for (uint32_t i = 0; i < rules.size(); ++i) {
    const bool far = side == Side::kFar;
    const auto& any_of = far ? rules[i].any_of : rules[i].near_any_of;
    clause_count_.push_back(static_cast<uint32_t>(any_of.size()));
    if (any_of.empty()) free.push_back(i);
    for (const std::vector<uint32_t>& clause : any_of) {
      if (any_of.size() == 1) {
        for (const uint32_t p : clause) uses_[p].rules.push_back(i);
        continue;
      }
      const auto number = static_cast<uint32_t>(rule_of_clause_.size());
      rule_of_clause_.push_back(i);
      for (const uint32_t p : clause) uses_[p].clauses.push_back(number);
    }
    for (const uint32_t p : far ? rules[i].none_of : rules[i].near_none_of) {
      uses_[p].excludes.push_back(i);
    }
  }
  const RuleBits without_clauses(free);
  std::vector<uint32_t> excluding;
  for (const auto& [p, uses] : uses_) {
    excluding.insert(excluding.end(), uses.excludes.begin(), uses.excludes.end());
  }
  SortUnique(excluding);
  unconditional_ = without_clauses.Without(RuleBits(excluding));
  unless_excluded_ = without_clauses.Without(unconditional_);
  predicates_.reserve(uses_.size());
  for (const auto& [p, uses] : uses_) predicates_.push_back(p);
  SortUnique(predicates_);
}

RuleBits AddressConditions::RulesOf(const std::vector<uint32_t>& yes) const {
  std::vector<uint32_t> clauses, excluded;
  size_t first = dense_.size(), end = 0;  // words of `dense_` in use
  const auto set = [&](uint32_t rule) {
    const size_t at = rule / 64;
    dense_[at] |= uint64_t{1} << (rule % 64);
    first = std::min(first, at);
    end = std::max(end, at + 1);
  };
  for (const uint32_t p : yes) {
    const auto it = uses_.find(p);
    if (it == uses_.end()) continue;
    std::for_each(it->second.rules.begin(), it->second.rules.end(), set);
    clauses.insert(clauses.end(), it->second.clauses.begin(), it->second.clauses.end());
    excluded.insert(excluded.end(), it->second.excludes.begin(), it->second.excludes.end());
  }
  SortUnique(clauses);
  for (size_t i = 0; i < clauses.size();) {
    const uint32_t rule = rule_of_clause_[clauses[i]];
    uint32_t true_clauses = 0;
    for (; i < clauses.size() && rule_of_clause_[clauses[i]] == rule; ++i) ++true_clauses;
    if (true_clauses == clause_count_[rule]) set(rule);
  }
  RuleBits result;
  if (first < end) {
    const std::span<uint64_t> used = std::span(dense_).subspan(first, end - first);
    result = RuleBits::FromDense(used, first);
    std::fill(used.begin(), used.end(), 0);
  }
  if (!unless_excluded_.words().empty()) result = unless_excluded_.Or(result);
  if (excluded.empty()) return result;
  SortUnique(excluded);
  return result.Without(RuleBits(excluded));
}

void ForL4Classes(const FlatRules& rules, const Interned<L4Set>& sets, const L4Classes& classes,
                  bool source, const std::function<void(uint32_t, RuleBits)>& found) {
  std::vector<uint64_t> now((rules.size() + 63) / 64);
  std::map<uint32_t, std::vector<uint32_t>> rules_of;
  for (uint32_t i = 0; i < rules.size(); ++i) {
    const uint32_t set = source ? rules[i].source_l4 : rules[i].l4;
    if (set != 0) {
      rules_of[set].push_back(i);
    } else {
      now[i / 64] |= uint64_t{1} << (i % 64);
    }
  }
  std::vector<const std::vector<uint32_t>*> members;
  std::vector<Edge> edges;
  for (const auto& [set, in] : rules_of) {
    const auto number = static_cast<uint32_t>(members.size());
    members.push_back(&in);
    for (const L4Set::Interval& i : sets[set].intervals()) {
      edges.push_back({i.first, number, true});
      edges.push_back({i.last + 1, number, false});
    }
  }
  std::sort(edges.begin(), edges.end(),
            [](const Edge& a, const Edge& b) { return a.index < b.index; });

  std::vector<std::pair<uint32_t, uint32_t>> points;  // an index of each class
  for (uint32_t c = 0; c < classes.count(); ++c) points.emplace_back(classes.representative(c), c);
  std::sort(points.begin(), points.end());
  auto edge = edges.begin();
  for (const auto& [index, l4_class] : points) {
    for (; edge != edges.end() && edge->index <= index; ++edge) {
      for (const uint32_t rule : *members[edge->set]) {
        if (edge->begins) {
          now[rule / 64] |= uint64_t{1} << (rule % 64);
        } else {
          now[rule / 64] &= ~(uint64_t{1} << (rule % 64));
        }
      }
    }
    found(l4_class, RuleBits::FromDense(now));
  }
}

}  // namespace ripstop::policy
