// SPDX-License-Identifier: Apache-2.0
#include "bpf/loader/fuzz/scene.h"

#include "absl/strings/str_cat.h"
#include "policy/testing/random_world.h"

namespace ripstop::loader::fuzz {
namespace {

policy::Address A(const char* text) { return policy::Address::Parse(text).value(); }
policy::Cidr C(const char* text) { return policy::Cidr::Parse(text).value(); }

std::vector<policy::Address> All(std::initializer_list<const char*> texts) {
  std::vector<policy::Address> all;
  for (const char* text : texts) all.push_back(A(text));
  return all;
}

constexpr char kNodeB[] = "192.0.2.2", kNodeC[] = "192.0.2.3";

policy::Endpoint Pod(uint32_t i, uint32_t place) {
  policy::Endpoint e;
  e.id = e.name = absl::StrCat("fuzz/pod-", i);
  e.labels = {{"pod", absl::StrCat(i)}, {"odd", i % 2 == 1 ? "yes" : "no"}};
  e.addresses = {PlacesOf(true).pods[i], PlacesOf(false).pods[i]};
  // The last one has a second address.
  if (i == kPods - 1) e.addresses.push_back(PlacesOf(true).pods[kPods]);
  e.local = policy::Attachment{kFirstPod + place, {2, 0, 0, 0, 1, static_cast<uint8_t>(i)}};
  return e;
}

}  // namespace

const Places& PlacesOf(bool v4) {
  static const Places kV4 = {
      .pods = All(
          {"198.51.100.10", "198.51.100.20", "198.51.100.30", "198.51.100.40", "198.51.100.41"}),
      .remote_pods = All({"10.65.2.7", "10.65.3.7", "10.65.2.9"}),
      .nodes = All({kNodeB, kNodeC}),
      .strangers = All({"203.0.113.5", "203.0.113.200", "192.0.2.77", "8.8.8.8"}),
      .odd = All({"127.0.0.1", "127.255.1.2", "0.0.0.0", "0.1.2.3", "224.0.0.1", "239.1.1.1",
                  "240.0.0.1", "255.255.255.255", "169.254.1.1", "169.254.169.254", "169.254.20.10",
                  "169.254.169.253", "10.65.9.9", "198.51.100.99", "192.0.2.255", "10.0.0.1",
                  "172.16.0.1"}),
      .host = A("192.0.2.1")};
  static const Places kV6 = {
      .pods = All({"2001:db8::10", "2001:db8::20", "2001:db8::30", "2001:db8::40"}),
      .remote_pods = All({"2001:db8:0:2::7", "2001:db8:0:3::7"}),
      .nodes = All({"2001:db8:1::2", "2001:db8:1::3"}),
      .strangers = All({"2001:db8:f::5", "2001:db8:f::6", "2001:db8:1::77"}),
      .odd = All({"::1", "::", "fe80::5", "febf::1", "ff02::1", "ff02::16", "ff05::16", "fec0::1",
                  "100::1", "::203.0.113.5", "64:ff9b::10.0.0.1", "64:ff9b::203.0.113.5",
                  "64:ff9b::100.64.0.1", "2002:0a00:0001::1", "2002:cb00:7105::1", "2001:db8::99",
                  "2001:db8:1::"}),
      .host = A("2001:db8:1::1")};
  return v4 ? kV4 : kV6;
}

policy::TableWrites Scene::Begin(uint64_t seed) {
  random_.seed(seed);
  policy::World next;
  for (uint32_t i = 0; i < kPods; ++i) next.Put(Pod(i, i));
  for (const bool v4 : {true, false}) {
    const Places& places = PlacesOf(v4);
    for (size_t i = 0; i < places.remote_pods.size(); ++i) {
      policy::Endpoint e;
      e.id = e.name = absl::StrCat("fuzz/remote-", v4 ? 4 : 6, "-", i);
      e.labels = {{"pod", absl::StrCat("remote-", i)}, {"odd", "no"}};
      e.addresses = {places.remote_pods[i]};
      next.Put(e);
    }
  }
  next.Put(policy::Host{"this", true, {PlacesOf(true).host, PlacesOf(false).host}});
  for (const size_t i : {0, 1}) {
    next.Put(policy::Host{
        absl::StrCat("other-", i), false, {PlacesOf(true).nodes[i], PlacesOf(false).nodes[i]}});
  }
  for (uint32_t i = 0; i < 5; ++i) next.Put(RandomPolicy(i));
  return Move(next);
}

policy::TableWrites Scene::Change() {
  policy::World next = world_;
  moved_.clear();
  if (Chance(15)) {
    // Two pods change places: whoever has an address now has none of its flows.
    const uint32_t first = Below(kPods), second = (first + 1 + Below(kPods - 1)) % kPods;
    const auto id = [](uint32_t i) { return absl::StrCat("fuzz/pod-", i); };
    policy::Endpoint &a = next.endpoints.at(id(first)), &b = next.endpoints.at(id(second));
    std::swap(a.local->ifindex, b.local->ifindex);
    for (const policy::Endpoint& e : {a, b})
      moved_.insert(moved_.end(), e.addresses.begin(), e.addresses.end());
  } else {
    next.Put(RandomPolicy(Below(5)));
  }
  return Move(next);
}

policy::TableWrites Scene::Move(const policy::World& next) {
  for (const auto& call : policy::testing::Difference(world_, next)) call(engine_);
  world_ = next;
  const policy::TableWrites writes = engine_.Flush();
  image_.Apply(writes);
  image_.set_l4_table(engine_.l4_table());
  return writes;
}

policy::Policy Scene::RandomPolicy(uint32_t number) {
  policy::Policy p;
  p.key = {policy::PolicyKind::kGlobalNetworkPolicy, "", absl::StrCat("policy-", number)};
  p.order = number;
  p.selector = Chance(30) ? "all()" : absl::StrCat("pod == '", Below(kPods), "'");
  // The last policy is for all, so that much passes whatever else there is.
  const bool last = number == 4;
  if (last) p.selector = "all()";
  p.ingress = last || Chance(60);
  p.egress = last || !p.ingress || Chance(40);
  for (uint32_t i = Below(4); i > 0 && p.ingress; --i) p.ingress_rules.push_back(RandomRule(true));
  for (uint32_t i = Below(4); i > 0 && p.egress; --i) p.egress_rules.push_back(RandomRule(false));
  policy::Rule rest;
  rest.action = policy::Action::kAllow;
  if (p.ingress && (last ? Chance(85) : Chance(30))) p.ingress_rules.push_back(rest);
  if (p.egress && (last ? Chance(85) : Chance(30))) p.egress_rules.push_back(rest);
  return p;
}

policy::Rule Scene::RandomRule(bool ingress) {
  static constexpr uint8_t kProtocols[] = {6, 6, 17, 17, 1, 58, 132, 136, 47, 4, 50, 60};
  static constexpr uint8_t kIcmpTypes[] = {0, 3, 8, 13, 128, 129, 1};
  policy::Rule rule;
  rule.action = Chance(60) ? policy::Action::kAllow : policy::Action::kDeny;
  if (Chance(70)) rule.protocol = kProtocols[Below(std::size(kProtocols))];
  policy::EntityMatch& far = ingress ? rule.source : rule.destination;
  if (Chance(25)) far.selector = Chance(50) ? "odd == 'yes'" : "pod == '1'";
  if (Chance(20)) far.nets = {{C(Chance(50) ? "203.0.113.0/24" : "2001:db8:f::/48")}};
  if (!rule.protocol) return rule;
  if (policy::HasPorts(*rule.protocol) && Chance(60)) {
    const uint16_t first = Chance(50) ? 80 : 50;
    rule.destination.ports = policy::PortMatch{{{first, static_cast<uint16_t>(first + 10)}}, {}};
    if (Chance(20)) rule.source.ports = policy::PortMatch{{{1024, 65535}}, {}};
  }
  if ((*rule.protocol == 1 || *rule.protocol == 58) && Chance(60))
    rule.icmp = policy::IcmpMatch{kIcmpTypes[Below(std::size(kIcmpTypes))], std::nullopt};
  return rule;
}

Holder Scene::HolderOf(const policy::Address& address) const {
  Holder holder;
  for (const auto& [id, e] : world_.endpoints) {
    if (std::find(e.addresses.begin(), e.addresses.end(), address) == e.addresses.end()) continue;
    holder.remote_pod = !e.local;
    if (e.local) holder.ifindex = e.local->ifindex;
    if (e.local) holder.mac = e.local->mac;
  }
  for (const auto& [name, host] : world_.hosts) {
    const auto& a = host.addresses;
    if (std::find(a.begin(), a.end(), address) == a.end()) continue;
    (host.this_host ? holder.this_host : holder.other_node) = true;
  }
  return holder;
}

std::optional<bool> Scene::Allows(policy::Direction direction, const policy::Packet& packet,
                                  Stamp* ret_set) {
  const policy::Address& near =
      direction == policy::Direction::kIngress ? packet.destination : packet.source;
  const policy::Endpoint* local = world_.OwnershipOf(near).workload;
  if (local == nullptr) return std::nullopt;
  const auto verdict = reference_.Evaluate(world_, *local, direction, packet);
  const auto table = image_.Verdict(direction, packet);
  if (!verdict || !table) return std::nullopt;
  *ret_set = {table->set_index, table->epoch};
  return verdict->allow;
}

const Owners& Scene::AllOwners() {
  static const Owners kAll = [] {
    const auto other = [](const char* node, uint32_t flags) {
      return Owner{Owner::Who::kOtherNode, A(node), flags};
    };
    const auto ours = [](uint32_t flags) { return Owner{Owner::Who::kThisNode, {}, flags}; };
    return Owners{{C("10.65.0.0/16"), {}},  // a pool: what no block covers is nobody's
                  {C("198.51.100.0/24"), ours(OWNER_TUNNEL_NEAR | OWNER_TUNNEL_ACROSS)},
                  {C("2001:db8::/64"), ours(OWNER_TUNNEL_ACROSS)},
                  {C("192.0.2.1/32"), ours(OWNER_HOST)},
                  {C("192.0.2.2/32"), other(kNodeB, OWNER_HOST)},
                  {C("192.0.2.3/32"), other(kNodeC, OWNER_HOST)},
                  {C("10.65.2.0/24"), other(kNodeB, 0)},
                  {C("10.65.2.9/32"), other(kNodeC, OWNER_ACROSS)},  // borrowed
                  {C("10.65.3.0/24"), other(kNodeC, OWNER_ACROSS)},
                  {C("2001:db8:0:2::/64"), other(kNodeB, 0)},
                  {C("2001:db8:0:3::/64"), other(kNodeC, OWNER_ACROSS)}};
  }();
  return kAll;
}

const Owner* Scene::OwnerOf(const policy::Address& address) {
  const Owner* owner = nullptr;
  int longest = -1;
  for (const auto& [prefix, who] : AllOwners()) {
    if (!prefix.Contains(address) || prefix.bits <= longest) continue;
    owner = &who;
    longest = prefix.bits;
  }
  return owner;
}

// On the uplink's own network two answer to ARP: node C and the gateway, which has the rest.
std::optional<size_t> Scene::RouteTo(const policy::Address& address) {
  for (const char* own : {"127.0.0.0/8", "::1/128", "fe80::/10", "ff00::/8"})
    if (C(own).Contains(address)) return std::nullopt;
  // Its own, a broadcast, and the subnet's anycast. A neighbour that nobody knows is asked for.
  for (const char* own :
       {"192.0.2.1/32", "192.0.2.255/32", "2001:db8:1::1/128", "2001:db8:1::/128"})
    if (C(own).Contains(address)) return std::nullopt;
  return kMtu;
}

std::string Scene::SetUpCommands() {
  std::string text = "link set lo up\n";
  const auto add = [&](uint32_t ifindex, size_t mtu) {
    absl::StrAppend(&text, "link add fuzz", ifindex, " index ", ifindex,
                    " address 02:00:00:00:00:ee mtu ", mtu, " type veth peer name peer", ifindex,
                    "\nlink set fuzz", ifindex, " up\nlink set peer", ifindex, " up\n");
  };
  for (uint32_t i = 0; i < kPods; ++i) add(kFirstPod + i, 65535);
  add(kUplink, kMtu);
  add(kTunnel, kMtu);
  for (const char* address : {"192.0.2.1/24", "2001:db8:1::1/64 nodad"})
    absl::StrAppend(&text, "address add ", address, " dev fuzz", kUplink, "\n");
  for (const char* neighbor : {"192.0.2.3", "192.0.2.254", "2001:db8:1::3", "2001:db8:1::fe"}) {
    absl::StrAppend(&text, "neighbor add ", neighbor, " lladdr 02:00:00:00:00:77 nud permanent",
                    " dev fuzz", kUplink, "\n");
  }
  absl::StrAppend(&text, "route add default via 192.0.2.254\n",
                  "route add ::/0 via 2001:db8:1::fe\n");
  return text;
}

}  // namespace ripstop::loader::fuzz
