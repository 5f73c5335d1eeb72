// SPDX-License-Identifier: Apache-2.0
//
// More rules than sixteen bits count, and orders at the ends of what an order can be: the first
// that matches decides, wherever it stands (attack matrix C4).
#include <limits>

#include "policy/engine/engine_testing.h"

namespace ripstop::policy {
namespace {

constexpr int kRules = 70'000;

// Each of its rules is about one port of one address, none of them cart's; `at` is the place of
// the one rule that is about cart.
Policy Many(int at, Action action) {
  Policy policy = Ingress("many", "app == 'db'", {});
  policy.ingress_rules.reserve(kRules);
  for (int i = 0; i < kRules; ++i) {
    Rule rule;
    rule.protocol = kProtocolTcp;
    rule.action = action == Action::kAllow ? Action::kDeny : Action::kAllow;
    rule.source.nets = std::vector<Cidr>{Cidr::Of(Address::FromV4(0xc6336400 + i % 200), 128)};
    rule.destination.ports = PortMatch{{{uint16_t(1024 + i / 200), uint16_t(1024 + i / 200)}}, {}};
    if (i == at) {
      rule.action = action;
      rule.source.nets = std::vector<Cidr>{C("192.0.2.100/32")};
      rule.destination.ports = std::nullopt;
    }
    policy.ingress_rules.push_back(std::move(rule));
  }
  return policy;
}

class ManyRules : public EngineTest {
 protected:
  void Put(Policy policy, std::optional<double> order) {
    policy.order = order;
    engine_.PutPolicy(std::move(policy));
  }
  bool CartIsAllowed() {
    Flush();
    EXPECT_TRUE(engine_.Alarms().empty()) << engine_.Alarms()[0];
    return Allowed("192.0.2.100", "192.0.2.1", 5432);
  }
};

TEST_F(ManyRules, TheFirstThatMatchesDecidesBeyondSixteenBits) {
  Policy all = Ingress("z-all", "app == 'db'", {AllowFrom("app == 'cart'")});
  Policy none = all;
  none.ingress_rules[0].action = Action::kDeny;
  Put(all, 2000);
  EXPECT_TRUE(CartIsAllowed()) << "control: nothing else is in the way";
  for (int at : {0, 65'535, 65'536, kRules - 1}) {
    Put(Many(at, Action::kDeny), 1000);
    EXPECT_FALSE(CartIsAllowed()) << at;
  }
  Put(none, 2000);
  for (int at : {65'536, kRules - 1}) {
    Put(Many(at, Action::kAllow), 1000);
    EXPECT_TRUE(CartIsAllowed()) << at;
  }
  // Moved behind the other, they say no more than they said before.
  Put(Many(65'536, Action::kAllow), 3000);
  EXPECT_FALSE(CartIsAllowed());
}

TEST_F(ManyRules, ExtremeAndEqualOrdersStandWhereNumbersDo) {
  Policy allow = Ingress("b-allow", "app == 'db'", {AllowFrom("app == 'cart'")});
  Policy deny = Ingress("a-deny", "app == 'db'", {AllowFrom("app == 'cart'")});
  deny.ingress_rules[0].action = Action::kDeny;
  constexpr double kMost = std::numeric_limits<double>::max();
  const std::vector<std::optional<double>> rising = {
      -kMost,  -4294967297.0, -2147483649.0, -65537.0,         -1.0,  -5e-324,     0.0, 5e-324, 1.0,
      65536.0, 2147483648.0,  4294967296.0,  9007199254740992, kMost, std::nullopt};
  for (size_t i = 0; i + 1 < rising.size(); ++i) {
    Put(allow, rising[i]);
    Put(deny, rising[i + 1]);
    EXPECT_TRUE(CartIsAllowed()) << i;
    Put(deny, rising[i]);
    Put(allow, rising[i + 1]);
    EXPECT_FALSE(CartIsAllowed()) << i;
  }
  // Equal: by name, whichever came first.
  for (const auto& order : rising) {
    Put(allow, order);
    Put(deny, order);
    EXPECT_FALSE(CartIsAllowed());
    engine_.RemovePolicy(deny.key);
    Put(deny, order);
    EXPECT_FALSE(CartIsAllowed());
  }
}

}  // namespace
}  // namespace ripstop::policy
