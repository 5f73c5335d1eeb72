// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_POLICY_SETS_CLASS_TABLE_H_
#define RIPSTOP_POLICY_SETS_CLASS_TABLE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/hash/hash.h"
#include "policy/sets/rule_bits.h"

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

  // Rules that hold for every class. They are kept once and are not in what the functions
  // below take and give, but in AllRules: thousands of them would be in thousands of numbers.
  void SetAlways(RuleBits always) { always_ = std::move(always); }
  const RuleBits& always() const { return always_; }

  std::optional<uint32_t> Find(const RuleBits& rules) const {
    const auto it = known_.find(Question{&rules, absl::HashOf(rules)});
    return it == known_.end() ? std::nullopt : std::optional(it->second);
  }
  // A number of its own for `rules`, which have none yet.
  uint32_t Add(RuleBits rules) {
    const size_t hash = absl::HashOf(rules);
    return AddKnown({std::make_shared<const RuleBits>(std::move(rules)), hash});
  }
  uint32_t FindOrAdd(RuleBits rules) {
    const size_t hash = absl::HashOf(rules);
    const auto it = known_.find(Question{&rules, hash});
    return it != known_.end()
               ? it->second
               : AddKnown({std::make_shared<const RuleBits>(std::move(rules)), hash});
  }
  // `rules` give the verdicts that `number` gives.
  void Alias(RuleBits rules, uint32_t number) {
    const size_t hash = absl::HashOf(rules);
    known_.emplace(Key{std::make_shared<const RuleBits>(std::move(rules)), hash}, number);
  }
  const RuleBits& Rules(uint32_t number) const { return *rules_[number]; }
  RuleBits AllRules(uint32_t number) const { return always_.Or(Rules(number)); }

  // Numbers `to[n]` instead of n. Of several that become one, the first gives its rules.
  void Renumber(const std::vector<uint32_t>& to);
  // Forgets numbers that no class has, other than 0.
  void Compact();

 private:
  // Shared between the two below, and with copies of the set.
  using Shared = std::shared_ptr<const RuleBits>;
  // With their hash: they are long, and a table that grows would compute it again.
  struct Key {
    Shared bits;
    size_t hash = 0;
  };
  struct Question {
    const RuleBits* bits;
    size_t hash = 0;
  };
  struct Hash {
    using is_transparent = void;
    template <typename K>
    size_t operator()(const K& k) const {
      return k.hash;
    }
  };
  struct Equal {
    using is_transparent = void;
    template <typename A, typename B>
    bool operator()(const A& a, const B& b) const {
      return a.hash == b.hash && *a.bits == *b.bits;
    }
  };
  uint32_t AddKnown(Key key) {
    rules_.push_back(key.bits);
    known_.emplace(std::move(key), count() - 1);
    return count() - 1;
  }

  RuleBits always_;
  std::vector<uint32_t> numbers_;  // by class
  std::vector<Shared> rules_;      // by number
  absl::flat_hash_map<Key, uint32_t, Hash, Equal> known_;
};

}  // namespace ripstop::policy

#endif  // RIPSTOP_POLICY_SETS_CLASS_TABLE_H_
