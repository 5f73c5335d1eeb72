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

#include "policy/engine/engine_state.h"

namespace ripstop::policy {

address_value Engine::State::ValueOf(const AddressRecord& record, uint32_t address_class) const {
  address_value v = {};
  v.address_class = address_class;
  if (record.local != nullptr && record.local->attached != nullptr) {
    const LocalAddress& local = *record.local;
    v.flags |= ADDRESS_LOCAL_ENDPOINT;
    v.ifindex = local.attached->local->ifindex;
    std::copy(local.attached->local->mac.begin(), local.attached->local->mac.end(), v.mac);
    v.ingress_set = HandleOf(local.wanted[static_cast<int>(Direction::kIngress)]);
    v.egress_set = HandleOf(local.wanted[static_cast<int>(Direction::kEgress)]);
  } else if (std::any_of(record.endpoints.begin(), record.endpoints.end(),
                         [](const EndpointRecord* e) { return !e->host; })) {
    v.flags |= ADDRESS_REMOTE_ENDPOINT;
  }
  if (record.this_host > 0) v.flags |= ADDRESS_THIS_HOST;
  if (record.other_node > 0) v.flags |= ADDRESS_OTHER_NODE;
  return v;
}

std::vector<Move> Engine::State::CollectMoves() {
  std::vector<Move> moves;
  moves.reserve(regions.touched().size());
  const auto consider = [&](const Address& a, AddressRecord& r) {
    Move m;
    m.address = a;
    m.record = &r;
    m.remove = !r.needed();
    if (m.remove && !r.is_written) {
      regions.SetKind(r.kind, 0);
      return;
    }
    m.to = classes.ClassOf(r.kind);
    // Of what nobody has touched only the class may be another. Most of a scan ends here, without
    // a look at who claims the address.
    if (!m.remove && !r.dirty && r.is_written && r.written_class == m.to) return;
    const address_value now = r.written(), next = ValueOf(r, m.to);
    m.switches =
        !m.remove && (now.ingress_set != next.ingress_set || now.egress_set != next.egress_set);
    if (!m.remove && r.is_written && std::memcmp(&now, &next, sizeof(next)) == 0) return;
    m.from = r.is_written ? r.written_class : regions.WrittenCover(a, 128);
    moves.push_back(m);
  };
  if (scan_locals) {
    for (const EndpointRecord* e : local_endpoints) {
      for (const Address& a : e->addresses) regions.Touch(a);
    }
  }
  if (regions.scan_addresses) {
    regions.addresses().ForEach(consider);
  } else {
    for (const auto& [a, record] : regions.touched()) consider(a, *record);
  }
  if (regions.scan_addresses || regions.scan_cidrs) CollectCidrMoves(moves);
  regions.ClearTouched();
  regions.scan_addresses = regions.scan_cidrs = scan_locals = false;
  return moves;
}

// The most specific first.
void Engine::State::CollectCidrMoves(std::vector<Move>& moves) {
  const auto first = static_cast<ptrdiff_t>(moves.size());
  for (auto& [c, node] : regions.cidrs()) {
    if (c.bits == 128) continue;
    Move m{c.address, c.bits, nullptr, &node};
    m.remove = !node.needed();
    m.to = classes.ClassOf(node.kind);
    if (!m.remove && node.written == m.to) continue;
    m.from = node.written ? *node.written : regions.WrittenCover(c.address, c.bits);
    moves.push_back(m);
  }
  std::stable_sort(moves.begin() + first, moves.end(),
                   [](const Move& a, const Move& b) { return a.bits > b.bits; });
}

void Engine::State::WriteAddress(const Move& m, uint32_t address_class, bool with_sets) {
  AddressRecord& record = *m.record;
  const address_value now = record.written();
  address_value v = m.remove ? now : ValueOf(record, address_class);
  v.address_class = address_class;
  if (with_sets && m.remove) v.ingress_set = v.egress_set = 0;
  if (!with_sets) {
    v.ingress_set = now.ingress_set;
    v.egress_set = now.egress_set;
  }
  if (record.is_written && std::memcmp(&now, &v, sizeof(v)) == 0) return;
  const bool is_new = !record.is_written;
  record.SetWritten(v);
  if (v.ingress_set != 0 || v.egress_set != 0) {
    have_sets.insert(m.address);
  } else if (now.ingress_set != 0 || now.egress_set != 0) {
    have_sets.erase(m.address);
  }
  out.push_back(SetAddress{m.address, v, is_new});
}

void Engine::State::EmitMoves(std::vector<Move>& moves) {
  out.reserve(out.size() + moves.size());
  const bool transitions =
      std::any_of(moves.begin(), moves.end(), [](const Move& m) { return m.via != 0; });
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
        regions.SetKind(m->record->kind, 0);
        have_sets.erase(m->address);
        regions.Erase(m->address);
      } else {
        const Cidr cidr = Cidr::Of(m->address, m->bits);
        if (m->cidr->written) cidr_table.Remove(cidr, out);
        regions.SetKind(m->cidr->kind, 0);
        regions.Erase(cidr);
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
  if (sets.rule_ids().bound() > rules_ensured) {
    rules_ensured = sets.rule_ids().bound();
    out.push_back(EnsureRules{rules_ensured});
  }

  const bool any_switch = hosts_switch || std::any_of(moves.begin(), moves.end(),
                                                      [](const Move& m) { return m.switches; });
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
