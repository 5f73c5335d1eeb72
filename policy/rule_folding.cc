// SPDX-License-Identifier: Apache-2.0
#include "policy/rule_folding.h"

#include <algorithm>

namespace ripstop::policy {
namespace {

// One way in which the far side of a rule can match: a conjunction over the far address
// and the port that belongs to it. Terms that tie a port to an address (named ports,
// services) split a rule into several of these; all stand in place of the rule.
struct Alternative {
  std::vector<std::vector<uint32_t>> any_of;
  std::vector<uint32_t> none_of;
  L4Set l4 = L4Set::All();  // destination for egress, source for ingress
};

// A port list: numbers that hold for any address, and points that hold for addresses of
// which a predicate is true.
struct PortTerm {
  L4Set numbers = L4Set::None();
  std::map<ServicePort, std::vector<uint32_t>> points;
};

std::vector<Alternative> Require(const std::vector<Alternative>& from, const PortTerm& term) {
  std::vector<Alternative> result;
  for (const Alternative& a : from) {
    Alternative plain = a;
    plain.l4 = a.l4.And(term.numbers);
    if (!plain.l4.empty()) result.push_back(std::move(plain));
    for (const auto& [port, predicates] : term.points) {
      Alternative named = a;
      named.l4 = a.l4.And(L4Set::OfPort(port.protocol, port.port)).And(term.numbers.Not());
      if (named.l4.empty()) continue;
      named.any_of.push_back(predicates);
      result.push_back(std::move(named));
    }
  }
  return result;
}

std::vector<Alternative> Exclude(const std::vector<Alternative>& from, const PortTerm& term) {
  std::vector<Alternative> result;
  L4Set points = L4Set::None();
  for (const auto& [port, predicates] : term.points) {
    points = points.Or(L4Set::OfPort(port.protocol, port.port));
  }
  for (const Alternative& a : from) {
    const L4Set left = a.l4.And(term.numbers.Not());
    Alternative plain = a;
    plain.l4 = left.And(points.Not());
    if (!plain.l4.empty()) result.push_back(std::move(plain));
    for (const auto& [port, predicates] : term.points) {
      Alternative named = a;
      named.l4 = left.And(L4Set::OfPort(port.protocol, port.port));
      if (named.l4.empty()) continue;
      named.none_of.insert(named.none_of.end(), predicates.begin(), predicates.end());
      result.push_back(std::move(named));
    }
  }
  return result;
}

void SortUnique(std::vector<uint32_t>& v) {
  std::sort(v.begin(), v.end());
  v.erase(std::unique(v.begin(), v.end()), v.end());
}

bool InNets(const std::vector<Cidr>& nets, const Address& address) {
  return std::any_of(nets.begin(), nets.end(), [&](const Cidr& c) { return c.Contains(address); });
}

}  // namespace

class RuleFolder::Folding {
 public:
  Folding(RuleFolder& folder, const NearSide& near, Direction direction)
      : folder_(folder), near_(near), direction_(direction) {}

  // Appends the rule; true when it matches everything, so that what follows it in its
  // tier can never be reached.
  bool Append(const Rule& rule, uint32_t rule_id) {
    const bool ingress = direction_ == Direction::kIngress;
    const EntityMatch& near = ingress ? rule.destination : rule.source;
    const EntityMatch& far = ingress ? rule.source : rule.destination;
    if (rule.ip_version && (*rule.ip_version == 4) != near_.address.is_v4()) return false;

    L4Set l4 = L4Set::All();
    if (rule.protocol) l4 = l4.And(L4Set::OfProtocol(*rule.protocol));
    if (rule.not_protocol) l4 = l4.And(L4Set::OfProtocol(*rule.not_protocol).Not());
    if (rule.icmp) l4 = l4.And(L4Set::OfIcmp(*rule.icmp));
    if (rule.not_icmp) l4 = l4.And(L4Set::OfIcmp(*rule.not_icmp).Not());
    L4Set near_l4 = L4Set::All();
    if (!NearMatches(near, rule.action, near_l4)) return false;

    Alternative start;
    if (!FarAddress(far, rule.action, start)) return false;
    // The far port is the destination for egress; then protocol and port restrict the
    // same index and most alternatives vanish at once. A source condition says nothing
    // among packets without ports (L4Classes), so only a protocol that has them narrows it.
    if (!ingress) {
      start.l4 = l4;
    } else if (rule.protocol && HasPorts(*rule.protocol) && (far.ports || far.not_ports)) {
      start.l4 = L4Set::OfProtocol(*rule.protocol);
    }
    std::vector<Alternative> ways = {std::move(start)};
    if (far.ports) ways = Require(ways, FarPorts(*far.ports));
    if (far.service && !ingress) ways = Require(ways, FarService(*far.service));
    if (far.not_ports) ways = Exclude(ways, FarPorts(*far.not_ports));

    bool everything = false;
    for (Alternative& way : ways) {
      FlatRule flat;
      const L4Set destination = ingress ? l4.And(near_l4) : way.l4;
      const L4Set source = ingress ? way.l4 : near_l4;
      if (destination.empty() || source.empty()) continue;
      flat.any_of = std::move(way.any_of);
      flat.none_of = std::move(way.none_of);
      for (auto& clause : flat.any_of) SortUnique(clause);
      std::sort(flat.any_of.begin(), flat.any_of.end());
      flat.any_of.erase(std::unique(flat.any_of.begin(), flat.any_of.end()), flat.any_of.end());
      SortUnique(flat.none_of);
      flat.l4 = Number(destination);
      // Within a protocol that has ports, the whole protocol is no condition.
      flat.source_l4 = ingress && rule.protocol && source == L4Set::OfProtocol(*rule.protocol) ? 0 : Number(source);
      flat.action = rule.action;
      flat.rule_id = rule_id;
      everything |= flat.any_of.empty() && flat.none_of.empty() && flat.l4 == 0 && flat.source_l4 == 0;
      result_.rules.push_back(std::move(flat));
    }
    return everything && rule.action != Action::kLog;
  }

  // From `first` on, Pass rules go on at the end of the list so far.
  void PassToHere(size_t first) {
    for (size_t i = first; i < result_.rules.size(); ++i) {
      if (result_.rules[i].action == Action::kPass) {
        result_.rules[i].pass_to = static_cast<uint32_t>(result_.rules.size());
      }
    }
  }

  Result Take() { return std::move(result_); }
  size_t size() const { return result_.rules.size(); }

 private:
  uint32_t Number(const L4Set& set) { return set.is_all() ? 0 : folder_.l4_sets_->Intern(set); }

  bool NearMatches(const EntityMatch& m, Action action, L4Set& l4) {
    if (m.nets && !InNets(*m.nets, near_.address)) return false;
    if (InNets(m.not_nets, near_.address)) return false;
    if (m.selector && !NearPicks(*m.selector, false, action)) return false;
    if (m.not_selector && !NearPicks(*m.not_selector, true, action)) return false;
    if (m.service) {
      const auto backend = near_.services.find(*m.service);
      if (backend == near_.services.end()) return false;
      if (direction_ == Direction::kIngress) {
        L4Set ports = L4Set::None();
        for (const ServicePort& p : backend->second) ports = ports.Or(L4Set::OfPort(p.protocol, p.port));
        l4 = l4.And(ports);
      }
    }
    if (m.ports) l4 = l4.And(NearPorts(*m.ports));
    if (m.not_ports) l4 = l4.And(NearPorts(*m.not_ports).Not());
    return !l4.empty();
  }

  bool NearPicks(const std::string& text, bool negated, Action action) {
    const std::optional<Selector>& selector = folder_.selectors_->Get(text);
    if (!selector) return action == Action::kDeny || action == Action::kPass;
    const bool any = std::any_of(near_.owners.begin(), near_.owners.end(),
                                 [&](const Labels* labels) { return selector->Matches(*labels); });
    return any != negated;
  }

  L4Set NearPorts(const PortMatch& match) {
    L4Set set = L4Set::OfRanges(match.ranges);
    for (const NamedPort& p : near_.ports) {
      if (std::find(match.names.begin(), match.names.end(), p.name) != match.names.end()) {
        set = set.Or(L4Set::OfPort(p.protocol, p.port));
      }
    }
    return set;
  }

  bool FarAddress(const EntityMatch& m, Action action, Alternative& out) {
    const auto cidr = [&](const Cidr& c) {
      return folder_.facts_->predicates().Intern({Predicate::Kind::kCidr, "", c, {}, {}});
    };
    if (m.nets) {
      std::vector<uint32_t> clause;
      for (const Cidr& c : *m.nets) clause.push_back(cidr(c));
      if (clause.empty()) return false;
      out.any_of.push_back(std::move(clause));
    }
    for (const Cidr& c : m.not_nets) out.none_of.push_back(cidr(c));
    for (const bool negated : {false, true}) {
      const std::optional<std::string>& text = negated ? m.not_selector : m.selector;
      if (!text) continue;
      const std::optional<Selector>& selector = folder_.selectors_->Get(*text);
      if (!selector) {
        // Invalid: never widens. Deny and Pass leave the question out.
        if (action == Action::kAllow || action == Action::kLog) return false;
        continue;
      }
      const uint32_t predicate = folder_.facts_->predicates().Intern(
          {Predicate::Kind::kSelector, selector->Canonical(), {}, {}, {}});
      if (negated) {
        out.none_of.push_back(predicate);
      } else {
        out.any_of.push_back({predicate});
      }
    }
    if (m.service && direction_ == Direction::kIngress) {
      out.any_of.push_back({folder_.facts_->predicates().Intern(
          {Predicate::Kind::kService, "", {}, *m.service, {}})});
    }
    return true;
  }

  PortTerm FarPorts(const PortMatch& match) {
    PortTerm term;
    term.numbers = L4Set::OfRanges(match.ranges);
    for (const std::string& name : match.names) {
      result_.names.insert(name);
      for (const ServicePort& p : folder_.facts_->PortsNamed(name)) {
        term.points[p].push_back(folder_.facts_->predicates().Intern(
            {Predicate::Kind::kNamedPort, name, {}, {}, p}));
      }
    }
    return term;
  }

  PortTerm FarService(const ServiceName& service) {
    PortTerm term;
    result_.services.insert(service);
    for (const ServicePort& p : folder_.facts_->PortsOf(service)) {
      term.points[p].push_back(folder_.facts_->predicates().Intern(
          {Predicate::Kind::kServicePort, "", {}, service, p}));
    }
    return term;
  }

  RuleFolder& folder_;
  const NearSide& near_;
  const Direction direction_;
  Result result_;
};

RuleFolder::Result RuleFolder::Fold(const std::vector<PolicyIndex::TierPolicies>& tiers,
                                    const std::vector<const Profile*>& profiles,
                                    const NearSide& near, Direction direction) {
  using Kind = RuleIdentity::Kind;
  const bool ingress = direction == Direction::kIngress;
  Folding folding(*this, near, direction);
  Rule deny_all;

  for (const auto& [tier, policies] : tiers) {
    const size_t first = folding.size();
    bool closed = false;
    for (const Policy* p : policies) {
      const std::vector<Rule>& rules = ingress ? p->ingress_rules : p->egress_rules;
      for (size_t i = 0; i < rules.size() && !closed; ++i) {
        const bool decides = rules[i].action == Action::kAllow || rules[i].action == Action::kDeny;
        const uint32_t id = !decides ? 0
                                     : rule_ids_->Intern({Kind::kRule, tier.name, p->key, "", direction,
                                                          static_cast<int>(i), rules[i].name});
        closed = folding.Append(rules[i], id);
      }
      if (closed) break;
    }
    if (!closed && tier.default_action != Action::kPass) {
      folding.Append(deny_all, rule_ids_->Intern({Kind::kTierDefault, tier.name, policies.back()->key,
                                                  "", direction, -1, ""}));
    }
    folding.PassToHere(first);
  }

  for (const Profile* profile : profiles) {
    if (profile == nullptr) break;
    const std::vector<Rule>& rules = ingress ? profile->ingress_rules : profile->egress_rules;
    for (size_t i = 0; i < rules.size(); ++i) {
      Rule rule = rules[i];
      uint32_t id = 0;
      if (rule.action != Action::kLog) {
        id = rule_ids_->Intern({Kind::kProfile, "", {}, profile->name, direction, static_cast<int>(i), rule.name});
        // There is no next tier to pass to. An invalid selector must narrow a Pass as
        // it would the Deny it becomes, so the order of these two lines is free.
        if (rule.action == Action::kPass) rule.action = Action::kDeny;
      }
      if (folding.Append(rule, id)) break;
    }
  }
  folding.Append(deny_all, rule_ids_->Intern({Kind::kNoProfile, "", {}, "", direction, -1, ""}));
  return folding.Take();
}

}  // namespace ripstop::policy
