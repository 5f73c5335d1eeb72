// SPDX-License-Identifier: Apache-2.0
//
// Routes that somebody else removes, nodes that come, nodes that go.
#include "absl/strings/str_split.h"
#include "e2e/scenarios/demo_lab.h"

namespace ripstop::lab {
namespace {

class NodesAndRoutes : public DemoLab {
 protected:
  // Sessions of a node that are established.
  int Established(const std::string& node) {
    const auto status = lab().AgentStatus(node);
    int count = 0;
    if (status.ok()) {
      for (const auto& session : status->bgp()) count += session.state() == "Established";
    }
    return count;
  }
};

TEST_F(NodesAndRoutes, PodRouteRemovedBySomebodyElseComesBack) {
  for (int family : {4, 6}) {
    const std::string address = lab().AddressOf("shop/cart-1", family).value();
    const std::string flag = family == 4 ? "-4" : "-6";
    const auto removed = lab().Exec("node1", {"ip", flag, "route", "del", address});
    ASSERT_TRUE(removed.ok()) << removed.status();
    ASSERT_EQ(removed->exit_code, 0) << removed->err << RoutesOf("node1");
    EXPECT_TRUE(Eventually([&] { return absl::StrContains(RoutesOf("node1"), address + " dev "); }))
        << RoutesOf("node1");
    EXPECT_TRUE(Reaches({"shop/checkout-1", "shop/cart-1", "TCP", 7070, family}));
  }
}

TEST_F(NodesAndRoutes, VxlanRouteRemovedBySomebodyElseComesBack) {
  // The block of node3, which is in the other subnet, as node1 routes it.
  std::string block;
  const std::vector<std::string> lines = absl::StrSplit(RoutesOf("node1"), '\n');
  for (const std::string& line : lines) {
    const std::string destination = line.substr(0, line.find(' '));
    if (absl::StrContains(line, "vxlan") && absl::StartsWith(destination, "10.65.") &&
        absl::StrContains(destination, "/") && !absl::StrContains(destination, "/32")) {
      block = destination;
    }
  }
  ASSERT_FALSE(block.empty()) << RoutesOf("node1");
  const auto removed = lab().Exec("node1", {"ip", "route", "del", block});
  ASSERT_TRUE(removed.ok()) << removed.status();
  ASSERT_EQ(removed->exit_code, 0) << removed->err;
  EXPECT_TRUE(Eventually([&] { return absl::StrContains(RoutesOf("node1"), block); }))
      << RoutesOf("node1");
  EXPECT_TRUE(Reaches({"shop/frontend-1", "shop/cart-2", "TCP", 7070, 4}));
}

TEST_F(NodesAndRoutes, ForeignRouteIsLeftAlone) {
  ASSERT_EQ(
      lab().Exec("node1", {"ip", "route", "add", "203.0.113.0/24", "via", "192.0.2.12"})->exit_code,
      0);
  // Something that makes the agent write routes.
  const std::string address = lab().AddressOf("shop/cart-1", 4).value();
  ASSERT_EQ(lab().Exec("node1", {"ip", "route", "del", address})->exit_code, 0);
  ASSERT_TRUE(Eventually([&] { return absl::StrContains(RoutesOf("node1"), address + " dev "); }));
  EXPECT_TRUE(absl::StrContains(RoutesOf("node1"), "203.0.113.0/24 via 192.0.2.12"));
}

TEST_F(NodesAndRoutes, AddedNodePeersAndItsPodsAreReachedFromEveryOther) {
  const absl::Status added = lab().AddNode({"node4", "rack2", "198.51.100.14", "2001:db8:2::14"});
  ASSERT_TRUE(added.ok()) << added;
  Pod pod = *lab().topology().FindPod("shop/cart-1");
  pod.name = "cart-4";
  pod.node = "node4";
  const absl::Status attached = lab().AddPod(pod);
  ASSERT_TRUE(attached.ok()) << attached;
  for (const char* node : {"node1", "node2", "node3", "node4"}) {
    // Three peers, one session each family.
    EXPECT_TRUE(Eventually([&] { return Established(node) >= 3; }))
        << node << ": " << Established(node);
  }
  const absl::Status passing = WaitUntilExpectedFlowsPass(lab(), expectation(), kHang);
  EXPECT_TRUE(passing.ok()) << passing;
  ExpectMatrix();
}

TEST_F(NodesAndRoutes, GoneNodeTakesItsRoutesAndSessionsWithItAndDisturbsNobody) {
  const std::string gone = lab().AddressOf("shop/frontend-2", 4).value();
  const int before = Established("node1");
  const auto bystander =
      LiveFlow::Start(lab(), {"shop/frontend-1", "shop/cart-2", "TCP", 7070, 4}, {});
  ASSERT_TRUE(bystander.ok()) << bystander.status();
  ASSERT_TRUE(bystander->WaitFor("connected").ok());
  const absl::Status removed = lab().RemoveNode("node2");
  ASSERT_TRUE(removed.ok()) << removed;
  EXPECT_TRUE(Eventually([&] {
    const auto status = lab().AgentStatus("node1");
    return status.ok() && status->bgp_size() < before;
  }));
  // Nothing but the default route leads there any more.
  EXPECT_TRUE(Eventually([&] {
    const auto match = lab().Exec("node1", {"ip", "route", "get", "fibmatch", gone});
    return match.ok() && (absl::StartsWith(match->out, "default") || match->exit_code != 0);
  })) << RoutesOf("node1");
  ExpectMatrix();
  const auto end = bystander->Finish();
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_EQ(end->value("lost", -1), 0) << *end;
  // Its retransmissions prove nothing: on a busy machine a late answer sets off a tail loss
  // probe (RFC 8985). What a disturbance would have dropped is counted.
  for (const char* reason : {"no-flow", "no-policy-set", "spoofed"}) {
    EXPECT_EQ(DropsOf("node1", reason), 0u) << reason;
  }
}

}  // namespace
}  // namespace ripstop::lab
