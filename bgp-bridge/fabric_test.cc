// SPDX-License-Identifier: Apache-2.0
//
// Real BIRDs in real namespaces, through our model, renderer and supervisor.
//
//   node1, node2 ── 192.0.2.0/24, 2001:db8::/64 ── router ── 198.51.100.0/24 ── node3
#include "bgp-bridge/testing/fabric.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "bgp-bridge/bird_status.h"
#include "bgp-bridge/render.h"

namespace ripstop::bgp::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr absl::Duration kPatience = absl::Seconds(20);

class FabricTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!Privileged()) GTEST_SKIP() << "needs root, for network and PID namespaces";
    nodes_ = std::make_unique<std::array<TestNode, 3>>();
    router_ = std::make_unique<Netns>();
    In in(*router_);
    Shell(
        "ip link add br1 type bridge; ip link set br1 up;"
        "ip addr add 192.0.2.254/24 dev br1; ip addr add 2001:db8::fe/64 dev br1 nodad;"
        "ip link add br2 type bridge; ip link set br2 up;"
        "ip addr add 198.51.100.254/24 dev br2; ip addr add 2001:db8:0:2::fe/64 dev br2 nodad");
    Attach(0, "br1", "192.0.2.1/24", "2001:db8::1/64", "192.0.2.254", "2001:db8::fe");
    Attach(1, "br1", "192.0.2.2/24", "2001:db8::2/64", "192.0.2.254", "2001:db8::fe");
    Attach(2, "br2", "198.51.100.3/24", "2001:db8:0:2::3/64", "198.51.100.254", "2001:db8:0:2::fe");
  }

  void Attach(int index, const std::string& bridge, const std::string& v4, const std::string& v6,
              const std::string& gateway4, const std::string& gateway6) {
    TestNode& node = (*nodes_)[index];
    Shell(absl::StrCat("ip link add p", index, " type veth peer name eth0 netns ",
                       node.netns.path(), "; ip link set p", index, " master ", bridge, " up"));
    In in(node.netns);
    Shell(absl::StrCat("ip link set eth0 up; ip addr add ", v4, " dev eth0; ip addr add ", v6,
                       " dev eth0 nodad; ip route add default via ", gateway4,
                       "; ip -6 route add default via ", gateway6));
    cluster_.push_back({.name = absl::StrCat("node", index + 1), .ipv4 = v4, .ipv6 = v6});
  }

  // Node `index` of the first `count`, with the blocks 10.65.<index + 1>.0/26 and fd00:65:….
  Model ModelOf(int index, int count) {
    Model model;
    model.self = cluster_[index];
    model.nodes.assign(cluster_.begin(), cluster_.begin() + count);
    model.pools = {{.cidr = "10.65.0.0/16"}, {.cidr = "fd00:65::/32"}};
    model.blocks = {absl::StrCat("10.65.", index + 1, ".0/26"),
                    absl::StrCat("fd00:65:", index + 1, "::/122")};
    model.log_path = Node(index).run_dir + "/bird.log";
    return model;
  }

  void Start(
      int count, const std::function<void(Model&)>& change = [](Model&) {}) {
    for (int i = 0; i < count; ++i) {
      Model model = ModelOf(i, count);
      change(model);
      const RenderedConfig config = RenderBirdConfig(model);
      ASSERT_THAT(config.set_aside, IsEmpty());
      ASSERT_TRUE(Node(i).Apply(config.text).ok()) << Node(i).Apply(config.text);
    }
    for (int i = 0; i < count; ++i)
      ASSERT_TRUE(Eventually(kPatience, [&] { return Node(i).Established(2 * (count - 1)); }))
          << Describe(Node(i));
  }

  static std::string Describe(TestNode& node) {
    std::string text;
    for (const Protocol& one : node.Query().protocols)
      absl::StrAppend(&text, one.name, " ", one.state, " ", one.info, " ", one.last_error, "\n");
    return absl::StrCat(text, node.Routes("4", ""), node.Routes("6", ""));
  }

  // As the agents' event loops would.
  void Pump() {
    for (TestNode& node : *nodes_) EXPECT_TRUE(node.HandleEvents().ok());
  }

  bool HasRoute(int index, const std::string& family, const std::string& prefix,
                const std::string& text) {
    return Eventually(kPatience, [&] {
      Pump();
      return Node(index).Routes(family, prefix).find(text) != std::string::npos;
    });
  }

  // "since" of each BGP session: it moves when a session flaps.
  std::map<std::string, std::string> Since(int index) {
    std::map<std::string, std::string> since;
    for (const Protocol& one : Node(index).Query().protocols)
      if (one.type == "BGP") since[one.name] = absl::StrCat(one.since, " ", one.bgp_state);
    return since;
  }

  TestNode& Node(int index) { return (*nodes_)[index]; }

  std::vector<bgp::Node> cluster_;
  std::unique_ptr<std::array<TestNode, 3>> nodes_;
  std::unique_ptr<Netns> router_;
};

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

TEST_F(FabricTest, BadConfigurationIsRefusedInBirdsWordsAndTheFormerStays) {
  Start(2);
  const auto before = Since(0);

  const absl::Status refused = Node(0).Apply("router id nonsense;\n");

  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("bird.conf.new:1:11 syntax error"));
  EXPECT_EQ(Since(0), before);
}

TEST_F(FabricTest, KilledBirdIsRestartedAndNoRouteIsLostOnEitherSide) {
  Start(2);
  ASSERT_TRUE(HasRoute(0, "4", "10.65.2.0/26", "via 192.0.2.2"));
  ASSERT_TRUE(HasRoute(1, "4", "10.65.1.0/26", "via 192.0.2.1"));
  const pid_t before = Node(0).supervisor->pid();
  In in(Node(0).netns);
  // Every removal the kernels report from here on, on both nodes.
  In watch_in(Node(1).netns);
  absl::StatusOr<Detached> monitor1 =
      StartDetached({"/bin/ip", "monitor", "route"}, Node(1).run_dir + "/monitor");
  Node(0).netns.Enter();
  absl::StatusOr<Detached> monitor0 =
      StartDetached({"/bin/ip", "monitor", "route"}, Node(0).run_dir + "/monitor");
  ASSERT_TRUE(monitor0.ok() && monitor1.ok());

  ASSERT_EQ(kill(before, SIGKILL), 0);
  ASSERT_TRUE(Eventually(kPatience, [&] {
    EXPECT_TRUE(Node(0).HandleEvents().ok());
    return Node(0).supervisor->pid() != 0 && Node(0).supervisor->pid() != before;
  }));
  ASSERT_TRUE(Eventually(kPatience, [&] {
    return Node(0).Established(2) && !Node(0).Query().general.recovering;
  })) << Describe(Node(0));

  EXPECT_EQ(Node(0).supervisor->restarts(), 1u);
  EXPECT_THAT(Node(0).Routes("4", "10.65.2.0/26"), HasSubstr("via 192.0.2.2"));
  EXPECT_THAT(Node(1).Routes("4", "10.65.1.0/26"), HasSubstr("via 192.0.2.1"));
  // A route put there now shows that the monitors were listening.
  for (int i : {0, 1}) {
    In here(Node(i).netns);
    Shell("ip route add 203.0.113.9/32 dev lo; ip route del 203.0.113.9/32");
    const std::string log = Node(i).run_dir + "/monitor";
    ASSERT_TRUE(Eventually(kPatience, [&] {
      return Shell("cat " + log).find("Deleted 203.0.113.9") != std::string::npos;
    }));
    EXPECT_THAT(Shell("cat " + log), Not(HasSubstr("Deleted 10.65"))) << "node" << i + 1;
    EXPECT_THAT(Shell("cat " + log), Not(HasSubstr("Deleted fd00"))) << "node" << i + 1;
  }
  kill(monitor0->pid, SIGKILL);
  kill(monitor1->pid, SIGKILL);
}

TEST_F(FabricTest, RepeatedDeathsBackOffAndSayWhy) {
  Start(2);
  for (int deaths = 1; deaths <= 2; ++deaths) {
    const pid_t victim = Node(0).supervisor->pid();
    ASSERT_EQ(kill(victim, SIGKILL), 0);
    ASSERT_TRUE(Eventually(kPatience, [&] {
      EXPECT_TRUE(Node(0).HandleEvents().ok());
      return Node(0).supervisor->pid() != victim;
    }));
    if (deaths == 2) {
      const absl::Status down = Node(0).supervisor->Query().status();
      EXPECT_EQ(down.code(), absl::StatusCode::kUnavailable);
      EXPECT_THAT(std::string(down.message()), HasSubstr("died of signal 9"));
      EXPECT_THAT(std::string(down.message()), HasSubstr("next start in 50ms"));
    }
    ASSERT_TRUE(Eventually(kPatience, [&] {
      EXPECT_TRUE(Node(0).HandleEvents().ok());
      return Node(0).supervisor->pid() != 0;
    }));
  }
  EXPECT_EQ(Node(0).supervisor->restarts(), 2u);
}

TEST_F(FabricTest, BirdOutlivesTheProcessThatStartedItAndIsAdopted) {
  const std::string config = RenderBirdConfig(ModelOf(0, 2)).text;
  const pid_t agent = fork();
  if (agent == 0) {
    const bool ok = Node(0).Apply(config).ok();
    _exit(ok ? 0 : 1);  // no destructors: as SIGKILL would
  }
  int status = 0;
  ASSERT_EQ(waitpid(agent, &status, 0), agent);
  ASSERT_EQ(status, 0);
  absl::StatusOr<Control> control =
      Control::Connect(Node(0).supervisor->socket_path(), absl::Seconds(5));
  ASSERT_TRUE(control.ok()) << control.status();
  const pid_t bird = control->Peer();
  EXPECT_EQ(getsid(bird), bird);
  ASSERT_TRUE(Node(1).Apply(RenderBirdConfig(ModelOf(1, 2)).text).ok());
  ASSERT_TRUE(Eventually(kPatience, [&] { return Node(0).Established(2); }));
  const auto before = Since(0);

  ASSERT_TRUE(Node(0).Apply(config).ok());

  EXPECT_EQ(Node(0).supervisor->pid(), bird);
  EXPECT_EQ(Since(0), before);
  // The adopted one is watched like one's own.
  ASSERT_EQ(kill(bird, SIGKILL), 0);
  EXPECT_TRUE(Eventually(kPatience, [&] {
    EXPECT_TRUE(Node(0).HandleEvents().ok());
    return Node(0).supervisor->pid() != 0 && Node(0).supervisor->pid() != bird;
  }));
}

TEST_F(FabricTest, BirdOfAnotherNetworkNamespaceIsNotAdopted) {
  ASSERT_TRUE(Node(0).Apply(RenderBirdConfig(ModelOf(0, 2)).text).ok());
  const pid_t bird = Node(0).supervisor->pid();
  Node(0).Restarted();
  In elsewhere(Node(1).netns);

  const absl::Status refused = Node(0).supervisor->Apply(RenderBirdConfig(ModelOf(0, 2)).text);

  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("another network namespace"));
  EXPECT_EQ(Node(0).supervisor->pid(), 0);
  kill(bird, SIGKILL);
}

TEST_F(FabricTest, PlannedStopKeepsRoutesAndWithdrawTakesThemBack) {
  Start(2);
  ASSERT_TRUE(HasRoute(1, "4", "10.65.1.0/26", "via 192.0.2.1"));

  ASSERT_TRUE(Node(0).supervisor->StopForRestart().ok());
  EXPECT_EQ(Node(0).supervisor->pid(), 0);
  pollfd idle{Node(0).supervisor->fd(), POLLIN, 0};
  EXPECT_EQ(poll(&idle, 1, 600), 0) << "a stopped supervisor has nothing to do";
  ASSERT_TRUE(Eventually(kPatience, [&] { return Node(1).Established(0); }));
  EXPECT_THAT(Node(1).Routes("4", "10.65.1.0/26"), HasSubstr("via 192.0.2.1"));
  EXPECT_THAT(Node(0).Routes("4", "10.65.2.0/26"), HasSubstr("via 192.0.2.2"));

  ASSERT_TRUE(Node(0).Apply(RenderBirdConfig(ModelOf(0, 2)).text).ok());
  ASSERT_TRUE(Eventually(kPatience, [&] { return Node(0).Established(2); }));
  ASSERT_TRUE(Node(0).supervisor->Withdraw().ok());
  EXPECT_TRUE(Eventually(kPatience, [&] { return Node(1).Routes("4", "10.65.1.0/26").empty(); }));
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
  // Both tried at least once: the connect delay is over, and there is no session.
  ASSERT_TRUE(Eventually(kPatience, [&] {
    for (const auto& [name, state] : Since(0))
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
