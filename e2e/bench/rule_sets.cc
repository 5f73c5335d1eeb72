// SPDX-License-Identifier: Apache-2.0
#include "e2e/bench/rule_sets.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <string>

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

constexpr uint32_t kLocalEndpoint = 0x0a000002;  // 10.0.0.2

// std::uniform_int_distribution differs between libraries; this does not.
class Dice {
 public:
  explicit Dice(uint32_t seed) : engine_(seed) {}
  uint32_t Below(uint32_t n) { return static_cast<uint32_t>((uint64_t{engine_()} * n) >> 32); }
  bool Percent(uint32_t p) { return Below(100) < p; }
  uint32_t Word() { return engine_(); }
  // Skewed towards small values, as deployments per namespace and pods per deployment are.
  uint32_t Skewed(uint32_t n) {
    const double u = (Below(1u << 20) + 0.5) / (1u << 20);
    return std::min<uint32_t>(n - 1, static_cast<uint32_t>(n * u * u * u));
  }

 private:
  std::mt19937 engine_;
};

std::string Number(const char* prefix, int i) { return prefix + std::to_string(i); }

Cidr V4Cidr(uint32_t address, int bits) { return Cidr::Of(Address::FromV4(address), 96 + bits); }

std::string InNamespace(const std::string& selector, const std::string& ns) {
  return "(" + selector + ") && projectcalico.org/namespace == '" + ns + "'";
}

Rule AllowTcp(uint16_t port) {
  Rule rule;
  rule.action = Action::kAllow;
  rule.protocol = policy::kProtocolTcp;
  rule.destination.ports = PortMatch{.ranges = {{port, port}}, .names = {}};
  return rule;
}

constexpr uint16_t kPopularPorts[] = {80, 443, 8080, 5432, 6379, 9090, 3306, 9092, 53, 50051};

Policy KubernetesPolicy(int index, const std::string& ns, int deployments, int namespaces,
                        Dice& dice) {
  Policy policy;
  policy.key = {PolicyKind::kKubernetesNetworkPolicy, ns, Number("policy-", index)};
  policy.order = 1000;
  policy.ingress = true;
  policy.egress = dice.Percent(20);
  policy.selector =
      InNamespace("app == '" + Number("app-", dice.Skewed(deployments)) + "'", ns);
  const int rules = 1 + dice.Below(3);
  for (int i = 0; i < rules; ++i) {
    Rule rule = AllowTcp(kPopularPorts[dice.Skewed(std::size(kPopularPorts))]);
    const uint32_t peer = dice.Below(100);
    const std::string app = "app == '" + Number("app-", dice.Skewed(deployments)) + "'";
    if (peer < 60) {
      rule.source.selector = InNamespace(app, ns);
    } else if (peer < 80) {
      rule.source.selector = InNamespace(app, Number("ns-", dice.Below(namespaces)));
    } else if (peer < 90) {
      rule.source.selector = "pcns.team == '" + Number("team-", dice.Below(8)) + "'";
    } else {
      rule.source.nets = {V4Cidr(0xc0000000 | (dice.Word() & 0x00ffff00), 24)};
    }
    policy.ingress_rules.push_back(rule);
    if (policy.egress) {
      std::swap(rule.source, rule.destination);
      rule.destination.ports = std::exchange(rule.source.ports, std::nullopt);
      policy.egress_rules.push_back(rule);
    }
  }
  return policy;
}

struct FilterShape {
  uint32_t any_source;      // percent of rules without a source prefix
  uint32_t host_source;     // percent of the others with a full-length prefix
  uint32_t any_port;        // percent
  uint32_t exact_port;      // percent of the others
  uint32_t tcp, udp;        // percent; the rest any protocol
  uint32_t deny;
};

FilterShape ShapeOf(FilterFamily family) {
  switch (family) {
    case FilterFamily::kAcl: return {.any_source = 4, .host_source = 45, .any_port = 12,
                                     .exact_port = 75, .tcp = 80, .udp = 14, .deny = 10};
    case FilterFamily::kFirewall: return {.any_source = 25, .host_source = 60, .any_port = 20,
                                          .exact_port = 60, .tcp = 68, .udp = 22, .deny = 40};
    default: return {.any_source = 10, .host_source = 55, .any_port = 35,
                     .exact_port = 70, .tcp = 55, .udp = 25, .deny = 25};
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
    rule.source.nets = {V4Cidr(0x20000000 | (dice.Skewed(400) << 16) | (dice.Word() & 0xffff), bits)};
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

policy::World KubernetesLike(const KubernetesShape& shape) {
  Dice dice(shape.seed);
  World world;
  world.Put(policy::Tier{"default", 1'000'000, Action::kDeny});
  for (int n = 0; n < shape.namespaces; ++n) {
    policy::Profile profile;
    profile.name = "kns." + Number("ns-", n);
    profile.labels_to_apply = {{"pcns.projectcalico.org/name", Number("ns-", n)},
                               {"pcns.team", Number("team-", static_cast<int>(dice.Below(8)))}};
    Rule allow;
    allow.action = Action::kAllow;
    profile.ingress_rules = profile.egress_rules = {allow};
    world.Put(profile);
  }
  const auto namespaces = static_cast<uint32_t>(shape.namespaces);
  for (int i = 0; i < shape.endpoints; ++i) {
    Endpoint endpoint;
    const std::string ns = Number("ns-", static_cast<int>(dice.Skewed(namespaces)));
    const auto app = static_cast<int>(
        dice.Skewed(static_cast<uint32_t>(shape.deployments_per_namespace)));
    endpoint.id = ns + "/pod-" + std::to_string(i);
    endpoint.labels = {{"app", Number("app-", app)},
                       {"tier", Number("tier-", app % 3)},
                       {"projectcalico.org/namespace", ns},
                       {"projectcalico.org/orchestrator", "k8s"}};
    endpoint.profiles = {"kns." + ns};
    endpoint.addresses = {Address::FromV4(kLocalEndpoint + static_cast<uint32_t>(i))};
    endpoint.ports = {{"http", policy::kProtocolTcp, 8080}};
    // Local ones are spread over the cluster's endpoints, as a scheduler does.
    const int stride = std::max(1, shape.endpoints / std::max(1, shape.local_endpoints));
    if (i % stride == 0 && i / stride < shape.local_endpoints) {
      endpoint.local = policy::Attachment{static_cast<uint32_t>(i / stride + 2), {2, 0, 0, 0, 0, 1}};
    }
    world.Put(std::move(endpoint));
  }
  for (int i = 0; i < shape.policies; ++i) {
    const std::string ns = Number("ns-", static_cast<int>(dice.Skewed(namespaces)));
    world.Put(KubernetesPolicy(i, ns, shape.deployments_per_namespace, shape.namespaces, dice));
  }
  return world;
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
  return "100." + std::to_string(64 + rule / 62500) + "." + std::to_string(rule / 250 % 250) +
         "." + std::to_string(rule % 250 + 1);
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
    packet.source =
        Address::FromV4(kLocalEndpoint + 0x10000u + static_cast<uint32_t>(2 * index));
  }
  packet.destination = world.endpoints.at("bench/server").addresses.front();
  packet.protocol = rule.protocol.value_or(policy::kProtocolTcp);
  packet.source_port = 40000;
  packet.destination_port =
      rule.destination.ports ? rule.destination.ports->ranges.front().last : 80;
  return packet;
}

}  // namespace ripstop::bench
