// SPDX-License-Identifier: Apache-2.0
#include "policy/classes/facts.h"

#include <algorithm>
#include <utility>

#include "policy/selector_cache.h"

namespace ripstop::policy {
namespace {

template <typename Set>
void Toggle(Set& set, uint32_t id, bool add) {
  if (add) {
    set.insert(id);
  } else {
    set.erase(id);
  }
}

}  // namespace

bool Facts::IsTrue(const Predicate& p, const Selector* selector, const Atom& a) const {
  switch (p.kind) {
    case Predicate::Kind::kSelector:
      return a.kind == Atom::Kind::kOwner && selector->Matches(a.labels);
    case Predicate::Kind::kCidr: return a.kind == Atom::Kind::kCidr && a.cidr == p.cidr;
    case Predicate::Kind::kService: return a.kind == Atom::Kind::kService && a.service == p.service;
    case Predicate::Kind::kServicePort:
      return a.kind == Atom::Kind::kService && a.service == p.service &&
             std::binary_search(a.service_ports.begin(), a.service_ports.end(), p.port);
    case Predicate::Kind::kNamedPort:
      return std::binary_search(a.ports.begin(), a.ports.end(),
                                NamedPort{p.text, p.port.protocol, p.port.port});
    case Predicate::Kind::kDisputed: return a.kind == Atom::Kind::kDisputed;
    case Predicate::Kind::kNodes: return a.kind == Atom::Kind::kNode && selector->Matches(a.labels);
  }
  return false;
}

uint32_t Facts::InternAtom(const Atom& atom) {
  const uint32_t id = atoms_.Intern(atom);
  if (atoms_.TakeFresh().empty()) return id;
  if (true_.size() <= id) true_.resize(id + 1);
  true_[id].clear();
  Index(id, true);
  Answer(id);
  return id;
}

void Facts::UnrefAtom(uint32_t id) {
  if (!atoms_.Unref(id)) return;
  for (const uint32_t p : true_[id]) atoms_of_[p].erase(id);
  true_[id].clear();
  Index(id, false);
  atoms_.Forget(id);
  atoms_.Release(id);
}

void Facts::Index(uint32_t id, bool add) {
  const Atom& a = atoms_[id];
  if (a.kind == Atom::Kind::kService) {
    Toggle(services_[a.service], id, add);
  }
  if (a.kind == Atom::Kind::kNode) Toggle(nodes_, id, add);
  if (a.kind != Atom::Kind::kOwner) return;
  Toggle(owners_, id, add);
  for (const auto& [key, value] : a.labels) {
    if (const auto name = IndexName(key)) Toggle(owners_by_label_[*name][value], id, add);
  }
  for (const NamedPort& p : a.ports) {
    std::map<ServicePort, Ids>& numbers = named_ports_[p.name];
    const ServicePort number{p.protocol, p.port};
    Ids& ids = numbers[number];
    Toggle(ids, id, add);
    if (ids.empty()) numbers.erase(number);
  }
}

void Facts::Answer(uint32_t id) {
  const Atom& a = atoms_[id];
  Ids candidates;
  const auto consider = [&](const Predicate& p) {
    if (const auto known = predicates_.Find(p)) candidates.insert(*known);
  };
  if (a.kind == Atom::Kind::kOwner) {
    candidates = selectors_unkeyed_;
    for (const auto& [key, value] : a.labels) {
      const auto name = IndexName(key);
      if (!name) continue;
      if (const auto it = selectors_by_key_.find(*name); it != selectors_by_key_.end()) {
        candidates.insert(it->second.begin(), it->second.end());
      }
      if (const auto it = selectors_by_label_.find(*name); it != selectors_by_label_.end()) {
        if (const auto v = it->second.find(value); v != it->second.end()) {
          candidates.insert(v->second.begin(), v->second.end());
        }
      }
    }
    for (const NamedPort& p : a.ports) {
      consider({Predicate::Kind::kNamedPort, p.name, {}, {}, {p.protocol, p.port}});
    }
  } else if (a.kind == Atom::Kind::kCidr) {
    consider({Predicate::Kind::kCidr, "", a.cidr, {}, {}});
  } else if (a.kind == Atom::Kind::kDisputed) {
    consider({Predicate::Kind::kDisputed, "", {}, {}, {}});
  } else if (a.kind == Atom::Kind::kNode) {
    candidates = node_selectors_;
  } else {
    consider({Predicate::Kind::kService, "", {}, a.service, {}});
    for (const ServicePort& p : a.service_ports) {
      consider({Predicate::Kind::kServicePort, "", {}, a.service, p});
    }
  }
  for (const uint32_t p : candidates) {
    const auto active = atoms_of_.find(p);
    if (active == atoms_of_.end()) continue;
    const auto selector = selectors_.find(p);
    if (!IsTrue(predicates_[p], selector == selectors_.end() ? nullptr : &selector->second, a))
      continue;
    true_[id].push_back(p);
    active->second.insert(id);
  }
  std::sort(true_[id].begin(), true_[id].end());
}

uint32_t Facts::InternSelector(const Selector& selector, Predicate::Kind kind) {
  const uint32_t id = predicates_.Intern({kind, selector.Canonical(), {}, {}, {}});
  if (!atoms_of_.contains(id)) parsed_.insert_or_assign(id, selector);
  return id;
}

// For as long as its predicate is active.
const Selector* Facts::KeepParsed(uint32_t id) {
  const std::string& text = predicates_[id].text;
  absl::StatusOr<Selector> parsed = absl::NotFoundError("");
  // The number may have been another's when it was parsed.
  if (const auto it = parsed_.find(id); it != parsed_.end() && it->second.Canonical() == text) {
    parsed = it->second;
  }
  parsed_.erase(id);
  // Canonical text always parses; all() would be the wrong way to fail.
  if (!parsed.ok()) parsed = Selector::Parse(text);
  if (!parsed.ok()) parsed = Selector::Parse("!all()");
  return &selectors_.insert_or_assign(id, *std::move(parsed)).first->second;
}

std::vector<uint32_t> Facts::Activate(uint32_t id) {
  const Predicate& p = predicates_[id];
  Ids candidates;
  const Selector* selector = nullptr;
  switch (p.kind) {
    case Predicate::Kind::kSelector: {
      selector = KeepParsed(id);
      const auto key = IndexKey(*selector);
      if (!key) {
        selectors_unkeyed_.insert(id);
        candidates = owners_;
        break;
      }
      const auto& by_value = owners_by_label_[key->first];
      if (key->second.any_value) {
        selectors_by_key_[key->first].insert(id);
        for (const auto& [value, ids] : by_value) candidates.insert(ids.begin(), ids.end());
      }
      for (const std::string& value : key->second.values) {
        selectors_by_label_[key->first][value].insert(id);
        const auto it = by_value.find(value);
        if (it != by_value.end()) candidates.insert(it->second.begin(), it->second.end());
      }
      break;
    }
    case Predicate::Kind::kCidr:
      if (const auto atom = atoms_.Find({Atom::Kind::kCidr, {}, {}, p.cidr, {}, {}}))
        candidates.insert(*atom);
      break;
    case Predicate::Kind::kDisputed:
      if (const auto atom = atoms_.Find({Atom::Kind::kDisputed, {}, {}, {}, {}, {}}))
        candidates.insert(*atom);
      break;
    case Predicate::Kind::kNodes:
      selector = KeepParsed(id);
      node_selectors_.insert(id);
      candidates = nodes_;
      break;
    case Predicate::Kind::kService:
    case Predicate::Kind::kServicePort:
      if (const auto it = services_.find(p.service); it != services_.end()) candidates = it->second;
      break;
    case Predicate::Kind::kNamedPort:
      if (const auto it = named_ports_.find(p.text); it != named_ports_.end()) {
        if (const auto ids = it->second.find(p.port); ids != it->second.end())
          candidates = ids->second;
      }
      break;
  }
  std::vector<uint32_t> result;
  for (const uint32_t atom : candidates) {
    if (!IsTrue(p, selector, atoms_[atom])) continue;
    result.push_back(atom);
    true_[atom].insert(std::lower_bound(true_[atom].begin(), true_[atom].end(), id), id);
  }
  std::sort(result.begin(), result.end());
  atoms_of_[id] = Ids(result.begin(), result.end());
  return result;
}

void Facts::Deactivate(uint32_t id) {
  for (const uint32_t atom : atoms_of_[id]) {
    true_[atom].erase(std::lower_bound(true_[atom].begin(), true_[atom].end(), id));
  }
  atoms_of_.erase(id);
  const auto selector = selectors_.find(id);
  if (selector == selectors_.end()) return;
  if (node_selectors_.erase(id) > 0) {
    // In no other index.
  } else if (const auto key = IndexKey(selector->second)) {
    if (key->second.any_value) selectors_by_key_[key->first].erase(id);
    for (const std::string& value : key->second.values)
      selectors_by_label_[key->first][value].erase(id);
  } else {
    selectors_unkeyed_.erase(id);
  }
  selectors_.erase(selector);
}

void Facts::Announce(uint32_t id, int change) {
  const auto count = [&](std::map<ServicePort, int>& ports, const ServicePort& p) {
    const int now = ports[p] += change;
    if (now == 0) ports.erase(p);
    return now == 0 || (now == 1 && change > 0);
  };
  const Atom& a = atoms_[id];
  for (const NamedPort& p : a.ports) {
    if (count(announced_names_[p.name], {p.protocol, p.port})) changed_names_.insert(p.name);
  }
  for (const ServicePort& p : a.service_ports) {
    if (count(announced_services_[a.service], p)) changed_services_.insert(a.service);
  }
}

namespace {

template <typename Map, typename Key>
std::set<ServicePort> KeysAt(const Map& map, const Key& key) {
  std::set<ServicePort> ports;
  if (const auto it = map.find(key); it != map.end()) {
    for (const auto& [port, count] : it->second) ports.insert(port);
  }
  return ports;
}

}  // namespace

std::set<ServicePort> Facts::PortsNamed(const std::string& name) const {
  return KeysAt(announced_names_, name);
}
std::set<ServicePort> Facts::PortsOf(const ServiceName& service) const {
  return KeysAt(announced_services_, service);
}
std::set<std::string> Facts::TakeChangedNames() { return std::exchange(changed_names_, {}); }
std::set<ServiceName> Facts::TakeChangedServices() { return std::exchange(changed_services_, {}); }

}  // namespace ripstop::policy
