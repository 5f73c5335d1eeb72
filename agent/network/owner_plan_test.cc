// SPDX-License-Identifier: Apache-2.0
#include "agent/network/owner_plan.h"

#include "gtest/gtest.h"

namespace ripstop::agent {
namespace {

using loader::Owner;
using loader::Owners;

policy::Cidr Net(const char* text) { return policy::Cidr::Parse(text).value(); }
policy::Address Addr(const char* text) { return policy::Address::Parse(text).value(); }

constexpr uint32_t kAlways = OWNER_TUNNEL_NEAR | OWNER_TUNNEL_ACROSS;

Owner Ours(uint32_t flags) { return {Owner::Who::kThisNode, {}, flags}; }
Owner Of(const char* vtep, uint32_t flags = 0) {
  return {Owner::Who::kOtherNode, Addr(vtep), flags};
}

VxlanConfig Config(VxlanMode mode) {
  VxlanConfig config;
  config.node_name = "a";
  config.v4 = Addr("192.0.2.1");
  config.v6 = Addr("2001:db8:1::1");
  config.pools = {{Net("10.65.0.0/16"), mode}, {Net("10.66.0.0/16"), VxlanMode::kNever}};
  config.own_blocks = {Net("10.65.1.0/26"), Net("10.66.1.0/26"), Net("10.65.2.9/32")};
  config.remotes = {
      {"b", Addr("192.0.2.2"), Addr("2001:db8:1::2"), true, {Net("10.65.2.0/26")}},
      {"c", Addr("198.51.100.3"), {}, false, {Net("10.65.3.0/26"), Net("10.65.2.8/32")}},
      {"d", {}, Addr("2001:db8:4::4"), false, {Net("10.65.4.0/26")}},
  };
  return config;
}

TEST(OwnerPlan, EveryAddressHasTheNodeThatItLivesOn) {
  const Owners owners = PlanOwners(Config(VxlanMode::kAlways));
  EXPECT_EQ(owners.at(Net("10.65.0.0/16")), Owner{}) << "what no block covers is nobody's";
  EXPECT_FALSE(owners.contains(Net("10.66.0.0/16"))) << "no pool of the tunnel";
  EXPECT_EQ(owners.at(Net("10.65.1.0/26")), Ours(kAlways));
  EXPECT_EQ(owners.at(Net("10.66.1.0/26")), Ours(0));
  EXPECT_EQ(owners.at(Net("10.65.2.9/32")), Ours(kAlways)) << "borrowed of B";
  EXPECT_EQ(owners.at(Net("10.65.2.0/26")), Of("192.0.2.2"));
  EXPECT_EQ(owners.at(Net("10.65.2.8/32")), Of("198.51.100.3", OWNER_ACROSS)) << "lent to C";
  EXPECT_EQ(owners.at(Net("192.0.2.1/32")), Ours(OWNER_HOST));
  EXPECT_EQ(owners.at(Net("2001:db8:1::1/128")), Ours(OWNER_HOST));
  EXPECT_EQ(owners.at(Net("2001:db8:1::2/128")), Of("192.0.2.2", OWNER_HOST));
}

TEST(OwnerPlan, ANodeThatTheTunnelCannotReachOwnsNothingThere) {
  const Owners owners = PlanOwners(Config(VxlanMode::kAlways));
  EXPECT_EQ(owners.at(Net("10.65.4.0/26")), (Owner{Owner::Who::kNobody, {}, OWNER_ACROSS}));
}

TEST(OwnerPlan, TheModeOfThePoolSaysWhatComesByTunnel) {
  EXPECT_EQ(PlanOwners(Config(VxlanMode::kCrossSubnet)).at(Net("10.65.1.0/26")),
            Ours(OWNER_TUNNEL_ACROSS));
  EXPECT_EQ(PlanOwners(Config(VxlanMode::kNever)).at(Net("10.65.1.0/26")), Ours(0));
}

class OwnerTransitionsTest : public ::testing::Test {
 protected:
  static constexpr char kBlock[] = "10.65.1.0/26";
  uint32_t FlagsAfter(const Owners& wanted, absl::Duration later) {
    now_ += later;
    return transitions_.Apply(wanted, now_).at(Net(kBlock)).flags;
  }
  absl::Time now_ = absl::UnixEpoch();
  OwnerTransitions transitions_;
};

TEST_F(OwnerTransitionsTest, WhatTheAgentFindsAtItsStartIsInForceAtOnce) {
  EXPECT_EQ(FlagsAfter({{Net(kBlock), Ours(kAlways)}}, {}), kAlways);
  EXPECT_EQ(transitions_.due(), absl::InfiniteFuture());
}

TEST_F(OwnerTransitionsTest, APoolThatGoesOverToVxlanIsTakenBothWaysForAMinute) {
  FlagsAfter({{Net(kBlock), Ours(0)}}, {});
  EXPECT_EQ(FlagsAfter({{Net(kBlock), Ours(kAlways)}}, absl::Seconds(9)), 0u);
  EXPECT_EQ(transitions_.due(), now_ + OwnerTransitions::kGrace);
  EXPECT_EQ(FlagsAfter({{Net(kBlock), Ours(kAlways)}}, absl::Seconds(59)), 0u);
  EXPECT_EQ(FlagsAfter({{Net(kBlock), Ours(kAlways)}}, absl::Seconds(1)), kAlways);
  EXPECT_EQ(transitions_.due(), absl::InfiniteFuture());
}

TEST_F(OwnerTransitionsTest, OnlyWhatIsNewWaits) {
  FlagsAfter({{Net(kBlock), Ours(OWNER_TUNNEL_ACROSS)}}, {});
  EXPECT_EQ(FlagsAfter({{Net(kBlock), Ours(kAlways)}}, {}), OWNER_TUNNEL_ACROSS)
      << "those beyond came by tunnel before";
}

TEST_F(OwnerTransitionsTest, GoingBackIsImmediate) {
  FlagsAfter({{Net(kBlock), Ours(kAlways)}}, {});
  EXPECT_EQ(FlagsAfter({{Net(kBlock), Ours(0)}}, {}), 0u);
  EXPECT_EQ(FlagsAfter({{Net(kBlock), Ours(kAlways)}}, {}), 0u) << "and over again";
}

TEST_F(OwnerTransitionsTest, ANewPrefixAndANewOwnerAreBoundAtOnce) {
  transitions_.Apply({}, now_);
  EXPECT_EQ(FlagsAfter({{Net(kBlock), Of("192.0.2.2", OWNER_ACROSS)}}, {}), OWNER_ACROSS);
  EXPECT_EQ(FlagsAfter({{Net(kBlock), Of("192.0.2.2")}}, {}), 0u);
  EXPECT_EQ(FlagsAfter({{Net(kBlock), Of("192.0.2.3", OWNER_ACROSS)}}, {}), OWNER_ACROSS);
}

}  // namespace
}  // namespace ripstop::agent
