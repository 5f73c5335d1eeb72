// SPDX-License-Identifier: Apache-2.0
#include "policy/engine/engine.h"

#include <algorithm>

#include "policy/engine/engine_state.h"

namespace ripstop::policy {
namespace {

template <typename T>
void SortUnique(std::vector<T>& v) {
  std::sort(v.begin(), v.end());
  v.erase(std::unique(v.begin(), v.end()), v.end());
}

template <typename T>
void EraseOne(std::vector<T>& v, const T& value) {
  const auto it = std::find(v.begin(), v.end(), value);
  if (it != v.end()) v.erase(it);
}

}  // namespace

Engine::Engine(const EngineOptions& options) : state_(std::make_unique<State>(options)) {}
Engine::~Engine() = default;

uint32_t Engine::State::AcquireSource(SourceKey key) {
  SortUnique(key.ports);
  const uint32_t id = sources.Intern(key);
  if (sources.references(id) == 0) {
    if (source_atom.size() <= id) source_atom.resize(id + 1);
    source_atom[id] = facts.InternAtom({Atom::Kind::kOwner,
                                        EffectiveLabels(key.labels, key.profiles, profiles),
                                        key.ports,
                                        {},
                                        {},
                                        {}});
    facts.RefAtom(source_atom[id]);
    facts.Announce(source_atom[id], 1);
    for (const std::string& p : LabelSources(key.labels, key.profiles)) {
      sources_of_profile[p].insert(id);
    }
  }
  sources.Ref(id);
  return id;
}

void Engine::State::ReleaseSource(uint32_t id) {
  if (!sources.Unref(id)) return;
  for (const std::string& p : LabelSources(sources[id].labels, sources[id].profiles)) {
    const auto it = sources_of_profile.find(p);
    if (it == sources_of_profile.end()) continue;
    it->second.erase(id);
    if (it->second.empty()) sources_of_profile.erase(it);
  }
  facts.Announce(source_atom[id], -1);
  facts.UnrefAtom(source_atom[id]);
  sources.Forget(id);
  sources.Release(id);
}

AddressRecord& Engine::State::At(const Address& address) {
  std::unique_ptr<AddressRecord>& record = addresses[address];
  if (!record) record = std::make_unique<AddressRecord>();
  return *record;
}

CidrRecord& Engine::State::CidrAt(const Cidr& cidr) {
  const auto [it, fresh] = cidrs.try_emplace(cidr);
  if (fresh) {
    ++cidr_lengths[cidr.bits];
    scan_cidrs = true;
    if (cidr.bits == 128) {
      At(cidr.address).exact_cidr = true;
      dirty_addresses.insert(cidr.address);
    }
  }
  return it->second;
}

void Engine::State::Attach(EndpointRecord& e, bool add) {
  // Neither peer nor subject: an inactive endpoint of another node has no address at all.
  if (!e.active && !e.local) return;
  for (const Address& a : e.addresses) {
    AddressRecord& record = At(a);
    if (add) {
      record.endpoints.push_back(&e);
    } else {
      EraseOne(record.endpoints, &e);
      if (record.attached == &e) record.attached = nullptr;
    }
    dirty_addresses.insert(a);
  }
  if (e.local) {
    if (add) {
      local_endpoints.insert(&e);
    } else {
      local_endpoints.erase(&e);
    }
  }
}

void Engine::PutEndpoint(const Endpoint& e) {
  State& s = *state_;
  const uint32_t source = s.AcquireSource({e.labels, e.profiles, e.ports});
  std::vector<Address> addresses = e.addresses;
  SortUnique(addresses);
  const auto [it, fresh] = s.endpoints.try_emplace(e.id);
  EndpointRecord& record = it->second;
  if (!fresh) {
    if (record.source == source && record.addresses == addresses && record.local == e.local &&
        record.active == e.active) {
      s.ReleaseSource(source);
      return;
    }
    s.Attach(record, false);
    s.ReleaseSource(record.source);
  }
  record = {e.id, source, std::move(addresses), e.local, e.active, true, false};
  s.Attach(record, true);
}

void Engine::RemoveEndpoint(std::string_view id) {
  State& s = *state_;
  const auto it = s.endpoints.find(std::string(id));
  if (it == s.endpoints.end()) return;
  s.Attach(it->second, false);
  s.ReleaseSource(it->second.source);
  s.endpoints.erase(it);
}

void Engine::PutNetworkSet(const NetworkSet& set) {
  State& s = *state_;
  const auto known = s.network_set_inputs.find(set.id);
  if (known != s.network_set_inputs.end() && known->second == set) return;
  RemoveNetworkSet(set.id);
  s.network_set_inputs.emplace(set.id, set);
  NetworkSetRecord& record = s.network_sets[set.id];
  record.source = s.AcquireSource({set.labels, set.profiles, {}});
  record.nets = set.nets;
  SortUnique(record.nets);
  for (const Cidr& c : record.nets) {
    s.CidrAt(c).sets.push_back(&record);
    s.changed_cidrs.insert(c);
  }
}

void Engine::RemoveNetworkSet(std::string_view id) {
  State& s = *state_;
  const auto it = s.network_sets.find(std::string(id));
  if (it == s.network_sets.end()) return;
  for (const Cidr& c : it->second.nets) {
    EraseOne(s.CidrAt(c).sets, static_cast<const NetworkSetRecord*>(&it->second));
    s.changed_cidrs.insert(c);
  }
  s.ReleaseSource(it->second.source);
  s.network_sets.erase(it);
  s.network_set_inputs.erase(std::string(id));
}

void Engine::PutServiceBackends(const ServiceBackends& b) {
  State& s = *state_;
  Atom atom;
  atom.kind = Atom::Kind::kService;
  atom.service = b.service;
  atom.service_ports = b.ports;
  SortUnique(atom.service_ports);
  SliceRecord next{s.facts.InternAtom(atom), b.addresses};
  SortUnique(next.addresses);
  s.facts.RefAtom(next.atom);
  const auto it = s.slices.find({b.service, b.slice});
  if (it != s.slices.end() && it->second.atom == next.atom &&
      it->second.addresses == next.addresses) {
    s.facts.UnrefAtom(next.atom);
    return;
  }
  RemoveServiceBackends(b.service, b.slice);
  s.facts.Announce(next.atom, 1);
  for (const Address& a : next.addresses) {
    s.At(a).services.push_back(next.atom);
    s.dirty_addresses.insert(a);
  }
  s.slices[{b.service, b.slice}] = std::move(next);
}

void Engine::RemoveServiceBackends(const ServiceName& service, std::string_view slice) {
  State& s = *state_;
  const auto it = s.slices.find({service, std::string(slice)});
  if (it == s.slices.end()) return;
  for (const Address& a : it->second.addresses) {
    EraseOne(s.At(a).services, it->second.atom);
    s.dirty_addresses.insert(a);
  }
  s.facts.Announce(it->second.atom, -1);
  s.facts.UnrefAtom(it->second.atom);
  s.slices.erase(it);
}

void Engine::PutHost(const Host& host) {
  State& s = *state_;
  if (const auto it = s.hosts.find(host.name); it != s.hosts.end() && it->second == host) return;
  RemoveHost(host.name);
  for (const Address& a : host.addresses) {
    ++(host.this_host ? s.At(a).this_host : s.At(a).other_node);
    s.dirty_addresses.insert(a);
  }
  s.hosts[host.name] = host;
}

void Engine::RemoveHost(std::string_view name) {
  State& s = *state_;
  const auto it = s.hosts.find(std::string(name));
  if (it == s.hosts.end()) return;
  for (const Address& a : it->second.addresses) {
    --(it->second.this_host ? s.At(a).this_host : s.At(a).other_node);
    s.dirty_addresses.insert(a);
  }
  s.hosts.erase(it);
}

// Local endpoints that a policy selects must be folded again, before and after a change.
void Engine::State::MarkSelected(const Policy& policy) {
  for (EndpointRecord* e : local_endpoints) {
    if (!e->fold && policies.Selects(policy, facts.atom(source_atom[e->source]).labels))
      e->fold = true;
  }
  for (auto& [id, h] : host_endpoints) {
    h.owner->fold |= policies.Selects(policy, facts.atom(source_atom[h.owner->source]).labels);
  }
}

// Local endpoints with that profile must be folded again.
void Engine::State::MarkUsers(const std::string& profile) {
  const auto mark = [&](EndpointRecord& e) {
    const auto& names = sources[e.source].profiles;
    e.fold |= std::find(names.begin(), names.end(), profile) != names.end();
  };
  for (EndpointRecord* e : local_endpoints) mark(*e);
  for (auto& [id, h] : host_endpoints) mark(*h.owner);
}

void Engine::PutPolicy(const Policy& policy) {
  State& s = *state_;
  if (const Policy* known = s.policies.Find(policy.key)) {
    if (*known == policy) return;
    s.MarkSelected(*known);
  }
  s.policies.Put(policy);
  s.MarkSelected(policy);
}

void Engine::RemovePolicy(const PolicyKey& key) {
  State& s = *state_;
  if (const Policy* known = s.policies.Find(key)) s.MarkSelected(*known);
  s.policies.Remove(key);
}

void Engine::PutTier(const Tier& tier) {
  if (!state_->policies.PutTier(tier)) return;
  for (EndpointRecord* e : state_->local_endpoints) e->fold = true;
  for (auto& [id, h] : state_->host_endpoints) h.owner->fold = true;
}

void Engine::RemoveTier(std::string_view name) {
  if (!state_->policies.RemoveTier(name)) return;
  for (EndpointRecord* e : state_->local_endpoints) e->fold = true;
  for (auto& [id, h] : state_->host_endpoints) h.owner->fold = true;
}

void Engine::PutProfile(const Profile& profile) {
  State& s = *state_;
  const auto it = s.profiles.find(profile.name);
  if (it != s.profiles.end() && it->second == profile) return;
  if (it == s.profiles.end() || it->second.labels_to_apply != profile.labels_to_apply) {
    s.changed_label_profiles.insert(profile.name);
  }
  s.profiles[profile.name] = profile;
  s.MarkUsers(profile.name);
}

void Engine::RemoveProfile(std::string_view name_view) {
  State& s = *state_;
  const std::string name(name_view);
  if (s.profiles.erase(name) == 0) return;
  s.changed_label_profiles.insert(name);
  s.MarkUsers(name);
}

TableWrites Engine::Flush() { return state_->Flush(); }
uint32_t Engine::l4_table() const { return state_->l4_handle; }

std::optional<RuleIdentity> Engine::Rule(uint32_t id) const {
  return id != 0 && state_->rule_ids.known(id) ? std::optional(state_->rule_ids[id]) : std::nullopt;
}

std::vector<std::pair<uint32_t, RuleIdentity>> Engine::Rules() const {
  std::vector<std::pair<uint32_t, RuleIdentity>> result;
  for (uint32_t id = 1; id < state_->rule_ids.bound(); ++id) {
    if (state_->rule_ids.known(id)) result.emplace_back(id, state_->rule_ids[id]);
  }
  return result;
}

}  // namespace ripstop::policy
