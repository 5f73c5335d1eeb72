// SPDX-License-Identifier: Apache-2.0
#include "policy/states/states_test_library.h"

namespace ripstop::policy::testing {
namespace {

constexpr Outcome kAllow = Outcome::kAllow;
constexpr Outcome kDeny = Outcome::kDeny;
constexpr Outcome kNobody = Outcome::kNoEndpoint;
constexpr uint8_t kTcp = kProtocolTcp, kUdp = kProtocolUdp;
constexpr HostGroup kUntracked = HostGroup::kUntracked, kPreDnat = HostGroup::kPreDnat;
constexpr HostGroup kForward = HostGroup::kForward, kNormal = HostGroup::kNormal;
constexpr uint32_t kUplink = 2, kSecond = 3;
// The node's own address, somebody outside, and the pods shop/db and shop/cart.
const char kNode[] = "192.0.2.200", kOutside[] = "198.51.100.7", kDb[] = "192.0.2.1",
           kCart[] = "192.0.2.100";

HostEndpoint Uplink() {
  HostEndpoint e;
  e.id = "node-a-uplink";
  e.labels = {{"role", "node"}};
  e.expected_addresses = {*Address::Parse(kNode)};
  e.interfaces = {kUplink};
  return e;
}

Policy Global(const std::string& name, std::vector<Rule> ingress, std::vector<Rule> egress = {}) {
  Policy p = P(name, "role == 'node'", std::move(ingress), std::move(egress));
  p.key = {PolicyKind::kGlobalNetworkPolicy, "", name};
  return p;
}

Expectation At(HostGroup group, Direction direction, const char* from, const char* to,
               uint8_t protocol, uint16_t port, Outcome outcome, const std::string& by = "") {
  Expectation e{direction, "node-a-uplink", {}, outcome, by};
  e.packet.source = *Address::Parse(from);
  e.packet.destination = *Address::Parse(to);
  e.packet.protocol = protocol;
  e.packet.source_port = 40000;
  e.packet.destination_port = port;
  e.group = group;
  e.interface = kUplink;
  return e;
}

Expectation In(HostGroup group, const char* from, const char* to, uint16_t port, Outcome outcome,
               const std::string& by = "") {
  return At(group, Direction::kIngress, from, to, kTcp, port, outcome, by);
}
Expectation Out(HostGroup group, const char* from, const char* to, uint16_t port, Outcome outcome,
                const std::string& by = "") {
  return At(group, Direction::kEgress, from, to, kTcp, port, outcome, by);
}

// No rule of the group decides: the next one is asked.
Expectation Next(Expectation e) {
  e.outcome = kDeny;
  e.next = true;
  e.by = std::string(e.direction == Direction::kIngress ? "ingress" : "egress") +
         " no rule of the group";
  return e;
}

Expectation On(uint32_t interface, Expectation e) {
  e.interface = interface;
  return e;
}

}  // namespace

void AddHostStates(std::vector<NamedState>& states) {
  const auto add = [&](const char* name, World w, std::vector<Expectation> e) {
    states.push_back({name, std::move(w), std::move(e)});
  };
  World base = Base();
  base.Put(Uplink());

  add("a host endpoint without policy: its own traffic is denied, forwarded passes", base,
      {In(kNormal, kOutside, kNode, 80, kDeny, "ingress no profile matched"),
       Out(kNormal, kNode, kOutside, 80, kDeny, "egress no profile matched"),
       In(kForward, kOutside, kDb, 80, kAllow, "ingress no policy for forwarded traffic"),
       Out(kForward, kDb, kOutside, 80, kAllow, "egress no policy for forwarded traffic"),
       Next(In(kPreDnat, kOutside, kNode, 80, kDeny)),
       Next(In(kUntracked, kOutside, kNode, 80, kDeny)),
       On(kSecond, In(kNormal, kOutside, kNode, 80, kNobody))});
  Expectation back =
      Out(kUntracked, kNode, kOutside, 40000, kAllow, "egress failsafe reply to tcp 22");
  back.packet.source_port = 22;
  add("failsafe ports stay open whatever policy says",
      [&] {
        World w = base;
        Policy closed = Global("closed", {R(Action::kDeny)}, {R(Action::kDeny)});
        Policy raw = closed;
        raw.key.name = "raw";
        raw.do_not_track = raw.apply_on_forward = true;
        w.Put(closed);
        w.Put(raw);
        return w;
      }(),
      {In(kNormal, kOutside, kNode, 22, kAllow, "ingress failsafe tcp 22"),
       In(kNormal, kOutside, kNode, 23, kDeny, "default/closed ingress rule 0"),
       In(kUntracked, kOutside, kNode, 6443, kAllow, "ingress failsafe tcp 6443"),
       In(kUntracked, kOutside, kNode, 80, kDeny, "default/raw ingress rule 0"),
       At(kNormal, Direction::kEgress, kNode, kOutside, kUdp, 53, kAllow, "egress failsafe udp 53"),
       Out(kNormal, kNode, kOutside, 22, kDeny, "default/closed egress rule 0"),
       Out(kNormal, kNode, kOutside, 179, kAllow, "egress failsafe tcp 179"), back});
  World own = base;
  own.failsafe = {{{kTcp, 2222, *Cidr::Parse("198.51.100.0/25")}}, {}};
  add("another list of failsafe ports, with a net", own,
      {In(kNormal, kOutside, kNode, 2222, kAllow, "ingress failsafe tcp 2222"),
       In(kNormal, kCart, kNode, 2222, kDeny), In(kNormal, kOutside, kNode, 22, kDeny)});

  World normal = base;
  normal.Put(
      Global("web", {R(Action::kAllow).From("app == 'cart'").Port(kTcp, 80)}, {R(Action::kAllow)}));
  add("a normal policy judges the host's own traffic only", normal,
      {In(kNormal, kCart, kNode, 80, kAllow, "default/web ingress rule 0"),
       In(kNormal, kOutside, kNode, 80, kDeny, "default/web ingress end of tier"),
       Out(kNormal, kNode, kOutside, 81, kAllow, "default/web egress rule 0"),
       In(kForward, kOutside, kDb, 80, kAllow, "ingress no policy for forwarded traffic")});
  World forward = normal;
  Policy through = Global("through", {R(Action::kAllow).From("app == 'cart'").To("app == 'db'")});
  through.apply_on_forward = true;
  forward.Put(through);
  add("a policy on forwarded traffic looks at both ends", forward,
      {In(kForward, kCart, kDb, 80, kAllow, "default/through ingress rule 0"),
       In(kForward, kOutside, kDb, 80, kDeny, "default/through ingress end of tier"),
       In(kForward, kCart, "192.0.2.2", 80, kDeny, "default/through ingress end of tier"),
       In(kForward, kCart, kDb, 22, kAllow, "default/through ingress rule 0"),
       Out(kForward, kDb, kOutside, 80, kAllow, "egress no policy for forwarded traffic"),
       In(kNormal, kCart, kNode, 80, kAllow, "default/web ingress rule 0")});
  World swapped = forward;
  std::swap(swapped.endpoints.at("shop/db").addresses, swapped.endpoints.at("shop/web").addresses);
  add("the ends of forwarded traffic swap their addresses", swapped,
      {In(kForward, kCart, kDb, 80, kDeny), In(kForward, kCart, "192.0.2.2", 80, kAllow)});

  World before = normal;
  Policy door = Global("door", {R(Action::kDeny).FromNets({"198.51.100.0/24"}).Port(kTcp, 8080)});
  door.pre_dnat = door.apply_on_forward = true;
  before.Put(door);
  add("a pre-DNAT policy denies what it names and leaves the rest", before,
      {In(kPreDnat, kOutside, kNode, 8080, kDeny, "default/door ingress rule 0"),
       Next(In(kPreDnat, kOutside, kNode, 80, kDeny)), In(kPreDnat, kOutside, kNode, 22, kAllow),
       Next(In(kUntracked, kOutside, kNode, 8080, kDeny)),
       In(kForward, kOutside, kDb, 80, kAllow, "ingress no policy for forwarded traffic"),
       In(kNormal, kOutside, kNode, 80, kDeny, "default/web ingress end of tier")});
  World raw = before;
  Policy flood = Global("flood", {R(Action::kAllow).From("app == 'cart'"), R(Action::kPass)},
                        {R(Action::kAllow)});
  flood.do_not_track = flood.apply_on_forward = true;
  raw.Put(flood);
  add("an untracked policy allows without connections; Pass leaves it to the next group", raw,
      {In(kUntracked, kCart, kNode, 80, kAllow, "default/flood ingress rule 0"),
       Next(In(kUntracked, kOutside, kNode, 80, kDeny)),
       Out(kUntracked, kNode, kOutside, 80, kAllow, "default/flood egress rule 0")});

  World any = normal;
  HostEndpoint rest;
  rest.id = "node-a-rest";
  rest.interfaces = {kAnyInterface};
  rest.profiles = {"kns.other"};
  any.Put(rest);
  Expectation second =
      On(kSecond, In(kNormal, kOutside, kNode, 80, kAllow, "profile kns.other ingress rule 0"));
  second.local = "node-a-rest";
  add("a host endpoint of any interface has those that no other has", any,
      {In(kNormal, kOutside, kNode, 80, kDeny, "default/web ingress end of tier"), second});
  World moved = any;
  moved.host_endpoints.at("node-a-uplink").interfaces = {kSecond};
  Expectation first = In(kNormal, kOutside, kNode, 80, kAllow, "profile kns.other ingress rule 0");
  first.local = "node-a-rest";
  add("a host endpoint moves to another interface", moved,
      {first,
       On(kSecond, In(kNormal, kOutside, kNode, 80, kDeny, "default/web ingress end of tier"))});

  World peer = Base();
  peer.Put(P("db", "app == 'db'", {R(Action::kAllow).From("role == 'node'")}));
  HostEndpoint elsewhere = Uplink();
  elsewhere.interfaces.clear();
  peer.Put(elsewhere);
  add("the expected addresses of another node's host endpoint feed selectors", peer,
      {testing::In("shop/db", kNode, kTcp, 80, kAllow, "default/shop/db ingress rule 0"),
       testing::In("shop/db", kOutside, kTcp, 80, kDeny),
       In(kNormal, kOutside, kNode, 80, kNobody)});
}

}  // namespace ripstop::policy::testing
