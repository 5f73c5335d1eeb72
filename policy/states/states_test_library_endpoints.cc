// SPDX-License-Identifier: Apache-2.0
#include "policy/states/states_test_library.h"

namespace ripstop::policy::testing {
namespace {

constexpr Outcome kAllow = Outcome::kAllow;
constexpr Outcome kDeny = Outcome::kDeny;
constexpr uint8_t kTcp = kProtocolTcp;
const char kCart[] = "192.0.2.100", kCart6[] = "2001:db8::64";
const char kDisputedIngress[] = "ingress address claimed by several endpoints";
const char kDisputedEgress[] = "egress address claimed by several endpoints";
const char kProbe[] = "192.0.2.101", kProbe6[] = "2001:db8::65";

}  // namespace

void AddEndpointStates(std::vector<NamedState>& states) {
  const auto add = [&](const char* name, World w, std::vector<Expectation> e) {
    states.push_back({name, std::move(w), std::move(e)});
  };
  World base = Base();
  base.Put(P("db", "app == 'db'", {R(Action::kAllow).From("app == 'cart'")}));

  World finished = base;
  At(finished, "shop/cart").active = false;
  add("a finished pod is no peer", finished,
      {In("shop/db", kCart, kTcp, 1, kDeny), In("shop/db", kCart6, kTcp, 1, kDeny)});
  Endpoint next = At(base, "other/probe");
  next.id = "shop/cart-next";
  next.labels["app"] = "cart";
  next.addresses = At(base, "shop/cart").addresses;
  World reuse = finished;
  At(reuse, "shop/cart").labels["app"] = "old";
  reuse.Put(next);
  add("a finished pod's address has a new owner", reuse,
      {In("shop/db", kCart, kTcp, 1, kAllow), In("shop/db", kCart6, kTcp, 1, kAllow)});
  World both = base;
  next.labels["app"] = "thief";
  both.Put(next);
  add("two live pods of other nodes claim an address: it is nobody's", both,
      {In("shop/db", kCart, kTcp, 1, kDeny, kDisputedIngress),
       In("shop/db", kCart6, kTcp, 1, kDeny, kDisputedIngress),
       In("shop/web", kCart, kTcp, 1, kDeny, kDisputedIngress),
       Out("shop/web", kCart, kTcp, 1, kDeny, kDisputedEgress)});
  World alike = both;
  alike.Put(P("thief", "app == 'db'", {R(Action::kDeny).From("app == 'thief'")}));
  At(alike, "shop/cart-next").labels = At(alike, "shop/cart").labels;
  At(alike, "shop/cart-next").profiles = At(alike, "shop/cart").profiles;
  At(alike, "shop/cart-next").ports = At(alike, "shop/cart").ports;
  add("two pods whom policy cannot tell apart claim an address", alike,
      {In("shop/db", kCart, kTcp, 1, kAllow), In("shop/web", kCart, kTcp, 1, kAllow)});
  World one_family = both;
  At(one_family, "shop/cart-next").addresses.pop_back();
  add("an address is disputed, the pod's other one is not", one_family,
      {In("shop/db", kCart, kTcp, 1, kDeny, kDisputedIngress),
       In("shop/db", kCart6, kTcp, 1, kAllow)});
  // shop/web is here and newer than shop/db; other/probe is elsewhere.
  World newer = base;
  At(newer, "shop/web").addresses = At(newer, "shop/db").addresses;
  newer.Put(P("web", "app == 'web'", {R(Action::kAllow).From("app == 'probe'")}));
  add("two pods of this node claim an address: the newer has it", newer,
      {In("shop/web", kProbe, kTcp, 1, kAllow, "default/shop/web ingress rule 0").Near("192.0.2.1"),
       In("shop/web", kCart, kTcp, 1, kDeny).Near("192.0.2.1")});
  World here = base;
  At(here, "shop/cart").addresses = At(here, "shop/db").addresses;
  here.Put(P("db", "app == 'db'", {R(Action::kAllow).From("app == 'db'")},
             {R(Action::kAllow).To("app == 'cart'")}));
  here.Put(P("web", "app == 'web'", {R(Action::kAllow).From("app == 'cart'")}));
  add("a pod of another node claims a local pod's address: it stays the local one's", here,
      {In("shop/web", "192.0.2.1", kTcp, 1, kDeny), In("shop/db", "192.0.2.2", kTcp, 1, kDeny),
       Out("shop/db", "192.0.2.2", kTcp, 1, kDeny)});
  World host = base;
  HostEndpoint node{"node-b", {{"app", "thief"}}, {}, {}, At(base, "shop/cart").addresses, {}};
  host.Put(node);
  add("a host endpoint claims a pod's address: it is nobody's", host,
      {In("shop/db", kCart, kTcp, 1, kDeny, kDisputedIngress)});
  World two_hosts = base;
  two_hosts.endpoints.erase("shop/cart");
  two_hosts.Put(node);
  node.id = "node-b-too";
  node.labels["app"] = "cart";
  two_hosts.Put(node);
  add("host endpoints of one address unite", two_hosts,
      {In("shop/db", kCart, kTcp, 1, kAllow, "default/shop/db ingress rule 0")});
  World swapped = base;
  std::swap(At(swapped, "shop/cart").addresses, At(swapped, "other/probe").addresses);
  add("two pods swap their addresses", swapped,
      {In("shop/db", kCart, kTcp, 1, kDeny), In("shop/db", kProbe, kTcp, 1, kAllow),
       In("shop/db", kProbe6, kTcp, 1, kAllow)});
  World fewer = base;
  At(fewer, "shop/cart").addresses.pop_back();
  add("a peer loses its IPv6 address", fewer,
      {In("shop/db", kCart, kTcp, 1, kAllow), In("shop/db", kCart6, kTcp, 1, kDeny)});

  World inactive = base;
  At(inactive, "shop/db").active = false;
  add("a local pod has finished: everything is denied", inactive,
      {In("shop/db", kCart, kTcp, 1, kDeny), Out("shop/db", kCart, kTcp, 1, kDeny),
       In("shop/web", kCart, kTcp, 1, kAllow)});
  World gone = base;
  gone.endpoints.erase("shop/db");
  add("a local pod is gone", gone,
      {In("shop/db", kCart, kTcp, 1, Outcome::kNoEndpoint),
       In("shop/web", kCart, kTcp, 1, kAllow)});
  World elsewhere = base;
  At(elsewhere, "shop/db").local.reset();
  At(elsewhere, "shop/cart").local = Attachment{77, {2, 0, 0, 0, 0, 77}};
  add("a local pod runs elsewhere now, a remote one here", elsewhere,
      {In("shop/db", kCart, kTcp, 1, Outcome::kNoEndpoint),
       In("shop/cart", "192.0.2.1", kTcp, 1, kAllow, "profile kns.shop ingress rule 0")});
  World selected = base;
  At(selected, "shop/web").labels["app"] = "db";
  At(selected, "shop/db").labels["app"] = "free";
  add("the policy selects another local pod", selected,
      {In("shop/db", kProbe, kTcp, 1, kAllow, "profile kns.shop ingress rule 0"),
       In("shop/web", kProbe, kTcp, 1, kDeny), In("shop/web", kCart, kTcp, 1, kAllow)});
  World hosts = base;
  hosts.Put(Host{"node-a", true, {*Address::Parse("203.0.113.1")}});
  hosts.Put(Host{"node-b", false, {*Address::Parse("203.0.113.2")}});
  add("nodes are not pods", hosts,
      {In("shop/db", "203.0.113.1", kTcp, 1, kDeny), In("shop/db", "203.0.113.2", kTcp, 1, kDeny),
       In("shop/db", kCart, kTcp, 1, kAllow)});
  World local_peer = base;
  At(local_peer, "shop/web").labels["role"] = "front";
  local_peer.Put(P("local", "app == 'db'", {R(Action::kAllow).From("role == 'front'")}));
  add("a peer on the same node", local_peer,
      {In("shop/db", "192.0.2.2", kTcp, 1, kAllow, "default/shop/local ingress rule 0"),
       In("shop/db", "2001:db8::2", kTcp, 1, kAllow), In("shop/db", kProbe, kTcp, 1, kDeny)});
  At(local_peer, "shop/web").active = false;
  add("the peer on the same node has finished", local_peer,
      {In("shop/db", "192.0.2.2", kTcp, 1, kDeny), In("shop/db", "2001:db8::2", kTcp, 1, kDeny)});
}

}  // namespace ripstop::policy::testing
