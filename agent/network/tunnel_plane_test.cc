// SPDX-License-Identifier: Apache-2.0
//
// The tunnel in a namespace of its own, its programs faked.
#include "agent/network/tunnel_plane.h"

#include "agent/base/testing/test_netns.h"
#include "agent/dataplane/fake_dataplane.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ripstop::agent {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

policy::Cidr Net(const char* text) { return policy::Cidr::Parse(text).value(); }
policy::Address Addr(const char* text) { return policy::Address::Parse(text).value(); }

class TunnelPlaneTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto netns = TestNetns::Create();
    if (absl::IsPermissionDenied(netns.status())) GTEST_SKIP() << "needs CAP_SYS_ADMIN";
    ASSERT_TRUE(netns.ok()) << netns.status();
    netns_ = std::make_unique<TestNetns>(*std::move(netns));
    netlink_ = *Netlink::Open(netns_->fd());
    kernel_ = std::make_unique<NetlinkRouteKernel>(netlink_.get());
    routes_ = std::make_unique<RouteManager>(kernel_.get());
    loop_ = *EventLoop::Create();
    ASSERT_EQ(netns_->Shell("ip link add eth0 type veth peer name far && ip link set eth0 up && "
                            "ip addr add 192.0.2.1/24 dev eth0"),
              0);
    uplink_ = netlink_->GetLink("eth0")->index;
    plane_ = std::make_unique<TunnelPlane>(netlink_.get(), routes_.get(), &dataplane_, loop_.get(),
                                           [this] { return now_; });
  }
  void Apply(VxlanMode mode) {
    VxlanConfig config;
    config.node_name = "a";
    config.v4 = Addr("192.0.2.1");
    config.pools = {{Net("10.65.0.0/16"), mode}};
    config.own_blocks = {Net("10.65.1.0/26")};
    config.remotes = {{"b", Addr("192.0.2.2"), {}, true, {Net("10.65.2.0/26")}}};
    Apply(config);
  }
  void Apply(const VxlanConfig& config) {
    ASSERT_TRUE(netns_
                    ->Run([&] {
                      plane_->Apply(config, {uplink_});
                      return absl::OkStatus();
                    })
                    .ok());
  }
  bool DeviceIsUp() {
    const auto link = netlink_->GetLink("vxlan.ripstop");
    return link.ok() && link->up;
  }
  uint32_t OwnFlags() const { return dataplane_.owners.at(Net("10.65.1.0/26")).flags; }

  std::unique_ptr<TestNetns> netns_;
  std::unique_ptr<Netlink> netlink_;
  std::unique_ptr<NetlinkRouteKernel> kernel_;
  std::unique_ptr<RouteManager> routes_;
  std::unique_ptr<EventLoop> loop_;
  FakeDataplane dataplane_;
  absl::Time now_ = absl::UnixEpoch();
  std::unique_ptr<TunnelPlane> plane_;
  uint32_t uplink_ = 0;
};

TEST_F(TunnelPlaneTest, NothingIsAskedOfPacketsWhereNoPoolWantsATunnel) {
  Apply(VxlanMode::kNever);
  EXPECT_EQ(dataplane_.tunnel_port, 0);
  EXPECT_THAT(dataplane_.owners, IsEmpty());
  EXPECT_EQ(plane_->mtu(), std::nullopt);
  EXPECT_THAT(dataplane_.host, ::testing::ElementsAre(::testing::Pair(uplink_, "uplink")));
}

// Flows that began while the host translated go on after its last rule went, and what they
// became is judged at whatever interface they leave by.
TEST_F(TunnelPlaneTest, WhereItWasEverMarkedProgramsStayWhenTheHostTranslatesNoMore) {
  ASSERT_EQ(netns_->Shell("ip link add eth1 type veth peer name beyond"), 0);
  Apply(VxlanMode::kNever);
  const auto switch_nat = [this](bool on) {
    plane_->SetHostNat(on);
    return dataplane_.Configure({.host_nat = on});
  };
  plane_->SetHostNat(true);
  plane_->SetHostNat(false);
  EXPECT_THAT(dataplane_.host, ::testing::SizeIs(1)) << "nothing was marked yet";
  ASSERT_TRUE(switch_nat(true).ok());
  const auto with = dataplane_.host;
  EXPECT_GT(with.size(), 1u);
  ASSERT_TRUE(switch_nat(false).ok());
  Apply(VxlanMode::kNever);
  EXPECT_EQ(dataplane_.host, with);
}

TEST_F(TunnelPlaneTest, TheDeviceComesWithItsProgramAndTheOwners) {
  Apply(VxlanMode::kAlways);
  EXPECT_TRUE(DeviceIsUp());
  EXPECT_EQ(dataplane_.tunnel_port, 4789);
  EXPECT_EQ(dataplane_.tunnel_ifindex, plane_->ifindex());
  EXPECT_EQ(dataplane_.host[plane_->ifindex()], "tunnel");
  EXPECT_EQ(dataplane_.host[uplink_], "uplink");
  EXPECT_EQ(OwnFlags(), OWNER_TUNNEL_NEAR | OWNER_TUNNEL_ACROSS);
  EXPECT_EQ(plane_->mtu(), 1450u);
  EXPECT_THAT(plane_->problems(), IsEmpty());
}

TEST_F(TunnelPlaneTest, ItsEndsAreThisNodeAndThoseThatItHasRoutesTo) {
  Apply(VxlanMode::kCrossSubnet);
  EXPECT_EQ(plane_->ends(), std::nullopt) << "the other node is in this subnet";
  Apply(VxlanMode::kAlways);
  EXPECT_EQ(plane_->ends(), (FirewallScene::Tunnel{Addr("192.0.2.1"), {Addr("192.0.2.2")}}));
  Apply(VxlanMode::kNever);
  EXPECT_EQ(plane_->ends(), std::nullopt) << "also while the device lingers";
}

TEST_F(TunnelPlaneTest, PortVniMtuAndSendersFollowTheSettings) {
  VxlanConfig config;
  config.node_name = "a";
  config.v4 = Addr("192.0.2.1");
  config.pools = {{Net("10.65.0.0/16"), VxlanMode::kAlways}};
  config.own_blocks = {Net("10.65.1.0/26")};
  Apply(config);
  const uint32_t before = plane_->ifindex();
  config.external_nodes = {Net("203.0.113.0/24")};
  config.mtu_v4 = 1400;
  config.mtu_v6 = 1300;
  Apply(config);
  EXPECT_EQ(dataplane_.external_nodes, config.external_nodes);
  EXPECT_EQ(plane_->mtu(), 1400u) << "of IPv4 outside";
  EXPECT_EQ(netlink_->GetLink("vxlan.ripstop")->mtu, 1400u);
  EXPECT_EQ(plane_->ifindex(), before) << "the device stays";

  config.port = 4790;
  config.vni = 77;
  Apply(config);
  EXPECT_EQ(netlink_->GetLink("vxlan.ripstop")->vxlan->port, 4790);
  EXPECT_EQ(netlink_->GetLink("vxlan.ripstop")->vxlan->vni, 77u);
  EXPECT_EQ(dataplane_.tunnel_port, 4790);
  EXPECT_EQ(dataplane_.tunnel_ifindex, plane_->ifindex());
  EXPECT_TRUE(DeviceIsUp());

  // The device that lingers is the old one, whatever the settings say meanwhile.
  config.pools[0].mode = VxlanMode::kNever;
  config.port = 4791;
  Apply(config);
  EXPECT_EQ(netlink_->GetLink("vxlan.ripstop")->vxlan->port, 4790);
  EXPECT_EQ(dataplane_.tunnel_port, 4790);
  now_ += OwnerTransitions::kGrace;
  Apply(config);
  EXPECT_EQ(dataplane_.tunnel_port, 0);
  EXPECT_THAT(dataplane_.external_nodes, IsEmpty());
}

TEST_F(TunnelPlaneTest, WithoutItsProgramTheDeviceStaysDownAndThatIsNamed) {
  dataplane_.tunnel_error = absl::ResourceExhaustedError("attach from_tunnel: no memory");
  Apply(VxlanMode::kAlways);
  EXPECT_FALSE(DeviceIsUp());
  EXPECT_THAT(plane_->problems(), ::testing::Contains(HasSubstr("attach from_tunnel")));
  dataplane_.tunnel_error = absl::OkStatus();
  Apply(VxlanMode::kAlways);
  EXPECT_TRUE(DeviceIsUp());
  EXPECT_THAT(plane_->problems(), IsEmpty());
}

TEST_F(TunnelPlaneTest, BothWaysHoldWhileThePoolGoesOverAndBack) {
  Apply(VxlanMode::kNever);
  Apply(VxlanMode::kAlways);
  EXPECT_TRUE(DeviceIsUp());
  EXPECT_EQ(OwnFlags(), 0u) << "nodes that have not heard of it send natively";
  now_ += OwnerTransitions::kGrace;
  ASSERT_TRUE(netns_->Run([this] { return loop_->RunOnce(absl::ZeroDuration()); }).ok());
  Apply(VxlanMode::kAlways);
  EXPECT_EQ(OwnFlags(), OWNER_TUNNEL_NEAR | OWNER_TUNNEL_ACROSS);

  Apply(VxlanMode::kNever);
  EXPECT_TRUE(DeviceIsUp()) << "and others still send by the tunnel";
  EXPECT_EQ(dataplane_.tunnel_port, 4789);
  EXPECT_EQ(dataplane_.owners.at(Net("10.65.2.0/26")).vtep, Addr("192.0.2.2"));
  EXPECT_EQ(OwnFlags(), 0u);
  EXPECT_EQ(plane_->mtu(), std::nullopt);
  EXPECT_THAT(routes_->wanted(), IsEmpty());
  now_ += OwnerTransitions::kGrace;
  Apply(VxlanMode::kNever);
  EXPECT_FALSE(DeviceIsUp());
  EXPECT_EQ(dataplane_.tunnel_port, 0);
  EXPECT_THAT(dataplane_.owners, IsEmpty());
}

TEST_F(TunnelPlaneTest, WhatTheTableRefusesIsNamed) {
  dataplane_.owners_error = absl::ResourceExhaustedError("rs_owners_v1: write 10.65.2.0/26: full");
  Apply(VxlanMode::kAlways);
  EXPECT_THAT(plane_->problems(), ::testing::Contains(HasSubstr("rs_owners_v1")));
}

}  // namespace
}  // namespace ripstop::agent
