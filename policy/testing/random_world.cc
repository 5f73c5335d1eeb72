// SPDX-License-Identifier: Apache-2.0
#include "policy/testing/random_world.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace ripstop::policy::testing {
namespace {

constexpr int kLocals = 6;
constexpr int kEndpoints = 16;
constexpr int kPolicies = 10;
constexpr int kNetworkSets = 4;
constexpr int kProfiles = 4;
constexpr int kSlices = 4;
constexpr int kHosts = 3;
constexpr int kHostEndpoints = 3;
const char* const kKeys[] = {"app", "tier", "env"};
const char* const kValues[] = {"a", "b", "ab", "c"};
const char* const kTiers[] = {"default", "kube-admin", "kube-baseline", "t1", "t2"};
const char* const kPortNames[] = {"http", "dns", "metrics"};
const char* const kServices[] = {"web", "db"};
const uint8_t kProtocols[] = {6, 6, 6, 17, 17, 132, 136, 1, 58, 47, 0, 255};
const uint16_t kPorts[] = {0, 1, 53, 79, 80, 81, 443, 1023, 1024, 8080, 65535};

template <typename T, size_t N>
const T& Pick(RandomWorld& r, const T (&from)[N]) {
  return from[r.Below(N)];
}

Address V6(uint32_t low) {
  Address a = *Address::Parse("2001:db8::");
  for (int i = 0; i < 4; ++i) a.bytes[12 + i] = static_cast<uint8_t>(low >> (24 - 8 * i));
  return a;
}

}  // namespace

Address RandomWorld::RandomAddress(bool v4) {
  // Crowded: 24 addresses of each family, in two neighbouring /28.
  const uint32_t low = Below(24);
  return v4 ? Address::FromV4(0xc0000200 + low) : V6(low);
}

Cidr RandomWorld::RandomCidr() {
  const bool v4 = Chance(60);
  const Address a = RandomAddress(v4);
  static constexpr int kBits4[] = {0, 8, 24, 27, 28, 29, 30, 31, 32, 32};
  static constexpr int kBits6[] = {0, 3, 32, 64, 96, 123, 124, 126, 128, 128};
  return Cidr::Of(a, v4 ? 96 + Pick(*this, kBits4) : Pick(*this, kBits6));
}

Labels RandomWorld::RandomLabels() {
  Labels labels;
  for (const char* key : kKeys) {
    if (Chance(60)) labels[key] = Pick(*this, kValues);
  }
  return labels;
}

std::string RandomWorld::RandomSelector(int depth) {
  const std::string key = Pick(*this, kKeys), value = Pick(*this, kValues);
  if (depth > 0 && Chance(35)) {
    return absl::StrCat("(", RandomSelector(depth - 1), Chance(50) ? " && " : " || ",
                        RandomSelector(depth - 1), ")");
  }
  switch (Below(15)) {
    case 0: return "all()";
    case 1: return absl::StrCat("has(", key, ")");
    case 2: return absl::StrCat("!has(", key, ")");
    case 3: return absl::StrCat(key, " != '", value, "'");
    case 4: return absl::StrCat(key, " in {'", value, "', '", Pick(*this, kValues), "'}");
    case 5: return absl::StrCat(key, " not in {'", value, "'}");
    case 6: return absl::StrCat(key, " starts with '", value, "'");
    case 7: return absl::StrCat("pcns.name == '", value, "'");
    case 8: return Chance(10) ? "((invalid" : "global()";
    // As selectors of Kubernetes are converted.
    case 9: return absl::StrCat(kPodView, key, " == '", value, "'");
    case 10: return absl::StrCat(Chance(50) ? "" : "!", "has(", kPodView, "pcns.name)");
    case 11:
      return absl::StrCat(kNamespaceView, Chance(70) ? "name" : kNameLabel,
                          Chance(50) ? " == '" : " != '", value, "'");
    default: return absl::StrCat(key, " == '", value, "'");
  }
}

PortMatch RandomWorld::RandomPorts() {
  PortMatch match;
  for (uint32_t n = Below(3); n > 0; --n) {
    const uint16_t a = Pick(*this, kPorts), b = Chance(60) ? a : Pick(*this, kPorts);
    match.ranges.push_back({std::min(a, b), std::max(a, b)});
  }
  for (uint32_t n = Below(3); n > 0; --n) match.names.push_back(Pick(*this, kPortNames));
  return match;
}

EntityMatch RandomWorld::RandomEntity(bool ports) {
  EntityMatch m;
  if (Chance(20)) {
    m.nets.emplace();
    for (uint32_t n = Below(4); n > 0; --n) m.nets->push_back(RandomCidr());
  }
  if (Chance(12)) m.not_nets.push_back(RandomCidr());
  if (Chance(30)) m.selector = RandomSelector();
  if (Chance(8)) m.not_selector = RandomSelector();
  if (Chance(8)) m.nodes = RandomSelector();
  if (Chance(6)) m.service = ServiceName{"ns", Pick(*this, kServices)};
  if (ports && Chance(30)) m.ports = RandomPorts();
  if (ports && Chance(10)) m.not_ports = RandomPorts();
  return m;
}

Rule RandomWorld::RandomRule() {
  static constexpr Action kActions[] = {Action::kAllow, Action::kAllow, Action::kAllow,
                                        Action::kDeny,  Action::kDeny,  Action::kPass,
                                        Action::kLog};
  Rule r;
  r.action = Pick(*this, kActions);
  if (Chance(20)) r.name = absl::StrCat("rule-", Below(100));
  if (Chance(10)) r.ip_version = Chance(50) ? 4 : 6;
  if (Chance(50)) r.protocol = Pick(*this, kProtocols);
  if (Chance(8)) r.not_protocol = Pick(*this, kProtocols);
  const auto icmp = [&] {
    IcmpMatch m;
    if (Chance(80)) m.type = static_cast<uint8_t>(Below(4));
    if (m.type && Chance(50)) m.code = static_cast<uint8_t>(Below(3));
    return m;
  };
  if (Chance(6)) r.icmp = icmp();
  if (Chance(4)) r.not_icmp = icmp();
  // Ports mostly where they can match; also beside protocols that have none.
  const bool ports = !r.protocol || HasPorts(*r.protocol) || Chance(10);
  r.source = RandomEntity(ports && Chance(30));
  r.destination = RandomEntity(ports);
  return r;
}

Policy RandomWorld::RandomPolicy(int i) {
  static constexpr PolicyKind kKinds[] = {
      PolicyKind::kNetworkPolicy, PolicyKind::kGlobalNetworkPolicy,
      PolicyKind::kKubernetesNetworkPolicy, PolicyKind::kClusterNetworkPolicy};
  Policy p;
  p.key = {kKinds[i % 4], i % 4 == 0 ? "ns" : "", absl::StrCat("p", i / 2)};
  p.tier = Pick(*this, kTiers);
  if (Chance(70)) p.order = Below(3);
  p.selector = Chance(40) ? "" : RandomSelector(1);
  p.ingress = Chance(70);
  p.egress = Chance(60);
  for (uint32_t n = Below(5); n > 0; --n) p.ingress_rules.push_back(RandomRule());
  for (uint32_t n = Below(5); n > 0; --n) p.egress_rules.push_back(RandomRule());
  p.staged = Chance(8);
  p.pre_dnat = Chance(8);
  p.do_not_track = Chance(8);
  p.apply_on_forward = p.pre_dnat || p.do_not_track || Chance(30);
  return p;
}

Endpoint RandomWorld::RandomEndpoint(int i) {
  Endpoint e;
  e.id = absl::StrCat("ns/pod", i);
  e.labels = RandomLabels();
  if (Chance(60)) e.labels[kNamespaceLabel] = Chance(80) ? "a" : "b";
  if (Chance(20)) e.labels[KeyOfPod("pcns.name")] = Pick(*this, kValues);
  if (Chance(80)) e.profiles.push_back("kns.a");
  if (Chance(40)) e.profiles.push_back(absl::StrCat("profile", Below(kProfiles)));
  e.active = Chance(90);
  for (const char* name : kPortNames) {
    if (Chance(30)) e.ports.push_back({name, Pick(*this, kProtocols), Pick(*this, kPorts)});
  }
  if (i < kLocals) {
    // Sometimes made anew, and then newer than another; sometimes with another's addresses.
    const uint32_t ifindex = static_cast<uint32_t>(100 + i) + (Chance(20) ? 100 : 0);
    e.local = Attachment{ifindex, {2, 0, 0, 0, 0, static_cast<uint8_t>(i)}};
    const uint32_t low = Chance(10) ? Below(kLocals) : static_cast<uint32_t>(i);
    e.addresses = {Address::FromV4(0xc0000200 + low), V6(low)};
    if (Chance(10)) e.addresses.pop_back();
  } else {
    for (uint32_t n = 1 + Below(2); n > 0; --n) e.addresses.push_back(RandomAddress(Chance(50)));
  }
  return e;
}

NetworkSet RandomWorld::RandomNetworkSet(int i) {
  NetworkSet s{absl::StrCat("set", i), RandomLabels(), {}, {}};
  if (Chance(30)) s.profiles.push_back("kns.a");
  for (uint32_t n = Below(4); n > 0; --n) s.nets.push_back(RandomCidr());
  return s;
}

Profile RandomWorld::RandomProfile(int i) {
  Profile p;
  p.name = i == 0 ? "kns.a" : absl::StrCat("profile", i);
  if (i == 0 || Chance(20)) p.labels_to_apply[KeyOfNamespace("name")] = Pick(*this, kValues);
  if (Chance(20)) p.labels_to_apply[KeyOfNamespace(kNameLabel)] = Pick(*this, kValues);
  if (Chance(30)) p.labels_to_apply[Pick(*this, kKeys)] = Pick(*this, kValues);
  for (auto* rules : {&p.ingress_rules, &p.egress_rules}) {
    for (uint32_t n = Below(3); n > 0; --n) rules->push_back(RandomRule());
    if (Chance(60)) rules->push_back(Rule{Action::kAllow});
  }
  return p;
}

ServiceBackends RandomWorld::RandomBackends(int i) {
  ServiceBackends b{{"ns", kServices[i % 2]}, absl::StrCat("slice", i / 2), {}, {}};
  for (uint32_t n = Below(4); n > 0; --n) b.addresses.push_back(RandomAddress(Chance(50)));
  for (uint32_t n = Below(3); n > 0; --n)
    b.ports.push_back({Pick(*this, kProtocols), Pick(*this, kPorts)});
  return b;
}

Tier RandomWorld::RandomTier(int i) {
  Tier t{kTiers[i], std::nullopt, Chance(50) ? Action::kDeny : Action::kPass};
  if (Chance(80)) t.order = Below(4) * 500'000;
  return t;
}

Host RandomWorld::RandomHost(int i) {
  Host h{absl::StrCat("node", i), i == 0, {RandomAddress(true), RandomAddress(false)}, {}};
  h.labels = RandomLabels();
  return h;
}

HostEndpoint RandomWorld::RandomHostEndpoint(int i) {
  HostEndpoint e;
  e.id = absl::StrCat("host", i);
  e.labels = RandomLabels();
  if (Chance(50)) e.profiles.push_back(absl::StrCat("profile", Below(kProfiles)));
  for (const char* name : kPortNames) {
    if (Chance(20)) e.ports.push_back({name, Pick(*this, kProtocols), Pick(*this, kPorts)});
  }
  for (uint32_t n = Below(3); n > 0; --n) e.expected_addresses.push_back(RandomAddress(Chance(50)));
  for (uint32_t n = Below(3); n > 0; --n) e.interfaces.push_back(Below(kInterfaces));
  return e;
}

FailsafePorts RandomWorld::RandomFailsafePorts() {
  FailsafePorts ports;
  for (auto* list : {&ports.inbound, &ports.outbound}) {
    for (uint32_t n = Below(3); n > 0; --n) {
      FailsafePort port{Chance(50) ? kProtocolTcp : kProtocolUdp, Pick(*this, kPorts), {}};
      if (Chance(30)) port.net = RandomCidr();
      list->push_back(port);
    }
  }
  return ports;
}

World RandomWorld::Generate() {
  World w;
  for (int i = 0; i < 5; ++i) {
    if (Chance(40)) w.Put(RandomTier(i));
  }
  for (int i = 0; i < kPolicies; ++i) {
    if (Chance(60)) w.Put(RandomPolicy(i));
  }
  for (int i = 0; i < kProfiles; ++i) {
    if (Chance(80)) w.Put(RandomProfile(i));
  }
  for (int i = 0; i < kEndpoints; ++i) {
    if (i == 0 || Chance(60)) w.Put(RandomEndpoint(i));
  }
  for (int i = 0; i < kNetworkSets; ++i) {
    if (Chance(50)) w.Put(RandomNetworkSet(i));
  }
  for (int i = 0; i < kSlices; ++i) {
    if (Chance(50)) w.Put(RandomBackends(i));
  }
  for (int i = 0; i < kHosts; ++i) {
    if (Chance(50)) w.Put(RandomHost(i));
  }
  for (int i = 0; i < kHostEndpoints; ++i) {
    if (Chance(30)) w.Put(RandomHostEndpoint(i));
  }
  if (!w.host_endpoints.empty()) w.failsafe = RandomFailsafePorts();
  return w;
}

void RandomWorld::Change(World& w) {
  const auto any = [&](auto& map) {
    if (!map.empty()) map.erase(std::next(map.begin(), Below(static_cast<uint32_t>(map.size()))));
  };
  switch (Below(25)) {
    case 0: return w.Put(RandomTier(static_cast<int>(Below(5))));
    case 1: return any(w.tiers);
    case 2:
    case 3:
    case 4:
    case 5: return w.Put(RandomPolicy(static_cast<int>(Below(kPolicies))));
    case 6: return any(w.policies);
    case 7: return w.Put(RandomProfile(static_cast<int>(Below(kProfiles))));
    case 8: return Chance(30) ? any(w.profiles) : w.Put(RandomProfile(0));
    case 9:
    case 10:
    case 11:
    case 12:
    case 13: return w.Put(RandomEndpoint(static_cast<int>(Below(kEndpoints))));
    case 14: return any(w.endpoints);
    case 15:
    case 16: return w.Put(RandomNetworkSet(static_cast<int>(Below(kNetworkSets))));
    case 17: return any(w.network_sets);
    case 18: return w.Put(RandomBackends(static_cast<int>(Below(kSlices))));
    case 19: return any(w.services);
    case 20: return w.Put(RandomHost(static_cast<int>(Below(kHosts))));
    case 21:
    case 22: return w.Put(RandomHostEndpoint(static_cast<int>(Below(kHostEndpoints))));
    case 23:
      if (Chance(20)) w.failsafe = RandomFailsafePorts();
      return any(w.host_endpoints);
    default: {  // an edit of one rule, the commonest change of all
      if (w.policies.empty()) return;
      Policy& p =
          std::next(w.policies.begin(), Below(static_cast<uint32_t>(w.policies.size())))->second;
      auto& rules = Chance(50) ? p.ingress_rules : p.egress_rules;
      if (rules.empty()) {
        rules.push_back(RandomRule());
      } else {
        rules[Below(static_cast<uint32_t>(rules.size()))] = RandomRule();
      }
    }
  }
}

Packet RandomWorld::RandomPacket(const World& world, const Endpoint& local, Direction direction) {
  Packet p;
  if (local.addresses.empty()) return p;
  const Address near = local.addresses[Below(static_cast<uint32_t>(local.addresses.size()))];
  const Address far = RandomFar(near.is_v4());
  p.source = direction == Direction::kIngress ? far : near;
  p.destination = direction == Direction::kIngress ? near : far;
  RandomTransport(world, p);
  return p;
}

Packet RandomWorld::RandomForwarded(const World& world) {
  Packet p;
  const bool v4 = Chance(50);
  p.source = RandomFar(v4);
  p.destination = RandomFar(v4);
  RandomTransport(world, p);
  return p;
}

Address RandomWorld::RandomFar(bool v4) {
  if (Chance(10))
    return v4 ? Address::FromV4(0xcb007100 + Below(256)) : *Address::Parse("2001:db9::1");
  return RandomAddress(v4);
}

void RandomWorld::RandomTransport(const World& world, Packet& p) {
  p.protocol = Pick(*this, kProtocols);
  if (Chance(50)) p.protocol = Chance(70) ? 6 : 17;
  if (HasPorts(p.protocol)) {
    p.source_port = Pick(*this, kPorts);
    p.destination_port = Pick(*this, kPorts);
    // Named ports and services ask for one address and one port at once.
    std::vector<uint16_t> owned;
    for (const auto& [id, e] : world.endpoints) {
      if (std::find(e.addresses.begin(), e.addresses.end(), p.destination) == e.addresses.end())
        continue;
      for (const NamedPort& n : e.ports) owned.push_back(n.port);
    }
    if (!owned.empty() && Chance(50))
      p.destination_port = owned[Below(static_cast<uint32_t>(owned.size()))];
  } else if (p.protocol == kProtocolIcmp || p.protocol == kProtocolIcmpV6) {
    p.icmp_type = static_cast<uint8_t>(Below(5));
    p.icmp_code = static_cast<uint8_t>(Below(4));
  }
}

}  // namespace ripstop::policy::testing
