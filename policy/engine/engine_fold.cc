// SPDX-License-Identifier: Apache-2.0
//
// From dirty inputs to the policy sets that local addresses want, and to the kinds and
// classes of addresses. Nothing here writes to the kernel.
#include <algorithm>

#include "policy/engine/engine_state.h"

namespace ripstop::policy {

// A profile's labels changed: those who inherit from it have another atom.
void Engine::State::RefreshSources() {
  std::set<uint32_t> dirty;
  for (const std::string& profile : changed_label_profiles) {
    const auto it = sources_of_profile.find(profile);
    if (it != sources_of_profile.end()) dirty.insert(it->second.begin(), it->second.end());
  }
  changed_label_profiles.clear();
  std::erase_if(dirty, [&](uint32_t id) {
    const SourceKey& key = sources[id];
    const uint32_t atom = facts.InternAtom({Atom::Kind::kOwner,
                                            EffectiveLabels(key.labels, key.profiles, profiles),
                                            key.ports,
                                            {},
                                            {},
                                            {}});
    if (atom == source_atom[id]) return true;
    facts.RefAtom(atom);
    facts.Announce(atom, 1);
    facts.Announce(source_atom[id], -1);
    facts.UnrefAtom(source_atom[id]);
    source_atom[id] = atom;
    return false;
  });
  if (dirty.empty()) return;
  for (auto& [id, e] : endpoints) {
    if (!dirty.contains(e.source)) continue;
    e.fold = true;
    if (e.active || e.local) dirty_addresses.insert(e.addresses.begin(), e.addresses.end());
  }
  for (const auto& [id, set] : network_sets) {
    if (dirty.contains(set.source)) changed_cidrs.insert(set.nets.begin(), set.nets.end());
  }
}

void Engine::State::MarkChangedCidrs() {
  for (const Cidr& c : changed_cidrs) {
    ForRegions(c, [&](const Address& a, int bits, uint32_t&, AddressRecord* record, CidrRecord*) {
      if (record != nullptr) {
        dirty_addresses.insert(a);
      } else {
        dirty_cidrs.insert(Cidr::Of(a, bits));
      }
    });
    const auto it = cidrs.find(c);
    if (c.bits == 128 && it != cidrs.end() && !it->second.needed()) {
      At(c.address).exact_cidr = false;
      dirty_addresses.insert(c.address);
      cidrs.erase(it);
      if (--cidr_lengths[128] == 0) cidr_lengths.erase(128);
    }
    scan_cidrs = true;
  }
  changed_cidrs.clear();
}

void Engine::State::FoldAll() {
  std::set<Address> fold(dirty_addresses.begin(), dirty_addresses.end());
  const std::set<std::string> names = facts.TakeChangedNames();
  const std::set<ServiceName> services = facts.TakeChangedServices();
  const auto any = [](const auto& used, const auto& changed) {
    return std::any_of(used.begin(), used.end(),
                       [&](const auto& x) { return changed.contains(x); });
  };
  for (EndpointRecord* e : local_endpoints) {
    if (!e->fold && names.empty() && services.empty()) continue;
    for (const Address& a : e->addresses) {
      const AddressRecord& record = At(a);
      if (e->fold || any(record.names, names) || any(record.services_folded, services))
        fold.insert(a);
    }
    e->fold = false;
  }
  for (const Address& a : fold) {
    const auto it = addresses.find(a);
    if (it != addresses.end()) Fold(a, *it->second);
  }
  FoldHosts(names, services);
  // What was numbered for rules that turned out to be known already.
  for (const uint32_t p : facts.predicates().TakeFresh()) {
    if (facts.predicates().references(p) > 0) continue;
    facts.predicates().Forget(p);
    facts.predicates().Release(p);
  }
  for (const uint32_t id : l4_sets.TakeFresh()) {
    if (l4_sets.references(id) > 0) continue;
    l4_sets.Forget(id);
    l4_sets.Release(id);
  }
  for (const uint32_t id : rule_ids.TakeFresh()) {
    if (rule_ids.references(id) > 0) continue;
    rule_ids.Forget(id);
    rule_ids.Release(id);
  }
}

void Engine::State::Fold(const Address& address, AddressRecord& record) {
  const EndpointRecord* attached = OwnerOf(record).local;
  record.attached = attached;
  record.names.clear();
  record.services_folded.clear();
  if (attached == nullptr || !attached->active) {
    for (SetRecord*& wanted : record.wanted) Unwant(wanted);
    return;
  }

  NearSide near;
  near.address = address;
  near.ports = sources[attached->source].ports;
  near.owners.push_back(&facts.atom(source_atom[attached->source]).labels);
  ForCover(address, 128, [&](const Cidr&, const CidrRecord& c) {
    for (const NetworkSetRecord* set : c.sets) {
      near.owners.push_back(&facts.atom(source_atom[set->source]).labels);
    }
  });
  for (const uint32_t atom : record.services) {
    const Atom& service = facts.atom(atom);
    near.services[service.service].insert(service.service_ports.begin(),
                                          service.service_ports.end());
  }
  const std::vector<const Profile*> own_profiles = ProfilesOf(*attached);
  const Labels& labels = facts.atom(source_atom[attached->source]).labels;
  for (const Direction direction : {Direction::kIngress, Direction::kEgress}) {
    auto folded =
        folder.Fold(policies.Applicable(labels, direction), own_profiles, near, direction);
    record.names.merge(folded.names);
    record.services_folded.merge(folded.services);
    Want(record.wanted[static_cast<int>(direction)], direction, std::move(folded.rules));
  }
}

// nullptr for a profile that is missing.
std::vector<const Profile*> Engine::State::ProfilesOf(const EndpointRecord& endpoint) const {
  std::vector<const Profile*> result;
  for (const std::string& name : sources[endpoint.source].profiles) {
    const auto it = profiles.find(name);
    result.push_back(it == profiles.end() ? nullptr : &it->second);
  }
  return result;
}

void Engine::State::Want(SetRecord*& wanted, Direction direction, FlatRules rules) {
  const auto it = set_by_rules.find(rules);
  SetRecord* set = it != set_by_rules.end() ? it->second : NewSet(std::move(rules), direction);
  switches_possible |= set != wanted;
  ++set->users;
  if (wanted != nullptr) --wanted->users;
  wanted = set;
}

void Engine::State::Unwant(SetRecord*& wanted) {
  switches_possible |= wanted != nullptr;
  if (wanted != nullptr) --wanted->users;
  wanted = nullptr;
}

SetRecord* Engine::State::NewSet(FlatRules rules, Direction direction) {
  auto owned = std::make_unique<SetRecord>();
  SetRecord* record = owned.get();
  record->direction = direction;
  record->set = std::make_unique<PolicySet>(std::move(rules), l4_sets, options.capacity_min);
  for (const uint32_t p : record->set->predicates()) {
    if (facts.predicates().references(p) == 0) to_activate.push_back(p);
    facts.predicates().Ref(p);
  }
  for (const uint32_t id : record->set->l4_sets()) {
    if (l4_sets.references(id) == 0) to_refine.push_back(id);
    l4_sets.Ref(id);
  }
  for (const FlatRule& r : record->set->rules()) {
    if (r.rule_id != 0) rule_ids.Ref(r.rule_id);
  }
  set_by_rules[record->set->rules()] = record;
  sets.emplace(record, std::move(owned));
  fresh_sets.push_back(record);
  return record;
}

void Engine::State::SetKind(uint32_t& kind, uint32_t to) {
  classes.Ref(to);
  classes.Unref(kind);
  kind = to;
}

std::vector<uint32_t> Engine::State::AtomsOf(const Address& address, int bits,
                                             const AddressRecord* record) const {
  std::vector<uint32_t> atoms;
  if (record != nullptr) {
    const Owner owner = OwnerOf(*record);
    for (const uint32_t source : owner.sources) atoms.push_back(source_atom[source]);
    if (owner.disputed) atoms.push_back(disputed_atom);
    atoms.insert(atoms.end(), record->services.begin(), record->services.end());
  }
  ForCover(address, bits, [&](const Cidr&, const CidrRecord& c) {
    if (c.rule_atom != 0) atoms.push_back(c.rule_atom);
    for (const NetworkSetRecord* set : c.sets) atoms.push_back(source_atom[set->source]);
  });
  std::sort(atoms.begin(), atoms.end());
  atoms.erase(std::unique(atoms.begin(), atoms.end()), atoms.end());
  return atoms;
}

// A predicate comes into use: every region keeps its class until a class is found split.
void Engine::State::ActivatePredicates() {
  for (const uint32_t p : to_activate) {
    const Predicate& predicate = facts.predicates()[p];
    if (predicate.kind != Predicate::Kind::kCidr) continue;
    const Cidr cidr = predicate.cidr;
    CidrRecord& node = CidrAt(cidr);
    // A region that is not in the kernel yet begins as what covers it.
    if (cidr.bits == 128) {
      AddressRecord& record = At(cidr.address);
      if (!record.written) SetKind(record.kind, classes.Kind(AtomsOf(cidr.address, 128, &record)));
    } else if (!node.written) {
      SetKind(node.kind, classes.Kind(AtomsOf(cidr.address, cidr.bits, nullptr)));
    }
    const uint32_t atom = facts.InternAtom({Atom::Kind::kCidr, {}, {}, cidr, {}, {}});
    facts.RefAtom(atom);
    node.rule_atom = atom;
    ForRegions(cidr, [&](const Address&, int, uint32_t& kind, AddressRecord*, CidrRecord*) {
      std::vector<uint32_t> atoms = classes.AtomsOf(kind);
      atoms.insert(std::lower_bound(atoms.begin(), atoms.end(), atom), atom);
      SetKind(kind, classes.KindLike(atoms, kind));
    });
    scan_cidrs = true;
  }
  for (const uint32_t p : to_activate) {
    if (classes.Activate(p, facts.Activate(p))) scan_addresses = scan_cidrs = true;
  }
  to_activate.clear();
}

void Engine::State::Rekind() {
  for (const Address& a : dirty_addresses) {
    AddressRecord& record = At(a);
    SetKind(record.kind, classes.Kind(AtomsOf(a, 128, &record)));
    if (OwnerOf(record).contested) {
      contested.insert(a);
    } else {
      contested.erase(a);
    }
  }
  for (const Cidr& c : dirty_cidrs) {
    const auto it = cidrs.find(c);
    if (it == cidrs.end()) continue;
    SetKind(it->second.kind, classes.Kind(AtomsOf(c.address, c.bits, nullptr)));
  }
  dirty_cidrs.clear();
}

}  // namespace ripstop::policy
