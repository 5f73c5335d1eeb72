// SPDX-License-Identifier: Apache-2.0
#include "policy/states/states_test_library.h"

namespace ripstop::policy::testing {
namespace {

constexpr Outcome kAllow = Outcome::kAllow;
constexpr Outcome kDeny = Outcome::kDeny;
constexpr uint8_t kTcp = kProtocolTcp;
const char kN1[] = "203.0.113.1", kN1v6[] = "2001:db8:1::1";
const char kN2[] = "203.0.113.2", kN2v6[] = "2001:db8:1::2";

Host Node(const std::string& name, const std::string& role,
          const std::vector<std::string>& addresses) {
  Host host{name, name == "n1", {}, {{"role", role}}};
  for (const std::string& a : addresses) host.addresses.push_back(*Address::Parse(a));
  return host;
}

Rule ToNodes(Action action, const std::string& selector) {
  Rule rule{action};
  rule.destination.nodes = selector;
  return rule;
}

}  // namespace

void AddNodeStates(std::vector<NamedState>& states) {
  const auto add = [&](const char* name, World w, std::vector<Expectation> e) {
    states.push_back({name, std::move(w), std::move(e)});
  };
  World nodes = Base();
  nodes.Put(Node("n1", "control", {kN1, kN1v6}));
  nodes.Put(Node("n2", "worker", {kN2, kN2v6}));
  World w = nodes;
  w.Put(P("p", "app == 'db'", {}, {ToNodes(Action::kAllow, "role == 'worker'")}));
  add("egress to nodes by their labels", w,
      {Out("shop/db", kN2, kTcp, 1, kAllow, "default/shop/p egress rule 0"),
       Out("shop/db", kN2v6, kProtocolIcmpV6, 128, kAllow), Out("shop/db", kN1, kTcp, 1, kDeny),
       Out("shop/db", "192.0.2.100", kTcp, 1, kDeny), Out("shop/web", kN1, kTcp, 1, kAllow)});
  World relabelled = w;
  relabelled.hosts.at("n1").labels["role"] = "worker";
  relabelled.hosts.at("n2").labels["role"] = "control";
  add("the nodes swap their labels", relabelled,
      {Out("shop/db", kN2, kTcp, 1, kDeny), Out("shop/db", kN1, kTcp, 1, kAllow),
       Out("shop/db", kN1v6, kTcp, 1, kAllow)});
  World readdressed = w;
  readdressed.Put(Node("n1", "control", {kN2, kN1v6}));
  readdressed.Put(Node("n2", "worker", {kN1, kN2v6}));
  add("the nodes swap an address", readdressed,
      {Out("shop/db", kN2, kTcp, 1, kDeny), Out("shop/db", kN1, kTcp, 1, kAllow),
       Out("shop/db", kN2v6, kTcp, 1, kAllow)});
  World gone = w;
  gone.hosts.erase("n2");
  add("a node is gone", gone,
      {Out("shop/db", kN2, kTcp, 1, kDeny), Out("shop/db", kN2v6, kTcp, 1, kDeny)});
  World every = nodes;
  every.Put(P("p", "app == 'db'", {}, {ToNodes(Action::kDeny, ""), Rule{Action::kAllow}}));
  add("egress to no node", every,
      {Out("shop/db", kN1, kTcp, 1, kDeny), Out("shop/db", kN2v6, kTcp, 1, kDeny),
       Out("shop/db", "192.0.2.100", kTcp, 1, kAllow, "default/shop/p egress rule 1"),
       Out("shop/db", "203.0.113.3", kTcp, 1, kAllow)});
  World all = nodes;
  all.Put(P("p", "app == 'db'", {}, {R(Action::kDeny).To("all()"), Rule{Action::kAllow}}));
  add("all() is no node", all,
      {Out("shop/db", kN1, kTcp, 1, kAllow, "default/shop/p egress rule 1"),
       Out("shop/db", "192.0.2.100", kTcp, 1, kDeny)});
  World later = all;
  later.Put(Node("n2", "gate", {kN2, kN2v6}));
  add("all() is no node that comes later", later,
      {Out("shop/db", kN2, kTcp, 1, kAllow, "default/shop/p egress rule 1"),
       Out("shop/db", kN2v6, kTcp, 1, kAllow), Out("shop/db", "192.0.2.100", kTcp, 1, kDeny)});
  World twice = w;
  twice.Put(Node("n3", "control", {kN2}));
  add("two nodes have one address: it is of both", twice,
      {Out("shop/db", kN2, kTcp, 1, kAllow), Out("shop/db", kN1, kTcp, 1, kDeny)});
  World pods = w;
  pods.Put(Node("n2", "worker", {kN2, "192.0.2.100", "192.0.2.2"}));
  add("nodes have the addresses of pods", pods,
      {Out("shop/db", "192.0.2.100", kTcp, 1, kAllow),
       Out("shop/db", "2001:db8::64", kTcp, 1, kDeny), Out("shop/db", "192.0.2.2", kTcp, 1, kAllow),
       Out("shop/db", "2001:db8::2", kTcp, 1, kDeny)});
  // The near side is asked as well, though no document says so today.
  World near = pods;
  Rule from{Action::kAllow};
  from.source.nodes = "role == 'worker'";
  near.Put(P("p", "app == 'web'", {}, {from}));
  add("a rule asks whether the near address is a node's", near,
      {Out("shop/web", kN1, kTcp, 1, kAllow, "default/shop/p egress rule 0"),
       Out("shop/web", kN1v6, kTcp, 1, kDeny), Out("shop/db", kN1, kTcp, 1, kAllow)});
  World invalid = nodes;
  invalid.Put(P("p", "app == 'db'", {}, {ToNodes(Action::kAllow, "((")}));
  add("an invalid selector of nodes allows nothing", invalid,
      {Out("shop/db", kN2, kTcp, 1, kDeny), Out("shop/db", "192.0.2.100", kTcp, 1, kDeny)});
  invalid.Put(P("p", "app == 'db'", {}, {ToNodes(Action::kDeny, "(("), Rule{Action::kAllow}}));
  add("an invalid selector of nodes denies all", invalid,
      {Out("shop/db", kN2, kTcp, 1, kDeny, "default/shop/p egress rule 0"),
       Out("shop/db", "192.0.2.100", kTcp, 1, kDeny)});
}

}  // namespace ripstop::policy::testing
