// SPDX-License-Identifier: Apache-2.0
//
// Addresses and CIDRs go from one class to another, local addresses from one set to
// another, so that between any two writes each packet meets its old or its new verdict.
//
//   1. every region goes to its new class. Where the sets about to be left tell the two
//      classes apart, it goes to a transition class instead: in a set that somebody
//      leaves it has the old row, in all others the new one.
//   2. local addresses switch sets.
//   3. transition classes are resolved; entries not needed any more go.
//
// Within a step the most specific entries come first, and removals last with the least
// specific first: then the entry that begins to answer for an address is already final.
#include <algorithm>
#include <cstring>

#include "policy/engine_state.h"

namespace ripstop::policy {

uint32_t Engine::State::WrittenCover(const Address& address, int bits) const {
  uint32_t result = 0;
  ForCover(address, bits - 1, [&](const Cidr&, const CidrRecord& c) {
    if (c.written) result = *c.written;
  });
  return result;
}

address_value Engine::State::ValueOf(const AddressRecord& record, uint32_t address_class) const {
  address_value v = {};
  v.address_class = address_class;
  if (record.attached != nullptr) {
    v.flags |= ADDRESS_LOCAL_ENDPOINT;
    v.ifindex = record.attached->local->ifindex;
    std::copy(record.attached->local->mac.begin(), record.attached->local->mac.end(), v.mac);
    v.ingress_set = HandleOf(record.wanted[static_cast<int>(Direction::kIngress)]);
    v.egress_set = HandleOf(record.wanted[static_cast<int>(Direction::kEgress)]);
  } else if (std::any_of(record.endpoints.begin(), record.endpoints.end(),
                         [](const EndpointRecord* e) { return !e->host; })) {
    v.flags |= ADDRESS_REMOTE_ENDPOINT;
  }
  if (record.this_host > 0) v.flags |= ADDRESS_THIS_HOST;
  if (record.other_node > 0) v.flags |= ADDRESS_OTHER_NODE;
  return v;
}

bool Engine::State::Switches(const AddressRecord& record) const {
  const address_value now = record.written.value_or(address_value{});
  const address_value next = ValueOf(record, 0);
  return now.ingress_set != next.ingress_set || now.egress_set != next.egress_set;
}

SetRecord* Engine::State::PublishedAt(uint32_t handle) const {
  for (const auto& [pointer, record] : sets) {
    if (handle != 0 && record->published && record->set->handle() == handle) return pointer;
  }
  return nullptr;
}

std::vector<Engine::State::Move> Engine::State::CollectMoves() {
  std::vector<Move> moves;
  const auto consider = [&](const Address& a, AddressRecord& r) {
    Move m;
    m.address = a;
    m.record = &r;
    m.remove = !r.needed();
    if (m.remove && !r.written) {
      SetKind(r.kind, 0);
      return;
    }
    m.to = classes.ClassOf(r.kind);
    m.switches = !m.remove && Switches(r);
    const address_value next = ValueOf(r, m.to);
    if (!m.remove && r.written && std::memcmp(&*r.written, &next, sizeof(next)) == 0) return;
    m.from = r.written ? r.written->address_class : WrittenCover(a, 128);
    moves.push_back(m);
  };
  if (scan_addresses) {
    for (auto& [a, r] : addresses) consider(a, *r);
  } else {
    if (switches_possible) {
      for (const EndpointRecord* e : local_endpoints) {
        dirty_addresses.insert(e->addresses.begin(), e->addresses.end());
      }
    }
    for (const Address& a : dirty_addresses) consider(a, At(a));
  }
  if (scan_addresses || scan_cidrs) {
    for (auto& [c, node] : cidrs) {
      if (c.bits == 128) continue;
      Move m{c.address, c.bits, nullptr, &node};
      m.remove = !node.needed();
      m.to = classes.ClassOf(node.kind);
      if (!m.remove && node.written == m.to) continue;
      m.from = node.written ? *node.written : WrittenCover(c.address, c.bits);
      moves.push_back(m);
    }
  }
  // Records of addresses that are nobody's and not in the kernel.
  for (const Address& a : dirty_addresses) {
    const auto it = addresses.find(a);
    if (it != addresses.end() && !it->second->needed() && !it->second->written) addresses.erase(it);
  }
  dirty_addresses.clear();
  scan_addresses = scan_cidrs = switches_possible = false;
  return moves;
}

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
std::set<SetRecord*> Engine::State::Renewed(const std::set<std::pair<uint32_t, uint32_t>>& pairs) const {
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

void Engine::State::PlanTransitions(std::vector<Move>& moves) {
  Leavers leavers;
  std::set<SetRecord*> targets;
  hosts_switch = PlanHosts(leavers, targets);
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
      if (SetRecord* left = PublishedAt(now)) leavers[left].push_back(&m);
      if (SetRecord* target = PublishedAt(then)) targets.insert(target);
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
      return record->set->RevokesBetween(record->set->RowOf(pair.first), record->set->RowOf(pair.second));
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

void Engine::State::WriteAddress(const Move& m, uint32_t address_class, bool with_sets) {
  address_value v = m.remove ? *m.record->written : ValueOf(*m.record, address_class);
  v.address_class = address_class;
  if (with_sets && m.remove) v.ingress_set = v.egress_set = 0;
  if (!with_sets) {
    v.ingress_set = m.record->written ? m.record->written->ingress_set : 0;
    v.egress_set = m.record->written ? m.record->written->egress_set : 0;
  }
  if (m.record->written && std::memcmp(&*m.record->written, &v, sizeof(v)) == 0) return;
  m.record->written = v;
  out.push_back(SetAddress{m.address, v});
}

void Engine::State::EmitMoves(std::vector<Move>& moves) {
  std::stable_sort(moves.begin(), moves.end(), [](const Move& a, const Move& b) {
    return std::pair(-a.bits, a.record == nullptr) < std::pair(-b.bits, b.record == nullptr);
  });
  const bool transitions = std::any_of(moves.begin(), moves.end(), [](const Move& m) { return m.via != 0; });
  const auto set = [&](const Move& m, uint32_t address_class) {
    const size_t before = out.size();
    if (m.record != nullptr) {
      WriteAddress(m, address_class, false);
    } else if (m.cidr->written != address_class) {
      m.cidr->written = address_class;
      cidr_table.Set(Cidr::Of(m.address, m.bits), address_class, out);
      moved_before_switch = true;  // perhaps as more words of the last write
    }
    moved_before_switch |= out.size() > before;
  };
  const auto remove_all = [&] {
    for (auto m = moves.rbegin(); m != moves.rend(); ++m) {
      if (!m->remove) continue;
      if (m->record != nullptr) {
        out.push_back(RemoveAddress{m->address});
        SetKind(m->record->kind, 0);
        addresses.erase(m->address);
      } else {
        const Cidr cidr = Cidr::Of(m->address, m->bits);
        if (m->cidr->written) cidr_table.Remove(cidr, out);
        SetKind(m->cidr->kind, 0);
        cidrs.erase(cidr);
        if (--cidr_lengths[m->bits] == 0) cidr_lengths.erase(m->bits);
      }
      moved_before_switch = true;
    }
  };

  WaitForGrown();
  for (const Move& m : moves) {
    if (m.remove ? transitions && m.from != m.to : !m.at_once) set(m, m.via != 0 ? m.via : m.to);
  }
  if (!transitions) remove_all();
  // No verdict that a packet can meet before step 2 names a new rule. Room for what it
  // counts costs a grace period, which the next line need not wait for again.
  if (rule_ids.bound() > rules_ensured) {
    rules_ensured = rule_ids.bound();
    out.push_back(EnsureRules{rules_ensured});
  }

  const bool any_switch =
      hosts_switch || std::any_of(moves.begin(), moves.end(), [](const Move& m) { return m.switches; });
  hosts_switch = false;
  // A program that read a class before step 1 must not meet a set of step 2.
  if (any_switch && moved_before_switch) out.push_back(Grace{});
  moved_before_switch = false;
  for (const Move& m : moves) {
    // One that goes leaves its sets here too, before step 3 resolves what they look at.
    const bool goes = m.remove && transitions && m.record != nullptr;
    if (m.switches || goes) WriteAddress(m, m.via != 0 ? m.via : m.to, true);
  }
  WriteHosts();

  if (!transitions) return;
  out.push_back(Grace{});  // likewise between the steps 2 and 3
  for (const Move& m : moves) {
    if (!m.remove && m.via != 0) set(m, m.to);
  }
  remove_all();
  moved_before_switch = false;
}

}  // namespace ripstop::policy
