// SPDX-License-Identifier: Apache-2.0
//
// Which rules of a policy set hold for a class, without asking every rule of every class.
#ifndef RIPSTOP_POLICY_SETS_RULE_CONDITIONS_H_
#define RIPSTOP_POLICY_SETS_RULE_CONDITIONS_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "policy/classes/interned.h"
#include "policy/classes/l4_classes.h"
#include "policy/rules/rule_folding.h"
#include "policy/sets/rule_bits.h"

namespace ripstop::policy {

// The conditions of a set's rules on one address, by predicate: a class that answers yes
// to few predicates is only asked about the rules that name them.
class AddressConditions {
 public:
  enum class Side { kFar, kNear };
  AddressConditions(const FlatRules& rules, Side side);

  // The rules that hold for addresses that answer yes to `yes` and no to all else, besides
  // the unconditional ones.
  RuleBits RulesOf(const std::vector<uint32_t>& yes) const;

  // The rules that ask nothing, so that they hold for every address.
  const RuleBits& unconditional() const { return unconditional_; }

  const std::vector<uint32_t>& predicates() const { return predicates_; }  // sorted
  bool used() const { return !predicates_.empty(); }

 private:
  struct Uses {
    std::vector<uint32_t> rules;     // of which it is enough: they have one clause, with it
    std::vector<uint32_t> clauses;   // of other rules, in which the predicate stands
    std::vector<uint32_t> excludes;  // rules that do not hold where it is true
  };
  absl::flat_hash_map<uint32_t, Uses> uses_;
  std::vector<uint32_t> rule_of_clause_;  // clauses of a rule are neighbours
  mutable std::vector<uint64_t> dense_;   // of RulesOf alone; all 0 between calls
  std::vector<uint32_t> clause_count_;    // by rule
  RuleBits unless_excluded_;              // they only ask for a no
  RuleBits unconditional_;
  std::vector<uint32_t> predicates_;
};

// Calls `found(L4 class, rules)` for each class in use, with the rules whose condition on
// the destination, or on the source port, holds for it. One sweep over the index space.
void ForL4Classes(const FlatRules& rules, const Interned<L4Set>& sets, const L4Classes& classes,
                  bool source, const std::function<void(uint32_t, RuleBits)>& found);

}  // namespace ripstop::policy

#endif  // RIPSTOP_POLICY_SETS_RULE_CONDITIONS_H_
