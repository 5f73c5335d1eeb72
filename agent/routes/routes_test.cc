// SPDX-License-Identifier: Apache-2.0
//
// The pure half: RouteManager against a fake kernel, and plans as values.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "agent/routes/route_manager.h"
#include "agent/routes/testing/fake_route_kernel.h"
#include "agent/routes/vxlan_plan.h"

namespace ripstop::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;
using Op = RoutingWrite::Op;

policy::Address Addr(std::string_view text) { return *policy::Address::Parse(text); }
policy::Cidr Net(std::string_view text) { return *policy::Cidr::Parse(text); }
Route PodRoute(std::string_view net, uint32_t ifindex) {
  return Route{.destination = Net(net), .ifindex = ifindex, .scope = RT_SCOPE_LINK};
}
Neighbour PodNeighbour(std::string_view address, uint32_t ifindex) {
  return Neighbour{.ifindex = ifindex, .address = Addr(address), .mac = Mac{{2, 0, 0x5e, 0, 0, 1}}};
}

class RouteManagerTest : public ::testing::Test {
 protected:
  FakeRouteKernel kernel_;
  RouteManager manager_{&kernel_};
};

TEST_F(RouteManagerTest, NothingIsWrittenBeforeTheFirstReconcileAndThenOnlyTheDifference) {
  Insert(kernel_.state, PodRoute("192.0.2.1/32", 7));   // survives the restart
  Insert(kernel_.state, PodRoute("192.0.2.99/32", 9));  // its pod went while we were away
  ASSERT_TRUE(manager_.Put("pod/a", {PodRoute("192.0.2.1/32", 7)}).ok());
  ASSERT_TRUE(manager_.Put("pod/b", {PodRoute("192.0.2.2/32", 8)}).ok());
  EXPECT_THAT(kernel_.writes, IsEmpty());
  ASSERT_TRUE(manager_.Reconcile().ok());
  EXPECT_THAT(kernel_.writes, ElementsAre(RoutingWrite{Op::kDelete, PodRoute("192.0.2.99/32", 9)},
                                          RoutingWrite{Op::kReplace, PodRoute("192.0.2.2/32", 8)}));
  EXPECT_EQ(manager_.stats().repairs, 0u);
}

TEST_F(RouteManagerTest, ForeignRoutesAreNeverTouched) {
  Route foreign = PodRoute("198.51.100.0/24", 3);
  foreign.protocol = RTPROT_BIRD;
  Insert(kernel_.state, foreign);
  ASSERT_TRUE(manager_.Reconcile().ok());
  ASSERT_TRUE(manager_.HandleEvents({RouteEvent{foreign, true}, RouteEvent{foreign, false}}).ok());
  EXPECT_THAT(kernel_.writes, IsEmpty());
  EXPECT_EQ(manager_.stats().reconciles, 1u);
}

TEST_F(RouteManagerTest, NeighboursComeBeforeRoutesAndLeaveAfterThem) {
  ASSERT_TRUE(manager_.Reconcile().ok());
  ASSERT_TRUE(
      manager_.Put("pod/a", {PodRoute("192.0.2.1/32", 7), PodNeighbour("192.0.2.1", 7)}).ok());
  ASSERT_TRUE(manager_.Remove("pod/a").ok());
  ASSERT_EQ(kernel_.writes.size(), 4u);
  EXPECT_TRUE(std::holds_alternative<Neighbour>(kernel_.writes[0].entry));
  EXPECT_TRUE(std::holds_alternative<Route>(kernel_.writes[1].entry));
  EXPECT_TRUE(std::holds_alternative<Route>(kernel_.writes[2].entry));
  EXPECT_EQ(kernel_.writes[2].op, Op::kDelete);
  EXPECT_THAT(kernel_.state, IsEmpty());
}

TEST_F(RouteManagerTest, PuttingTheSameAgainWritesNothing) {
  ASSERT_TRUE(manager_.Reconcile().ok());
  const std::vector<RoutingEntry> entries = {PodRoute("192.0.2.1/32", 7),
                                             PodRoute("2001:db8::1/128", 7)};
  ASSERT_TRUE(manager_.Put("pod/a", entries).ok());
  kernel_.writes.clear();
  ASSERT_TRUE(manager_.Put("pod/a", entries).ok());
  EXPECT_THAT(kernel_.writes, IsEmpty());
}

TEST_F(RouteManagerTest, AnAddressThatMovedToAnotherPodSurvivesTheOldPodsLateRemoval) {
  ASSERT_TRUE(manager_.Reconcile().ok());
  ASSERT_TRUE(manager_.Put("pod/old", {PodRoute("192.0.2.1/32", 7)}).ok());
  ASSERT_TRUE(manager_.Put("pod/new", {PodRoute("192.0.2.1/32", 8)}).ok());
  ASSERT_TRUE(manager_.Remove("pod/old").ok());
  ASSERT_EQ(kernel_.state.size(), 1u);
  EXPECT_EQ(IfindexOf(kernel_.state.begin()->second), 8u);
  // The other way round: the one that is left gets its route back.
  ASSERT_TRUE(manager_.Put("pod/third", {PodRoute("192.0.2.1/32", 9)}).ok());
  ASSERT_TRUE(manager_.Remove("pod/third").ok());
  EXPECT_EQ(IfindexOf(kernel_.state.begin()->second), 8u);
}

TEST_F(RouteManagerTest, WhatSomebodyRemovedOrReplacedIsPutBackAndCounted) {
  ASSERT_TRUE(manager_.Reconcile().ok());
  const Route route = PodRoute("192.0.2.1/32", 7);
  ASSERT_TRUE(manager_.Put("pod/a", {route}).ok());
  kernel_.state.clear();
  ASSERT_TRUE(manager_.HandleEvents({RouteEvent{route, true}}).ok());
  EXPECT_EQ(kernel_.state.size(), 1u);
  EXPECT_EQ(manager_.stats().repairs, 1u);
  Route taken = route;
  taken.protocol = RTPROT_STATIC;
  Insert(kernel_.state, taken);
  ASSERT_TRUE(manager_.HandleEvents({RouteEvent{taken, false}}).ok());
  EXPECT_EQ(kernel_.state.begin()->second, RoutingEntry(route));
  EXPECT_EQ(manager_.stats().repairs, 2u);
}

TEST_F(RouteManagerTest, EventsOfItsOwnWritesCauseNoComparison) {
  ASSERT_TRUE(manager_.Reconcile().ok());
  const Route v6 = PodRoute("2001:db8::1/128", 7);
  ASSERT_TRUE(manager_.Put("pod/a", {v6, PodNeighbour("2001:db8::1", 7)}).ok());
  ASSERT_TRUE(manager_
                  .HandleEvents({RouteEvent{v6.Normalized(), false},
                                 NeighbourEvent{PodNeighbour("2001:db8::1", 7), false}})
                  .ok());
  ASSERT_TRUE(manager_.Remove("pod/a").ok());
  ASSERT_TRUE(manager_
                  .HandleEvents({RouteEvent{v6.Normalized(), true},
                                 NeighbourEvent{PodNeighbour("2001:db8::1", 7), true}})
                  .ok());
  EXPECT_EQ(manager_.stats().reconciles, 1u);
}

TEST_F(RouteManagerTest, WhatFailsOnADownDeviceIsWrittenWhenItComesUp) {
  ASSERT_TRUE(manager_.Reconcile().ok());
  kernel_.down.insert(7);
  EXPECT_FALSE(manager_.Put("pod/a", {PodRoute("192.0.2.1/32", 7)}).ok());
  EXPECT_EQ(manager_.stats().failed, 1u);
  kernel_.down.clear();
  LinkEvent up{.link = {.index = 7, .up = true}};
  ASSERT_TRUE(manager_.HandleEvents({up}).ok());
  EXPECT_EQ(kernel_.state.size(), 1u);
  EXPECT_EQ(manager_.stats().failed, 0u);
  EXPECT_EQ(manager_.stats().repairs, 0u) << "it had never been there";
}

TEST_F(RouteManagerTest, LostEventsAreAnsweredByAComparison) {
  ASSERT_TRUE(manager_.Reconcile().ok());
  ASSERT_TRUE(manager_.Put("pod/a", {PodRoute("192.0.2.1/32", 7)}).ok());
  kernel_.state.clear();
  ASSERT_TRUE(manager_.HandleEvents({ResyncEvent{}}).ok());
  EXPECT_EQ(kernel_.state.size(), 1u);
}

// Random owners, entries and foreign interference: after events the kernel holds what a
// plain replay says.
TEST_F(RouteManagerTest, ConvergesUnderRandomChangesAndInterference) {
  std::mt19937 random(7);
  ASSERT_TRUE(manager_.Reconcile().ok());
  std::map<std::string, std::vector<RoutingEntry>> model;
  for (int step = 0; step < 2000; ++step) {
    const std::string owner = "pod/" + std::to_string(random() % 8);
    if (random() % 3 == 0) {
      ASSERT_TRUE(manager_.Remove(owner).ok());
      model.erase(owner);
    } else {
      std::vector<RoutingEntry> entries;
      const uint32_t id = random() % 8;  // owners overlap now and then
      entries.push_back(PodRoute("192.0.2." + std::to_string(id) + "/32", 1 + random() % 3));
      if (random() % 2) entries.push_back(PodRoute("2001:db8::" + std::to_string(id) + "/128", 4));
      ASSERT_TRUE(manager_.Put(owner, entries).ok());
      model[owner] = entries;
    }
    if (random() % 4 == 0 && !kernel_.state.empty()) {
      auto victim = std::next(kernel_.state.begin(), random() % kernel_.state.size());
      const Route route = std::get<Route>(victim->second);
      kernel_.state.erase(victim);
      ASSERT_TRUE(manager_.HandleEvents({RouteEvent{route, true}}).ok());
    }
    std::set<RoutingKey> want;
    for (const auto& [o, entries] : model) {
      for (const RoutingEntry& entry : entries) want.insert(KeyOf(entry));
    }
    std::set<RoutingKey> got;
    for (const auto& [key, entry] : kernel_.state) got.insert(key);
    ASSERT_EQ(got, want) << "step " << step;
    ASSERT_EQ(kernel_.state, manager_.wanted()) << "step " << step;
  }
}

VxlanConfig ThreeNodes() {
  VxlanConfig config;
  config.node_name = "node-a";
  config.v4 = Addr("192.0.2.1");
  config.v6 = Addr("2001:db8::1");
  config.pools = {{Net("10.65.0.0/16"), VxlanMode::kCrossSubnet},
                  {Net("2001:db8:65::/64"), VxlanMode::kCrossSubnet}};
  config.remotes = {{.name = "node-b",
                     .v4 = Addr("192.0.2.2"),
                     .same_subnet = true,
                     .blocks = {Net("10.65.1.0/26")}},
                    {.name = "node-c",
                     .v4 = Addr("198.51.100.3"),
                     .blocks = {Net("10.65.2.0/26"), Net("2001:db8:65::80/122")}}};
  return config;
}

TEST(VxlanPlan, CrossSubnetTunnelsOnlyToOtherSubnetsAndBothFamiliesOverIpv4) {
  const VxlanPlan plan = PlanVxlan(ThreeNodes());
  ASSERT_TRUE(plan.device.has_value());
  EXPECT_EQ(plan.device->mtu, 1450u);
  EXPECT_EQ(plan.device->local, Addr("192.0.2.1"));
  EXPECT_THAT(plan.problems, IsEmpty());
  ASSERT_EQ(plan.entries.size(), 1u);
  const Mac mac = VxlanMac("node-c");
  EXPECT_THAT(
      plan.entries.at("node-c"),
      UnorderedElementsAre(
          RoutingEntry(Route{
              .destination = Net("10.65.2.0/26"), .gateway = Addr("198.51.100.3"), .onlink = true}),
          RoutingEntry(Route{.destination = Net("2001:db8:65::80/122"),
                             .gateway = mac.LinkLocal(),
                             .onlink = true}),
          RoutingEntry(Neighbour{.address = Addr("198.51.100.3"), .mac = mac}),
          RoutingEntry(Neighbour{.address = mac.LinkLocal(), .mac = mac}),
          RoutingEntry(FdbEntry{.mac = mac, .remote = Addr("198.51.100.3")})));
}

TEST(VxlanPlan, AlwaysTunnelsInsideTheSubnetTooAndNeverNotAtAll) {
  VxlanConfig config = ThreeNodes();
  config.pools[0].mode = VxlanMode::kAlways;
  EXPECT_EQ(PlanVxlan(config).entries.size(), 2u);
  for (VxlanPool& pool : config.pools) pool.mode = VxlanMode::kNever;
  EXPECT_FALSE(PlanVxlan(config).device.has_value());
  EXPECT_THAT(PlanVxlan(config).entries, IsEmpty());
}

TEST(VxlanPlan, Ipv6UnderlayCostsSeventyBytesAndCannotCarryIpv4Gateways) {
  VxlanConfig config = ThreeNodes();
  config.v4.reset();
  config.remotes[1].v4.reset();
  config.remotes[1].v6 = Addr("2001:db8::3");
  const VxlanPlan plan = PlanVxlan(config);
  EXPECT_EQ(plan.device->mtu, 1430u);
  EXPECT_EQ(plan.device->local, Addr("2001:db8::1"));
  EXPECT_EQ(plan.entries.at("node-c").size(), 3u);
  EXPECT_THAT(plan.problems, ElementsAre(HasSubstr("10.65.2.0/26")));
}

TEST(VxlanPlan, MacsAreFixedLocalAndDistinct) {
  std::set<Mac> seen;
  for (int i = 0; i < 10000; ++i) {
    const Mac mac = VxlanMac("node-" + std::to_string(i));
    EXPECT_EQ(mac.bytes[0] & 0x03, 0x02);
    EXPECT_TRUE(seen.insert(mac).second) << i;
  }
  // Nodes of two versions must agree: this value may never change.
  EXPECT_EQ(VxlanMac("node-a").ToString(), "92:d7:ef:c6:c2:1c");
}

}  // namespace
}  // namespace ripstop::agent
