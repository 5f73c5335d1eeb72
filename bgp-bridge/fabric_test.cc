// SPDX-License-Identifier: Apache-2.0
//
// Who learns which route, on real BIRDs through our model, renderer and supervisor.
#include "absl/strings/str_join.h"
#include "bgp-bridge/bird_status.h"
#include "bgp-bridge/testing/fabric_fixture.h"

namespace ripstop::bgp::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

TEST_F(FabricTest, TwoNodesExchangeTheirBlocksInBothFamilies) {
  Start(2);

  EXPECT_TRUE(HasRoute(0, "4", "10.65.2.0/26", "via 192.0.2.2 dev eth0 proto bird"));
  EXPECT_TRUE(HasRoute(1, "4", "10.65.1.0/26", "via 192.0.2.1 dev eth0 proto bird"));
  EXPECT_TRUE(HasRoute(0, "6", "fd00:65:2::/122", "via 2001:db8::2 dev eth0 proto bird"));
  EXPECT_TRUE(HasRoute(1, "6", "fd00:65:1::/122", "via 2001:db8::1 dev eth0 proto bird"));
  EXPECT_THAT(Node(0).Routes("4", "type blackhole"), HasSubstr("10.65.1.0/26"));
  for (const Protocol& one : Node(0).Query().protocols) {
    if (one.type != "BGP") continue;
    EXPECT_EQ(one.description, "node-to-node mesh: node2");
    EXPECT_EQ(one.peer_as, 64512u);
    EXPECT_EQ(one.imported, 1u) << one.name;
    EXPECT_EQ(one.exported, 1u) << one.name;
  }
}

TEST_F(FabricTest, UnencapsulatedPoolIsRoutedThroughTheRouterToAnotherSubnet) {
  Start(3);

  EXPECT_TRUE(HasRoute(0, "4", "10.65.3.0/26", "via 192.0.2.254 dev eth0 proto bird"));
  EXPECT_TRUE(HasRoute(2, "4", "10.65.1.0/26", "via 198.51.100.254 dev eth0 proto bird"));
  EXPECT_TRUE(HasRoute(0, "6", "fd00:65:3::/122", "via 2001:db8::fe dev eth0 proto bird"));
}

TEST_F(FabricTest, CrossSubnetPoolIsBirdsInsideTheSubnetAndTheAgentsBeyond) {
  Start(3, [](Model& model) {
    for (Pool& pool : model.pools) pool.owner = RouteOwner::kBirdWithinSubnet;
  });
  // The agent's route, as it would be over the VXLAN device.
  In in(Node(0).netns);
  Shell("ip route add 10.65.3.0/26 via 192.0.2.254 dev eth0 proto 80");
  ASSERT_TRUE(HasRoute(0, "4", "10.65.2.0/26", "via 192.0.2.2 dev eth0 proto bird"));
  ASSERT_TRUE(HasRoute(0, "6", "fd00:65:2::/122", "via 2001:db8::2 dev eth0 proto bird"));
  // BIRD knows the far block, so its absence from the kernel is a decision, not a delay.
  ASSERT_TRUE(Eventually(kPatience, [&] {
    absl::StatusOr<Reply> routes = Node(0).supervisor->Command("show route 10.65.3.0/26");
    return routes.ok() && routes->Text().find("[mesh4_node") != std::string::npos;
  })) << Node(0).supervisor->Command("show route all")->Text();

  const std::string far = Node(0).Routes("4", "10.65.3.0/26");
  EXPECT_THAT(far, HasSubstr("proto 80"));
  EXPECT_THAT(far, Not(HasSubstr("proto bird")));
  EXPECT_THAT(Node(0).Routes("6", "fd00:65:3::/122"), IsEmpty());
}

TEST_F(FabricTest, PoolOfTheAgentIsNeverWrittenByBird) {
  Start(2, [](Model& model) {
    for (Pool& pool : model.pools) pool.owner = RouteOwner::kAgent;
  });
  ASSERT_TRUE(Eventually(kPatience, [&] {
    absl::StatusOr<Reply> routes = Node(0).supervisor->Command("show route 10.65.2.0/26");
    return routes.ok() && routes->Text().find("[mesh4_node") != std::string::npos;
  }));
  EXPECT_THAT(Node(0).Routes("4", "10.65.2.0/26"), IsEmpty());
}

TEST_F(FabricTest, OnlyBlocksAndBorrowedAddressesLeaveTheNode) {
  In in(Node(0).netns);
  // A pod of an own block, a borrowed one, a foreign route and a connected network.
  Shell(
      "ip link add cali1 type veth peer name pod1; ip link set cali1 up; ip link set pod1 up;"
      "ip route add 10.65.1.7/32 dev cali1 proto 80; ip route add 10.65.2.9/32 dev cali1 proto 80;"
      "ip route add 203.0.113.0/24 dev cali1; ip addr add 10.65.200.1/24 dev cali1");
  for (int i : {0, 1}) {
    Model model = ModelOf(i, 2);
    if (i == 0) model.borrowed = {"10.65.2.9/32"};
    ASSERT_TRUE(Node(i).Apply(RenderBirdConfig(model).text).ok());
  }
  ASSERT_TRUE(HasRoute(1, "4", "10.65.2.9/32", "via 192.0.2.1")) << Describe(Node(1));
  ASSERT_TRUE(HasRoute(1, "4", "10.65.1.0/26", "via 192.0.2.1"));

  EXPECT_THAT(Node(1).Routes("4", "10.65.1.7/32"), IsEmpty());
  EXPECT_THAT(Node(1).Routes("4", "203.0.113.0/24"), IsEmpty());
  EXPECT_THAT(Node(1).Routes("4", "10.65.200.0/24"), IsEmpty());
  // The agent's own routes are as they were, and no second one stands beside them.
  EXPECT_THAT(Node(0).Routes("4", "10.65.2.9/32"), HasSubstr("dev cali1 proto 80"));
  EXPECT_THAT(Node(0).Routes("4", "10.65.2.9/32"), Not(HasSubstr("unreachable")));
}

TEST_F(FabricTest, PeerCannotSetTheDefaultRouteOrAnythingOutsideThePools) {
  // A hostile neighbour: a BIRD that announces whatever it likes.
  ASSERT_TRUE(
      Node(1)
          .Apply("router id 192.0.2.2;\n"
                 "protocol device {}\n"
                 "protocol static evil { ipv4; route 0.0.0.0/0 unreachable; route 203.0.113.0/24 "
                 "unreachable;"
                 " route 10.0.0.0/8 unreachable; route 127.1.0.0/16 unreachable;"
                 " route 10.65.2.0/26 unreachable; }\n"
                 "protocol bgp b { local 192.0.2.2 as 64512; neighbor 192.0.2.1 as 64512; multihop;"
                 " ipv4 { import all; export all; }; }\n")
          .ok());
  ASSERT_TRUE(Node(0).Apply(RenderBirdConfig(ModelOf(0, 2)).text).ok());
  ASSERT_TRUE(HasRoute(0, "4", "10.65.2.0/26", "proto bird")) << Describe(Node(0));

  EXPECT_THAT(Node(0).Routes("4", "default"), Not(HasSubstr("proto bird")));
  for (const char* prefix : {"203.0.113.0/24", "10.0.0.0/8", "127.1.0.0/16"})
    EXPECT_THAT(Node(0).Routes("4", prefix), IsEmpty()) << prefix;
}

TEST_F(FabricTest, ChangeOfBlocksReachesPeersWithoutAFlap) {
  Start(2);
  const auto before = Since(0);
  Model model = ModelOf(0, 2);
  model.blocks.push_back("10.65.77.0/26");

  ASSERT_TRUE(Node(0).Apply(RenderBirdConfig(model).text).ok());

  EXPECT_TRUE(HasRoute(1, "4", "10.65.77.0/26", "via 192.0.2.1"));
  EXPECT_EQ(Since(0), before);
  EXPECT_EQ(Node(0).supervisor->restarts(), 0u);
}

TEST_F(FabricTest, OwnerOfAPoolChangesWithoutAFlapAndWithoutALeftover) {
  Start(2);
  ASSERT_TRUE(HasRoute(0, "4", "10.65.2.0/26", "proto bird"));
  const auto before = Since(0);
  Model model = ModelOf(0, 2);
  for (Pool& pool : model.pools) pool.owner = RouteOwner::kAgent;

  ASSERT_TRUE(Node(0).Apply(RenderBirdConfig(model).text).ok());
  EXPECT_TRUE(Eventually(kPatience, [&] { return Node(0).Routes("4", "10.65.2.0/26").empty(); }));
  EXPECT_TRUE(
      Eventually(kPatience, [&] { return Node(0).Routes("6", "fd00:65:2::/122").empty(); }));

  for (Pool& pool : model.pools) pool.owner = RouteOwner::kBirdWithinSubnet;
  ASSERT_TRUE(Node(0).Apply(RenderBirdConfig(model).text).ok());
  EXPECT_TRUE(HasRoute(0, "4", "10.65.2.0/26", "proto bird"));
  EXPECT_EQ(Since(0), before);
}

TEST_F(FabricTest, NodeThatJoinsAndLeavesDoesNotDisturbTheOthers) {
  Start(2, [](Model& model) {
    for (Pool& pool : model.pools) pool.owner = RouteOwner::kBirdWithinSubnet;
  });
  const auto before = Since(0);
  // The third comes up in the second's subnet.
  bgp::Node third{.name = "late", .ipv4 = "192.0.2.33/24"};
  cluster_[2] = third;
  {
    In in(Node(1).netns);
    Shell("ip addr add 192.0.2.22/24 dev eth0");
  }
  In in(*router_);
  Shell("ip link set p2 master br1");
  Node(2).netns.Enter();
  Shell("ip addr flush dev eth0; ip addr add 192.0.2.33/24 dev eth0");
  for (int i : {0, 1, 2}) {
    Model model = ModelOf(i, 3);
    for (Pool& pool : model.pools) pool.owner = RouteOwner::kBirdWithinSubnet;
    ASSERT_TRUE(Node(i).Apply(RenderBirdConfig(model).text).ok());
  }
  EXPECT_TRUE(HasRoute(0, "4", "10.65.3.0/26", "via 192.0.2.33")) << Describe(Node(0));
  const auto joined = Since(0);
  for (const auto& [name, state] : before) EXPECT_EQ(joined.at(name), state) << name;

  Model model = ModelOf(0, 2);
  ASSERT_TRUE(Node(0).Apply(RenderBirdConfig(model).text).ok());
  EXPECT_TRUE(Eventually(kPatience, [&] { return Node(0).Routes("4", "10.65.3.0/26").empty(); }));
  EXPECT_EQ(Since(0), before);
}

TEST_F(FabricTest, SilentPeerIsExplainedFromThisNodesView) {
  const RenderedConfig config = RenderBirdConfig(ModelOf(0, 3));
  ASSERT_TRUE(Node(0).Apply(config.text).ok());
  In in(Node(0).netns);
  const auto reasons = [&] {
    return absl::StrJoin(SummarizeBird(config, Node(0).supervisor->Query()).reasons, "\n");
  };
  // Nobody runs BIRD on the others: their kernels refuse.
  EXPECT_TRUE(
      Eventually(kPatience, [&] { return reasons().find("refused") != std::string::npos; }));
  EXPECT_THAT(reasons(), HasSubstr("From 192.0.2.1 over eth0, because the peer is on that link"));
  EXPECT_THAT(reasons(), HasSubstr("because the route leads via 192.0.2.254"));
}

TEST_F(FabricTest, NodesThatShareOnlyIpv6CarryIpv4OverIt) {
  for (int i : {0, 1}) {
    Model model = ModelOf(i, 2);
    model.self.ipv4.clear();
    for (bgp::Node& node : model.nodes) node.ipv4.clear();
    ASSERT_TRUE(Node(i).Apply(RenderBirdConfig(model).text).ok());
  }
  EXPECT_TRUE(HasRoute(0, "4", "10.65.2.0/26", "via inet6 2001:db8::2")) << Describe(Node(0));
  EXPECT_TRUE(HasRoute(0, "6", "fd00:65:2::/122", "via 2001:db8::2"));
}

TEST_F(FabricTest, PasswordMustAgree) {
  const auto with = [&](int index, const std::string& password) {
    Model model = ModelOf(index, 2);
    model.node_mesh_password = password;
    return RenderBirdConfig(model).text;
  };
  ASSERT_TRUE(Node(0).Apply(with(0, "s3cret {;} #'\\")).ok());
  ASSERT_TRUE(Node(1).Apply(with(1, "other")).ok());
  // Who opens it has tried: the connect delay is over, and there is no session.
  ASSERT_TRUE(Eventually(kPatience, [&] {
    for (const auto& [name, state] : Since(1))
      if (state.find("Connect") != std::string::npos) return true;
    return false;
  }));
  EXPECT_TRUE(Node(0).Established(0));

  ASSERT_TRUE(Node(1).Apply(with(1, "s3cret {;} #'\\")).ok());
  EXPECT_TRUE(Eventually(kPatience, [&] { return Node(0).Established(2); })) << Describe(Node(0));
}

TEST_F(FabricTest, GlobalPeerOfAnotherAsGetsOurBlocksWithOurNextHop) {
  Model model = ModelOf(0, 1);
  model.peers = {{.name = "tor", .address = "192.0.2.2", .as_number = 64513}};
  ASSERT_TRUE(Node(0).Apply(RenderBirdConfig(model).text).ok());
  Model other = ModelOf(1, 1);
  other.self = cluster_[1];
  other.as_number = 64513;
  other.peers = {
      {.name = "n1", .type = PeerType::kNodeSpecific, .address = "192.0.2.1", .as_number = 64512}};
  ASSERT_TRUE(Node(1).Apply(RenderBirdConfig(other).text).ok());

  EXPECT_TRUE(HasRoute(1, "4", "10.65.1.0/26", "via 192.0.2.1 dev eth0")) << Describe(Node(1));
  EXPECT_TRUE(HasRoute(0, "4", "10.65.2.0/26", "via 192.0.2.2 dev eth0")) << Describe(Node(0));
}

}  // namespace
}  // namespace ripstop::bgp::testing
