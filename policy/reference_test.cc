// SPDX-License-Identifier: Apache-2.0
#include "policy/reference.h"

#include <gtest/gtest.h>

namespace ripstop::policy {
namespace {

Address A(std::string_view text) { return *Address::Parse(text); }

Endpoint Pod(const std::string& id, const std::string& address, Labels labels) {
  Endpoint e;
  e.id = id;
  e.labels = std::move(labels);
  e.profiles = {"open"};
  e.addresses = {A(address)};
  return e;
}

Policy Select(const std::string& name, const std::string& selector) {
  Policy p;
  p.key = {PolicyKind::kGlobalNetworkPolicy, "", name};
  p.selector = selector;
  p.ingress = true;
  return p;
}

Rule Do(Action action) {
  Rule r;
  r.action = action;
  return r;
}

class ReferenceTest : public ::testing::Test {
 protected:
  ReferenceTest() {
    world_.Put(Profile{"open",
                       {{"from", "profile"}, {"app", "never"}},
                       {Do(Action::kAllow)},
                       {Do(Action::kAllow)}});
    world_.Put(Pod("web", "192.0.2.1", {{"app", "web"}}));
    world_.Put(Pod("db", "192.0.2.2", {{"app", "db"}}));
  }
  Verdict Ask(const std::string& from, const std::string& to, uint8_t protocol = kProtocolTcp,
              uint16_t port = 80, Direction direction = Direction::kIngress) {
    Packet p{A(from), A(to), protocol, 40000, port};
    const Address& near = direction == Direction::kIngress ? p.destination : p.source;
    for (const auto& [id, e] : world_.endpoints) {
      if (e.addresses[0] == near) return *reference_.Evaluate(world_, e, direction, p);
    }
    ADD_FAILURE() << "no endpoint " << near.ToString();
    return {};
  }
  World world_;
  Reference reference_;
};

TEST_F(ReferenceTest, ProfilesAloneGovernAnEndpointThatNoPolicySelects) {
  const Verdict v = Ask("192.0.2.2", "192.0.2.1");
  EXPECT_TRUE(v.allow);
  EXPECT_EQ(v.by.ToString(), "profile open ingress rule 0");
}

TEST_F(ReferenceTest, MissingProfileDenies) {
  Endpoint e = Pod("web", "192.0.2.1", {});
  e.profiles = {"gone", "open"};
  world_.Put(e);
  EXPECT_FALSE(Ask("192.0.2.2", "192.0.2.1").allow);
}

TEST_F(ReferenceTest, EndOfTierDeniesNamingTheLastPolicyOfTheTier) {
  world_.Put(Select("a", "app == 'web'"));
  world_.Put(Select("b", "app == 'web'"));
  EXPECT_EQ(Ask("192.0.2.2", "192.0.2.1").by.ToString(), "default/b ingress end of tier");
  EXPECT_TRUE(Ask("192.0.2.1", "192.0.2.2").allow);
}

TEST_F(ReferenceTest, PassAndLogGoOnToTheNextTier) {
  Policy admin = Select("admin", "all()");
  admin.tier = "kube-admin";
  admin.ingress_rules = {Do(Action::kLog), Do(Action::kPass), Do(Action::kDeny)};
  world_.Put(admin);
  const Verdict v = Ask("192.0.2.2", "192.0.2.1");
  EXPECT_TRUE(v.allow);
  EXPECT_TRUE(v.log);
  EXPECT_EQ(v.by.kind, RuleIdentity::Kind::kProfile);
}

TEST_F(ReferenceTest, UnknownTierComesLastAndDenies) {
  Policy stray = Select("stray", "all()");
  stray.tier = "nobody-defined-it";
  world_.Put(stray);
  Policy allow = Select("allow", "all()");
  allow.ingress_rules = {Do(Action::kAllow)};
  allow.ingress_rules[0].source.selector = "app == 'db'";
  allow.tier = "kube-baseline";
  world_.Put(allow);
  EXPECT_TRUE(Ask("192.0.2.2", "192.0.2.1").allow);
  EXPECT_EQ(Ask("198.51.100.1", "192.0.2.1").by.tier, "nobody-defined-it");
}

TEST_F(ReferenceTest, StagedPolicyChangesNothing) {
  Policy p = Select("p", "all()");
  p.staged = true;
  world_.Put(p);
  EXPECT_TRUE(Ask("192.0.2.2", "192.0.2.1").allow);
}

TEST_F(ReferenceTest, OwnLabelsWinOverInheritedOnes) {
  Policy p = Select("p", "from == 'profile' && app == 'web'");
  world_.Put(p);
  EXPECT_FALSE(Ask("192.0.2.2", "192.0.2.1").allow);
}

TEST_F(ReferenceTest, NegatedPortsMatchWhatHasNoPorts) {
  Policy p = Select("p", "app == 'web'");
  p.ingress_rules = {Do(Action::kAllow)};
  p.ingress_rules[0].destination.not_ports = PortMatch{{{80, 80}}, {}};
  world_.Put(p);
  EXPECT_FALSE(Ask("192.0.2.2", "192.0.2.1").allow);
  EXPECT_TRUE(Ask("192.0.2.2", "192.0.2.1", kProtocolTcp, 81).allow);
  EXPECT_TRUE(Ask("192.0.2.2", "192.0.2.1", kProtocolIcmp).allow);
}

TEST_F(ReferenceTest, NamedPortMeansTheNumberOfTheEndpointThatOwnsIt) {
  Endpoint web = Pod("web", "192.0.2.1", {{"app", "web"}});
  web.ports = {{"http", kProtocolTcp, 8080}};
  world_.Put(web);
  Endpoint db = Pod("db", "192.0.2.2", {{"app", "db"}});
  db.ports = {{"http", kProtocolTcp, 5432}};
  world_.Put(db);
  Policy p = Select("p", "all()");
  p.egress = true;
  p.ingress_rules = {Do(Action::kAllow)};
  p.ingress_rules[0].protocol = kProtocolTcp;
  p.ingress_rules[0].destination.ports = PortMatch{{}, {"http"}};
  p.egress_rules = p.ingress_rules;
  world_.Put(p);
  EXPECT_TRUE(Ask("192.0.2.2", "192.0.2.1", kProtocolTcp, 8080).allow);
  EXPECT_FALSE(Ask("192.0.2.2", "192.0.2.1", kProtocolTcp, 5432).allow);
  EXPECT_TRUE(Ask("192.0.2.1", "192.0.2.2", kProtocolTcp, 5432, Direction::kEgress).allow);
  EXPECT_FALSE(Ask("192.0.2.1", "192.0.2.2", kProtocolTcp, 8080, Direction::kEgress).allow);
  EXPECT_FALSE(Ask("192.0.2.1", "192.0.2.2", kProtocolUdp, 5432, Direction::kEgress).allow);
}

TEST_F(ReferenceTest, ServiceAsDestinationAsksAddressAndPortAsSourceTheAddress) {
  world_.Put(ServiceBackends{{"shop", "db"}, "1", {A("192.0.2.2")}, {{kProtocolTcp, 5432}}});
  Policy p = Select("p", "app == 'web'");
  p.egress = true;
  p.egress_rules = {Do(Action::kAllow)};
  p.egress_rules[0].destination.service = ServiceName{"shop", "db"};
  p.ingress_rules = {Do(Action::kAllow)};
  p.ingress_rules[0].source.service = ServiceName{"shop", "db"};
  world_.Put(p);
  EXPECT_TRUE(Ask("192.0.2.1", "192.0.2.2", kProtocolTcp, 5432, Direction::kEgress).allow);
  EXPECT_FALSE(Ask("192.0.2.1", "192.0.2.2", kProtocolTcp, 80, Direction::kEgress).allow);
  EXPECT_TRUE(Ask("192.0.2.2", "192.0.2.1", kProtocolTcp, 80).allow);
  EXPECT_FALSE(Ask("192.0.2.3", "192.0.2.1", kProtocolTcp, 80).allow);
}

TEST_F(ReferenceTest, EmptyListsThatArePresentMatchNothing) {
  for (int which = 0; which < 3; ++which) {
    Policy p = Select("p", "app == 'web'");
    p.ingress_rules = {Do(Action::kAllow)};
    EntityMatch& source = p.ingress_rules[0].source;
    if (which == 0) source.nets = std::vector<Cidr>{};
    if (which == 1) source.selector = "unresolved in {}";
    if (which == 2) p.ingress_rules[0].destination.ports = PortMatch{};
    world_.Put(p);
    EXPECT_FALSE(Ask("192.0.2.2", "192.0.2.1").allow) << which;
  }
}

TEST_F(ReferenceTest, InvalidSelectorNarrowsAllowAndWidensDeny) {
  Policy p = Select("p", "app == 'web'");
  p.ingress_rules = {Do(Action::kAllow)};
  p.ingress_rules[0].source.selector = "((";
  world_.Put(p);
  EXPECT_EQ(Ask("192.0.2.2", "192.0.2.1").by.kind, RuleIdentity::Kind::kTierDefault);
  p.ingress_rules = {Do(Action::kDeny), Do(Action::kAllow)};
  p.ingress_rules[0].source.selector = "((";
  world_.Put(p);
  EXPECT_EQ(Ask("192.0.2.2", "192.0.2.1").by.rule_index, 0);
}

TEST_F(ReferenceTest, InactiveEndpointIsNeitherPeerNorSubject) {
  Policy p = Select("p", "app == 'web'");
  p.ingress_rules = {Do(Action::kAllow)};
  p.ingress_rules[0].source.selector = "app == 'db'";
  world_.Put(p);
  EXPECT_TRUE(Ask("192.0.2.2", "192.0.2.1").allow);
  world_.endpoints["db"].active = false;
  EXPECT_FALSE(Ask("192.0.2.2", "192.0.2.1").allow);
  EXPECT_FALSE(
      reference_.Evaluate(world_, world_.endpoints["db"], Direction::kIngress, {}).has_value());
}

}  // namespace
}  // namespace ripstop::policy
