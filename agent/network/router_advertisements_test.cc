// SPDX-License-Identifier: Apache-2.0
//
// A node that has its IPv6 default route from a router's advertisements.
#include "agent/network/router_advertisements.h"

#include <thread>

#include "agent/base/testing/test_netns.h"
#include "agent/dataplane/fake_dataplane.h"
#include "agent/dataplane/testing_wire.h"
#include "agent/netlink/sysctl.h"
#include "agent/network/network_plane.h"
#include "gtest/gtest.h"

namespace ripstop::agent {
namespace {

using testing::Bytes;

policy::Address Addr(const char* text) { return policy::Address::Parse(text).value(); }

class RouterAdvertisementsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (auto* netns : {&node_, &router_}) {
      auto made = TestNetns::Create();
      if (absl::IsPermissionDenied(made.status())) GTEST_SKIP() << "needs CAP_SYS_ADMIN";
      ASSERT_TRUE(made.ok()) << made.status();
      *netns = std::make_unique<TestNetns>(*std::move(made));
    }
    netlink_ = *Netlink::Open(node_->fd());
    ASSERT_EQ(node_->Shell(absl::StrCat(
                  "sysctl -w net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.default.accept_ra=1 "
                  "net.ipv6.conf.all.forwarding=0 && ip link add eth0 address 02:00:00:00:00:01 "
                  "type veth peer name rt0 && ip link set rt0 netns ",
                  router_->path(), " && ip link set eth0 up")),
              0);
    ASSERT_EQ(router_->Shell("ip link set rt0 address 02:00:00:00:00:02 up"), 0);
  }
  // RFC 4861 section 4.2: a router for half an hour.
  void Advertise() {
    const policy::Address from = Addr("fe80::2"), to = Addr("ff02::1");
    Bytes body = {134, 0, 0, 0, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 2};
    Bytes pseudo(from.bytes.begin(), from.bytes.end());
    pseudo.insert(pseudo.end(), to.bytes.begin(), to.bytes.end());
    pseudo.insert(pseudo.end(), {0, 0, 0, uint8_t(body.size()), 0, 0, 0, 58});
    testing::Append(pseudo, body);
    const uint16_t sum = testing::OnesSum(pseudo);
    body[2] = sum >> 8;
    body[3] = sum & 0xff;
    Bytes packet = testing::Ip(from, to, 58, body);
    packet[7] = 255;
    const absl::Status sent =
        testing::SendFrames(router_->fd(), "rt0", {0x33, 0x33, 0, 0, 0, 1}, {packet});
    ASSERT_TRUE(sent.ok()) << sent;
  }
  bool HasDefaultRoute() {
    const auto routes = netlink_->ListRoutes({.protocol = RTPROT_RA, .table = 0});
    EXPECT_TRUE(routes.ok()) << routes.status();
    for (const Route& route : *routes) {
      if (route.destination.bits == 0) return true;
    }
    return false;
  }
  // Advertises, as routers do, until the node has the route.
  void AdvertiseUntilRouted() {
    for (int i = 0; i < 3000 && !HasDefaultRoute(); ++i) {
      Advertise();
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    ASSERT_TRUE(HasDefaultRoute());
  }
  absl::Status SwitchForwardingOn() {
    return node_->Run([] { return WriteWherePresent(NodeSysctls()); });
  }

  std::unique_ptr<TestNetns> node_, router_;
  std::unique_ptr<Netlink> netlink_;
};

TEST_F(RouterAdvertisementsTest, WithoutCareTheRouteGoesWhenTheNodeForwards) {
  AdvertiseUntilRouted();
  ASSERT_TRUE(SwitchForwardingOn().ok());
  EXPECT_FALSE(HasDefaultRoute()) << "control: the kernel keeps it by itself";
}

TEST_F(RouterAdvertisementsTest, TheDefaultRouteStaysAndIsRenewedWhileTheNodeForwards) {
  AdvertiseUntilRouted();
  const absl::Status kept = node_->Run([this] { return KeepAdvertisements(netlink_.get()); });
  ASSERT_TRUE(kept.ok()) << kept;
  ASSERT_TRUE(SwitchForwardingOn().ok());
  EXPECT_TRUE(HasDefaultRoute());
  ASSERT_EQ(node_->Shell("ip -6 route del default"), 0);
  ASSERT_FALSE(HasDefaultRoute());
  AdvertiseUntilRouted();
}

TEST_F(RouterAdvertisementsTest, TheAgentTakesThatCareBeforeItMakesTheNodeARouter) {
  AdvertiseUntilRouted();
  NetworkOptions options;
  options.node = "n1";
  options.bird = "";
  FakeDataplane dataplane;
  const auto loop = *EventLoop::Create();
  std::unique_ptr<NetworkPlane> plane;
  const absl::Status created = node_->Run([&] {
    auto made = NetworkPlane::Create(options, loop.get(), &dataplane);
    if (made.ok()) plane = *std::move(made);
    return made.status();
  });
  ASSERT_TRUE(created.ok()) << created;
  ASSERT_TRUE(node_
                  ->Run([] {
                    const auto forwards = ReadSysctl("net/ipv6/conf/all/forwarding");
                    EXPECT_EQ(forwards.value_or(""), "1");
                    return forwards.status();
                  })
                  .ok());
  EXPECT_TRUE(HasDefaultRoute());
}

TEST_F(RouterAdvertisementsTest, WhereNoRouterWasHeardNothingChanges) {
  const absl::Status kept = node_->Run([this] { return KeepAdvertisements(netlink_.get()); });
  ASSERT_TRUE(kept.ok()) << kept;
  const auto links = netlink_->ListLinkSettings();
  ASSERT_TRUE(links.ok()) << links.status();
  for (const LinkSettings& settings : *links) {
    EXPECT_NE(settings.Value("net/ipv6/conf/" + settings.link.name + "/accept_ra"), "2")
        << settings.link.name << ", a veth";
  }
}

}  // namespace
}  // namespace ripstop::agent
