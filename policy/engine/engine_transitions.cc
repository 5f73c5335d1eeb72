// SPDX-License-Identifier: Apache-2.0
//
// Which moves wait, and which go by a transition class (engine_moves.cc says why). Decided
// before the first write of them.
#include <algorithm>
#include <map>
#include <set>

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
    if (!m.switches || (cidrs_move && !m.record->written)) continue;
    m.at_once = m.from == m.to || leaving_or_coming[m.address.is_v4()] == 1;
  }
}

// Sets that look at both addresses of a packet, when addresses move that they tell apart
// on the one side and on the other: a packet between two that move would meet one old and
// one new class. Their interfaces switch to a copy instead.
std::set<SetRecord*> Engine::State::Renewed(
    const std::set<std::pair<uint32_t, uint32_t>>& pairs) const {
  std::set<SetRecord*> result;
  for (const auto& [pointer, record] : sets) {
    if (!record->published || !record->set->has_near()) continue;
    const PolicySet& set = *record->set;
    bool far = false, near = false;
    for (const auto& [from, to] : pairs) {
      far |= set.RowOf(from).far != set.RowOf(to).far;
      near |= set.RowOf(from).near != set.RowOf(to).near;
    }
    if (far && near) result.insert(pointer);
  }
  return result;
}

SetRecord* Engine::State::PublishedSets::At(uint32_t handle) {
  if (handle == 0) return nullptr;
  if (!by_handle_) {
    by_handle_.emplace();
    for (const auto& [pointer, record] : state_->sets) {
      if (record->published) by_handle_->emplace(record->set->handle(), pointer);
    }
  }
  const auto found = by_handle_->find(handle);
  return found == by_handle_->end() ? nullptr : found->second;
}

void Engine::State::PlanTransitions(std::vector<Move>& moves) {
  Leavers leavers;
  std::set<SetRecord*> targets;
  PublishedSets published(this);
  hosts_switch = PlanHosts(published, leavers, targets);
  MarkAtOnce(moves);
  std::set<std::pair<uint32_t, uint32_t>> pairs;
  for (const Move& m : moves) {
    if (m.from != m.to) pairs.emplace(m.from, m.to);
    if (m.record == nullptr || !(m.switches || m.remove)) continue;
    const address_value before = m.record->written.value_or(address_value{});
    const address_value next = m.remove ? address_value{} : ValueOf(*m.record, 0);
    for (const auto& [now, then] : {std::pair(before.ingress_set, next.ingress_set),
                                    std::pair(before.egress_set, next.egress_set)}) {
      if (now == then) continue;
      if (SetRecord* left = published.At(now)) leavers[left].push_back(&m);
      if (SetRecord* target = published.At(then)) targets.insert(target);
    }
  }
  const std::set<SetRecord*> renewed = Renewed(pairs);
  for (SetRecord* set : renewed) {
    leavers[set].push_back(nullptr);
    targets.insert(set);
    hosts_switch = true;
  }
  for (const auto& [set, who] : leavers) bumps.insert(set->set->set_index());
  for (const auto& [pointer, record] : sets) {
    if (!record->published) continue;
    const auto revokes = [&](const auto& pair) {
      return record->set->RevokesBetween(record->set->RowOf(pair.first),
                                         record->set->RowOf(pair.second));
    };
    if (std::any_of(pairs.begin(), pairs.end(), revokes)) bumps.insert(record->set->set_index());
  }

  std::map<std::pair<uint32_t, uint32_t>, uint32_t> via;
  // Does a set that somebody leaves tell the classes apart? Not counting a set that only
  // the address itself leaves, in the very write that changes its class; an address that
  // goes does so unless there are transitions, so these are looked for twice.
  for (const bool removed_in_one_write : {true, false}) {
    for (Move& m : moves) {
      if (m.from == m.to || m.via != 0) continue;
      const bool one_write = m.at_once || (m.remove && removed_in_one_write);
      for (const auto& [set, who] : leavers) {
        if (set->set->RowOf(m.from) == set->set->RowOf(m.to)) continue;
        if (m.record != nullptr && one_write && who.size() == 1 && who[0] == &m) continue;
        uint32_t& transition = via[{m.from, m.to}];
        if (transition == 0) transition = classes.TemporaryClass();
        m.via = transition;
        m.at_once = false;
        break;
      }
    }
    if (via.empty()) return;
  }

  // A set that some leave while others come to it would need both rows at once: those who
  // come get a copy.
  for (SetRecord* set : targets) {
    if (!leavers.contains(set)) continue;
    SetRecord* copy = NewSet(set->set->rules(), set->direction);
    auto grown = set->set->Grown(classes.bound(), l4.count(), Limits());
    absl::Status status = grown.status();
    if (grown.ok()) {
      copy->set = *std::move(grown);
      status = Place(*copy->set);
    }
    if (!status.ok()) Fail(*copy, status);
    const auto redirect = [&](AddressRecord& record) {
      const uint32_t handles[2] = {record.written ? record.written->ingress_set : 0,
                                   record.written ? record.written->egress_set : 0};
      for (int d = 0; d < 2; ++d) {
        if (record.wanted[d] != set || handles[d] == HandleOf(set)) continue;
        --set->users;
        ++copy->users;
        record.wanted[d] = copy;
      }
    };
    for (const EndpointRecord* e : local_endpoints) {
      for (const Address& a : e->addresses) redirect(At(a));
    }
    RedirectHosts(set, copy, renewed.contains(set));
  }
  for (auto& [pointer, record] : sets) {
    if (record->published && classes.bound() > record->set->row_capacity()) Grow(*record);
    const bool left = leavers.contains(pointer);
    for (const auto& [pair, transition] : via) {
      const uint32_t like = left ? pair.first : pair.second;
      if (record->published) {
        record->set->SetRow(transition, record->set->RowOf(like), out).IgnoreError();
      } else if (record->set->handle() != 0) {
        if (transition >= record->set->row_capacity()) {
          // Not published yet, so it can simply be placed anew.
          auto grown = record->set->Grown(classes.bound(), l4.count(), Limits());
          Free(SpaceOf(*record->set));
          const absl::Status status = grown.ok() ? Place(**grown) : grown.status();
          if (!status.ok()) {
            Fail(*record, status);
            continue;
          }
          record->set = *std::move(grown);
        }
        TableWrites unpublished;
        record->set->SetRow(transition, record->set->RowOf(like), unpublished).IgnoreError();
      }
    }
  }
  for (const auto& [pair, transition] : via) temporary.push_back(transition);
}

}  // namespace ripstop::policy
