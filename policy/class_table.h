// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_POLICY_CLASS_TABLE_H_
#define RIPSTOP_POLICY_CLASS_TABLE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/hash/hash.h"
#include "policy/rule_bits.h"

namespace ripstop::policy {

// One side of a policy set: a number for each class, and the rules behind each number.
// Numbers count up from 0. Classes that satisfy the same rules have one number; classes
// with one number have equal verdicts.
class ClassTable {
 public:
  void Reserve(uint32_t capacity) { numbers_.resize(capacity); }  // new classes: number 0
  uint32_t capacity() const { return static_cast<uint32_t>(numbers_.size()); }
  uint32_t count() const { return static_cast<uint32_t>(rules_.size()); }

  uint32_t NumberOf(uint32_t of_class) const {
    return of_class < numbers_.size() ? numbers_[of_class] : 0;
  }
  void Set(uint32_t of_class, uint32_t number) { numbers_[of_class] = number; }

  std::optional<uint32_t> Find(const RuleBits& rules) const {
    const auto it = known_.find(rules);
    return it == known_.end() ? std::nullopt : std::optional(it->second);
  }
  // A number of its own for `rules`, which have none yet.
  uint32_t Add(const RuleBits& rules) {
    auto shared = std::make_shared<const RuleBits>(rules);
    known_.emplace(shared, count());
    rules_.push_back(std::move(shared));
    return count() - 1;
  }
  uint32_t FindOrAdd(const RuleBits& rules) {
    const auto number = Find(rules);
    return number ? *number : Add(rules);
  }
  // `rules` give the verdicts that `number` gives.
  void Alias(const RuleBits& rules, uint32_t number) {
    known_.emplace(std::make_shared<const RuleBits>(rules), number);
  }
  const RuleBits& Rules(uint32_t number) const { return *rules_[number]; }

  // Numbers `to[n]` instead of n. Of several that become one, the first gives its rules.
  void Renumber(const std::vector<uint32_t>& to);
  // Forgets numbers that no class has, other than 0.
  void Compact();

 private:
  std::vector<uint32_t> numbers_;  // by class
  // Shared between the two below, and with copies of the set.
  using Shared = std::shared_ptr<const RuleBits>;
  struct Hash {
    using is_transparent = void;
    size_t operator()(const RuleBits& b) const { return absl::HashOf(b); }
    size_t operator()(const Shared& b) const { return absl::HashOf(*b); }
  };
  struct Equal {
    using is_transparent = void;
    static const RuleBits& Of(const RuleBits& b) { return b; }
    static const RuleBits& Of(const Shared& b) { return *b; }
    template <typename A, typename B>
    bool operator()(const A& a, const B& b) const {
      return Of(a) == Of(b);
    }
  };
  std::vector<Shared> rules_;  // by number
  absl::flat_hash_map<Shared, uint32_t, Hash, Equal> known_;
};

}  // namespace ripstop::policy

#endif  // RIPSTOP_POLICY_CLASS_TABLE_H_
