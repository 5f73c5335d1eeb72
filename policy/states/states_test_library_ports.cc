// SPDX-License-Identifier: Apache-2.0
#include "policy/states/states_test_library.h"

namespace ripstop::policy::testing {
namespace {

constexpr Outcome kAllow = Outcome::kAllow;
constexpr Outcome kDeny = Outcome::kDeny;
constexpr Action kA = Action::kAllow;
constexpr uint8_t kTcp = kProtocolTcp;
constexpr uint8_t kUdp = kProtocolUdp;
const char kCart[] = "192.0.2.100", kCart6[] = "2001:db8::64";
const char kProbe[] = "192.0.2.101", kProbe6[] = "2001:db8::65";

ServiceBackends Backend(const std::string& address, uint16_t port) {
  return {{"shop", "api"}, "slice", {*Address::Parse(address)}, {{kTcp, port}}};
}

}  // namespace

void AddPortStates(std::vector<NamedState>& states) {
  const auto add = [&](const char* name, World w, std::vector<Expectation> e) {
    states.push_back({name, std::move(w), std::move(e)});
  };
  World w = Base();
  w.Put(P("name", "has(app)", {R(kA).Named(kTcp, "http")}));
  add("a named port of the local endpoint", w,
      {In("shop/web", kCart, kTcp, 80, kAllow), In("shop/web", kCart6, kTcp, 80, kAllow),
       In("shop/web", kCart, kTcp, 8080, kDeny), In("shop/web", kCart, kUdp, 80, kDeny),
       In("shop/db", kCart, kTcp, 80, kDeny)});
  At(w, "shop/web").ports = {{"http", kTcp, 8080}, {"http", kUdp, 81}};
  add("its number and protocol change", w,
      {In("shop/web", kCart, kTcp, 80, kDeny), In("shop/web", kCart, kTcp, 8080, kAllow),
       In("shop/web", kCart, kUdp, 81, kDeny), In("shop/web", kCart, kTcp, 81, kDeny)});

  World out = Base();
  out.Put(P("out", "app == 'db'", {}, {R(kA).Named(kTcp, "http")}));
  add("a named port means another number on each peer", out,
      {Out("shop/db", kCart, kTcp, 8080, kAllow), Out("shop/db", kProbe, kTcp, 9090, kAllow),
       Out("shop/db", kCart, kTcp, 9090, kDeny), Out("shop/db", kProbe6, kTcp, 8080, kDeny),
       Out("shop/db", kCart6, kTcp, 8080, kAllow), Out("shop/db", "203.0.113.1", kTcp, 8080, kDeny),
       In("shop/db", kCart, kTcp, 1, kAllow)});
  At(out, "shop/cart").ports = {{"http", kTcp, 9090}};
  At(out, "other/probe").ports = {{"http", kUdp, 9090}};
  add("the peers' numbers change", out,
      {Out("shop/db", kCart, kTcp, 9090, kAllow), Out("shop/db", kCart, kTcp, 8080, kDeny),
       Out("shop/db", kProbe, kTcp, 9090, kDeny), Out("shop/db", kProbe, kUdp, 9090, kDeny)});

  World service = Base();
  R to(kA), from(kA);
  to.destination.service = ServiceName{"shop", "api"};
  from.source.service = ServiceName{"shop", "api"};
  service.Put(P("svc", "app == 'db'", {from}, {to}));
  add("a service without backends", service,
      {Out("shop/db", kCart, kTcp, 8080, kDeny), In("shop/db", kCart, kTcp, 1, kDeny)});
  service.Put(Backend(kCart, 8080));
  add("a service is address and port as destination, address as source", service,
      {Out("shop/db", kCart, kTcp, 8080, kAllow), Out("shop/db", kCart, kTcp, 8081, kDeny),
       Out("shop/db", kCart, kUdp, 8080, kDeny), Out("shop/db", kCart6, kTcp, 8080, kDeny),
       In("shop/db", kCart, kUdp, 7, kAllow), In("shop/db", kProbe, kTcp, 8080, kDeny)});
  World slices = service;
  slices.Put(ServiceBackends{{"shop", "api"}, "second", {*Address::Parse(kProbe)}, {{kTcp, 9090}}});
  add("two slices of the service, each with its own port", slices,
      {Out("shop/db", kCart, kTcp, 8080, kAllow), Out("shop/db", kProbe, kTcp, 9090, kAllow),
       Out("shop/db", kCart, kTcp, 9090, kDeny), Out("shop/db", kProbe, kTcp, 8080, kDeny),
       In("shop/db", kProbe, kTcp, 1, kAllow)});
  service.Put(Backend("203.0.113.9", 81));
  add("the service moves outside the cluster", service,
      {Out("shop/db", kCart, kTcp, 8080, kDeny), Out("shop/db", "203.0.113.9", kTcp, 81, kAllow),
       In("shop/db", kCart, kTcp, 1, kDeny), In("shop/db", "203.0.113.9", kTcp, 1, kAllow)});

  World icmp = Base();
  R echo4(kA), echo6(kA);
  echo4.protocol = kProtocolIcmp;
  echo4.icmp = IcmpMatch{8, {}};
  echo6.protocol = kProtocolIcmpV6;
  echo6.icmp = IcmpMatch{128, {}};
  icmp.Put(P("echo", "app == 'db'", {echo4, echo6}));
  add("echo requests only", icmp,
      {In("shop/db", kCart, kProtocolIcmp, 8, kAllow),
       In("shop/db", kCart, kProtocolIcmp, 13, kDeny),
       In("shop/db", kCart6, kProtocolIcmpV6, 128, kAllow),
       In("shop/db", kCart6, kProtocolIcmpV6, 8, kDeny), In("shop/db", kCart, kTcp, 8, kDeny)});
  World sctp = Base();
  sctp.Put(
      P("sctp", "app == 'db'", {R(kA).Port(kProtocolSctp, 80), R(kA).Protocol(kProtocolUdpLite)}));
  add("SCTP is not TCP", sctp,
      {In("shop/db", kCart, kProtocolSctp, 80, kAllow),
       In("shop/db", kCart6, kProtocolSctp, 80, kAllow), In("shop/db", kCart, kTcp, 80, kDeny),
       In("shop/db", kCart, kProtocolSctp, 81, kDeny),
       In("shop/db", kCart, kProtocolUdpLite, 9, kAllow), In("shop/db", kCart, kUdp, 9, kDeny)});
  World gre = Base();
  gre.Put(P("gre", "app == 'db'", {R(kA).Protocol(47)}));
  add("a protocol by number", gre,
      {In("shop/db", kCart, 47, 0, kAllow), In("shop/db", kCart, 50, 0, kDeny),
       In("shop/db", kCart, kTcp, 1, kDeny)});

  World range = Base();
  R source(kA);
  source.protocol = kTcp;
  source.source.ports = PortMatch{{{40000, 40001}}, {}};
  source.destination.ports = PortMatch{{{1000, 2000}}, {}};
  range.Put(P("range", "app == 'db'", {source}));
  add("source ports and a range", range,
      {In("shop/db", kCart, kTcp, 1000, kAllow), In("shop/db", kCart, kTcp, 2000, kAllow),
       In("shop/db", kCart, kTcp, 999, kDeny), In("shop/db", kCart, kTcp, 2001, kDeny)});
  range.policies.begin()->second.ingress_rules[0].source.ports = PortMatch{{{40001, 40002}}, {}};
  add("other source ports", range, {In("shop/db", kCart, kTcp, 1000, kDeny)});

  World not_ports = Base();
  R no(kA);
  no.protocol = kTcp;
  no.destination.not_ports = PortMatch{{{22, 22}}, {"http"}};
  not_ports.Put(P("notports", "has(app)", {no}));
  add("every port but one and a named one", not_ports,
      {In("shop/web", kCart, kTcp, 22, kDeny), In("shop/web", kCart, kTcp, 80, kDeny),
       In("shop/web", kCart, kTcp, 81, kAllow), In("shop/db", kCart, kTcp, 80, kAllow),
       In("shop/db", kCart, kUdp, 81, kDeny)});
  World many = Base();
  std::vector<Rule> rules;
  for (uint16_t i = 0; i < 40; ++i) {
    rules.push_back(
        R(kA).From(i % 2 == 0 ? "app == 'cart'" : "app == 'probe'").Port(kTcp, 1000 + 10 * i));
  }
  many.Put(P("many", "app == 'db'", rules));
  add("forty rules of their own ports", many,
      {In("shop/db", kCart, kTcp, 1000, kAllow, "default/shop/many ingress rule 0"),
       In("shop/db", kProbe, kTcp, 1390, kAllow, "default/shop/many ingress rule 39"),
       In("shop/db", kCart, kTcp, 1390, kDeny), In("shop/db", kCart6, kTcp, 1380, kAllow),
       In("shop/db", kCart, kTcp, 1001, kDeny)});
}

}  // namespace ripstop::policy::testing
