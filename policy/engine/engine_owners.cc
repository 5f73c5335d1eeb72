// SPDX-License-Identifier: Apache-2.0
//
// Whose an address is (policy/DESIGN.md, "Whose an address is"). World::OwnershipOf says the
// same, slowly.
#include <algorithm>

#include "policy/engine/engine_state.h"

namespace ripstop::policy {

Engine::State::Owner Engine::State::OwnerOf(const AddressRecord& record) const {
  Owner owner;
  const EndpointRecord* remote = nullptr;
  bool unlike = false;  // endpoints of other nodes among themselves
  for (const EndpointRecord* e : record.endpoints) {
    if (e->local) {
      if (owner.local == nullptr || e->active > owner.local->active ||
          (e->active == owner.local->active &&
           IsNewer(*e->local, e->id, *owner.local->local, owner.local->id))) {
        owner.local = e;
      }
    } else if (e->active && !e->host) {
      unlike |= remote != nullptr && remote->source != e->source;
      remote = e;
    } else if (e->active) {
      owner.sources.push_back(e->source);
    }
  }
  const auto differs = [&](const EndpointRecord* e) {
    return e->active && e->source != owner.local->source;
  };
  if (owner.local != nullptr && owner.local->active) {
    owner.contested = std::any_of(record.endpoints.begin(), record.endpoints.end(), differs);
    owner.sources = {owner.local->source};
    return owner;
  }
  // An inactive one keeps its interface only while nobody else has the address.
  if (remote == nullptr) {
    if (!owner.sources.empty()) owner.local = nullptr;
    return owner;
  }
  owner.local = nullptr;
  owner.disputed = owner.contested = unlike || !owner.sources.empty();
  owner.sources.clear();
  if (!owner.disputed) owner.sources = {remote->source};
  return owner;
}

std::string Engine::OwnerOf(const Address& address) const {
  const AddressRecord* record = state_->regions.Find(address);
  if (record == nullptr) return "";
  const State::Owner owner = state_->OwnerOf(*record);
  if (owner.local != nullptr) return owner.local->id;
  if (owner.disputed || owner.sources.size() != 1) return "";
  for (const EndpointRecord* e : record->endpoints) {
    if (e->active && !e->host && e->source == owner.sources[0]) return e->id;
  }
  return "";
}

size_t Engine::conflict_count() const { return state_->contested.size(); }

std::vector<AddressConflict> Engine::Conflicts(size_t max) const {
  std::vector<AddressConflict> conflicts;
  for (const Address& address : state_->contested) {
    if (conflicts.size() == max) break;
    const AddressRecord* record = state_->regions.Find(address);
    if (record == nullptr) continue;
    AddressConflict& conflict = conflicts.emplace_back();
    conflict.address = address;
    for (const EndpointRecord* e : record->endpoints) {
      if (e->active) conflict.claimants.push_back(e->id);
    }
    std::sort(conflict.claimants.begin(), conflict.claimants.end());
    if (const auto* local = state_->OwnerOf(*record).local) conflict.owner = local->id;
  }
  return conflicts;
}

}  // namespace ripstop::policy
