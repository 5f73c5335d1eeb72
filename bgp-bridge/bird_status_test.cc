// SPDX-License-Identifier: Apache-2.0
#include "bgp-bridge/bird_status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ripstop::bgp {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class BirdStatusTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Model model;
    model.nodes = {{.name = "node1", .ipv4 = "192.0.2.1/24"},
                   {.name = "node2", .ipv4 = "192.0.2.2/24"},
                   {.name = "node3", .ipv4 = "198.51.100.3/24"}};
    model.self = model.nodes[0];
    config_ = RenderBirdConfig(model);
    ASSERT_THAT(config_.sessions, SizeIs(2));
    for (const Session& session : config_.sessions)
      report_.protocols.push_back({.name = session.symbol,
                                   .type = "BGP",
                                   .state = "up",
                                   .since = "2026-11-21 00:44:24",
                                   .bgp_state = "Established",
                                   .imported = 3,
                                   .exported = 2});
  }

  void Down(size_t index, const std::string& state, const std::string& error) {
    report_.protocols[index].bgp_state = state;
    report_.protocols[index].last_error = error;
  }

  BirdStatus Summary() {
    return SummarizeBird(config_, report_, [](const Prefix& peer) -> absl::StatusOr<KernelPath> {
      if (peer.Address() == "192.0.2.2")
        return KernelPath{.interface = "eth0", .source = "192.0.2.1"};
      return KernelPath{.interface = "eth1", .gateway = "203.0.113.254", .source = "203.0.113.1"};
    });
  }

  RenderedConfig config_;
  BirdReport report_;
};

TEST_F(BirdStatusTest, AllSessionsUpIsReadyWithoutReasons) {
  const BirdStatus status = Summary();
  EXPECT_TRUE(status.ready);
  EXPECT_THAT(status.reasons, IsEmpty());
  ASSERT_THAT(status.sessions, SizeIs(2));
  EXPECT_EQ(status.sessions[0].name, "node2");
  EXPECT_EQ(status.sessions[0].peer_type, "node-to-node mesh");
  EXPECT_EQ(status.sessions[0].routes_imported, 3u);
}

TEST_F(BirdStatusTest, DownSessionNamesPeerLocalAddressInterfaceReasonAndNextCommand) {
  Down(0, "Active", "Socket: Connection refused");
  Down(1, "Connect", "");
  const BirdStatus status = Summary();
  EXPECT_FALSE(status.ready);
  EXPECT_THAT(
      status.reasons,
      ElementsAre(
          AllOf(HasSubstr("BGP with node2 (192.0.2.2, node-to-node mesh) is Active since 2026"),
                HasSubstr("last error: Socket: Connection refused"),
                HasSubstr("From 192.0.2.1 over eth0, because the peer is on that link"),
                HasSubstr("Next: nothing takes TCP 179 there; on node2: ripstopctl node status")),
          AllOf(HasSubstr("From 192.0.2.1 over eth1, because the route leads via 203.0.113.254"),
                HasSubstr("the kernel itself would use 203.0.113.1"),
                HasSubstr("ping -I 192.0.2.1 198.51.100.3"))));
}

TEST_F(BirdStatusTest, OneDeadPeerIsReportedButDoesNotMakeTheNodeUnready) {
  Down(1, "Active", "Socket: No route to host");
  const BirdStatus status = Summary();
  EXPECT_TRUE(status.ready);
  EXPECT_THAT(status.reasons, ElementsAre(HasSubstr("ip route get 198.51.100.3 from 192.0.2.1")));
}

TEST_F(BirdStatusTest, WrongAsNumberIsNamedWithBothNumbers) {
  Down(0, "Idle", "Received: Bad peer AS");
  EXPECT_THAT(Summary().reasons, ElementsAre(HasSubstr("we expect 64512 and are 64512")));
}

TEST_F(BirdStatusTest, BirdThatIsDownOrRecoveringIsNotReady) {
  const BirdStatus down =
      SummarizeBird(config_, absl::UnavailableError("BIRD is down: it crashed"));
  EXPECT_FALSE(down.ready);
  EXPECT_THAT(down.reasons, ElementsAre("BIRD is down: it crashed"));
  EXPECT_EQ(down.sessions[0].state, "Unknown");
  report_.general.recovering = true;
  EXPECT_FALSE(Summary().ready);
}

TEST_F(BirdStatusTest, SessionMissingInBirdAndObjectsSetAsideAreReported) {
  report_.protocols.pop_back();
  config_.set_aside = {{"BGPPeer x", "spec.peerIP: is not an address"}};
  EXPECT_THAT(Summary().reasons,
              ElementsAre("BGPPeer x is not in use: spec.peerIP: is not an address",
                          HasSubstr("node3 (198.51.100.3")));
}

}  // namespace
}  // namespace ripstop::bgp
