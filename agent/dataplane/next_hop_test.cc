// SPDX-License-Identifier: Apache-2.0
//
// Flows that leave this node keep their next hop, and give it up when routes or neighbours change.
#include "agent/dataplane/testing_nat.h"

namespace ripstop::agent {
namespace {

using testing::kV4;
using testing::kV6;
using testing::NatNode;
using testing::Plan;

uint16_t PortOf(const Plan& plan) { return plan.v4 ? 8080 : 8081; }
constexpr char kFarMac[] = "02:00:00:00:00:0f";

class NextHopTest : public NatNode {
 protected:
  Conversation TalkToFar(const Plan& plan) {
    return Conversation(Transport::kUdp, {.client_ns = a_->fd(),
                                          .client = plan.a,
                                          .to = plan.far,
                                          .to_port = PortOf(plan),
                                          .server_ns = far_->fd(),
                                          .server = plan.far,
                                          .server_port = PortOf(plan)});
  }
  static void Begin(Conversation& talk) {
    const absl::Status open = talk.Open();
    ASSERT_TRUE(open.ok()) << open;
  }
  static bool Arrives(Conversation& talk, int timeout_ms = Conversation::kPatience) {
    talk.ClientSays();
    return talk.ServerHears(timeout_ms).ok();
  }
  void Node(const std::string& command) { ASSERT_EQ(node_->Shell(command), 0) << command; }
  static std::string Ip(const Plan& plan, const std::string& rest) {
    return absl::StrCat(plan.v4 ? "ip " : "ip -6 ", rest);
  }
  static std::string Gateway(const Plan& plan) { return plan.v4 ? "10.255.0.2" : "2001:db8:ff::2"; }
  static std::string Default(const Plan& plan) {
    return absl::StrCat("default via ", Gateway(plan));
  }
  // Beside the route to `far` there is a default route the same way.
  void TakeRoutes(const Plan& plan) {
    Node(Ip(plan, absl::StrCat("route del ", plan.far)));
    Node(Ip(plan, absl::StrCat("route del ", Default(plan))));
  }
  void PutRoutes(const Plan& plan) { Node(Ip(plan, absl::StrCat("route add ", Default(plan)))); }
  flow_value FlowTo(const Plan& plan) {
    const auto part = dataplane_->Flows(0);
    EXPECT_TRUE(part.ok()) << part.status();
    for (const loader::FlowRecord& flow : part->flows) {
      const uint16_t port = htons(PortOf(plan));
      if (flow.key.port[0] == port || flow.key.port[1] == port) return flow.value;
    }
    ADD_FAILURE() << "no flow to " << plan.far;
    return {};
  }
};

TEST_P(NextHopTest, ItIsKeptUntilRoutesChange) {
  Start(Policy::kOpen, Policy::kOpen, false);
  for (const Plan& plan : {kV4, kV6}) {
    Conversation talk = TalkToFar(plan);
    Begin(talk);
    // A note is of a second; on a slow machine it may be over before the routes are gone.
    bool went_by_the_note = false;
    for (int i = 0; i < 20 && !went_by_the_note; ++i) {
      ASSERT_TRUE(Arrives(talk));
      const flow_next_hop hop = FlowTo(plan).next_hop;
      EXPECT_EQ(hop.ifindex, Ifindex("up0"));
      EXPECT_EQ(hop.mtu, 1500);
      EXPECT_EQ(hop.destination_mac[5], 0x0f);
      TakeRoutes(plan);
      went_by_the_note = Arrives(talk, 500);
      PutRoutes(plan);
      Node(Ip(plan, absl::StrCat("route add ", plan.far, " via ", Gateway(plan))));
    }
    EXPECT_TRUE(went_by_the_note);
    ASSERT_TRUE(Arrives(talk));
    TakeRoutes(plan);
    dataplane_->RoutesChanged();
    EXPECT_FALSE(Arrives(talk, 500)) << "by a route that is gone";
    PutRoutes(plan);
    ASSERT_TRUE(Arrives(talk));
  }
}

TEST_P(NextHopTest, ANeighbourThatMovesIsFollowed) {
  Start(Policy::kOpen, Policy::kOpen, false);
  int mac = 0x20;
  for (const Plan& plan : {kV4, kV6}) {
    Conversation talk = TalkToFar(plan);
    Begin(talk);
    ASSERT_TRUE(Arrives(talk));
    const std::string moved = absl::StrCat("02:00:00:00:00:", absl::Hex(++mac));
    ASSERT_EQ(far_->Shell(absl::StrCat("ip link set eth0 address ", moved)), 0);
    Node(absl::StrCat("ip neigh replace ", Gateway(plan), " dev up0 nud permanent lladdr ", moved));
    dataplane_->RoutesChanged();
    EXPECT_TRUE(Arrives(talk));
    EXPECT_EQ(FlowTo(plan).next_hop.destination_mac[5], mac);
    ASSERT_EQ(far_->Shell(absl::StrCat("ip link set eth0 address ", kFarMac)), 0);
  }
}

// The host's netfilter sees nothing of it; it may drop whatever is forwarded.
TEST_P(NextHopTest, ANeighbourThatIsNotKnownIsAskedForPastNetfilter) {
  Start(Policy::kOpen, Policy::kOpen, false);
  Node(
      "nft add table inet t && nft add chain inet t f "
      "{ type filter hook forward priority 0\\; policy drop\\; }");
  for (const Plan& plan : {kV4, kV6}) {
    Node(Ip(plan, absl::StrCat("neigh del ", Gateway(plan), " dev up0")));
    Conversation talk = TalkToFar(plan);
    Begin(talk);
    EXPECT_TRUE(Arrives(talk)) << plan.far;
    EXPECT_TRUE(Arrives(talk)) << plan.far;
    EXPECT_EQ(FlowTo(plan).next_hop.destination_mac[5], 0x0f);
  }
}

// The pod learns the path's MTU from the stack, as before there were notes.
TEST_P(NextHopTest, WhatIsTooLargeForTheRouteIsTheStacks) {
  Start(Policy::kOpen, Policy::kOpen, false);
  for (const Plan& plan : {kV4, kV6}) {
    Conversation talk = TalkToFar(plan);
    Begin(talk);
    Node(Ip(plan,
            absl::StrCat("route replace ", plan.far, " via ", Gateway(plan), " mtu lock 1300")));
    dataplane_->RoutesChanged();
    ASSERT_TRUE(Arrives(talk));
    EXPECT_EQ(FlowTo(plan).next_hop.mtu, 1300);
    talk.ClientSays(1400);
    EXPECT_FALSE(talk.ServerHears(500).ok());
    EXPECT_EQ(a_->Shell(absl::StrCat("ip route get ", plan.far, " | grep -q mtu.1300")), 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Attachment, NextHopTest, ::testing::Bool(), testing::AttachmentName);

}  // namespace
}  // namespace ripstop::agent
