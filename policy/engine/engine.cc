// SPDX-License-Identifier: Apache-2.0
#include "policy/engine/engine.h"

#include <algorithm>

#include "policy/base/sort_unique.h"
#include "policy/engine/engine_state.h"

namespace ripstop::policy {
namespace {

template <typename Vector>
void EraseOne(Vector& v, const typename Vector::value_type& value) {
  const auto it = std::find(v.begin(), v.end(), value);
  if (it != v.end()) v.erase(it);
}

}  // namespace

Engine::Engine(const EngineOptions& options) : state_(std::make_unique<State>(options)) {}
Engine::~Engine() = default;

void Engine::State::Attach(EndpointRecord& e, bool add) {
  if (!add) refold.erase(&e);
  // Neither peer nor subject: an inactive endpoint of another node has no address at all.
  if (!e.active && !e.local) return;
  for (const Address& a : e.addresses) {
    AddressRecord& record = regions.Touch(a);
    if (add) {
      record.endpoints.push_back(&e);
    } else {
      EraseOne(record.endpoints, &e);
      if (record.local != nullptr && record.local->attached == &e) record.local->attached = nullptr;
    }
  }
  if (!e.local) return;
  if (add) {
    local_endpoints.insert(&e);
    refold.insert(&e);
  } else {
    local_endpoints.erase(&e);
  }
}

void Engine::PutEndpoint(const Endpoint& e) {
  State& s = *state_;
  const uint32_t source = s.sources.Acquire(e.labels, e.profiles, e.ports);
  absl::InlinedVector<Address, 2> addresses(e.addresses.begin(), e.addresses.end());
  SortUnique(addresses);
  EndpointRecord* const known = s.endpoints.Find(e.id);
  if (known != nullptr) {
    const EndpointRecord& now = *known;
    const bool attached_alike = e.local.has_value() == (now.local != nullptr) &&
                                (!e.local.has_value() || *e.local == *now.local);
    if (now.source == source && now.addresses == addresses && attached_alike &&
        now.active == e.active) {
      s.sources.Release(source);
      return;
    }
    s.Attach(*known, false);
    s.sources.Release(now.source);
  }
  EndpointRecord& record = known != nullptr ? *known : s.endpoints.Make(e.id);
  record.source = source;
  record.addresses = std::move(addresses);
  record.local = e.local.has_value() ? std::make_unique<Attachment>(*e.local) : nullptr;
  record.active = e.active;
  record.host = false;
  s.Attach(record, true);
}

void Engine::RemoveEndpoint(std::string_view id) {
  State& s = *state_;
  EndpointRecord* const known = s.endpoints.Find(id);
  if (known == nullptr) return;
  s.Attach(*known, false);
  s.sources.Release(known->source);
  s.endpoints.Erase(known->id);
}

void Engine::PutNetworkSet(const NetworkSet& set) {
  State& s = *state_;
  const auto known = s.network_set_inputs.find(set.id);
  if (known != s.network_set_inputs.end() && known->second == set) return;
  RemoveNetworkSet(set.id);
  s.network_set_inputs.emplace(set.id, set);
  NetworkSetRecord& record = s.network_sets[set.id];
  record.source = s.sources.Acquire(set.labels, set.profiles, {});
  record.nets = set.nets;
  SortUnique(record.nets);
  for (const Cidr& c : record.nets) {
    s.regions.At(c).sets.push_back(&record);
    s.regions.changed_cidrs.insert(c);
  }
}

void Engine::RemoveNetworkSet(std::string_view id) {
  State& s = *state_;
  const auto it = s.network_sets.find(std::string(id));
  if (it == s.network_sets.end()) return;
  for (const Cidr& c : it->second.nets) {
    EraseOne(s.regions.At(c).sets, static_cast<const NetworkSetRecord*>(&it->second));
    s.regions.changed_cidrs.insert(c);
  }
  s.sources.Release(it->second.source);
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
    s.regions.Add(s.regions.Touch(a), next.atom);
  }
  s.slices[{b.service, b.slice}] = std::move(next);
}

void Engine::RemoveServiceBackends(const ServiceName& service, std::string_view slice) {
  State& s = *state_;
  const auto it = s.slices.find({service, std::string(slice)});
  if (it == s.slices.end()) return;
  for (const Address& a : it->second.addresses) {
    s.regions.Remove(s.regions.Touch(a), it->second.atom);
  }
  s.facts.Announce(it->second.atom, -1);
  s.facts.UnrefAtom(it->second.atom);
  s.slices.erase(it);
}

void Engine::PutHost(const Host& host) {
  State& s = *state_;
  const uint32_t atom = s.facts.InternAtom({Atom::Kind::kNode, host.labels, {}, {}, {}, {}});
  if (const auto it = s.hosts.find(host.name); it != s.hosts.end() && it->second.atom == atom &&
                                               it->second.this_host == host.this_host &&
                                               it->second.addresses == host.addresses)
    return;
  s.facts.RefAtom(atom);
  RemoveHost(host.name);
  for (const Address& a : host.addresses) {
    AddressRecord& record = s.regions.Touch(a);
    ++(host.this_host ? record.this_host : record.other_node);
    s.regions.Add(record, atom);
  }
  s.hosts[host.name] = {host.this_host, host.addresses, atom};
}

void Engine::RemoveHost(std::string_view name) {
  State& s = *state_;
  const auto it = s.hosts.find(std::string(name));
  if (it == s.hosts.end()) return;
  const HostRecord& host = it->second;
  for (const Address& a : host.addresses) {
    AddressRecord& record = s.regions.Touch(a);
    --(host.this_host ? record.this_host : record.other_node);
    s.regions.Remove(record, host.atom);
  }
  s.facts.UnrefAtom(host.atom);
  s.hosts.erase(it);
}

// Local endpoints that a policy selects must be folded again, before and after a change.
void Engine::State::MarkSelected(const Policy& policy) {
  for (EndpointRecord* e : local_endpoints) {
    if (policies.Selects(policy, sources.LabelsOf(e->source))) refold.insert(e);
  }
  for (auto& [id, h] : host_endpoints) {
    if (policies.Selects(policy, sources.LabelsOf(h.owner->source))) refold.insert(h.owner);
  }
}

// All of this node must be folded again.
void Engine::State::RefoldAll() {
  refold.insert(local_endpoints.begin(), local_endpoints.end());
  for (auto& [id, h] : host_endpoints) refold.insert(h.owner);
}

// Local endpoints with that profile must be folded again.
void Engine::State::MarkUsers(const std::string& profile) {
  const auto mark = [&](EndpointRecord& e) {
    const auto& names = sources[e.source].profiles;
    if (std::find(names.begin(), names.end(), profile) != names.end()) refold.insert(&e);
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
  state_->RefoldAll();
}

void Engine::RemoveTier(std::string_view name) {
  if (!state_->policies.RemoveTier(name)) return;
  state_->RefoldAll();
}

void Engine::PutProfile(const Profile& profile) {
  State& s = *state_;
  const auto it = s.profiles.find(profile.name);
  if (it != s.profiles.end() && it->second == profile) return;
  if (it == s.profiles.end() || it->second.labels_to_apply != profile.labels_to_apply) {
    s.sources.Changed(profile.name);
  }
  s.profiles[profile.name] = profile;
  s.MarkUsers(profile.name);
}

void Engine::RemoveProfile(std::string_view name_view) {
  State& s = *state_;
  const std::string name(name_view);
  if (s.profiles.erase(name) == 0) return;
  s.sources.Changed(name);
  s.MarkUsers(name);
}

TableWrites Engine::Flush() { return state_->Flush(); }
uint32_t Engine::l4_table() const { return state_->l4_handle; }

std::optional<RuleIdentity> Engine::Rule(uint32_t id) const {
  return id != 0 && state_->sets.rule_ids().known(id) ? std::optional(state_->sets.rule_ids()[id])
                                                      : std::nullopt;
}

std::vector<std::pair<uint32_t, RuleIdentity>> Engine::Rules() const {
  std::vector<std::pair<uint32_t, RuleIdentity>> result;
  const Interned<RuleIdentity>& rule_ids = state_->sets.rule_ids();
  for (uint32_t id = 1; id < rule_ids.bound(); ++id) {
    if (rule_ids.known(id)) result.emplace_back(id, rule_ids[id]);
  }
  return result;
}

}  // namespace ripstop::policy
