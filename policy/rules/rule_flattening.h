// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_POLICY_RULES_RULE_FLATTENING_H_
#define RIPSTOP_POLICY_RULES_RULE_FLATTENING_H_

#include <cstdint>
#include <set>
#include <string>

#include "policy/rules/rule_alternatives.h"
#include "policy/rules/rule_folding.h"

namespace ripstop::policy {

// One rule after the other, into flat rules over predicates and L4 sets by number.
class RuleFlattener {
 public:
  // Without `near`: a host endpoint, both of whose sides are asked.
  RuleFlattener(Facts* facts, Interned<L4Set>* l4_sets, SelectorCache* selectors,
                const NearSide* near, Direction direction)
      : facts_(facts),
        l4_sets_(l4_sets),
        selectors_(selectors),
        near_(near),
        direction_(direction) {}

  // Appends the rule; true when it matches everything, so that what follows it in its
  // tier can never be reached.
  bool Append(const Rule& rule, uint32_t rule_id);
  // Denies what comes from, or goes to, an address of which nobody knows whose it is.
  void DenyDisputed(uint32_t rule_id);
  // What no rule so far decides is left to the next group of a host endpoint's policies.
  void LeaveToNextGroup(uint32_t rule_id);
  // From `first` on, Pass rules go on at the end of the list so far.
  void PassToHere(size_t first);
  size_t size() const { return result_.rules.size(); }
  FoldedRules Take() { return std::move(result_); }

 private:
  bool IsNear(bool source) const {
    return near_ != nullptr && source == (direction_ == Direction::kEgress);
  }
  bool AppendFlat(Alternative way, Action action, uint32_t rule_id);
  uint32_t Number(const L4Set& set) { return set.is_all() ? 0 : l4_sets_->Intern(set); }
  uint32_t CidrPredicate(const Cidr& cidr);
  bool OfVersion(int version, Alternative& out);

  // Of the near side of a workload, where all but ports is constant.
  bool NearMatches(const EntityMatch& m, Action action, L4Set& l4);
  // One of `candidates`, or with `negated` none of them.
  bool NearPicks(const std::string& text, const std::vector<const Labels*>& candidates,
                 bool negated, Action action);
  L4Set NearPorts(const PortMatch& match);

  // Of a side that is asked. False: nothing can match.
  bool AddressTerms(const EntityMatch& m, bool source, Action action, SideTerms& out);
  PortTerm Ports(const PortMatch& match);
  PortTerm PortsOfService(const ServiceName& service);

  Facts* const facts_;
  Interned<L4Set>* const l4_sets_;
  SelectorCache* const selectors_;
  const NearSide* const near_;
  const Direction direction_;
  FoldedRules result_;
};

}  // namespace ripstop::policy

#endif  // RIPSTOP_POLICY_RULES_RULE_FLATTENING_H_
