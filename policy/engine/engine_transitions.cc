// SPDX-License-Identifier: Apache-2.0
//
// Which moves wait, and which go by a transition class (engine_moves.cc says why). Decided
// before the first write of them.
#include <algorithm>
#include <map>

#include "policy/engine/engine_state.h"

namespace ripstop::policy {

// Which addresses wait with their class for the switch of their sets. Nobody else who
// changes sets may look at the class (or they would have to meet it before), and until
// then the entry that answers for the address must stay as it is.
void Engine::State::MarkAtOnce(std::vector<Move>& moves) const {
  int leaving_or_coming[2] = {hosts_switch, hosts_switch};
  bool cidrs_move = false;
  for (const Move& m : moves) {
    cidrs_move |= m.record == nullptr;
    if (m.record != nullptr) leaving_or_coming[m.address.is_v4()] += m.switches || m.remove;
  }
  for (Move& m : moves) {
    if (!m.switches || (cidrs_move && !m.record->is_written)) continue;
    m.at_once = m.from == m.to || leaving_or_coming[m.address.is_v4()] == 1;
  }
}

// Sets that look at both addresses of a packet, when addresses move that they tell apart
// on the one side and on the other: a packet between two that move would meet one old and
// one new class. Their interfaces switch to a copy instead.
std::set<SetRecord*> Engine::State::Renewed(
    const std::set<TransitionPlan::ClassPair>& pairs) const {
  std::set<SetRecord*> result;
  if (!sets.any_near()) return result;
  for (const auto& record : sets.all()) {
    if (!record->published || !record->set->has_near()) continue;
    const PolicySet& set = *record->set;
    bool far = false, near = false;
    for (const auto& [from, to] : pairs) {
      far |= set.RowOf(from).far != set.RowOf(to).far;
      near |= set.RowOf(from).near != set.RowOf(to).near;
    }
    if (far && near) result.insert(record.get());
  }
  return result;
}

// Which sets are left and come to, and which classes change places; `hosts_switch`.
TransitionPlan Engine::State::WhoLeavesAndComes(std::vector<Move>& moves) {
  TransitionPlan plan;
  hosts_switch = PlanHosts(plan.leavers, plan.targets);
  MarkAtOnce(moves);
  for (const Move& m : moves) {
    if (m.from != m.to) plan.pairs.emplace(m.from, m.to);
    if (m.record == nullptr || !(m.switches || m.remove)) continue;
    const address_value before = m.record->written();
    const address_value next = m.remove ? address_value{} : ValueOf(*m.record, 0);
    for (const auto& [now, then] : {std::pair(before.ingress_set, next.ingress_set),
                                    std::pair(before.egress_set, next.egress_set)}) {
      if (now == then) continue;
      if (SetRecord* left = sets.Published(now)) plan.leavers[left].push_back(&m);
      if (SetRecord* target = sets.Published(then)) plan.targets.insert(target);
    }
  }
  plan.renewed = Renewed(plan.pairs);
  for (SetRecord* set : plan.renewed) {
    plan.leavers[set].push_back(nullptr);
    plan.targets.insert(set);
    hosts_switch = true;
  }
  return plan;
}

// Of sets that somebody leaves, and of those in which a region goes to a row that revokes.
void Engine::State::MarkEpochs(const TransitionPlan& plan) {
  for (const auto& [set, who] : plan.leavers) sets.Bump(set->set->set_index());
  if (plan.pairs.empty()) return;
  for (const auto& record : sets.all()) {
    if (!record->published) continue;
    const auto revokes = [&](const auto& pair) {
      return record->set->RevokesBetween(record->set->RowOf(pair.first),
                                         record->set->RowOf(pair.second));
    };
    if (std::any_of(plan.pairs.begin(), plan.pairs.end(), revokes)) {
      sets.Bump(record->set->set_index());
    }
  }
}

// A move whose two classes are told apart by a set that somebody leaves goes by a transition
// class. Not counting a set that only the address itself leaves, in the very write that changes
// its class; an address that goes does so unless there are transitions, so these are looked for
// twice.
void Engine::State::ChooseTransitions(std::vector<Move>& moves, TransitionPlan& plan) {
  for (const bool removed_in_one_write : {true, false}) {
    for (Move& m : moves) {
      if (m.from == m.to || m.via != 0) continue;
      const bool one_write = m.at_once || (m.remove && removed_in_one_write);
      for (const auto& [set, who] : plan.leavers) {
        if (set->set->RowOf(m.from) == set->set->RowOf(m.to)) continue;
        if (m.record != nullptr && one_write && who.size() == 1 && who[0] == &m) continue;
        uint32_t& transition = plan.via[{m.from, m.to}];
        if (transition == 0) transition = classes.TemporaryClass();
        m.via = transition;
        m.at_once = false;
        break;
      }
    }
    if (plan.via.empty()) return;
  }
  for (const auto& [pair, transition] : plan.via) temporary.push_back(transition);
  fuller = true;
}

// A set that some leave while others come to it would need both rows of a transition class at
// once: those who come get a copy.
void Engine::State::CopySetsLeftAndComeTo(const TransitionPlan& plan) {
  std::map<SetRecord*, SetRecord*> copies;
  for (SetRecord* set : plan.targets) {
    if (plan.leavers.contains(set)) copies[set] = sets.Copy(*set, classes.bound(), l4.count());
  }
  if (copies.empty()) return;
  const auto redirect = [&](LocalAddress& local) {
    const uint32_t handles[2] = {local.written.ingress_set, local.written.egress_set};
    for (int d = 0; d < 2; ++d) {
      const auto copy = copies.find(local.wanted[d]);
      if (copy == copies.end() || handles[d] == HandleOf(local.wanted[d])) continue;
      local.wanted[d] = sets.UseInstead(copy->first, copy->second);
    }
  };
  for (const EndpointRecord* e : local_endpoints) {
    for (const Address& a : e->addresses) {
      if (AddressRecord& record = regions.At(a); record.local != nullptr) redirect(*record.local);
    }
  }
  RedirectHosts(copies, plan.renewed);
}

// In sets that somebody leaves a transition class has the row of before, in all others that of
// after.
void Engine::State::GiveTransitionRows(const TransitionPlan& plan) {
  for (const auto& record : sets.all()) {
    if (record->published && classes.bound() > record->set->row_capacity()) Grow(*record);
    const bool left = plan.leavers.contains(record.get());
    for (const auto& [pair, transition] : plan.via) {
      if (record->handle() == 0) break;
      const PolicySet::Rows rows = record->set->RowOf(left ? pair.first : pair.second);
      if (record->published) {
        record->set->SetRow(transition, rows, out).IgnoreError();
        continue;
      }
      if (transition >= record->set->row_capacity()) {
        sets.Grow(*record, classes.bound(), l4.count(), out);
        if (record->handle() == 0) break;
      }
      TableWrites unpublished;
      record->set->SetRow(transition, rows, unpublished).IgnoreError();
    }
  }
  SwitchGrown();
}

void Engine::State::PlanTransitions(std::vector<Move>& moves) {
  TransitionPlan plan = WhoLeavesAndComes(moves);
  MarkEpochs(plan);
  ChooseTransitions(moves, plan);
  if (plan.via.empty()) return;
  CopySetsLeftAndComeTo(plan);
  GiveTransitionRows(plan);
}

}  // namespace ripstop::policy
