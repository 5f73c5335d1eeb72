// SPDX-License-Identifier: Apache-2.0
#include "e2e/bench/rule_sets.h"

#include <string>

#include "e2e/bench/rule_set_parts.h"

namespace ripstop::bench {
namespace {

using policy::Action;
using policy::Address;
using policy::Cidr;
using policy::Endpoint;
using policy::Policy;
using policy::PolicyKind;
using policy::PortMatch;
using policy::PortRange;
using policy::Rule;
using policy::World;

struct FilterShape {
  uint32_t any_source;   // percent of rules without a source prefix
  uint32_t host_source;  // percent of the others with a full-length prefix
  uint32_t any_port;     // percent
  uint32_t exact_port;   // percent of the others
  uint32_t tcp, udp;     // percent; the rest any protocol
  uint32_t deny;
};

FilterShape ShapeOf(FilterFamily family) {
  switch (family) {
    case FilterFamily::kAcl:
      return {.any_source = 4,
              .host_source = 45,
              .any_port = 12,
              .exact_port = 75,
              .tcp = 80,
              .udp = 14,
              .deny = 10};
    case FilterFamily::kFirewall:
      return {.any_source = 25,
              .host_source = 60,
              .any_port = 20,
              .exact_port = 60,
              .tcp = 68,
              .udp = 22,
              .deny = 40};
    default:
      return {.any_source = 10,
              .host_source = 55,
              .any_port = 35,
              .exact_port = 70,
              .tcp = 55,
              .udp = 25,
              .deny = 25};
  }
}

Rule FilterRule(const FilterShape& shape, Dice& dice) {
  Rule rule;
  rule.action = dice.Percent(shape.deny) ? Action::kDeny : Action::kAllow;
  const uint32_t protocol = dice.Below(100);
  if (protocol < shape.tcp) {
    rule.protocol = policy::kProtocolTcp;
  } else if (protocol < shape.tcp + shape.udp) {
    rule.protocol = policy::kProtocolUdp;
  }
  // A rule for any source names one port: one that took whole ranges from everybody would
  // end the list, and no filter has it in its middle.
  const bool any_source = dice.Percent(shape.any_source);
  if (any_source && !rule.protocol) rule.protocol = policy::kProtocolTcp;
  if (!any_source) {
    const int bits = dice.Percent(shape.host_source) ? 32 : 16 + static_cast<int>(dice.Below(13));
    // Sites are nested: a few hundred /16s hold all prefixes, as in real filters.
    rule.source.nets = {
        V4Cidr(0x20000000 | (dice.Skewed(400) << 16) | (dice.Word() & 0xffff), bits)};
  }
  if (rule.protocol && (any_source || !dice.Percent(shape.any_port))) {
    PortRange range;
    if (any_source || dice.Percent(shape.exact_port)) {
      range.first = range.last = static_cast<uint16_t>(1 + dice.Skewed(10000));
    } else if (dice.Percent(50)) {
      range = {1024, 65535};
    } else {
      range.first = static_cast<uint16_t>(1 + dice.Below(60000));
      range.last = static_cast<uint16_t>(range.first + dice.Below(2000));
    }
    rule.destination.ports = PortMatch{.ranges = {range}, .names = {}};
  }
  return rule;
}

Rule PathologicalRule(int i, int rules) {
  Rule rule;
  rule.action = i % 3 == 1 ? Action::kDeny : Action::kAllow;
  rule.protocol = policy::kProtocolTcp;
  rule.source.nets = {V4Cidr(0x40000000 + (static_cast<uint32_t>(i) << 8), 24),
                      V4Cidr(0x80000000 + static_cast<uint32_t>(i) * 977, 32)};
  const auto first = static_cast<uint16_t>(1 + (static_cast<uint64_t>(i) * 60000) / rules);
  rule.destination.ports =
      PortMatch{.ranges = {{first, static_cast<uint16_t>(first + 2000)}}, .names = {}};
  return rule;
}

}  // namespace

const char* ToString(FilterFamily family) {
  switch (family) {
    case FilterFamily::kAcl: return "acl";
    case FilterFamily::kFirewall: return "firewall";
    case FilterFamily::kIpChain: return "ip-chain";
    case FilterFamily::kPathological: return "pathological";
  }
  return "unknown";
}

policy::World FilterLike(FilterFamily family, int rules, uint32_t seed) {
  Dice dice(seed);
  World world;
  world.Put(policy::Tier{"default", 1'000'000, Action::kDeny});
  Endpoint endpoint;
  endpoint.id = "bench/server";
  endpoint.labels = {{"role", "server"}};
  endpoint.addresses = {Address::FromV4(kLocalEndpoint)};
  endpoint.local = policy::Attachment{1, {2, 0, 0, 0, 0, 1}};
  world.Put(endpoint);

  Policy policy;
  policy.key = {PolicyKind::kGlobalNetworkPolicy, "", ToString(family)};
  policy.order = 100;
  policy.selector = "role == 'server'";
  policy.ingress = true;
  const FilterShape shape = ShapeOf(family);
  for (int i = 0; i < rules; ++i) {
    policy.ingress_rules.push_back(family == FilterFamily::kPathological
                                       ? PathologicalRule(i, rules)
                                       : FilterRule(shape, dice));
  }
  world.Put(std::move(policy));
  return world;
}

policy::World SelectorLike(int rules) {
  World world = FilterLike(FilterFamily::kAcl, 0, 1);
  Policy& policy = world.policies.begin()->second;
  for (int i = 0; i < rules; ++i) {
    Rule rule = AllowTcp(static_cast<uint16_t>(8000 + i % 10));
    rule.source.selector = "app == '" + Number("app-", i) + "'";
    policy.ingress_rules.push_back(rule);
    for (int pod = 0; pod < 2; ++pod) {
      Endpoint endpoint;
      endpoint.id = Number("remote/pod-", 2 * i + pod);
      endpoint.labels = {{"app", Number("app-", i)}};
      endpoint.addresses = {
          Address::FromV4(kLocalEndpoint + 0x10000u + static_cast<uint32_t>(2 * i + pod))};
      world.Put(std::move(endpoint));
    }
  }
  return world;
}

policy::World CidrLike(int rules, bool v4, uint32_t seed) {
  Dice dice(seed);
  World world = FilterLike(FilterFamily::kAcl, 0, 1);
  if (!v4) world.endpoints.at("bench/server").addresses = {Address::Parse("2001:db8::2").value()};
  Policy& policy = world.policies.begin()->second;
  for (int i = 0; i < rules; ++i) {
    Rule rule = AllowTcp(static_cast<uint16_t>(8000 + i % 10));
    if (v4) {
      // 11.0.0.0 to 110.255.255.255, clear of what a router never forwards.
      const uint32_t address = 0x0b000000u + dice.Below(100u << 24);
      rule.source.nets = {V4Cidr(address, 16 + static_cast<int>(dice.Below(13)))};
    } else {
      Address address;
      for (size_t byte = 0; byte < 8; ++byte) {
        address.bytes[byte] = static_cast<uint8_t>(dice.Below(256));
      }
      address.bytes[0] = 0x20 | (address.bytes[0] & 0x0f);
      rule.source.nets = {Cidr::Of(address, 32 + static_cast<int>(dice.Below(33)))};
    }
    policy.ingress_rules.push_back(rule);
  }
  return world;
}

std::string HostAddress(int rule) {
  return "100." + std::to_string(64 + rule / 62500) + "." + std::to_string(rule / 250 % 250) + "." +
         std::to_string(rule % 250 + 1);
}

uint16_t HostPort(int rule) { return static_cast<uint16_t>(9000 + rule % 16); }

policy::World HostsLike(int rules) {
  World world = FilterLike(FilterFamily::kAcl, 0, 1);
  for (int i = 0; i < rules; ++i) {
    Rule rule = AllowTcp(HostPort(i));
    rule.source.nets = {Cidr::Of(Address::Parse(HostAddress(i)).value(), 128)};
    world.policies.begin()->second.ingress_rules.push_back(rule);
  }
  return world;
}

policy::Packet PacketForRule(const policy::World& world, size_t index) {
  const Rule& rule = world.policies.begin()->second.ingress_rules[index];
  policy::Packet packet;
  packet.source = Address::FromV4(0x08080808);
  if (rule.source.nets) packet.source = rule.source.nets->front().address;
  if (rule.source.selector) {
    packet.source = Address::FromV4(kLocalEndpoint + 0x10000u + static_cast<uint32_t>(2 * index));
  }
  packet.destination = world.endpoints.at("bench/server").addresses.front();
  packet.protocol = rule.protocol.value_or(policy::kProtocolTcp);
  packet.source_port = 40000;
  packet.destination_port =
      rule.destination.ports ? rule.destination.ports->ranges.front().last : 80;
  return packet;
}

}  // namespace ripstop::bench
