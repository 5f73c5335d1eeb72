// SPDX-License-Identifier: Apache-2.0
//
// Two nodes in one subnet, one behind a router, with a BIRD each. Skips without root.
//
//   node1, node2 ── 192.0.2.0/24, 2001:db8::/64 ── router ── 198.51.100.0/24 ── node3
#ifndef RIPSTOP_BGP_BRIDGE_TESTING_FABRIC_FIXTURE_H_
#define RIPSTOP_BGP_BRIDGE_TESTING_FABRIC_FIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bgp-bridge/render.h"
#include "bgp-bridge/testing/fabric.h"

namespace ripstop::bgp::testing {

inline constexpr absl::Duration kPatience = absl::Minutes(10);  // for hangs alone

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

  void Start(int count, const std::function<void(Model&)>& change = [](Model&) {}) {
    for (int i = 0; i < count; ++i) {
      Model model = ModelOf(i, count);
      change(model);
      const RenderedConfig config = RenderBirdConfig(model);
      ASSERT_THAT(config.set_aside, ::testing::IsEmpty());
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

}  // namespace ripstop::bgp::testing

#endif  // RIPSTOP_BGP_BRIDGE_TESTING_FABRIC_FIXTURE_H_
