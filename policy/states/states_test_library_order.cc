// SPDX-License-Identifier: Apache-2.0
#include "policy/states/states_test_library.h"

namespace ripstop::policy::testing {
namespace {

constexpr Outcome kAllow = Outcome::kAllow;
constexpr Outcome kDeny = Outcome::kDeny;
constexpr Action kA = Action::kAllow;
constexpr Action kD = Action::kDeny;
constexpr uint8_t kTcp = kProtocolTcp;
const char kCart[] = "192.0.2.100", kCart6[] = "2001:db8::64";
const char kProbe[] = "192.0.2.101";

Policy In(const std::string& tier, std::optional<double> order, Policy p) {
  p.tier = tier;
  p.order = order;
  return p;
}

}  // namespace

void AddOrderStates(std::vector<NamedState>& states) {
  const auto add = [&](const char* name, World w, std::vector<Expectation> e) {
    states.push_back({name, std::move(w), std::move(e)});
  };
  add("nothing at all", World{}, {In("shop/db", kCart, kTcp, 1, Outcome::kNoEndpoint)});
  add("no policy: the profiles govern", Base(),
      {In("shop/db", kCart, kTcp, 1, kAllow, "profile kns.shop ingress rule 0"),
       Out("shop/web", "203.0.113.1", kProtocolUdp, 53, kAllow, "profile kns.shop egress rule 0")});
  World missing = Base();
  missing.profiles.erase("kns.shop");
  add("a missing profile denies", missing,
      {In("shop/db", kCart, kTcp, 1, kDeny, "ingress no profile matched"),
       Out("shop/db", kCart6, kTcp, 1, kDeny)});
  World isolated = Base();
  isolated.Put(P("deny", "", {}));
  add("isolated for ingress only", isolated,
      {In("shop/db", kCart, kTcp, 1, kDeny, "default/shop/deny ingress end of tier"),
       In("shop/web", kCart6, kTcp, 1, kDeny), Out("shop/db", kCart, kTcp, 1, kAllow)});

  World tiers = Base();
  tiers.Put(Tier{"first", 1, kD});
  tiers.Put(Tier{"second", 2, kD});
  tiers.Put(
      In("first", {}, P("a", "app == 'db'", {R(Action::kPass).From("app == 'cart'"), R(kD)})));
  tiers.Put(In("second", {}, P("b", "app == 'db'", {R(kA)})));
  add("a tier passes one peer on", tiers,
      {In("shop/db", kCart, kTcp, 1, kAllow, "second/shop/b ingress rule 0"),
       In("shop/db", kProbe, kTcp, 1, kDeny, "first/shop/a ingress rule 1")});
  tiers.Put(Tier{"second", 0, kD});
  add("the tiers change places", tiers,
      {In("shop/db", kCart, kTcp, 1, kAllow, "second/shop/b ingress rule 0"),
       In("shop/db", kProbe, kTcp, 1, kAllow, "second/shop/b ingress rule 0")});
  World ends = Base();
  ends.Put(Tier{"first", 1, kD});
  ends.Put(In("first", {}, P("a", "app == 'db'", {R(kA).From("app == 'cart'")})));
  add("the end of a tier denies", ends,
      {In("shop/db", kCart, kTcp, 1, kAllow),
       In("shop/db", kProbe, kTcp, 1, kDeny, "first/shop/a ingress end of tier")});
  ends.Put(Tier{"first", 1, Action::kPass});
  add("the end of a tier passes", ends,
      {In("shop/db", kCart, kTcp, 1, kAllow, "first/shop/a ingress rule 0"),
       In("shop/db", kProbe, kTcp, 1, kAllow, "profile kns.shop ingress rule 0")});
  World unknown = ends;
  unknown.tiers.clear();
  add("a tier that nobody has defined denies at its end", unknown,
      {In("shop/db", kCart, kTcp, 1, kAllow), In("shop/db", kProbe, kTcp, 1, kDeny)});

  World order = Base();
  order.Put(In("default", 2, P("a", "app == 'db'", {R(kA)})));
  order.Put(In("default", 1, P("b", "app == 'db'", {R(kD).From("app == 'cart'")})));
  add("the lower order comes first", order,
      {In("shop/db", kCart, kTcp, 1, kDeny, "default/shop/b ingress rule 0"),
       In("shop/db", kProbe, kTcp, 1, kAllow, "default/shop/a ingress rule 0")});
  order.Put(In("default", {}, P("b", "app == 'db'", {R(kD).From("app == 'cart'")})));
  add("no order comes last", order,
      {In("shop/db", kCart, kTcp, 1, kAllow, "default/shop/a ingress rule 0")});
  order.Put(In("default", {}, P("a", "app == 'db'", {R(kA).From("app == 'probe'")})));
  add("equal orders go by name", order,
      {In("shop/db", kCart, kTcp, 1, kDeny, "default/shop/b ingress rule 0"),
       In("shop/db", kProbe, kTcp, 1, kAllow)});

  World built_in = Base();
  built_in.Put(In("kube-admin", 0, P("admin", "has(app)", {R(kD).Port(kTcp, 22)})));
  built_in.Put(In("kube-baseline", 0, P("baseline", "has(app)", {R(kD).From("app == 'probe'")})));
  add("the built-in tiers are there without being written", built_in,
      {In("shop/db", kCart, kTcp, 22, kDeny, "kube-admin/shop/admin ingress rule 0"),
       In("shop/db", kProbe, kTcp, 80, kDeny, "kube-baseline/shop/baseline ingress rule 0"),
       In("shop/db", kCart, kTcp, 80, kAllow, "profile kns.shop ingress rule 0")});
  built_in.Put(P("np", "app == 'db'", {R(kA).From("app == 'probe'")}));
  add("the default tier is final before the baseline", built_in,
      {In("shop/db", kProbe, kTcp, 80, kAllow, "default/shop/np ingress rule 0"),
       In("shop/db", kCart, kTcp, 80, kDeny, "default/shop/np ingress end of tier"),
       In("shop/db", kProbe, kTcp, 22, kDeny)});

  World log = Base();
  log.Put(P("log", "app == 'db'", {R(Action::kLog).From("app == 'cart'"), R(kA)}));
  Expectation logged = In("shop/db", kCart, kTcp, 1, kAllow, "default/shop/log ingress rule 1");
  logged.log = true;
  add("Log notes and goes on", log, {logged, In("shop/db", kProbe, kTcp, 1, kAllow)});
  World staged = Base();
  Policy draft = P("draft", "app == 'db'", {R(kD)});
  draft.key.kind = PolicyKind::kStagedNetworkPolicy;
  draft.staged = true;
  staged.Put(draft);
  add("a staged policy is not enforced", staged, {In("shop/db", kCart, kTcp, 1, kAllow)});
  World profile = Base();
  profile.profiles.at("kns.shop").ingress_rules = {R(Action::kPass).From("app == 'cart'"), R(kA)};
  add("Pass in a profile denies", profile,
      {In("shop/db", kCart, kTcp, 1, kDeny, "profile kns.shop ingress rule 0"),
       In("shop/db", kProbe, kTcp, 1, kAllow)});
}

}  // namespace ripstop::policy::testing
