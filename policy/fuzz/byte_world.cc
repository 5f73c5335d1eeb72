// SPDX-License-Identifier: Apache-2.0
#include "policy/fuzz/byte_world.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"

namespace ripstop::policy::fuzz {
namespace {

const char* const kSelectors[] = {"all()",
                                  "app == 'a'",
                                  "app == 'b'",
                                  "app != 'a'",
                                  "has(tier)",
                                  "!has(tier)",
                                  "ns == 'n'",
                                  "app in {'a', 'c'}",
                                  "tier starts with 'a'",
                                  "app == 'a' && tier == 'a'",
                                  "app == 'a' || tier == 'b'",
                                  "pod:app == 'a'",
                                  "pod:pcns.name == 'a'",
                                  "!has(pod:pcns.name)",
                                  "pcns.name == 'a'",
                                  "ns:pcns.name == 'a'",
                                  "!has(ns:pcns.name)",
                                  "((invalid"};
const char* const kNets[] = {"0.0.0.0/0",    "::/0",           "192.0.2.0/28",    "192.0.2.0/30",
                             "192.0.2.4/32", "2001:db8::/64",  "2001:db8::4/126", "192.0.2.16/28",
                             "::/64",        "198.51.100.0/24"};
const char* const kValues[] = {"a", "b", "c", "ab"};
const char* const kNames[] = {"http", "dns"};
const char* const kTierNames[] = {"default", "kube-admin", "kube-baseline", "t1", "t2"};
const uint8_t kProtocols[] = {kProtocolTcp,  kProtocolUdp,    kProtocolSctp,
                              kProtocolIcmp, kProtocolIcmpV6, 47};
const uint16_t kPorts[] = {0, 80, 81, 8080, 65535};

Address LowAddress(bool v4, uint8_t low) {
  if (v4) return Address::FromV4(0xc0000200 + low);
  Address a = *Address::Parse("2001:db8::");
  a.bytes[15] = low;
  return a;
}

}  // namespace

#define PICK(list) list[Below(static_cast<uint8_t>(std::size(list)))]

Cidr ByteWorld::Net() { return *Cidr::Parse(PICK(kNets)); }

Labels ByteWorld::SomeLabels() {
  Labels labels;
  const uint8_t bits = Byte();
  if (bits & 1) labels["app"] = kValues[bits >> 2 & 3];
  if (bits & 2) labels["tier"] = kValues[bits >> 4 & 3];
  if (bits & 64) labels[kNamespaceLabel] = "n";
  if (bits & 128) labels[KeyOfPod("pcns.name")] = kValues[bits >> 4 & 3];
  return labels;
}

EntityMatch ByteWorld::Entity() {
  EntityMatch m;
  const uint8_t has = Byte();
  if (has & 1) m.selector = PICK(kSelectors);
  if (has & 2) {
    m.nets.emplace();
    for (uint8_t n = Below(3); n > 0; --n) m.nets->push_back(Net());
  }
  if (has & 4) m.not_nets.push_back(Net());
  if (has & 8) m.not_selector = PICK(kSelectors);
  if (has & 16) m.service = ServiceName{"n", "svc"};
  if (has & 128) m.nodes = PICK(kSelectors);
  for (auto* ports : {has & 32 ? &m.ports : nullptr, has & 64 ? &m.not_ports : nullptr}) {
    if (ports == nullptr) continue;
    ports->emplace();
    const uint8_t what = Byte();
    const uint16_t a = PICK(kPorts), b = PICK(kPorts);
    if (what & 1) (*ports)->ranges.push_back({std::min(a, b), std::max(a, b)});
    if (what & 2) (*ports)->names.push_back(kNames[what >> 2 & 1]);
  }
  return m;
}

Rule ByteWorld::SomeRule() {
  Rule r;
  const uint8_t what = Byte();
  r.action = static_cast<Action>(what & 3);
  if (what & 4) r.protocol = PICK(kProtocols);
  if (what & 8) r.not_protocol = PICK(kProtocols);
  if (what & 16) r.ip_version = what & 128 ? 6 : 4;
  if (what & 32) r.icmp = IcmpMatch{static_cast<uint8_t>(what & 64 ? 8 : 128), {}};
  r.source = Entity();
  r.destination = Entity();
  return r;
}

Policy ByteWorld::SomePolicy() {
  Policy p;
  const uint8_t what = Byte();
  p.key = {what & 1 ? PolicyKind::kNetworkPolicy : PolicyKind::kGlobalNetworkPolicy,
           what & 1 ? "n" : "", absl::StrCat("p", what >> 1 & 3)};
  p.tier = PICK(kTierNames);
  if (what & 8) p.order = what >> 4 & 3;
  p.selector = PICK(kSelectors);
  const uint8_t types = Byte();
  p.ingress = types & 1;
  p.egress = types & 2;
  p.staged = (types & 28) == 28;
  p.apply_on_forward = what & 64;
  p.do_not_track = (what & 192) == 128;
  p.pre_dnat = (what & 192) == 192 && !p.egress;
  for (uint8_t n = types >> 5 & 3; n > 0; --n) {
    Rule rule = SomeRule();
    if (p.ingress) p.ingress_rules.push_back(rule);
    if (p.egress) p.egress_rules.push_back(std::move(rule));
  }
  return p;
}

Endpoint ByteWorld::SomeEndpoint() {
  Endpoint e;
  const uint8_t i = Below(8);
  e.id = absl::StrCat("pod", i);
  e.labels = SomeLabels();
  const uint8_t what = Byte();
  if (what & 1) e.profiles.push_back("one");
  if (what & 2) e.profiles.push_back("two");
  e.active = (what & 12) != 12;
  if (what & 16) e.ports.push_back({"http", PICK(kProtocols), PICK(kPorts)});
  if (what & 32) e.ports.push_back({what & 64 ? "dns" : "http", PICK(kProtocols), PICK(kPorts)});
  if (i < kLocals) {
    e.local = Attachment{static_cast<uint32_t>(10 + i), {2, 0, 0, 0, 0, i}};
    e.addresses = {LowAddress(true, i), LowAddress(false, i)};
    // One in eight claims a newer one's address as well, or the next one's, which is newer.
    if (what & 128) e.addresses.pop_back();
    if ((what & 224) == 224) e.addresses.push_back(LowAddress(true, (i + 1) % kLocals));
  } else {
    e.addresses = {LowAddress(what & 128, Below(20))};
  }
  return e;
}

HostEndpoint ByteWorld::SomeHostEndpoint(uint8_t what) {
  HostEndpoint e;
  e.id = what & 4 ? "host1" : "host2";
  e.labels = SomeLabels();
  if (what & 16) e.profiles.push_back("one");
  e.expected_addresses = {LowAddress(what & 128, 12 + (what >> 6 & 1))};
  e.interfaces = {what & 32 ? kAnyInterface : 1u + (what >> 6 & 1)};
  return e;
}

ByteWorld::Step ByteWorld::Next(World& w, Engine& engine) {
  if (at_ == end_) return Step::kEnd;
  const uint8_t op = Below(20);
  const auto remove = [](auto& map, const auto& key, const auto& tell) {
    map.erase(key);
    tell(key);
  };
  const auto put = [&](auto object, auto member) {
    w.Put(object);
    (engine.*member)(object);
  };
  switch (op) {
    case 0:
    case 1: return Step::kFlush;
    case 2: return Step::kRestart;
    case 3:
    case 4:
    case 5:
    case 6:
    case 7: put(SomePolicy(), &Engine::PutPolicy); break;
    case 8: {
      const uint8_t what = Byte();
      const PolicyKey key{what & 1 ? PolicyKind::kNetworkPolicy : PolicyKind::kGlobalNetworkPolicy,
                          what & 1 ? "n" : "", absl::StrCat("p", what >> 1 & 3)};
      remove(w.policies, key, [&](const PolicyKey& k) { engine.RemovePolicy(k); });
      break;
    }
    case 9:
    case 10:
    case 11:
    case 12: put(SomeEndpoint(), &Engine::PutEndpoint); break;
    case 13:
      remove(w.endpoints, absl::StrCat("pod", Below(8)),
             [&](const std::string& id) { engine.RemoveEndpoint(id); });
      break;
    case 14: {
      NetworkSet set{absl::StrCat("set", Below(2)), SomeLabels(), {}, {}};
      const uint8_t what = Byte();
      if (what & 1) set.profiles.push_back("one");
      for (uint8_t n = what >> 1 & 3; n > 0; --n) set.nets.push_back(Net());
      put(set, &Engine::PutNetworkSet);
      break;
    }
    case 15:
      remove(w.network_sets, absl::StrCat("set", Below(2)),
             [&](const std::string& id) { engine.RemoveNetworkSet(id); });
      break;
    case 16: {
      const uint8_t what = Byte();
      Profile p{what & 64 ? "kns.n" : what & 1 ? "one" : "two", SomeLabels(), {}, {}};
      if (what & 2) p.labels_to_apply["ns"] = "n";
      if (what & 128) p.labels_to_apply["pcns.name"] = what & 1 ? "a" : "b";
      if (what & 4) p.ingress_rules.push_back(SomeRule());
      if (what & 8) p.egress_rules.push_back(SomeRule());
      if (what & 16) p.ingress_rules.push_back(Rule{Action::kAllow});
      if (what & 32) p.egress_rules.push_back(Rule{Action::kAllow});
      put(p, &Engine::PutProfile);
      break;
    }
    case 17: {
      const uint8_t what = Byte();
      if ((what & 66) == 64) {
        Host host{what & 1 ? "node1" : "node2", (what & 1) != 0, {}, SomeLabels()};
        host.addresses = {LowAddress(what & 128, Below(20))};
        put(host, &Engine::PutHost);
      } else if ((what & 6) == 4) {
        remove(w.hosts, std::string(what & 1 ? "node1" : "node2"),
               [&](const std::string& n) { engine.RemoveHost(n); });
      } else if ((what & 2) == 0) {
        remove(w.profiles, std::string(what & 1 ? "one" : "two"),
               [&](const std::string& n) { engine.RemoveProfile(n); });
      } else if (what & 8) {
        remove(w.host_endpoints, std::string(what & 4 ? "host1" : "host2"),
               [&](const std::string& id) { engine.RemoveHostEndpoint(id); });
      } else {
        put(SomeHostEndpoint(what), &Engine::PutHostEndpoint);
      }
      break;
    }
    case 18: {
      ServiceBackends b{{"n", "svc"}, absl::StrCat("slice", Below(2)), {}, {}};
      const uint8_t what = Byte();
      for (uint8_t n = what & 3; n > 0; --n)
        b.addresses.push_back(LowAddress(what & 128, Below(20)));
      for (uint8_t n = what >> 2 & 3; n > 0; --n)
        b.ports.push_back({PICK(kProtocols), PICK(kPorts)});
      if (what & 16) {
        w.services.erase({b.service, b.slice});
        engine.RemoveServiceBackends(b.service, b.slice);
      } else {
        put(b, &Engine::PutServiceBackends);
      }
      break;
    }
    default: {
      const uint8_t what = Byte();
      const std::string name = kTierNames[what % std::size(kTierNames)];
      if (what & 128) {
        remove(w.tiers, name, [&](const std::string& n) { engine.RemoveTier(n); });
      } else {
        Tier tier{name, {}, what & 64 ? Action::kPass : Action::kDeny};
        if (what & 32) tier.order = what >> 3 & 3;
        put(tier, &Engine::PutTier);
      }
    }
  }
  return Step::kChanged;
}

#undef PICK

const std::vector<ByteWorld::Probe>& ByteWorld::Probes() {
  static const auto& probes = *[] {
    auto* all = new std::vector<Probe>();
    for (const Direction direction : {Direction::kIngress, Direction::kEgress}) {
      for (int local = 0; local < kLocals; ++local) {
        for (int n = 0; n < 40; ++n) {
          // Strides without a common divisor visit the combinations without making all of them.
          const bool v4 = n % 2 == 0;
          Address far = LowAddress(v4, static_cast<uint8_t>(n * 7 % 20));
          if (n % 13 == 12) far = v4 ? Address::FromV4(0xc6336407) : *Address::Parse("::7");
          const Address near = LowAddress(v4, static_cast<uint8_t>(local));
          Packet p;
          p.source = direction == Direction::kIngress ? far : near;
          p.destination = direction == Direction::kIngress ? near : far;
          p.protocol = kProtocols[(n * 5 + local) % std::size(kProtocols)];
          if (HasPorts(p.protocol)) {
            p.source_port = kPorts[(n + local) % std::size(kPorts)];
            p.destination_port = kPorts[(n * 3 + 1) % std::size(kPorts)];
          } else if (p.protocol == kProtocolIcmp || p.protocol == kProtocolIcmpV6) {
            p.icmp_type = n % 3 == 0 ? 8 : 128;
          }
          all->push_back({direction, local, p});
        }
      }
    }
    for (int n = 0; n < 96; ++n) {
      const HostGroup group = static_cast<HostGroup>(n % kHostGroups);
      const bool ingress = group == HostGroup::kPreDnat || n / kHostGroups % 2 == 0,
                 v4 = n % 3 != 0;
      Packet p;
      p.source = LowAddress(v4, static_cast<uint8_t>(n * 7 % 20));
      p.destination = LowAddress(v4, static_cast<uint8_t>(n * 11 % 19));
      p.protocol = n % 5 == 0 ? kProtocolUdp : kProtocolTcp;
      p.source_port = kPorts[n % std::size(kPorts)];
      p.destination_port = n % 6 == 0 ? 22 : kPorts[n * 3 % std::size(kPorts)];
      all->push_back({ingress ? Direction::kIngress : Direction::kEgress, 0, p,
                      std::pair(1u + n / 8 % 2, group)});
    }
    return all;
  }();
  return probes;
}

}  // namespace ripstop::policy::fuzz
