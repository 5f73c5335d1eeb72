// SPDX-License-Identifier: Apache-2.0
//
// What carries packets between nodes, in a namespace of its own: real netlink, real settings,
// the programs faked, no BIRD.
#include "agent/network/network_plane.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "agent/base/testing/from_yaml.h"
#include "agent/base/testing/test_netns.h"
#include "agent/dataplane/fake_dataplane.h"
#include "agent/netlink/sysctl.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ripstop::agent {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

// How the world is when the tunnel's device gets its program.
class OrderlyDataplane : public FakeDataplane {
 public:
  explicit OrderlyDataplane(Netlink* netlink) : netlink_(netlink) {}
  absl::Status AttachTunnel(uint32_t ifindex) override {
    const auto link = netlink_->GetLink(ifindex);
    const bool up = !link.ok() || link->up;
    const bool told = tunnel_port != 0 && tunnel_ifindex == ifindex && !owners.empty();
    at_tunnel.push_back(absl::StrCat(up ? "up" : "down",
                                     told ? ", owners known" : ", owners unknown",
                                     host.empty() ? ", no uplink judged" : ", uplink judged"));
    return FakeDataplane::AttachTunnel(ifindex);
  }
  std::vector<std::string> at_tunnel;

 private:
  Netlink* const netlink_;
};

class NetworkPlaneTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto netns = TestNetns::Create();
    if (absl::IsPermissionDenied(netns.status())) GTEST_SKIP() << "needs CAP_SYS_ADMIN";
    ASSERT_TRUE(netns.ok()) << netns.status();
    netns_ = std::make_unique<TestNetns>(*std::move(netns));
    netlink_ = *Netlink::Open(netns_->fd());
    ASSERT_EQ(netns_->Shell("sysctl -w net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0 && "
                            "ip link set lo up && ip link add eth0 mtu 1400 type veth peer name "
                            "far mtu 1400 && ip link set eth0 up && "
                            "ip addr add 192.0.2.1/24 dev eth0"),
              0);
    eth0_ = netlink_->GetLink("eth0")->index;
    options_.node = "n1";
    options_.bird = "";
    loop_ = *EventLoop::Create();
    dataplane_ = std::make_unique<OrderlyDataplane>(netlink_.get());
    AddNode("n1", "{ipv4Address: 192.0.2.1/24}");
    AddNode("n2", "{ipv4Address: 192.0.2.2/24}");
    cluster_.blocks["own"] = {Net("10.65.1.0/26"), "n1", {}};
    cluster_.blocks["other"] = {Net("10.65.2.0/26"), "n2", {}};
    const absl::Status created = netns_->Run([this] {
      auto plane = NetworkPlane::Create(options_, loop_.get(), dataplane_.get());
      if (!plane.ok()) return plane.status();
      plane_ = *std::move(plane);
      return absl::OkStatus();
    });
    ASSERT_TRUE(created.ok()) << created;
  }

  static policy::Cidr Net(const char* text) { return policy::Cidr::Parse(text).value(); }
  void AddNode(const std::string& name, const std::string& bgp) {
    cluster_.nodes[name] = MessageFromYaml<api::v1::Node>(
        absl::StrCat("{apiVersion: projectcalico.org/v3, kind: Node, metadata: {name: ", name,
                     "}, spec: {bgp: ", bgp, "}}"));
  }
  void SetPool(const std::string& vxlan_mode) {
    cluster_.pools["pool"] = MessageFromYaml<api::v1::IPPool>(
        absl::StrCat("{apiVersion: projectcalico.org/v3, kind: IPPool, metadata: {name: pool}, "
                     "spec: {cidr: 10.65.0.0/16, vxlanMode: ",
                     vxlan_mode, "}}"));
  }
  void Apply(const FelixSettings& settings = {}) {
    ASSERT_TRUE(netns_
                    ->Run([&] {
                      plane_->Apply(cluster_, settings);
                      return absl::OkStatus();
                    })
                    .ok());
  }
  // Turns of the loop until `done`; gives up only on a hang.
  ::testing::AssertionResult Until(const std::function<bool()>& done) {
    const absl::Time end = absl::Now() + absl::Minutes(10);
    while (!done()) {
      if (absl::Now() > end) return ::testing::AssertionFailure() << Problems();
      const absl::Status turned =
          netns_->Run([this] { return loop_->RunOnce(absl::Milliseconds(50)); });
      if (!turned.ok()) return ::testing::AssertionFailure() << turned;
    }
    return ::testing::AssertionSuccess();
  }
  void Shell(const std::string& command) { ASSERT_EQ(netns_->Shell(command), 0) << command; }
  std::string Problems() const { return absl::StrJoin(plane_->problems(), "\n"); }
  std::string Setting(const std::string& path) {
    std::string value;
    EXPECT_TRUE(netns_
                    ->Run([&] {
                      auto read = ReadSysctl(path);
                      if (read.ok()) value = *read;
                      return read.status();
                    })
                    .ok());
    return value;
  }
  absl::StatusOr<Link> Device() { return netlink_->GetLink("vxlan.ripstop"); }

  std::unique_ptr<TestNetns> netns_;
  std::unique_ptr<Netlink> netlink_;
  uint32_t eth0_ = 0;
  NetworkOptions options_;
  ClusterView cluster_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<OrderlyDataplane> dataplane_;
  std::unique_ptr<NetworkPlane> plane_;
};

TEST_F(NetworkPlaneTest, TheNodeBecomesARouterInBothFamilies) {
  EXPECT_EQ(Setting("net/ipv4/ip_forward"), "1");
  EXPECT_EQ(Setting("net/ipv6/conf/all/forwarding"), "1");
  EXPECT_EQ(Setting("net/ipv6/conf/eth0/forwarding"), "1");
  EXPECT_TRUE(plane_->BgpStatus().ready) << "there is no BGP here";
}

// ---- addresses ----

TEST_F(NetworkPlaneTest, ANodeThatHasItsAddressHasNoProblems) {
  Apply();
  EXPECT_EQ(Problems(), "");
  EXPECT_TRUE(plane_->has_its_addresses());
  EXPECT_THAT(dataplane_->host, ElementsAre(Pair(eth0_, "uplink")));
}

TEST_F(NetworkPlaneTest, AnAddressThatNoInterfaceHasIsNamedUntilOneHasItAndWhenItGoes) {
  AddNode("n1", "{ipv4Address: 192.0.2.9/24, ipv6Address: '2001:db8::9/64'}");
  Apply();
  EXPECT_THAT(plane_->problems(),
              ElementsAre(HasSubstr("192.0.2.9: no interface of this node has it"),
                          HasSubstr("2001:db8::9: no interface of this node has it")));
  EXPECT_FALSE(plane_->has_its_addresses());
  EXPECT_THAT(dataplane_->host, IsEmpty());
  Shell("ip addr add 192.0.2.9/24 dev eth0");
  ASSERT_TRUE(Until([this] { return plane_->problems().size() == 1; }));
  EXPECT_THAT(Problems(), HasSubstr("2001:db8::9"));
  EXPECT_THAT(dataplane_->host, ElementsAre(Pair(eth0_, "uplink")));
  Shell("ip addr add 2001:db8::9/64 dev eth0 nodad");
  ASSERT_TRUE(Until([this] { return plane_->has_its_addresses(); }));
  Shell("ip addr flush dev eth0");
  ASSERT_TRUE(Until([this] { return plane_->problems().size() == 2; }));
  EXPECT_THAT(dataplane_->host, IsEmpty());
}

TEST_F(NetworkPlaneTest, AnAddressOfTwoNodesIsNamedAndKeepsOnlyThoseTwoFromBeingReady) {
  AddNode("n3", "{ipv4Address: 192.0.2.2/24}");
  Apply();
  EXPECT_THAT(
      plane_->problems(),
      ElementsAre(HasSubstr("Node n2: spec.bgp.ipv4Address 192.0.2.2: Node n3 has it too")));
  EXPECT_TRUE(plane_->has_its_addresses());
  AddNode("n3", "{ipv4Address: 192.0.2.1/24}");
  Apply();
  EXPECT_THAT(
      plane_->problems(),
      ElementsAre(HasSubstr("Node n1: spec.bgp.ipv4Address 192.0.2.1: Node n3 has it too")));
  EXPECT_FALSE(plane_->has_its_addresses());
  cluster_.nodes.erase("n3");
  Apply();
  EXPECT_EQ(Problems(), "");
  EXPECT_TRUE(plane_->has_its_addresses());
}

// ---- MTU ----

TEST_F(NetworkPlaneTest, APodsMtuIsThatOfTheWayLessTheTunnel) {
  Apply();
  EXPECT_EQ(plane_->workload_mtu(), 1400u);
  SetPool("Always");
  Apply();
  EXPECT_EQ(plane_->workload_mtu(), 1350u);
  EXPECT_EQ(Device()->mtu, 1350u);
  AddNode("n1", "{ipv6Address: '2001:db8::1/64'}");
  Shell("ip addr add 2001:db8::1/64 dev eth0 nodad");
  Apply();
  EXPECT_EQ(plane_->workload_mtu(), 1330u) << "IPv6 outside";
  SetPool("Never");
  Apply();
  EXPECT_EQ(plane_->workload_mtu(), 1400u);
}

TEST_F(NetworkPlaneTest, TheMtuFollowsTheWaysOwn) {
  SetPool("Always");
  Apply();
  ASSERT_EQ(plane_->workload_mtu(), 1350u);
  Shell("ip link set eth0 mtu 1300");
  ASSERT_TRUE(Until([this] { return plane_->workload_mtu() == 1250; }));
  EXPECT_EQ(Device()->mtu, 1250u);
}

TEST_F(NetworkPlaneTest, TheMtuFollowsTheSettings) {
  Shell("ip link add eth5 mtu 1380 type veth peer name far5 && ip link set eth5 up");
  SetPool("Always");
  FelixSettings settings;
  settings.mtu_interfaces = "^eth5$";
  Apply(settings);
  EXPECT_EQ(plane_->workload_mtu(), 1330u);
  Shell("ip link set eth5 mtu 1370");
  ASSERT_TRUE(Until([this] { return plane_->workload_mtu() == 1320; }));
  settings.mtu_interfaces = "^wlan";
  Apply(settings);
  EXPECT_EQ(plane_->workload_mtu(), 1350u) << "as without it";
  EXPECT_THAT(plane_->problems(),
              ::testing::Contains(::testing::HasSubstr("mtuIfacePattern ^wlan matches no")));
  settings = {};
  settings.tunnel.mtu_v4 = 1290;
  Apply(settings);
  EXPECT_EQ(plane_->workload_mtu(), 1290u);
  EXPECT_EQ(Device()->mtu, 1290u);
  EXPECT_THAT(plane_->problems(), ::testing::IsEmpty());
  Apply();
  EXPECT_EQ(plane_->workload_mtu(), 1350u);
}

TEST_F(NetworkPlaneTest, OfTwoWaysTheNarrowerCounts) {
  Shell(
      "ip link add eth1 mtu 9000 type veth peer name far1 mtu 9000 && ip link set eth1 up && "
      "ip addr add 2001:db8::1/64 dev eth1 nodad");
  AddNode("n1", "{ipv4Address: 192.0.2.1/24, ipv6Address: '2001:db8::1/64'}");
  Apply();
  EXPECT_EQ(plane_->workload_mtu(), 1400u);
}

TEST_F(NetworkPlaneTest, AnAddressOnTheLoopbackHasTheMtuOfTheWaysOut) {
  Shell("ip addr flush dev eth0 && ip addr add 192.0.2.1/32 dev lo");
  SetPool("Always");
  Apply();
  EXPECT_EQ(Problems(), "");
  EXPECT_EQ(plane_->workload_mtu(), 1350u) << "the loopback's own is 65536";
  EXPECT_EQ(dataplane_->host[eth0_], "uplink");
}

// ---- the tunnel ----

TEST_F(NetworkPlaneTest, TheTunnelComesAndGoesWithThePools) {
  SetPool("Never");
  Apply();
  EXPECT_TRUE(absl::IsNotFound(Device().status()));
  ASSERT_EQ(plane_->Reconcile(), absl::OkStatus());
  SetPool("Always");
  Apply();
  ASSERT_TRUE(Device().ok());
  EXPECT_TRUE(Device()->up);
  EXPECT_EQ(plane_->tunnel().ifindex(), Device()->index);
  EXPECT_EQ(dataplane_->host[Device()->index], "tunnel");
  EXPECT_EQ(netns_->Shell("ip route show 10.65.2.0/26 | grep -q vxlan.ripstop"), 0);
  cluster_.pools.clear();
  Apply();
  EXPECT_THAT(plane_->routes()->wanted(), IsEmpty());
  EXPECT_EQ(netns_->Shell("ip route show 10.65.2.0/26 | grep -q vxlan.ripstop"), 1);
  EXPECT_THAT(dataplane_->owners, Contains(Pair(Net("10.65.2.0/26"), ::testing::_)))
      << "others hear of it later, and send by it meanwhile";
}

TEST_F(NetworkPlaneTest, APoolThatIsBeingDeletedKeepsItsWays) {
  SetPool("Always");
  Apply();
  const auto before = plane_->routes()->wanted();
  ASSERT_FALSE(before.empty());
  cluster_.pools["pool"].mutable_metadata()->set_deletion_timestamp("2026-01-02T03:04:05Z");
  Apply();
  EXPECT_EQ(plane_->routes()->wanted(), before);
  EXPECT_EQ(plane_->workload_mtu(), 1350u);
}

TEST_F(NetworkPlaneTest, TheDeviceTakesNothingBeforeAllIsThereToJudgeIt) {
  SetPool("Always");
  Apply();
  ASSERT_FALSE(dataplane_->at_tunnel.empty());
  EXPECT_EQ(dataplane_->at_tunnel.front(), "down, owners known, uplink judged");
}

TEST_F(NetworkPlaneTest, ADeviceThatSomebodyDeletesComesBackJudged) {
  SetPool("Always");
  Apply();
  const uint32_t before = plane_->tunnel().ifindex();
  dataplane_->at_tunnel.clear();
  Shell("ip link del vxlan.ripstop");
  ASSERT_TRUE(Until([&] { return Device().ok() && plane_->tunnel().ifindex() != before; }));
  EXPECT_EQ(dataplane_->at_tunnel.front(), "down, owners known, uplink judged");
  EXPECT_EQ(dataplane_->tunnel_ifindex, Device()->index);
}

// ---- problems ----

TEST_F(NetworkPlaneTest, EachPartThatFailsIsNamedAndKeepsNoOtherFromBeingApplied) {
  SetPool("Always");
  AddNode("n2", "{ipv6Address: '2001:db8::2/64'}");  // no way by IPv4
  AddNode("n3", "{ipv4Address: 192.0.2.1/24}");
  dataplane_->tunnel_error = absl::ResourceExhaustedError("attach from_tunnel: no memory");
  dataplane_->owners_error = absl::ResourceExhaustedError("rs_owners_v1: full");
  Apply();
  EXPECT_THAT(plane_->problems(),
              ::testing::IsSupersetOf({HasSubstr("Node n3 has it too"), HasSubstr("from_tunnel"),
                                       HasSubstr("rs_owners_v1"),
                                       HasSubstr("block 10.65.2.0/26 of node n2")}));
  EXPECT_EQ(dataplane_->host[eth0_], "uplink");
  EXPECT_FALSE(Device()->up) << "without its program";
  dataplane_->tunnel_error = dataplane_->owners_error = absl::OkStatus();
  AddNode("n2", "{ipv4Address: 192.0.2.2/24}");
  cluster_.nodes.erase("n3");
  Apply();
  EXPECT_EQ(Problems(), "");
  EXPECT_TRUE(Device()->up);
}

// ---- masquerade ----

TEST_F(NetworkPlaneTest, PodsLeaveUnderTheAddressThatTheKernelWouldSendFrom) {
  Shell("ip link add web type bridge && ip link set web up && ip addr add 172.18.0.1/16 dev web");
  const uint32_t web = netlink_->GetLink("web")->index;
  SetPool("Never");
  Apply();
  EXPECT_FALSE(dataplane_->masqueraded) << "no pool wants it, and nothing is asked or attached";
  EXPECT_FALSE(dataplane_->host.contains(web));
  cluster_.pools["pool"].mutable_spec()->set_nat_outgoing(true);
  cluster_.pools["six"] = MessageFromYaml<api::v1::IPPool>(
      "{apiVersion: projectcalico.org/v3, kind: IPPool, metadata: {name: six}, "
      "spec: {cidr: 'fd00:65::/64', natOutgoing: true}}");
  Apply();
  const auto v4 = [&](uint32_t ifindex) {
    const auto& exit = dataplane_->masquerade.exits[ifindex].v4;
    return exit.has_value() ? exit->ToString() : "none";
  };
  const auto v6 = [&](uint32_t ifindex) {
    const auto& exit = dataplane_->masquerade.exits[ifindex].v6;
    return exit.has_value() ? exit->ToString() : "none";
  };
  EXPECT_THAT(dataplane_->masquerade.pools, UnorderedElementsAre(Pair(Net("fd00:65::/64"), true),
                                                                 Pair(Net("10.65.0.0/16"), true)));
  EXPECT_THAT(dataplane_->host, Contains(Pair(web, "elsewhere"))) << "its answers come there";
  EXPECT_EQ(v4(eth0_), "192.0.2.1");
  EXPECT_EQ(v4(web), "172.18.0.1");
  EXPECT_EQ(v6(eth0_), "none");
  EXPECT_THAT(Problems(), HasSubstr("no IPv6 address to send pods' packets under"));

  // Addresses and routes come, and it follows.
  Shell("ip addr add 2001:db8::1/64 dev eth0 nodad");
  EXPECT_TRUE(Until([&] { return v6(eth0_) == "2001:db8::1"; }));
  EXPECT_EQ(Problems(), "");
  Shell("ip addr add 192.0.2.77/24 dev eth0");
  Shell("ip route add default via 192.0.2.254 dev eth0 src 192.0.2.77");
  EXPECT_TRUE(Until([&] { return v4(eth0_) == "192.0.2.77"; })) << "the route says from where";
  Shell("ip addr del 172.18.0.1/16 dev web && ip link set web down");
  Shell(
      "ip link add late type bridge && ip link set late up && ip addr add 172.19.0.1/16 dev late");
  const uint32_t late = netlink_->GetLink("late")->index;
  EXPECT_TRUE(Until([&] { return v4(late) == "172.19.0.1"; }));
  EXPECT_TRUE(Until([&] { return v4(web) != "172.18.0.1"; }));

  // What the settings say comes first, and the range is beside the host's own ports.
  EXPECT_EQ(dataplane_->masquerade.first_port, 1024);
  EXPECT_EQ(dataplane_->masquerade.last_port, 32767);
  FelixSettings settings;
  settings.nat.address = policy::Address::Parse("203.0.113.7").value();
  settings.nat.ports = api::PortRange{40000, 40100};
  Apply(settings);
  EXPECT_EQ(v4(eth0_), "203.0.113.7");
  EXPECT_EQ(v6(eth0_), "2001:db8::1");
  EXPECT_EQ(dataplane_->masquerade.last_port, 40100);

  // The last pool gives it up: flows that there are go on, so the rest stays.
  cluster_.pools["pool"].mutable_spec()->set_nat_outgoing(false);
  cluster_.pools.erase("six");
  Apply();
  EXPECT_FALSE(dataplane_->masquerade.any());
  EXPECT_THAT(dataplane_->host, Contains(Pair(late, "elsewhere")));
}

TEST_F(NetworkPlaneTest, OthersHearOfEventsWhenThisHasDealtWithThem) {
  AddNode("n1", "{ipv4Address: 192.0.2.9/24}");
  Apply();
  bool heard = false, dealt_with = false;
  plane_->OnEvents([&](const std::vector<MonitorEvent>& events) {
    for (const MonitorEvent& event : events) {
      const auto* address = std::get_if<AddressEvent>(&event);
      if (address == nullptr || address->address.address.ToString() != "192.0.2.9") continue;
      heard = true;
      dealt_with = plane_->has_its_addresses();
    }
  });
  Shell("ip addr add 192.0.2.9/24 dev eth0");
  ASSERT_TRUE(Until([&] { return heard; }));
  EXPECT_TRUE(dealt_with);
}

}  // namespace
}  // namespace ripstop::agent
