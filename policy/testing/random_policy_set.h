// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_POLICY_TESTING_RANDOM_POLICY_SET_H_
#define RIPSTOP_POLICY_TESTING_RANDOM_POLICY_SET_H_

#include <cstdint>
#include <random>
#include <vector>

#include "policy/classes/address_classes.h"
#include "policy/classes/facts.h"
#include "policy/classes/l4_classes.h"
#include "policy/sets/policy_set.h"

namespace ripstop::policy::testing {

// Random flat rules, with the classes they need and an evaluator that tries rule after
// rule: what a PolicySet is compared with where no engine is in the way. Rules ask so much
// that the one that decides often comes late.
class RandomPolicySet {
 public:
  struct Shape {
    uint32_t rules = 100;
    bool near = false;
    bool source = false;
  };
  RandomPolicySet(uint64_t seed, const Shape& shape);

  const FlatRules& rules() const { return rules_; }
  const Interned<L4Set>& l4_sets() const { return l4_sets_; }
  const AddressClasses& classes() const { return classes_; }
  const L4Classes& l4() const { return l4_; }
  L4Classes& l4() { return l4_; }

  // A class that was not there before, or an old one when chance has it.
  uint32_t MoreClasses();
  // Splits L4 classes by a set that no rule asks for.
  std::vector<L4Classes::Split> MoreL4Classes();

  uint32_t AnyClass() { return Below(classes_.bound()); }
  uint32_t AnyL4Index();  // of TCP
  // The verdict word, rule after rule.
  uint32_t Verdict(uint32_t far_class, uint32_t near_class, uint32_t l4_index,
                   uint32_t source_index) const;

  uint32_t Below(uint32_t n) { return static_cast<uint32_t>(random_() % n); }

 private:
  bool Chance(uint32_t percent) { return Below(100) < percent; }
  void Ask(std::vector<std::vector<uint32_t>>& any_of, std::vector<uint32_t>& none_of,
           uint32_t clauses);

  std::mt19937_64 random_;
  Facts facts_;
  AddressClasses classes_{&facts_};
  Interned<L4Set> l4_sets_;
  L4Classes l4_;
  std::vector<uint32_t> predicates_, atoms_, sets_, single_ports_;
  FlatRules rules_;
};

}  // namespace ripstop::policy::testing

#endif  // RIPSTOP_POLICY_TESTING_RANDOM_POLICY_SET_H_
