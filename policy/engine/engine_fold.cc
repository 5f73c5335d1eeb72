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
  endpoints.ForEach([&](EndpointRecord& e) {
    if (!dirty.contains(e.source)) return;
    if (e.local || e.host) refold.insert(&e);
    if (!e.active && !e.local) return;
    for (const Address& a : e.addresses) regions.Touch(a);
  });
  for (const auto& [id, set] : network_sets) {
    if (dirty.contains(set.source)) regions.changed_cidrs.insert(set.nets.begin(), set.nets.end());
  }
}

void Engine::State::MarkChangedCidrs() {
  for (const Cidr& c : regions.changed_cidrs) {
    regions.ForEachIn(
        c, [&](const Address& a, int bits, uint32_t&, AddressRecord* record, CidrRecord*) {
          if (record != nullptr) {
            regions.Touch(a, *record);
          } else {
            regions.dirty_cidrs.insert(Cidr::Of(a, bits));
          }
        });
    const CidrRecord* known = regions.Find(c);
    if (c.bits == 128 && known != nullptr && !known->needed()) {
      regions.Touch(c.address).exact_cidr = false;
      regions.Erase(c);
    }
    regions.scan_cidrs = true;
  }
  regions.changed_cidrs.clear();
}

void Engine::State::FoldAll() {
  // Of those that changed only what is, or was, a local endpoint's has a policy.
  absl::btree_map<Address, AddressRecord*> fold;
  for (const auto& [address, record] : regions.touched()) {
    const auto here = [](const EndpointRecord* e) { return e->local != nullptr; };
    if (record->local != nullptr ||
        std::any_of(record->endpoints.begin(), record->endpoints.end(), here)) {
      fold.emplace(address, record);
    }
  }
  for (const EndpointRecord* e : refold) {
    if (!e->local) continue;
    for (const Address& a : e->addresses) fold.emplace(a, &regions.At(a));
  }
  const std::set<std::string> names = facts.TakeChangedNames();
  const std::set<ServiceName> services = facts.TakeChangedServices();
  const auto any = [](const auto& used, const auto& changed) {
    return std::any_of(used.begin(), used.end(),
                       [&](const auto& x) { return changed.contains(x); });
  };
  if (!names.empty() || !services.empty()) {
    for (const EndpointRecord* e : local_endpoints) {
      for (const Address& a : e->addresses) {
        AddressRecord& record = regions.At(a);
        if (record.local != nullptr &&
            (any(record.local->names, names) || any(record.local->services_folded, services))) {
          fold.emplace(a, &record);
        }
      }
    }
  }
  for (const auto& [a, record] : fold) Fold(a, *record);
  FoldHosts(names, services);
  refold.clear();
  sets.ForgetUnused();
}

LocalAddress& Engine::State::LocalPart(AddressRecord& record) {
  if (record.local == nullptr) record.local = std::make_unique<LocalAddress>();
  return *record.local;
}

void Engine::State::Fold(const Address& address, AddressRecord& record) {
  const EndpointRecord* attached = OwnerOf(record).local;
  LocalAddress& local = LocalPart(record);
  local.attached = attached;
  local.names.clear();
  local.services_folded.clear();
  if (attached == nullptr || !attached->active) {
    for (SetRecord*& wanted : local.wanted) {
      if (Unwant(wanted)) regions.Touch(address, record);
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
  for (const uint32_t id : regions.AddedTo(record)) {
    const Atom& atom = facts.atom(id);
    if (atom.kind == Atom::Kind::kNode) {
      near.nodes.push_back(&atom.labels);
    } else {
      near.services[atom.service].insert(atom.service_ports.begin(), atom.service_ports.end());
    }
  }
  const std::vector<const Profile*> own_profiles = ProfilesOf(*attached);
  const Labels& labels = sources.LabelsOf(attached->source);
  for (const Direction direction : {Direction::kIngress, Direction::kEgress}) {
    auto folded =
        folder.Fold(policies.Applicable(labels, direction), own_profiles, near, direction);
    local.names.merge(folded.names);
    local.services_folded.merge(folded.services);
    if (Want(local.wanted[static_cast<int>(direction)], direction, std::move(folded.rules))) {
      regions.Touch(address, record);
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

uint32_t Engine::State::KindOf(const Cidr& region, const AddressRecord* record,
                               const Owner& owner) {
  std::vector<uint32_t>& atoms = scratch;
  atoms.clear();
  for (const uint32_t source : owner.sources) atoms.push_back(sources.AtomOf(source));
  if (owner.disputed) atoms.push_back(disputed_atom);
  if (record != nullptr) {
    const std::vector<uint32_t>& added = regions.AddedTo(*record);
    atoms.insert(atoms.end(), added.begin(), added.end());
  }
  regions.ForCover(region.address, region.bits, [&](const Cidr&, const CidrRecord& c) {
    if (c.rule_atom != 0) atoms.push_back(c.rule_atom);
    for (const NetworkSetRecord* set : c.sets) atoms.push_back(sources.AtomOf(set->source));
  });
  std::sort(atoms.begin(), atoms.end());
  atoms.erase(std::unique(atoms.begin(), atoms.end()), atoms.end());
  return classes.Kind(atoms);
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
      if (!record.is_written) {
        regions.SetKind(record.kind, KindOf(cidr, &record, OwnerOf(record)));
      }
    } else if (!node.written) {
      regions.SetKind(node.kind, KindOf(cidr, nullptr, {}));
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
  for (const auto& [a, record] : regions.touched()) {
    const Owner owner = OwnerOf(*record);
    regions.SetKind(record->kind, KindOf(Cidr{a, 128}, record, owner));
    if (owner.contested) {
      contested.insert(a);
    } else if (!contested.empty()) {
      contested.erase(a);
    }
  }
  for (const Cidr& c : regions.dirty_cidrs) {
    CidrRecord* record = regions.Find(c);
    if (record == nullptr) continue;
    regions.SetKind(record->kind, KindOf(c, nullptr, {}));
  }
  regions.dirty_cidrs.clear();
}

}  // namespace ripstop::policy
