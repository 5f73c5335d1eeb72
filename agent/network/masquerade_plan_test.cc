// SPDX-License-Identifier: Apache-2.0
#include "agent/network/masquerade_plan.h"

#include "absl/strings/str_cat.h"
#include "agent/base/testing/from_yaml.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ripstop::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

policy::Address Addr(const char* text) { return policy::Address::Parse(text).value(); }
policy::Cidr Net(const char* text) { return policy::Cidr::Parse(text).value(); }

TEST(NatPortsBesideTest, AreThoseThatTheHostsSocketsDoNotTakeByThemselves) {
  const auto ports = [](const char* text) {
    const auto range = NatPortsBeside(text);
    return range.ok() ? absl::StrCat(range->first, "-", range->last)
                      : std::string(range.status().message());
  };
  EXPECT_EQ(ports("32768\t60999"), "1024-32767");
  EXPECT_EQ(ports("1024 30000"), "30001-65535");
  EXPECT_EQ(ports("5000 65535"), "1024-4999");
  EXPECT_EQ(ports("1 500"), "1024-65535");
  EXPECT_EQ(ports("1024 65535"), "1024-65535") << "nothing is left";
  EXPECT_EQ(ports("2047 65000"), "1024-65535") << "too little is left";
  for (const char* bad : {"", "1024", "9 1", "0 5", "1024 70000", "x y"})
    EXPECT_THAT(ports(bad), HasSubstr("is not two ports"));
}

class MasqueradePlanTest : public ::testing::Test {
 protected:
  void Pool(const std::string& name, const std::string& spec) {
    cluster_.pools[name] = MessageFromYaml<api::v1::IPPool>(
        absl::StrCat("{apiVersion: projectcalico.org/v3, kind: IPPool, metadata: {name: ", name,
                     "}, spec: ", spec, "}"));
  }
  ClusterView cluster_;
  NatSettings settings_;
  NatHost host_ = {.exits = {{2, {.v4 = Addr("192.0.2.1"), .v6 = Addr("2001:db8::1")}},
                             {3, {.v4 = std::nullopt, .v6 = Addr("fe80::1")}}},
                   .node = {.v4 = Addr("192.0.2.9"), .v6 = std::nullopt},
                   .ports = {1024, 32767}};
};

TEST_F(MasqueradePlanTest, AllPoolsAreKnownAndSomeAreMasqueraded) {
  Pool("a", "{cidr: 10.65.0.0/16, natOutgoing: true}");
  Pool("b", "{cidr: 10.66.0.0/16, natOutgoing: false}");
  Pool("c", "{cidr: 'fd00:1::/64', natOutgoing: true, disabled: true}");
  Pool("d", "{cidr: 10.67.0.0/16}");
  const MasqueradePlan plan = PlanMasquerade(cluster_, settings_, host_);
  EXPECT_THAT(
      plan.tables.pools,
      UnorderedElementsAre(Pair(Net("fd00:1::/64"), true), Pair(Net("10.65.0.0/16"), true),
                           Pair(Net("10.66.0.0/16"), false), Pair(Net("10.67.0.0/16"), false)));
  EXPECT_TRUE(plan.tables.any());
  EXPECT_THAT(plan.problems, IsEmpty());
  EXPECT_EQ(plan.tables.first_port, 1024);
  EXPECT_EQ(plan.tables.last_port, 32767);
  EXPECT_FALSE(plan.tables.spares_nodes);
}

TEST_F(MasqueradePlanTest, AnInterfaceWithoutAnAddressOfItsOwnHasTheNodes) {
  const MasqueradePlan plan = PlanMasquerade(cluster_, settings_, host_);
  EXPECT_EQ(plan.tables.exits.at(2), host_.exits.at(2));
  EXPECT_EQ(plan.tables.exits.at(3).v4, Addr("192.0.2.9"));
  EXPECT_EQ(plan.tables.exits.at(3).v6, std::nullopt) << "fe80::1 means nothing beyond the link";
}

TEST_F(MasqueradePlanTest, TheSettingsComeFirst) {
  settings_ = {.ports = api::PortRange{40000, 40010},
               .address = Addr("203.0.113.7"),
               .exclusions = NatExclusions::kPoolsAndHosts};
  const MasqueradePlan plan = PlanMasquerade(cluster_, settings_, host_);
  EXPECT_EQ(plan.tables.exits.at(2).v4, Addr("203.0.113.7"));
  EXPECT_EQ(plan.tables.exits.at(2).v6, Addr("2001:db8::1")) << "of its own family only";
  EXPECT_EQ(plan.tables.first_port, 40000);
  EXPECT_EQ(plan.tables.last_port, 40010);
  EXPECT_TRUE(plan.tables.spares_nodes);
}

TEST_F(MasqueradePlanTest, AFamilyWithoutAnyAddressIsNamed) {
  host_.exits = {{3, {}}};
  Pool("c", "{cidr: 'fd00:1::/64', natOutgoing: true}");
  Pool("a", "{cidr: 10.65.0.0/16, natOutgoing: true}");
  EXPECT_THAT(PlanMasquerade(cluster_, settings_, host_).problems,
              ElementsAre(HasSubstr("this node has no IPv6 address")));
  settings_.address = Addr("2001:db8::7");
  EXPECT_THAT(PlanMasquerade(cluster_, settings_, host_).problems, IsEmpty());
}

}  // namespace
}  // namespace ripstop::agent
