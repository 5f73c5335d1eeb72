// SPDX-License-Identifier: Apache-2.0
#include "policy/rules/rule_flattening.h"

#include <algorithm>

#include "policy/base/sort_unique.h"

namespace ripstop::policy {
namespace {

bool InNets(const std::vector<Cidr>& nets, const Address& address) {
  return std::any_of(nets.begin(), nets.end(), [&](const Cidr& c) { return c.Contains(address); });
}

}  // namespace

// Appends the rule; true when it matches everything, so that what follows it in its
// tier can never be reached.
bool RuleFlattener::Append(const Rule& rule, uint32_t rule_id) {
  Alternative start;
  L4Set& l4 = start.destination.l4;
  if (rule.protocol) l4 = l4.And(L4Set::OfProtocol(*rule.protocol));
  if (rule.not_protocol) l4 = l4.And(L4Set::OfProtocol(*rule.not_protocol).Not());
  if (rule.icmp) l4 = l4.And(L4Set::OfIcmp(*rule.icmp));
  if (rule.not_icmp) l4 = l4.And(L4Set::OfIcmp(*rule.not_icmp).Not());
  // A source condition says nothing among packets without ports (L4Classes), so only a
  // protocol that has them narrows it.
  const bool with_ports = rule.protocol && HasPorts(*rule.protocol);
  if (with_ports && (rule.source.ports || rule.source.not_ports)) {
    start.source.l4 = L4Set::OfProtocol(*rule.protocol);
  }
  if (rule.ip_version && !OfVersion(*rule.ip_version, start)) return false;

  std::vector<Alternative> ways = {std::move(start)};
  for (const bool source : {true, false}) {
    const EntityMatch& m = source ? rule.source : rule.destination;
    const Side side = source ? &Alternative::source : &Alternative::destination;
    if (IsNear(source)) {
      if (!NearMatches(m, rule.action, (ways[0].*side).l4)) return false;
      continue;
    }
    if (!AddressTerms(m, source, rule.action, ways[0].*side)) return false;
  }
  // Ports last: they multiply the ways.
  for (const bool source : {true, false}) {
    const EntityMatch& m = source ? rule.source : rule.destination;
    const Side side = source ? &Alternative::source : &Alternative::destination;
    if (IsNear(source)) continue;
    if (m.ports) ways = Require(ways, side, Ports(*m.ports));
    if (m.service && !source) ways = Require(ways, side, PortsOfService(*m.service));
    if (m.not_ports) ways = Exclude(ways, side, Ports(*m.not_ports));
  }

  bool everything = false;
  for (Alternative& way : ways) {
    if (way.destination.l4.empty() || way.source.l4.empty()) continue;
    // Within a protocol that has ports, the whole protocol is no condition.
    if (with_ports && way.source.l4 == L4Set::OfProtocol(*rule.protocol))
      way.source.l4 = L4Set::All();
    everything |= AppendFlat(std::move(way), rule.action, rule_id);
  }
  return everything && rule.action != Action::kLog;
}

void RuleFlattener::DenyDisputed(uint32_t rule_id) {
  Alternative way;
  SideTerms& far = direction_ == Direction::kIngress ? way.source : way.destination;
  far.any_of.push_back({facts_->predicates().Intern({Predicate::Kind::kDisputed, "", {}, {}, {}})});
  AppendFlat(std::move(way), Action::kDeny, rule_id);
}

void RuleFlattener::LeaveToNextGroup(uint32_t rule_id) {
  Append(Rule{}, rule_id);
  result_.rules.back().next_group = true;
}

// From `first` on, Pass rules go on at the end of the list so far.
void RuleFlattener::PassToHere(size_t first) {
  for (size_t i = first; i < result_.rules.size(); ++i) {
    if (result_.rules[i].action == Action::kPass) {
      result_.rules[i].pass_to = static_cast<uint32_t>(result_.rules.size());
    }
  }
}

// True when the flat rule matches everything.
bool RuleFlattener::AppendFlat(Alternative way, Action action, uint32_t rule_id) {
  FlatRule flat;
  const bool ingress = direction_ == Direction::kIngress;
  SideTerms& far = ingress ? way.source : way.destination;
  SideTerms& near = ingress ? way.destination : way.source;
  for (SideTerms* side : {&far, &near}) {
    for (auto& clause : side->any_of) SortUnique(clause);
    std::sort(side->any_of.begin(), side->any_of.end());
    side->any_of.erase(std::unique(side->any_of.begin(), side->any_of.end()), side->any_of.end());
    SortUnique(side->none_of);
  }
  flat.l4 = Number(way.destination.l4);
  flat.source_l4 = Number(way.source.l4);
  flat.any_of = std::move(far.any_of);
  flat.none_of = std::move(far.none_of);
  flat.near_any_of = std::move(near.any_of);
  flat.near_none_of = std::move(near.none_of);
  flat.action = action;
  flat.rule_id = rule_id;
  result_.rules.push_back(flat);
  return flat.any_of.empty() && flat.none_of.empty() && flat.near_any_of.empty() &&
         flat.near_none_of.empty() && flat.l4 == 0 && flat.source_l4 == 0;
}

// Both addresses of a packet are of one family, so one side tells.
bool RuleFlattener::OfVersion(int version, Alternative& out) {
  if (near_ != nullptr) return (version == 4) == near_->address.is_v4();
  const uint32_t v4 = CidrPredicate(Cidr::Of(Address::FromV4(0), 96));
  if (version == 4) {
    out.source.any_of.push_back({v4});
  } else {
    out.source.none_of.push_back(v4);
  }
  return true;
}

bool RuleFlattener::NearMatches(const EntityMatch& m, Action action, L4Set& l4) {
  if (m.nets && !InNets(*m.nets, near_->address)) return false;
  if (InNets(m.not_nets, near_->address)) return false;
  if (m.selector && !NearPicks(*m.selector, near_->owners, false, action)) return false;
  if (m.not_selector && !NearPicks(*m.not_selector, near_->owners, true, action)) return false;
  if (m.nodes && !NearPicks(*m.nodes, near_->nodes, false, action)) return false;
  if (m.service) {
    const auto backend = near_->services.find(*m.service);
    if (backend == near_->services.end()) return false;
    if (direction_ == Direction::kIngress) {
      L4Set ports = L4Set::None();
      for (const ServicePort& p : backend->second)
        ports = ports.Or(L4Set::OfPort(p.protocol, p.port));
      l4 = l4.And(ports);
    }
  }
  if (m.ports) l4 = l4.And(NearPorts(*m.ports));
  if (m.not_ports) l4 = l4.And(NearPorts(*m.not_ports).Not());
  return !l4.empty();
}

bool RuleFlattener::NearPicks(const std::string& text, const std::vector<const Labels*>& candidates,
                              bool negated, Action action) {
  const std::optional<Selector>& selector = selectors_->Get(text);
  if (!selector) return action == Action::kDeny || action == Action::kPass;
  const bool any = std::any_of(candidates.begin(), candidates.end(),
                               [&](const Labels* labels) { return selector->Matches(*labels); });
  return any != negated;
}

L4Set RuleFlattener::NearPorts(const PortMatch& match) {
  L4Set set = L4Set::OfRanges(match.ranges);
  for (const NamedPort& p : near_->ports) {
    if (std::find(match.names.begin(), match.names.end(), p.name) != match.names.end()) {
      set = set.Or(L4Set::OfPort(p.protocol, p.port));
    }
  }
  return set;
}

bool RuleFlattener::AddressTerms(const EntityMatch& m, bool source, Action action, SideTerms& out) {
  if (m.nets) {
    std::vector<uint32_t> clause;
    for (const Cidr& c : *m.nets) clause.push_back(CidrPredicate(c));
    if (clause.empty()) return false;
    out.any_of.push_back(std::move(clause));
  }
  for (const Cidr& c : m.not_nets) out.none_of.push_back(CidrPredicate(c));
  struct Asked {
    const std::optional<std::string>& text;
    Predicate::Kind kind;
    bool negated;
  };
  for (const auto& [text, kind, negated] : {Asked{m.selector, Predicate::Kind::kSelector, false},
                                            Asked{m.not_selector, Predicate::Kind::kSelector, true},
                                            Asked{m.nodes, Predicate::Kind::kNodes, false}}) {
    if (!text) continue;
    const std::optional<Selector>& selector = selectors_->Get(*text);
    if (!selector) {
      // Invalid: never widens. Deny and Pass leave the question out.
      if (action == Action::kAllow || action == Action::kLog) return false;
      continue;
    }
    const uint32_t predicate = facts_->InternSelector(*selector, kind);
    if (negated) {
      out.none_of.push_back(predicate);
    } else {
      out.any_of.push_back({predicate});
    }
  }
  if (m.service && source) {
    out.any_of.push_back(
        {facts_->predicates().Intern({Predicate::Kind::kService, "", {}, *m.service, {}})});
  }
  return true;
}

PortTerm RuleFlattener::Ports(const PortMatch& match) {
  PortTerm term;
  term.numbers = L4Set::OfRanges(match.ranges);
  for (const std::string& name : match.names) {
    result_.names.insert(name);
    for (const ServicePort& p : facts_->PortsNamed(name)) {
      term.points[p].push_back(
          facts_->predicates().Intern({Predicate::Kind::kNamedPort, name, {}, {}, p}));
    }
  }
  return term;
}

PortTerm RuleFlattener::PortsOfService(const ServiceName& service) {
  PortTerm term;
  result_.services.insert(service);
  for (const ServicePort& p : facts_->PortsOf(service)) {
    term.points[p].push_back(
        facts_->predicates().Intern({Predicate::Kind::kServicePort, "", {}, service, p}));
  }
  return term;
}

uint32_t RuleFlattener::CidrPredicate(const Cidr& cidr) {
  return facts_->predicates().Intern({Predicate::Kind::kCidr, "", cidr, {}, {}});
}

}  // namespace ripstop::policy
