// SPDX-License-Identifier: Apache-2.0
#include "policy/reference.h"

#include <algorithm>
#include <vector>

namespace ripstop::policy {
namespace {

// One side of a packet and who owns it. An address may have several owners.
struct Side {
  Address address;
  uint16_t port = 0;
  std::vector<Labels> owners;        // endpoints and network sets
  std::vector<NamedPort> ports;      // of the endpoints that own the port
};

Side Describe(const World& world, const Address& address, uint16_t port) {
  Side side{address, port, {}, {}};
  for (const auto& [id, e] : world.endpoints) {
    if (!e.active || std::find(e.addresses.begin(), e.addresses.end(), address) == e.addresses.end())
      continue;
    side.owners.push_back(EffectiveLabels(e.labels, e.profiles, world.profiles));
    side.ports.insert(side.ports.end(), e.ports.begin(), e.ports.end());
  }
  for (const auto& [id, s] : world.network_sets) {
    if (std::any_of(s.nets.begin(), s.nets.end(), [&](const Cidr& c) { return c.Contains(address); }))
      side.owners.push_back(EffectiveLabels(s.labels, s.profiles, world.profiles));
  }
  return side;
}

bool InNets(const std::vector<Cidr>& nets, const Address& address) {
  return std::any_of(nets.begin(), nets.end(), [&](const Cidr& c) { return c.Contains(address); });
}

bool MatchesPorts(const PortMatch& match, const Side& side, uint8_t protocol) {
  if (!HasPorts(protocol)) return false;
  for (const PortRange& r : match.ranges) {
    if (r.first <= side.port && side.port <= r.last) return true;
  }
  for (const std::string& name : match.names) {
    for (const NamedPort& p : side.ports) {
      if (p.name == name && p.protocol == protocol && p.port == side.port) return true;
    }
  }
  return false;
}

bool MatchesService(const World& world, const ServiceName& service, const Side& side,
                    uint8_t protocol, bool and_port) {
  for (const auto& [key, b] : world.services) {
    if (key.first != service) continue;
    if (std::find(b.addresses.begin(), b.addresses.end(), side.address) == b.addresses.end()) continue;
    if (!and_port) return true;
    const ServicePort wanted{protocol, side.port};
    if (HasPorts(protocol) && std::find(b.ports.begin(), b.ports.end(), wanted) != b.ports.end())
      return true;
  }
  return false;
}

bool MatchesIcmp(const IcmpMatch& match, const Packet& packet) {
  return (packet.protocol == kProtocolIcmp || packet.protocol == kProtocolIcmpV6) &&
         (!match.type || *match.type == packet.icmp_type) &&
         (!match.code || *match.code == packet.icmp_code);
}

}  // namespace

// One evaluation: the packet's sides, described once.
struct Reference::Walk {
  Reference& reference;
  const World& world;
  const Packet& packet;
  Side source;
  Side destination;

  // An invalid selector never widens: it makes an Allow or a Log match nothing, and a
  // Deny or a Pass ask nothing.
  bool Picks(const std::string& text, const Side& side, bool negated, Action action) {
    const std::optional<Selector>& selector = reference.Parsed(text);
    if (!selector) return action == Action::kDeny || action == Action::kPass;
    const bool any = std::any_of(side.owners.begin(), side.owners.end(),
                                 [&](const Labels& labels) { return selector->Matches(labels); });
    return any != negated;
  }

  bool Matches(const EntityMatch& m, const Side& side, Action action) {
    const uint8_t protocol = packet.protocol;
    if (m.nets && !InNets(*m.nets, side.address)) return false;
    if (InNets(m.not_nets, side.address)) return false;
    if (m.selector && !Picks(*m.selector, side, false, action)) return false;
    if (m.not_selector && !Picks(*m.not_selector, side, true, action)) return false;
    if (m.service && !MatchesService(world, *m.service, side, protocol, &side == &destination))
      return false;
    if (m.ports && !MatchesPorts(*m.ports, side, protocol)) return false;
    if (m.not_ports && MatchesPorts(*m.not_ports, side, protocol)) return false;
    return true;
  }

  bool Matches(const Rule& r) {
    if (r.ip_version && (*r.ip_version == 4) != packet.source.is_v4()) return false;
    if (r.protocol && *r.protocol != packet.protocol) return false;
    if (r.not_protocol && *r.not_protocol == packet.protocol) return false;
    if (r.icmp && !MatchesIcmp(*r.icmp, packet)) return false;
    if (r.not_icmp && MatchesIcmp(*r.not_icmp, packet)) return false;
    return Matches(r.source, source, r.action) && Matches(r.destination, destination, r.action);
  }
};

const std::optional<Selector>& Reference::Parsed(const std::string& text) {
  const auto [it, fresh] = parsed_.try_emplace(text);
  if (fresh) {
    if (auto selector = Selector::Parse(text); selector.ok()) it->second = *std::move(selector);
  }
  return it->second;
}

std::optional<Verdict> Reference::Evaluate(const World& world, const Endpoint& local,
                                           Direction direction, const Packet& packet) {
  if (!local.active) return std::nullopt;
  Walk walk{*this, world, packet, Describe(world, packet.source, packet.source_port),
            Describe(world, packet.destination, packet.destination_port)};
  const bool ingress = direction == Direction::kIngress;
  // The near port is the local endpoint's own, whoever else claims its address.
  (ingress ? walk.destination : walk.source).ports = local.ports;

  // The policies that select the endpoint in this direction, by tier, in order.
  const Labels labels = EffectiveLabels(local.labels, local.profiles, world.profiles);
  std::map<std::string, std::vector<const Policy*>> by_tier;
  for (const auto& [key, p] : world.policies) {
    if (p.staged || p.pre_dnat || p.do_not_track || !(ingress ? p.ingress : p.egress)) continue;
    const std::optional<Selector>& selector = Parsed(p.selector);
    if (selector && selector->Matches(labels)) by_tier[p.tier].push_back(&p);
  }
  std::vector<Tier> tiers;
  for (auto& [name, policies] : by_tier) {
    std::sort(policies.begin(), policies.end(),
              [](const Policy* a, const Policy* b) { return PolicyBefore(*a, *b); });
    // A tier that nobody has defined comes last and denies at its end.
    Tier tier{name, std::nullopt, Action::kDeny};
    if (const auto it = BuiltInTiers().find(name); it != BuiltInTiers().end()) tier = it->second;
    if (const auto it = world.tiers.find(name); it != world.tiers.end()) tier = it->second;
    tiers.push_back(tier);
  }
  std::sort(tiers.begin(), tiers.end(), TierBefore);

  Verdict verdict;
  verdict.by.direction = direction;
  for (const Tier& tier : tiers) {
    bool passed = false;
    for (const Policy* p : by_tier[tier.name]) {
      const std::vector<Rule>& rules = ingress ? p->ingress_rules : p->egress_rules;
      verdict.by = {RuleIdentity::Kind::kTierDefault, tier.name, p->key, "", direction, -1, ""};
      for (size_t i = 0; i < rules.size() && !passed; ++i) {
        if (!walk.Matches(rules[i])) continue;
        if (rules[i].action == Action::kLog) {
          verdict.log = true;
        } else if (rules[i].action == Action::kPass) {
          passed = true;
        } else {
          verdict.allow = rules[i].action == Action::kAllow;
          verdict.by.kind = RuleIdentity::Kind::kRule;
          verdict.by.rule_index = static_cast<int>(i);
          verdict.by.rule_name = rules[i].name;
          return verdict;
        }
      }
      if (passed) break;
    }
    if (!passed && tier.default_action != Action::kPass) return verdict;
  }

  for (const std::string& name : local.profiles) {
    verdict.by = {RuleIdentity::Kind::kNoProfile, "", {}, "", direction, -1, ""};
    const auto profile = world.profiles.find(name);
    if (profile == world.profiles.end()) return verdict;
    const auto& rules = ingress ? profile->second.ingress_rules : profile->second.egress_rules;
    for (size_t i = 0; i < rules.size(); ++i) {
      if (!walk.Matches(rules[i])) continue;
      if (rules[i].action == Action::kLog) {
        verdict.log = true;
        continue;
      }
      verdict.allow = rules[i].action == Action::kAllow;
      verdict.by = {RuleIdentity::Kind::kProfile, "", {}, name, direction, static_cast<int>(i), rules[i].name};
      return verdict;
    }
  }
  verdict.by = {RuleIdentity::Kind::kNoProfile, "", {}, "", direction, -1, ""};
  return verdict;
}

}  // namespace ripstop::policy
