// SPDX-License-Identifier: Apache-2.0
#include "policy/reference.h"

#include <algorithm>
#include <vector>

namespace ripstop::policy {
namespace {

// One side of a packet, whose it is, the network sets that hold it and the nodes that have it.
struct Side {
  Address address;
  uint16_t port = 0;
  std::vector<LabelViews> owners;  // of the owner, of network sets
  std::vector<NamedPort> ports;    // of the owner
  bool disputed = false;
  std::vector<const Labels*> nodes;
};

Side Describe(const World& world, const Address& address, uint16_t port) {
  const World::Ownership whose = world.OwnershipOf(address);
  Side side{address, port, {}, {}, whose.disputed, {}};
  const auto own = [&](const auto& e) {
    side.owners.push_back(ViewsOf(e.labels, e.profiles, world.profiles));
    side.ports.insert(side.ports.end(), e.ports.begin(), e.ports.end());
  };
  if (whose.workload != nullptr) own(*whose.workload);
  for (const HostEndpoint* host : whose.hosts) own(*host);
  for (const auto& [id, s] : world.network_sets) {
    if (std::any_of(s.nets.begin(), s.nets.end(),
                    [&](const Cidr& c) { return c.Contains(address); }))
      side.owners.push_back(ViewsOf(s.labels, s.profiles, world.profiles));
  }
  for (const auto& [name, h] : world.hosts) {
    if (std::find(h.addresses.begin(), h.addresses.end(), address) != h.addresses.end())
      side.nodes.push_back(&h.labels);
  }
  return side;
}

bool AnyContains(const std::vector<Cidr>& nets, const Address& address) {
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
    if (std::find(b.addresses.begin(), b.addresses.end(), side.address) == b.addresses.end())
      continue;
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
  const Direction direction;
  Side source;
  Side destination;
  bool log = false;  // a Log rule matched on the way

  bool ingress() const { return direction == Direction::kIngress; }
  // Nobody knows whose the far address is, so no rule can be asked.
  std::optional<Verdict> Disputed() const {
    if (!(ingress() ? source : destination).disputed) return std::nullopt;
    return Decided(false, {RuleIdentity::Kind::kDisputed, "", {}, "", {}, -1, ""});
  }
  Verdict Decided(bool allow, RuleIdentity by) const {
    by.direction = direction;
    return {allow, log, std::move(by), false};
  }

  // An invalid selector never widens: it makes an Allow or a Log match nothing, and a
  // Deny or a Pass ask nothing.
  bool Picks(const std::string& text, const Side& side, bool negated, Action action) {
    const std::optional<Selector>& selector = reference.Parsed(text);
    if (!selector) return action == Action::kDeny || action == Action::kPass;
    const bool any =
        std::any_of(side.owners.begin(), side.owners.end(),
                    [&](const LabelViews& labels) { return selector->MatchesIn(labels); });
    return any != negated;
  }

  bool PicksNode(const std::string& text, const Side& side, Action action) {
    const std::optional<Selector>& selector = reference.Parsed(text);
    if (!selector) return action == Action::kDeny || action == Action::kPass;
    return std::any_of(side.nodes.begin(), side.nodes.end(),
                       [&](const Labels* labels) { return selector->Matches(*labels); });
  }

  bool Matches(const EntityMatch& m, const Side& side, Action action) {
    const uint8_t protocol = packet.protocol;
    if (m.nets && !AnyContains(*m.nets, side.address)) return false;
    if (AnyContains(m.not_nets, side.address)) return false;
    if (m.selector && !Picks(*m.selector, side, false, action)) return false;
    if (m.not_selector && !Picks(*m.not_selector, side, true, action)) return false;
    if (m.nodes && !PicksNode(*m.nodes, side, action)) return false;
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

std::optional<Verdict> Reference::Tiers(Walk& walk, const LabelViews& labels, HostGroup group) {
  using Kind = RuleIdentity::Kind;
  const World& world = walk.world;
  // The policies that select the endpoint in this direction, by tier, in order.
  std::map<std::string, std::vector<const Policy*>> by_tier;
  for (const auto& [key, p] : world.policies) {
    if (p.staged || !InGroup(p, group) || !(walk.ingress() ? p.ingress : p.egress)) continue;
    const std::optional<Selector>& selector = Parsed(p.selector);
    if (selector && selector->MatchesIn(labels)) by_tier[p.tier].push_back(&p);
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

  for (const Tier& tier : tiers) {
    bool passed = false;
    for (const Policy* p : by_tier[tier.name]) {
      const std::vector<Rule>& rules = walk.ingress() ? p->ingress_rules : p->egress_rules;
      for (size_t i = 0; i < rules.size() && !passed; ++i) {
        if (!walk.Matches(rules[i])) continue;
        if (rules[i].action == Action::kLog) {
          walk.log = true;
        } else if (rules[i].action == Action::kPass) {
          passed = true;
        } else {
          return walk.Decided(
              rules[i].action == Action::kAllow,
              {Kind::kRule, tier.name, p->key, "", {}, static_cast<int>(i), rules[i].name});
        }
      }
      if (passed) break;
    }
    if (passed || tier.default_action == Action::kPass) continue;
    // What no rule decides before connections and translations are known is not denied.
    if (group == HostGroup::kUntracked || group == HostGroup::kPreDnat) continue;
    return walk.Decided(
        false, {Kind::kTierDefault, tier.name, by_tier[tier.name].back()->key, "", {}, -1, ""});
  }
  return std::nullopt;
}

Verdict Reference::Profiles(Walk& walk, const std::vector<std::string>& names) {
  const World& world = walk.world;
  for (const std::string& name : names) {
    const auto profile = world.profiles.find(name);
    if (profile == world.profiles.end()) break;
    const auto& rules =
        walk.ingress() ? profile->second.ingress_rules : profile->second.egress_rules;
    for (size_t i = 0; i < rules.size(); ++i) {
      if (!walk.Matches(rules[i])) continue;
      if (rules[i].action == Action::kLog) {
        walk.log = true;
        continue;
      }
      return walk.Decided(
          rules[i].action == Action::kAllow,
          {RuleIdentity::Kind::kProfile, "", {}, name, {}, static_cast<int>(i), rules[i].name});
    }
  }
  return walk.Decided(false, {RuleIdentity::Kind::kNoProfile, "", {}, "", {}, -1, ""});
}

std::optional<Verdict> Reference::Evaluate(const World& world, const Endpoint& local,
                                           Direction direction, const Packet& packet) {
  const bool ingress = direction == Direction::kIngress;
  const Endpoint* owner = world.OwnershipOf(ingress ? packet.destination : packet.source).workload;
  if (!local.active || (owner != nullptr && owner->id != local.id)) return std::nullopt;
  Walk walk{*this,
            world,
            packet,
            direction,
            Describe(world, packet.source, packet.source_port),
            Describe(world, packet.destination, packet.destination_port)};
  if (const auto verdict = walk.Disputed()) return verdict;
  const LabelViews labels = ViewsOf(local.labels, local.profiles, world.profiles);
  if (const auto verdict = Tiers(walk, labels, HostGroup::kNormal)) return verdict;
  return Profiles(walk, local.profiles);
}

Verdict Reference::EvaluateHost(const World& world, const HostEndpoint& host, HostGroup group,
                                Direction direction, const Packet& packet) {
  using Kind = RuleIdentity::Kind;
  Walk walk{*this,
            world,
            packet,
            direction,
            Describe(world, packet.source, packet.source_port),
            Describe(world, packet.destination, packet.destination_port)};
  const bool ingress = walk.ingress();
  const Address& far = ingress ? packet.source : packet.destination;
  const auto open = [&](const std::vector<FailsafePort>& ports, uint16_t port) {
    for (size_t i = 0; i < ports.size(); ++i) {
      if (ports[i].protocol == packet.protocol && ports[i].port == port &&
          (!ports[i].net || ports[i].net->Contains(far)))
        return static_cast<int>(i);
    }
    return -1;
  };
  const auto failsafe = [&](const std::vector<FailsafePort>& ports, int i, bool way_back) {
    return walk.Decided(true,
                        {Kind::kFailsafe, "", {}, "", {}, i, FailsafeName(ports[i], way_back)});
  };
  if (group != HostGroup::kForward) {
    const auto& there = ingress ? world.failsafe.inbound : world.failsafe.outbound;
    const auto& back = ingress ? world.failsafe.outbound : world.failsafe.inbound;
    if (const int i = open(there, packet.destination_port); i >= 0)
      return failsafe(there, i, false);
    // Without connections the way back is a packet of its own.
    if (group == HostGroup::kUntracked) {
      if (const int i = open(back, packet.source_port); i >= 0) return failsafe(back, i, true);
    }
  }
  if (const auto verdict = walk.Disputed()) return *verdict;
  const LabelViews labels = ViewsOf(host.labels, host.profiles, world.profiles);
  if (const auto verdict = Tiers(walk, labels, group)) return *verdict;
  if (group == HostGroup::kNormal) return Profiles(walk, host.profiles);
  if (group == HostGroup::kForward) {
    return walk.Decided(true, {Kind::kNoForwardPolicy, "", {}, "", {}, -1, ""});
  }
  Verdict verdict = walk.Decided(false, {Kind::kNextGroup, "", {}, "", {}, -1, ""});
  verdict.next = true;
  return verdict;
}

}  // namespace ripstop::policy
