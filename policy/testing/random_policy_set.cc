// SPDX-License-Identifier: Apache-2.0
#include "policy/testing/random_policy_set.h"

#include <algorithm>

namespace ripstop::policy::testing {

RandomPolicySet::RandomPolicySet(uint64_t seed, const Shape& shape) : random_(seed) {
  const uint32_t questions = shape.rules < 100 ? 8 : 40;
  for (uint32_t i = 0; i < questions; ++i) {
    const Cidr cidr = Cidr::Of(Address::FromV4(0xc6336400 + i), 128);
    Predicate predicate;
    predicate.kind = Predicate::Kind::kCidr;
    predicate.cidr = cidr;
    predicates_.push_back(facts_.predicates().Intern(predicate));
    facts_.predicates().Ref(predicates_.back());
    atoms_.push_back(facts_.InternAtom({Atom::Kind::kCidr, {}, {}, cidr, {}, {}}));
    facts_.RefAtom(atoms_.back());
    classes_.Activate(predicates_.back(), facts_.Activate(predicates_.back()));
  }
  for (int i = 0; i < 12; ++i) MoreClasses();
  const auto add = [&](uint32_t first, uint32_t last, std::vector<uint32_t>& sets) {
    sets.push_back(l4_sets_.Intern(L4Set::Of(L4_INDEX(L4_TCP, first), L4_INDEX(L4_TCP, last))));
    l4_.Refine(l4_sets_[sets.back()]);
  };
  for (int i = 0; i < 8; ++i) {
    const uint32_t first = 1 + Below(90);
    add(first, first + Below(30), sets_);
  }
  for (int i = 0; i < 10; ++i) add(118 + i, 118 + i, single_ports_);
  // Long lists ask more, or the first rules would decide everything.
  const uint32_t clauses = shape.rules < 100 ? 1 : shape.rules < 10000 ? 2 : 3;
  for (uint32_t i = 0; i < shape.rules; ++i) {
    FlatRule r;
    const bool last = i + 1 == shape.rules;
    if (!last) {
      const auto one_of = [&](const auto& all) {
        return all[Below(static_cast<uint32_t>(all.size()))];
      };
      // Some rules are for any far address, so that they stand apart in bit vectors.
      const bool any_far = Chance(15);
      if (!any_far) Ask(r.any_of, r.none_of, clauses);
      if (shape.near && Chance(50)) Ask(r.near_any_of, r.near_none_of, any_far ? clauses : 1);
      if (any_far || Chance(60)) r.l4 = one_of(any_far ? single_ports_ : sets_);
      if (shape.source && Chance(40)) r.source_l4 = one_of(sets_);
    }
    r.action = Chance(55) ? Action::kAllow : Action::kDeny;
    if (!last && Chance(20)) r.action = Chance(50) ? Action::kLog : Action::kPass;
    if (r.action == Action::kPass) r.pass_to = i + 1 + Below(std::min(shape.rules - i - 1, 9000u));
    if (r.action == Action::kAllow || r.action == Action::kDeny) r.rule_id = i + 1;
    r.next_group = r.action == Action::kDeny && Chance(10);
    rules_.push_back(std::move(r));
  }
}

void RandomPolicySet::Ask(std::vector<std::vector<uint32_t>>& any_of,
                          std::vector<uint32_t>& none_of, uint32_t clauses) {
  const auto one = [&] { return predicates_[Below(static_cast<uint32_t>(predicates_.size()))]; };
  for (uint32_t i = 0; i < clauses; ++i) {
    std::vector<uint32_t> clause = {one()};
    if (Chance(20)) clause.push_back(one());
    std::sort(clause.begin(), clause.end());
    clause.erase(std::unique(clause.begin(), clause.end()), clause.end());
    any_of.push_back(std::move(clause));
  }
  if (Chance(20)) none_of = {one()};
}

uint32_t RandomPolicySet::MoreClasses() {
  std::vector<uint32_t> atoms;
  for (const uint32_t atom : atoms_) {
    if (Chance(12)) atoms.push_back(atom);
  }
  std::sort(atoms.begin(), atoms.end());
  const uint32_t kind = classes_.Kind(atoms);
  classes_.Ref(kind);
  return classes_.ClassOf(kind);
}

std::vector<L4Classes::Split> RandomPolicySet::MoreL4Classes() {
  const uint32_t port = 1 + Below(120);
  return l4_.Refine(L4Set::Of(L4_INDEX(L4_TCP, port), L4_INDEX(L4_TCP, port)));
}

uint32_t RandomPolicySet::AnyL4Index() { return L4_INDEX(L4_TCP, Below(128)); }

uint32_t RandomPolicySet::Verdict(uint32_t far_class, uint32_t near_class, uint32_t l4_index,
                                  uint32_t source_index) const {
  const auto holds = [&](const auto& any_of, const auto& none_of, uint32_t of_class) {
    const std::vector<uint32_t>& yes = classes_.Signature(of_class);
    const auto is_true = [&](uint32_t p) {
      return std::find(yes.begin(), yes.end(), p) != yes.end();
    };
    return std::none_of(none_of.begin(), none_of.end(), is_true) &&
           std::all_of(any_of.begin(), any_of.end(), [&](const auto& clause) {
             return std::any_of(clause.begin(), clause.end(), is_true);
           });
  };
  uint32_t flags = 0;
  for (size_t i = 0; i < rules_.size();) {
    const FlatRule& r = rules_[i];
    if (!holds(r.any_of, r.none_of, far_class) ||
        !holds(r.near_any_of, r.near_none_of, near_class) ||
        (r.l4 != 0 && !l4_sets_[r.l4].Contains(l4_index)) ||
        (r.source_l4 != 0 && !l4_sets_[r.source_l4].Contains(source_index))) {
      ++i;
      continue;
    }
    if (r.action == Action::kAllow) return VERDICT_ALLOW | flags | r.rule_id;
    if (r.action == Action::kDeny)
      return (r.next_group ? VERDICT_NEXT_GROUP : 0) | flags | r.rule_id;
    if (r.action == Action::kLog) flags = VERDICT_LOG;
    i = r.action == Action::kPass ? r.pass_to : i + 1;
  }
  return 0;
}

}  // namespace ripstop::policy::testing
