// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_POLICY_RULES_RULE_FOLDING_H_
#define RIPSTOP_POLICY_RULES_RULE_FOLDING_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "policy/classes/facts.h"
#include "policy/classes/interned.h"
#include "policy/classes/l4_set.h"
#include "policy/rules/policy_index.h"

namespace ripstop::policy {

// A rule as seen from one local address, with all that is constant for that address
// folded in: it matches a packet when every clause of `any_of` has a predicate that is
// true of the far address, none of `none_of` is true of it, and the packet's destination
// and source are in the L4 sets. At a host endpoint the near address is not constant
// either (whatever the host has or forwards to), so it has clauses of its own.
struct FlatRule {
  std::vector<std::vector<uint32_t>> any_of;       // each sorted, unique, never empty
  std::vector<uint32_t> none_of;                   // sorted, unique
  std::vector<std::vector<uint32_t>> near_any_of;  // the same of the near address
  std::vector<uint32_t> near_none_of;
  uint32_t l4 = 0;         // of Interned<L4Set>; 0: any
  uint32_t source_l4 = 0;  // the same, by source port
  Action action = Action::kDeny;
  uint32_t rule_id = 0;     // of Interned<RuleIdentity>; 0 for Pass and Log
  uint32_t pass_to = 0;     // Pass: index of the first rule of the next tier
  bool next_group = false;  // Deny: VERDICT_NEXT_GROUP
  bool operator==(const FlatRule&) const = default;
  template <typename H>
  friend H AbslHashValue(H h, const FlatRule& r) {
    return H::combine(std::move(h), r.any_of, r.none_of, r.near_any_of, r.near_none_of, r.l4,
                      r.source_l4, r.action, r.rule_id, r.pass_to, r.next_group);
  }
};

// Everything of a policy set: tiers, Pass, end-of-tier actions and profiles as one list.
// Ends with a rule that matches everything, so every packet meets a verdict.
using FlatRules = std::vector<FlatRule>;

// What is known of the near side: one address of a local endpoint.
struct NearSide {
  Address address;
  std::vector<const Labels*> owners;                      // of the endpoint, of network sets
  std::map<ServiceName, std::set<ServicePort>> services;  // of which it is a backend
  std::vector<NamedPort> ports;                           // the local endpoint's own
  std::vector<const Labels*> nodes;                       // that have the address as well
};

struct FoldedRules {
  FlatRules rules;
  // Names and services whose ports were written into the rules: when their meaning
  // changes (Facts::TakeChanged…), fold again.
  std::set<std::string> names;
  std::set<ServiceName> services;
};

class RuleFlattener;

// Folds policies into flat rules.
//
//   PolicyIndex, profiles ──▶ [RuleFolder] ──▶ FlatRules (predicates, L4 sets and rule
//   NearSide ─────────────────┘                identities by number)
class RuleFolder {
 public:
  RuleFolder(Facts* facts, Interned<L4Set>* l4_sets, Interned<RuleIdentity>* rule_ids,
             SelectorCache* selectors)
      : facts_(facts), l4_sets_(l4_sets), rule_ids_(rule_ids), selectors_(selectors) {}

  // nullptr in `profiles`: a profile that is missing; it denies.
  FoldedRules Fold(const std::vector<PolicyIndex::TierPolicies>& tiers,
                   const std::vector<const Profile*>& profiles, const NearSide& near,
                   Direction direction);
  // One group of a host endpoint; `profiles` only matter to kNormal.
  FoldedRules FoldHost(const std::vector<PolicyIndex::TierPolicies>& tiers,
                       const std::vector<const Profile*>& profiles, const FailsafePorts& failsafe,
                       HostGroup group, Direction direction);

 private:
  void AppendTiers(RuleFlattener& folding, const std::vector<PolicyIndex::TierPolicies>& tiers,
                   Direction direction, bool deny_at_end);
  void AppendProfiles(RuleFlattener& folding, const std::vector<const Profile*>& profiles,
                      Direction direction);
  uint32_t Disputed(Direction direction);

  Facts* const facts_;
  Interned<L4Set>* const l4_sets_;
  Interned<RuleIdentity>* const rule_ids_;
  SelectorCache* const selectors_;
};

}  // namespace ripstop::policy

#endif  // RIPSTOP_POLICY_RULES_RULE_FOLDING_H_
