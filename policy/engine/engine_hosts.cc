// SPDX-License-Identifier: Apache-2.0
//
// Host endpoints. The expected addresses belong to an endpoint record of their own, which
// is a peer as any other; the policy sets, one per group and direction, hang on
// interfaces, and one write switches all of an interface's sets.
#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "policy/engine/engine_state.h"

namespace ripstop::policy {
namespace {

static_assert(static_cast<int>(HostGroup::kUntracked) == HOST_UNTRACKED &&
              static_cast<int>(HostGroup::kPreDnat) == HOST_PRE_DNAT &&
              static_cast<int>(HostGroup::kForward) == HOST_FORWARD &&
              static_cast<int>(HostGroup::kNormal) == HOST_NORMAL && kHostGroups == HOST_GROUPS);

// Apart from workloads, whose ids are namespace/name.
std::string OwnerId(std::string_view id) { return absl::StrCat("host endpoint ", std::string(id)); }

uint32_t& HandleIn(host_sets& sets, int group, int direction) {
  return direction == static_cast<int>(Direction::kIngress) ? sets.ingress[group]
                                                            : sets.egress[group];
}

bool Same(const host_sets& a, const host_sets& b) { return std::memcmp(&a, &b, sizeof(a)) == 0; }

}  // namespace

void Engine::PutHostEndpoint(const HostEndpoint& e) {
  State& s = *state_;
  const auto known = s.host_endpoints.find(e.id);
  if (known != s.host_endpoints.end() && known->second.input == e) return;
  const std::string owner = OwnerId(e.id);
  PutEndpoint({owner, e.labels, e.profiles, e.expected_addresses, e.ports, {}, true});
  HostEndpointRecord& record = s.host_endpoints[e.id];
  record.input = e;
  record.owner = s.endpoints.Find(owner);
  record.owner->host = true;
  s.refold.insert(record.owner);
}

void Engine::RemoveHostEndpoint(std::string_view id) {
  State& s = *state_;
  const auto it = s.host_endpoints.find(std::string(id));
  if (it == s.host_endpoints.end()) return;
  s.UnwantAll(it->second);
  s.host_endpoints.erase(it);
  RemoveEndpoint(OwnerId(id));
}

void Engine::SetFailsafePorts(const FailsafePorts& ports) {
  if (state_->failsafe == ports) return;
  state_->failsafe = ports;
  for (auto& [id, h] : state_->host_endpoints) state_->refold.insert(h.owner);
}

void Engine::State::UnwantAll(HostEndpointRecord& record) {
  for (auto& group : record.wanted) {
    for (SetRecord*& wanted : group) Unwant(wanted);
  }
}

void Engine::State::FoldHosts(const std::set<std::string>& names,
                              const std::set<ServiceName>& services) {
  const auto any = [](const auto& used, const auto& changed) {
    return std::any_of(used.begin(), used.end(),
                       [&](const auto& x) { return changed.contains(x); });
  };
  for (auto& [id, h] : host_endpoints) {
    if (refold.contains(h.owner) || any(h.names, names) || any(h.services_folded, services)) {
      FoldHost(h);
    }
  }
}

void Engine::State::FoldHost(HostEndpointRecord& record) {
  record.names.clear();
  record.services_folded.clear();
  if (record.input.interfaces.empty()) return UnwantAll(record);
  const std::vector<const Profile*> own_profiles = ProfilesOf(*record.owner);
  const Labels& labels = sources.LabelsOf(record.owner->source);
  for (int g = 0; g < kHostGroups; ++g) {
    const HostGroup group = static_cast<HostGroup>(g);
    for (const Direction direction : {Direction::kIngress, Direction::kEgress}) {
      if (group == HostGroup::kPreDnat && direction == Direction::kEgress) continue;
      auto folded = folder.FoldHost(policies.Applicable(labels, direction, group), own_profiles,
                                    failsafe, group, direction);
      record.names.merge(folded.names);
      record.services_folded.merge(folded.services);
      Want(record.wanted[g][static_cast<int>(direction)], direction, std::move(folded.rules));
    }
  }
}

// Of two host endpoints with one interface the first by id has it.
std::map<uint32_t, HostEndpointRecord*> Engine::State::HostInterfaces() {
  std::map<uint32_t, HostEndpointRecord*> result;
  for (auto& [id, h] : host_endpoints) {
    for (const uint32_t interface : h.input.interfaces) result.try_emplace(interface, &h);
  }
  return result;
}

host_sets Engine::State::HostSetsOf(const HostEndpointRecord& record) const {
  host_sets sets = {};
  for (int g = 0; g < kHostGroups; ++g) {
    for (int d = 0; d < 2; ++d) HandleIn(sets, g, d) = HandleOf(record.wanted[g][d]);
  }
  return sets;
}

bool Engine::State::PlanHosts(Leavers& leavers, std::set<SetRecord*>& targets) {
  bool change = false;
  const auto switches = [&](host_sets now, host_sets then) {
    if (Same(now, then)) return;
    change = true;
    for (int g = 0; g < kHostGroups; ++g) {
      for (int d = 0; d < 2; ++d) {
        const uint32_t from = HandleIn(now, g, d), to = HandleIn(then, g, d);
        if (from == to) continue;
        if (SetRecord* left = sets.Published(from)) leavers[left].push_back(nullptr);
        if (SetRecord* target = sets.Published(to)) targets.insert(target);
      }
    }
  };
  // An interface without an entry of its own has that of "any", before and after.
  const std::map<uint32_t, HostEndpointRecord*> wanted = HostInterfaces();
  std::set<uint32_t> interfaces = {kAnyInterface};
  for (const auto& [interface, sets] : host_written) interfaces.insert(interface);
  for (const auto& [interface, record] : wanted) interfaces.insert(interface);
  for (const uint32_t interface : interfaces) {
    auto now = host_written.find(interface);
    if (now == host_written.end()) now = host_written.find(kAnyInterface);
    auto then = wanted.find(interface);
    if (then == wanted.end()) then = wanted.find(kAnyInterface);
    switches(now == host_written.end() ? host_sets{} : now->second,
             then == wanted.end() ? host_sets{} : HostSetsOf(*then->second));
  }
  return change;
}

void Engine::State::RedirectHosts(const std::map<SetRecord*, SetRecord*>& copies,
                                  const std::set<SetRecord*>& renewed) {
  for (auto& [interface, record] : HostInterfaces()) {
    const auto written = host_written.find(interface);
    for (int g = 0; g < kHostGroups; ++g) {
      for (int d = 0; d < 2; ++d) {
        const auto copy = copies.find(record->wanted[g][d]);
        if (copy == copies.end()) continue;
        const bool stays = written != host_written.end() &&
                           HandleIn(written->second, g, d) == HandleOf(copy->first);
        if (stays && !renewed.contains(copy->first)) continue;
        record->wanted[g][d] = sets.UseInstead(copy->first, copy->second);
      }
    }
  }
}

// Interfaces by name first, then "any", then what goes: the entry that begins to answer
// for an interface is already final.
void Engine::State::WriteHosts() {
  const std::map<uint32_t, HostEndpointRecord*> wanted = HostInterfaces();
  const auto write = [&](uint32_t interface, const HostEndpointRecord& record) {
    const host_sets sets = HostSetsOf(record);
    const auto [it, fresh] = host_written.try_emplace(interface, sets);
    if (!fresh && Same(it->second, sets)) return;
    it->second = sets;
    out.push_back(SetHostSets{interface, sets});
  };
  for (const auto& [interface, record] : wanted) {
    if (interface != kAnyInterface) write(interface, *record);
  }
  if (const auto any = wanted.find(kAnyInterface); any != wanted.end())
    write(kAnyInterface, *any->second);
  // kAnyInterface is the least of all, so it goes first.
  for (auto it = host_written.begin(); it != host_written.end();) {
    if (wanted.contains(it->first)) {
      ++it;
      continue;
    }
    out.push_back(RemoveHostSets{it->first});
    it = host_written.erase(it);
  }
}

}  // namespace ripstop::policy
