// SPDX-License-Identifier: Apache-2.0
#include "policy/states/states_test_library.h"

namespace ripstop::policy::testing {
namespace {

constexpr Outcome kAllow = Outcome::kAllow;
constexpr Outcome kDeny = Outcome::kDeny;
constexpr Action kA = Action::kAllow;
constexpr uint8_t kTcp = kProtocolTcp;
const char kCart[] = "192.0.2.100", kCart6[] = "2001:db8::64";
const char kProbe[] = "192.0.2.101", kProbe6[] = "2001:db8::65";

NetworkSet Office(const std::vector<std::string>& nets) {
  NetworkSet set{"shop/office", {{"role", "office"}}, {"kns.shop"}, {}};
  for (const std::string& net : nets) set.nets.push_back(*Cidr::Parse(net));
  return set;
}

}  // namespace

void AddPeerStates(std::vector<NamedState>& states) {
  const auto add = [&](const char* name, World w, std::vector<Expectation> e) {
    states.push_back({name, std::move(w), std::move(e)});
  };
  World w = Base();
  w.Put(P("db", "app == 'db'", {R(kA).From("app == 'cart'").Port(kTcp, 5432)}));
  add("one selector, one port", w,
      {In("shop/db", kCart, kTcp, 5432, kAllow, "default/shop/db ingress rule 0"),
       In("shop/db", kCart6, kTcp, 5432, kAllow),
       In("shop/db", kCart, kTcp, 5433, kDeny, "default/shop/db ingress end of tier"),
       In("shop/db", kProbe, kTcp, 5432, kDeny), In("shop/db", kCart, kProtocolUdp, 5432, kDeny),
       In("shop/db", kCart, kProtocolIcmp, 8, kDeny), In("shop/web", kProbe, kTcp, 5432, kAllow),
       Out("shop/db", kProbe, kTcp, 1, kAllow, "profile kns.shop egress rule 0")});
  World relabelled = w;
  At(relabelled, "shop/cart").labels["app"] = "basket";
  add("the peer is relabelled", relabelled,
      {In("shop/db", kCart, kTcp, 5432, kDeny), In("shop/db", kCart6, kTcp, 5432, kDeny)});
  World gone = w;
  gone.endpoints.erase("shop/cart");
  add("the peer is gone", gone,
      {In("shop/db", kCart, kTcp, 5432, kDeny), In("shop/db", kCart6, kTcp, 5432, kDeny)});

  World team = Base();
  team.Put(P("team", "app == 'db'", {R(kA).From("pcns.team == 'other'")}));
  add("a namespace label", team,
      {In("shop/db", kProbe, kTcp, 1, kAllow), In("shop/db", kProbe6, kProtocolIcmpV6, 128, kAllow),
       In("shop/db", kCart, kTcp, 1, kDeny)});
  World moved = team;
  moved.profiles.at("kns.other").labels_to_apply["pcns.team"] = "guests";
  moved.profiles.at("kns.shop").labels_to_apply["pcns.team"] = "other";
  add("the namespaces are relabelled", moved,
      {In("shop/db", kProbe, kTcp, 1, kDeny), In("shop/db", kCart, kTcp, 1, kAllow)});
  World own = team;
  At(own, "shop/cart").labels["pcns.team"] = "other";
  At(own, "other/probe").labels["pcns.team"] = "none";
  add("an endpoint's own label wins over its namespace's", own,
      {In("shop/db", kProbe, kTcp, 1, kDeny), In("shop/db", kCart, kTcp, 1, kAllow)});
  World kubernetes = own;
  for (auto& [id, e] : kubernetes.endpoints) e.labels[kNamespaceLabel] = id.substr(0, id.find('/'));
  kubernetes.Put(P("team", "app == 'db'", {R(kA).From("ns:pcns.team == 'other'")}));
  add("… but the namespace's counts for Kubernetes", kubernetes,
      {In("shop/db", kProbe, kTcp, 1, kAllow), In("shop/db", kCart, kTcp, 1, kDeny)});
  World said = kubernetes;
  said.profiles.at("kns.shop").labels_to_apply["app"] = "inherited";
  At(said, "shop/cart").labels.erase("app");
  At(said, "shop/cart").labels[KeyOfPod("pcns.team")] = "mine";
  said.Put(P("team", "app == 'db'",
             {R(kA).From("pod:pcns.team == 'mine' && app == 'inherited' && !has(pod:app)")}));
  add("a pod's own label is its word, what it inherits is not", said,
      {In("shop/db", kProbe, kTcp, 1, kDeny), In("shop/db", kCart, kTcp, 1, kAllow)});

  World nets = Base();
  nets.Put(P("nets", "app == 'db'", {R(kA).FromNets({"198.51.100.0/24"}, {"198.51.100.128/25"})}));
  add("a net with an exception", nets,
      {In("shop/db", "198.51.100.1", kTcp, 1, kAllow),
       In("shop/db", "198.51.100.129", kTcp, 1, kDeny),
       In("shop/db", "198.51.101.1", kTcp, 1, kDeny),
       In("shop/db", "2001:db8:1::1", kTcp, 1, kDeny)});
  nets.Put(P("again", "app == 'db'", {R(kA).FromNets({"198.51.100.200/32"})}));
  add("another policy re-allows an excepted address", nets,
      {In("shop/db", "198.51.100.200", kTcp, 1, kAllow, "default/shop/again ingress rule 0"),
       In("shop/db", "198.51.100.201", kTcp, 1, kDeny),
       In("shop/db", "198.51.100.1", kTcp, 1, kAllow)});

  World v4 = Base(), v6 = Base();
  v4.Put(P("all4", "app == 'db'", {R(kA).FromNets({"0.0.0.0/0"})}));
  v6.Put(P("all6", "app == 'db'", {R(kA).FromNets({"::/0"})}));
  add("all of IPv4 is not IPv6", v4,
      {In("shop/db", kCart, kTcp, 1, kAllow), In("shop/db", "203.0.113.1", kTcp, 1, kAllow),
       In("shop/db", kCart6, kTcp, 1, kDeny), In("shop/db", "2001:db8:1::1", kTcp, 1, kDeny)});
  add("all of IPv6 is not IPv4", v6,
      {In("shop/db", kCart6, kTcp, 1, kAllow), In("shop/db", "2001:db8:1::1", kTcp, 1, kAllow),
       In("shop/db", kCart, kTcp, 1, kDeny), In("shop/db", "203.0.113.1", kTcp, 1, kDeny)});
  World nested = Base();
  nested.Put(P("nested", "app == 'db'",
               {R(Action::kDeny).FromNets({"198.51.100.64/26", "192.0.2.101/32"}),
                R(kA).FromNets({"198.51.100.0/24", "192.0.2.96/27"})}));
  add("nets inside nets, over pods too", nested,
      {In("shop/db", "198.51.100.70", kTcp, 1, kDeny, "default/shop/nested ingress rule 0"),
       In("shop/db", "198.51.100.1", kTcp, 1, kAllow), In("shop/db", kCart, kTcp, 1, kAllow),
       In("shop/db", kProbe, kTcp, 1, kDeny), In("shop/db", "192.0.2.110", kTcp, 1, kAllow)});

  World sets = Base();
  sets.Put(
      P("office", "app == 'db'", {R(kA).From("role == 'office'")}, {R(kA).To("role == 'office'")}));
  add("no network set yet", sets,
      {In("shop/db", "198.51.100.1", kTcp, 1, kDeny), In("shop/db", kCart, kTcp, 1, kDeny)});
  sets.Put(Office({"198.51.100.0/25", "2001:db8:1::/48"}));
  add("a network set", sets,
      {In("shop/db", "198.51.100.1", kTcp, 1, kAllow),
       In("shop/db", "198.51.100.129", kTcp, 1, kDeny),
       In("shop/db", "2001:db8:1::1", kTcp, 1, kAllow),
       Out("shop/db", "198.51.100.1", kTcp, 1, kAllow), In("shop/db", kCart, kTcp, 1, kDeny)});
  sets.Put(Office({"198.51.100.0/24", "192.0.2.100/32"}));
  add("the network set has other nets, a pod's address among them", sets,
      {In("shop/db", "198.51.100.129", kTcp, 1, kAllow),
       In("shop/db", "2001:db8:1::1", kTcp, 1, kDeny), In("shop/db", kCart, kTcp, 1, kAllow),
       Out("shop/db", kCart6, kTcp, 1, kDeny)});

  World inner = Base();
  inner.Put(P("inner", "app == 'db'",
              {R(Action::kDeny).From("role == 'lab'"), R(kA).From("role == 'office'")}));
  add("rules for two network sets that are not there", inner,
      {In("shop/db", "198.51.100.70", kTcp, 1, kDeny),
       In("shop/db", "198.51.100.1", kTcp, 1, kDeny)});
  inner.Put(Office({"198.51.100.0/24", "2001:db8:1::/48"}));
  NetworkSet lab = Office({"198.51.100.64/28", "198.51.100.200/32", "2001:db8:1:1::/64"});
  lab.id = "shop/lab";
  lab.labels["role"] = "lab";
  inner.Put(lab);
  add("a network set inside another", inner,
      {In("shop/db", "198.51.100.70", kTcp, 1, kDeny, "default/shop/inner ingress rule 0"),
       In("shop/db", "198.51.100.200", kTcp, 1, kDeny, "default/shop/inner ingress rule 0"),
       In("shop/db", "198.51.100.1", kTcp, 1, kAllow),
       In("shop/db", "2001:db8:1:1::1", kTcp, 1, kDeny),
       In("shop/db", "2001:db8:1:2::1", kTcp, 1, kAllow)});

  World negated = Base();
  negated.Put(P("not", "app == 'db'", {R(kA).NotFrom("app == 'cart'")}));
  add("everything but a selector", negated,
      {In("shop/db", kCart, kTcp, 1, kDeny), In("shop/db", kCart6, kTcp, 1, kDeny),
       In("shop/db", kProbe, kTcp, 1, kAllow), In("shop/db", "203.0.113.1", kTcp, 1, kAllow)});
  World nothing = Base();
  R none(kA);
  none.source.nets.emplace();
  nothing.Put(P("none", "app == 'db'", {none}));
  add("an unresolved peer matches nothing", nothing,
      {In("shop/db", kCart, kTcp, 1, kDeny), In("shop/db", "203.0.113.1", kTcp, 1, kDeny)});
}

}  // namespace ripstop::policy::testing
