// SPDX-License-Identifier: Apache-2.0
//
// From dirty inputs to the policy sets that local addresses want, and to the kinds and
// classes of addresses. Nothing here writes to the kernel.
#include <algorithm>

#include "policy/engine/engine_state.h"

namespace ripstop::policy {

// A profile's labels changed: those who inherit from it have another atom.
void Engine::State::RefreshSources() {
  const std::set<uint32_t> dirty = sources.Refresh();
  if (dirty.empty()) return;
  for (auto& [id, e] : endpoints) {
    if (!dirty.contains(e.source)) continue;
    if (e.local || e.host) refold.insert(&e);
    if (e.active || e.local) regions.dirty_addresses.insert(e.addresses.begin(), e.addresses.end());
  }
  for (const auto& [id, set] : network_sets) {
    if (dirty.contains(set.source)) regions.changed_cidrs.insert(set.nets.begin(), set.nets.end());
  }
}

void Engine::State::MarkChangedCidrs() {
  for (const Cidr& c : regions.changed_cidrs) {
    regions.ForEachIn(
        c, [&](const Address& a, int bits, uint32_t&, AddressRecord* record, CidrRecord*) {
          if (record != nullptr) {
            regions.dirty_addresses.insert(a);
          } else {
            regions.dirty_cidrs.insert(Cidr::Of(a, bits));
          }
        });
    const CidrRecord* known = regions.Find(c);
    if (c.bits == 128 && known != nullptr && !known->needed()) {
      regions.At(c.address).exact_cidr = false;
      regions.dirty_addresses.insert(c.address);
      regions.Erase(c);
    }
    regions.scan_cidrs = true;
  }
  regions.changed_cidrs.clear();
}

void Engine::State::FoldAll() {
  std::set<Address> fold(regions.dirty_addresses.begin(), regions.dirty_addresses.end());
  const std::set<std::string> names = facts.TakeChangedNames();
  const std::set<ServiceName> services = facts.TakeChangedServices();
  const auto any = [](const auto& used, const auto& changed) {
    return std::any_of(used.begin(), used.end(),
                       [&](const auto& x) { return changed.contains(x); });
  };
  for (const EndpointRecord* e : refold) fold.insert(e->addresses.begin(), e->addresses.end());
  if (!names.empty() || !services.empty()) {
    for (const EndpointRecord* e : local_endpoints) {
      for (const Address& a : e->addresses) {
        const AddressRecord& record = regions.At(a);
        if (any(record.names, names) || any(record.services_folded, services)) fold.insert(a);
      }
    }
  }
  for (const Address& a : fold) {
    if (AddressRecord* record = regions.Find(a)) Fold(a, *record);
  }
  FoldHosts(names, services);
  refold.clear();
  sets.ForgetUnused();
}

void Engine::State::Fold(const Address& address, AddressRecord& record) {
  const EndpointRecord* attached = OwnerOf(record).local;
  record.attached = attached;
  record.names.clear();
  record.services_folded.clear();
  if (attached == nullptr || !attached->active) {
    for (SetRecord*& wanted : record.wanted) {
      if (Unwant(wanted)) switching.insert(address);
    }
    return;
  }

  NearSide near;
  near.address = address;
  near.ports = sources[attached->source].ports;
  near.owners.push_back(&sources.LabelsOf(attached->source));
  regions.ForCover(address, 128, [&](const Cidr&, const CidrRecord& c) {
    for (const NetworkSetRecord* set : c.sets) {
      near.owners.push_back(&sources.LabelsOf(set->source));
    }
  });
  for (const uint32_t atom : record.services) {
    const Atom& service = facts.atom(atom);
    near.services[service.service].insert(service.service_ports.begin(),
                                          service.service_ports.end());
  }
  const std::vector<const Profile*> own_profiles = ProfilesOf(*attached);
  const Labels& labels = sources.LabelsOf(attached->source);
  for (const Direction direction : {Direction::kIngress, Direction::kEgress}) {
    auto folded =
        folder.Fold(policies.Applicable(labels, direction), own_profiles, near, direction);
    record.names.merge(folded.names);
    record.services_folded.merge(folded.services);
    if (Want(record.wanted[static_cast<int>(direction)], direction, std::move(folded.rules))) {
      switching.insert(address);
    }
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

bool Engine::State::Want(SetRecord*& wanted, Direction direction, FlatRules rules) {
  SetRecord* const before = std::exchange(wanted, sets.Want(std::move(rules), direction));
  if (before != nullptr) sets.Release(before);
  return wanted != before;
}

bool Engine::State::Unwant(SetRecord*& wanted) {
  SetRecord* const before = std::exchange(wanted, nullptr);
  if (before != nullptr) sets.Release(before);
  return before != nullptr;
}

std::vector<uint32_t> Engine::State::AtomsOf(const Address& address, int bits,
                                             const AddressRecord* record) const {
  std::vector<uint32_t> atoms;
  if (record != nullptr) {
    const Owner owner = OwnerOf(*record);
    for (const uint32_t source : owner.sources) atoms.push_back(sources.AtomOf(source));
    if (owner.disputed) atoms.push_back(disputed_atom);
    atoms.insert(atoms.end(), record->services.begin(), record->services.end());
  }
  regions.ForCover(address, bits, [&](const Cidr&, const CidrRecord& c) {
    if (c.rule_atom != 0) atoms.push_back(c.rule_atom);
    for (const NetworkSetRecord* set : c.sets) atoms.push_back(sources.AtomOf(set->source));
  });
  std::sort(atoms.begin(), atoms.end());
  atoms.erase(std::unique(atoms.begin(), atoms.end()), atoms.end());
  return atoms;
}

// A predicate comes into use: every region keeps its class until a class is found split.
void Engine::State::ActivatePredicates() {
  const std::vector<uint32_t> to_activate = sets.TakeToActivate();
  for (const uint32_t p : to_activate) {
    const Predicate& predicate = facts.predicates()[p];
    if (predicate.kind != Predicate::Kind::kCidr) continue;
    const Cidr cidr = predicate.cidr;
    CidrRecord& node = regions.At(cidr);
    // A region that is not in the kernel yet begins as what covers it.
    if (cidr.bits == 128) {
      AddressRecord& record = regions.At(cidr.address);
      if (!record.written)
        regions.SetKind(record.kind, classes.Kind(AtomsOf(cidr.address, 128, &record)));
    } else if (!node.written) {
      regions.SetKind(node.kind, classes.Kind(AtomsOf(cidr.address, cidr.bits, nullptr)));
    }
    const uint32_t atom = facts.InternAtom({Atom::Kind::kCidr, {}, {}, cidr, {}, {}});
    facts.RefAtom(atom);
    node.rule_atom = atom;
    regions.ForEachIn(cidr, [&](const Address&, int, uint32_t& kind, AddressRecord*, CidrRecord*) {
      std::vector<uint32_t> atoms = classes.AtomsOf(kind);
      atoms.insert(std::lower_bound(atoms.begin(), atoms.end(), atom), atom);
      regions.SetKind(kind, classes.KindLike(atoms, kind));
    });
    regions.scan_cidrs = true;
  }
  for (const uint32_t p : to_activate) {
    if (classes.Activate(p, facts.Activate(p))) {
      regions.scan_addresses = regions.scan_cidrs = true;
    }
  }
}

void Engine::State::Rekind() {
  for (const Address& a : regions.dirty_addresses) {
    AddressRecord& record = regions.At(a);
    regions.SetKind(record.kind, classes.Kind(AtomsOf(a, 128, &record)));
    if (OwnerOf(record).contested) {
      contested.insert(a);
    } else {
      contested.erase(a);
    }
  }
  for (const Cidr& c : regions.dirty_cidrs) {
    CidrRecord* record = regions.Find(c);
    if (record == nullptr) continue;
    regions.SetKind(record->kind, classes.Kind(AtomsOf(c.address, c.bits, nullptr)));
  }
  regions.dirty_cidrs.clear();
}

}  // namespace ripstop::policy
