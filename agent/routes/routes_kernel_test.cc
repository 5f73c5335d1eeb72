// SPDX-License-Identifier: Apache-2.0
//
// Routes and VXLAN on the real kernel, in namespaces.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "agent/base/testing/probe.h"
#include "agent/base/testing/test_netns.h"
#include "agent/netlink/monitor.h"
#include "agent/netlink/sysctl.h"
#include "agent/routes/route_manager.h"
#include "agent/routes/vxlan_manager.h"

namespace ripstop::agent {
namespace {

using ::testing::IsEmpty;

policy::Address Addr(std::string_view text) { return *policy::Address::Parse(text); }
policy::Cidr Net(std::string_view text) { return *policy::Cidr::Parse(text); }

// A node: its namespace and the classes that an agent there would have.
struct Node {
  explicit Node(TestNetns given) : ns(std::move(given)) {
    netlink = *Netlink::Open(ns.fd());
    monitor = *Monitor::Open(ns.fd());
    kernel = std::make_unique<NetlinkRouteKernel>(netlink.get());
    routes = std::make_unique<RouteManager>(kernel.get());
    vxlan = std::make_unique<VxlanManager>(netlink.get(), routes.get(), [this](uint32_t ifindex) {
      const auto link = netlink->GetLink(ifindex);
      prepared.push_back(ifindex);
      up_when_prepared = link.ok() && link->up;
      return prepare_result;
    });
    EXPECT_TRUE(netlink->SetLinkUp(1, true).ok());
    EXPECT_EQ(routes->Reconcile(), absl::OkStatus());
  }
  // Handles events until `done`; gives up only on a hang.
  bool HandleUntil(const std::function<bool()>& done) {
    const absl::Time deadline = absl::Now() + absl::Minutes(10);
    while (absl::Now() < deadline) {
      if (done()) return true;
      pollfd p{.fd = monitor->fd(), .events = POLLIN, .revents = 0};
      poll(&p, 1, 10);
      auto events = monitor->Read();
      if (!events.ok()) return false;
      vxlan_status = ns.Run([&] { return vxlan->HandleEvents(*events); });
      status = routes->HandleEvents(*events);
    }
    return false;
  }
  TestNetns ns;
  std::unique_ptr<Netlink> netlink;
  std::unique_ptr<Monitor> monitor;
  std::unique_ptr<NetlinkRouteKernel> kernel;
  std::unique_ptr<RouteManager> routes;
  std::unique_ptr<VxlanManager> vxlan;
  std::vector<uint32_t> prepared;  // devices, in order
  bool up_when_prepared = false;
  absl::Status prepare_result;
  absl::Status status, vxlan_status;
};

class RoutesKernelTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto a = TestNetns::Create();
    if (absl::IsPermissionDenied(a.status())) GTEST_SKIP() << "needs CAP_SYS_ADMIN";
    ASSERT_TRUE(a.ok()) << a.status();
    a_ = std::make_unique<Node>(*std::move(a));
    b_ = std::make_unique<Node>(*TestNetns::Create());
    ASSERT_EQ(a_->netlink->CreateVeth({.name = "up0",
                                       .mac = *Mac::Parse("02:00:5e:00:00:01"),
                                       .peer_name = "up0",
                                       .peer_mac = *Mac::Parse("02:00:5e:00:00:02"),
                                       .peer_netns_fd = b_->ns.fd()}),
              absl::OkStatus());
    for (auto* node : {a_.get(), b_.get()}) {
      uplink_ = node->netlink->GetLink("up0")->index;
      ASSERT_TRUE(node->netlink->SetLinkUp(uplink_, true).ok());
    }
    uplink_ = a_->netlink->GetLink("up0")->index;
  }
  std::vector<RoutingEntry> PodEntries() const {
    const Mac mac = *Mac::Parse("02:00:5e:00:00:77");
    return {Route{.destination = Net("203.0.113.5/32"), .ifindex = uplink_, .scope = RT_SCOPE_LINK},
            Route{.destination = Net("2001:db8:5::5/128"), .ifindex = uplink_},
            Neighbour{.ifindex = uplink_, .address = Addr("203.0.113.5"), .mac = mac},
            Neighbour{.ifindex = uplink_, .address = Addr("2001:db8:5::5"), .mac = mac}};
  }
  bool InPlace(Node& node) {
    auto present = node.kernel->Read({});
    return present.ok() && Diff(node.routes->wanted(), *present).empty();
  }
  std::unique_ptr<Node> a_, b_;
  uint32_t uplink_ = 0;
};

TEST_F(RoutesKernelTest, EverythingSomebodyElseRemovesComesBack) {
  ASSERT_EQ(a_->routes->Put("pod/x", PodEntries()), absl::OkStatus());
  ASSERT_TRUE(InPlace(*a_));
  const uint64_t before = a_->routes->stats().repairs;
  for (const char* meddling :
       {"ip route del 203.0.113.5/32", "ip -6 route del 2001:db8:5::5/128",
        "ip neigh del 203.0.113.5 dev up0", "ip route flush proto 82",
        "ip route replace 203.0.113.5/32 dev lo", "ip -6 route replace 2001:db8:5::5/128 dev lo",
        "ip route replace blackhole 203.0.113.5/32", "ip link set up0 down; ip link set up0 up"}) {
    ASSERT_EQ(a_->ns.Shell(meddling), 0) << meddling;
    EXPECT_TRUE(a_->HandleUntil([this] { return InPlace(*a_); })) << meddling << a_->status;
  }
  EXPECT_GT(a_->routes->stats().repairs, before + 6);
}

TEST_F(RoutesKernelTest, RestartWritesNothingWhenNothingChanged) {
  ASSERT_TRUE(a_->routes->Put("pod/x", PodEntries()).ok());
  RouteManager restarted(a_->kernel.get());
  ASSERT_TRUE(restarted.Put("pod/x", PodEntries()).ok());
  ASSERT_TRUE(restarted.Reconcile().ok());
  EXPECT_EQ(restarted.stats().writes, 0u);
  ASSERT_TRUE(restarted.Remove("pod/x").ok());
  EXPECT_THAT(*a_->kernel->Read({}), IsEmpty());
}

// Thirty thousand routes of a routing daemon pass by: no event reaches us, and our own
// dump still sees only what is ours.
TEST_F(RoutesKernelTest, ThirtyThousandForeignRoutesCauseNoEvents) {
  ASSERT_TRUE(a_->routes->Put("pod/x", PodEntries()).ok());
  (void)a_->monitor->Read();
  for (int i = 0; i < 30000; ++i) {
    const Route route{
        .destination = policy::Cidr::Of(policy::Address::FromV4(0x0a000000u + i), 128),
        .ifindex = uplink_,
        .protocol = RTPROT_BIRD,
        .scope = RT_SCOPE_LINK};
    ASSERT_EQ(a_->netlink->AddRoute(route), absl::OkStatus());
  }
  auto events = a_->monitor->Read();
  ASSERT_TRUE(events.ok());
  for (const MonitorEvent& event : *events) {
    EXPECT_FALSE(std::holds_alternative<RouteEvent>(event));
    EXPECT_FALSE(std::holds_alternative<ResyncEvent>(event));
  }
  EXPECT_EQ(a_->kernel->Read({})->size(), PodEntries().size());
}

TEST_F(RoutesKernelTest, TheTunnelGoesUpOnlyWhenItIsPrepared) {
  VxlanPlan plan;
  plan.device = VxlanSpec{.name = "vx", .mac = VxlanMac("a"), .local = Addr("192.0.2.1")};
  const auto apply = [&] { return a_->ns.Run([&] { return a_->vxlan->Apply(VxlanPlan(plan)); }); };
  a_->prepare_result = absl::ResourceExhaustedError("attach from_tunnel: no memory");
  EXPECT_EQ(apply(), a_->prepare_result);
  ASSERT_EQ(a_->prepared.size(), 1u);
  EXPECT_FALSE(a_->up_when_prepared);
  EXPECT_FALSE(a_->netlink->GetLink("vx")->up);
  a_->prepare_result = absl::OkStatus();
  EXPECT_EQ(apply(), absl::OkStatus());
  EXPECT_FALSE(a_->up_when_prepared);
  EXPECT_TRUE(a_->netlink->GetLink("vx")->up);
  // One that is up and cannot be prepared any more does not stay up.
  a_->prepare_result = absl::ResourceExhaustedError("attach from_tunnel: no memory");
  EXPECT_EQ(apply(), a_->prepare_result);
  EXPECT_FALSE(a_->netlink->GetLink("vx")->up);
}

// It carries packets from the agent's first moment, so its programs must be told of it then.
TEST_F(RoutesKernelTest, ATunnelThatAnEarlierAgentLeftIsKnownBeforeItIsApplied) {
  VxlanPlan plan;
  plan.device = VxlanSpec{.name = "vx", .mac = VxlanMac("a"), .local = Addr("192.0.2.1")};
  const auto apply = [&](VxlanManager& vxlan) {
    ASSERT_EQ(a_->ns.Run([&] { return vxlan.Apply(plan); }), absl::OkStatus());
  };
  EXPECT_EQ(a_->vxlan->Standing(plan), 0u) << "nothing is there";
  apply(*a_->vxlan);
  const uint32_t left = a_->netlink->GetLink("vx")->index;
  VxlanManager later(a_->netlink.get(), a_->routes.get(),
                     [](uint32_t) { return absl::OkStatus(); });
  ASSERT_EQ(later.ifindex(), 0u);
  EXPECT_EQ(later.Standing(plan), left);
  EXPECT_EQ(later.Standing({}), 0u) << "nobody wants it";
  apply(later);
  EXPECT_EQ(later.ifindex(), left) << "and it goes on with it";
}

TEST_F(RoutesKernelTest, ADeviceOfThatNameWithAnotherTunnelIsNoneThatStands) {
  const VxlanSpec ours = {.name = "vx", .mac = VxlanMac("a"), .local = Addr("192.0.2.1")};
  VxlanPlan plan;
  plan.device = ours;
  for (const char* other :
       {"type vxlan id 4097 dstport 4789 local 192.0.2.1 nolearning",
        "type vxlan id 4096 dstport 8472 local 192.0.2.1 nolearning",
        "type vxlan id 4096 dstport 4789 local 192.0.2.9 nolearning",
        "type vxlan id 4096 dstport 4789 local 192.0.2.1 learning", "type veth peer name vy"}) {
    ASSERT_EQ(a_->ns.Shell(absl::StrCat("ip link add vx ", other)), 0) << other;
    EXPECT_EQ(a_->vxlan->Standing(plan), 0u) << other;
    ASSERT_EQ(a_->ns.Shell("ip link del vx"), 0);
  }
  // Control: one that differs in nothing.
  ASSERT_EQ(
      a_->ns.Shell("ip link add vx type vxlan id 4096 dstport 4789 local 192.0.2.1 nolearning"), 0);
  EXPECT_EQ(a_->vxlan->Standing(plan), a_->netlink->GetLink("vx")->index);
}

TEST_F(RoutesKernelTest, PodsOfTwoNodesReachEachOtherByVxlanInBothFamilies) {
  // Pods stand in as addresses on lo; the underlay is IPv4 only.
  const struct {
    Node* node;
    const char *name, *address, *pod4, *pod6;
  } sides[] = {{a_.get(), "node-a", "192.0.2.1", "10.65.1.5", "2001:db8:65::105"},
               {b_.get(), "node-b", "192.0.2.2", "10.65.2.5", "2001:db8:65::205"}};
  for (int i = 0; i < 2; ++i) {
    const auto& own = sides[i];
    const auto& far = sides[1 - i];
    ASSERT_EQ(own.node->ns.Shell(
                  absl::StrCat("ip addr add ", own.address, "/24 dev up0; ip addr add ", own.pod4,
                               "/32 dev lo; ip addr add ", own.pod6, "/128 dev lo nodad")),
              0);
    ASSERT_EQ(own.node->ns.Run([] { return WriteWherePresent(NodeSysctls()); }), absl::OkStatus());
    VxlanConfig config;
    config.node_name = own.name;
    config.v4 = Addr(own.address);
    config.pools = {{Net("10.65.0.0/16"), VxlanMode::kAlways},
                    {Net("2001:db8:65::/64"), VxlanMode::kAlways}};
    config.remotes = {
        {.name = far.name,
         .v4 = Addr(far.address),
         .blocks = {policy::Cidr::Of(Addr(far.pod4), 122), policy::Cidr::Of(Addr(far.pod6), 122)}}};
    const VxlanPlan plan = PlanVxlan(config);
    ASSERT_EQ(own.node->ns.Run([&] { return own.node->vxlan->Apply(plan); }), absl::OkStatus());
  }
  const auto reaches = [&] {
    const absl::Status v4 = Probe(a_->ns.fd(), "10.65.1.5", b_->ns.fd(), "10.65.2.5");
    return v4.ok() ? Probe(a_->ns.fd(), "2001:db8:65::105", b_->ns.fd(), "2001:db8:65::205") : v4;
  };
  EXPECT_EQ(reaches(), absl::OkStatus());
  // 1450 bytes with IP and UDP headers fit, and what carries them fits the underlay.
  EXPECT_EQ(Probe(a_->ns.fd(), "10.65.1.5", b_->ns.fd(), "10.65.2.5", 1422), absl::OkStatus());
  EXPECT_FALSE(
      Probe(a_->ns.fd(), "10.65.1.5", b_->ns.fd(), "10.65.2.5", 1423, absl::Milliseconds(500))
          .ok());

  // Somebody deletes the device, or a forwarding entry: all comes back.
  for (const char* meddling :
       {"ip link del vxlan.ripstop", "ip link set vxlan.ripstop down",
        "bridge fdb del $(bridge fdb show dev vxlan.ripstop | head -n1 | cut -d\" \" -f1) dev "
        "vxlan.ripstop self"}) {
    ASSERT_EQ(a_->ns.Shell(meddling), 0) << meddling;
    EXPECT_TRUE(a_->HandleUntil([&] {
      const auto present = a_->kernel->Read({a_->vxlan->ifindex()});
      return present.ok() && Diff(a_->routes->wanted(), *present).empty();
    })) << meddling
        << a_->status << a_->vxlan_status;
    EXPECT_EQ(reaches(), absl::OkStatus()) << meddling;
  }

  ASSERT_EQ(a_->ns.Run([&] { return a_->vxlan->Apply(VxlanPlan{}); }), absl::OkStatus());
  EXPECT_EQ(a_->netlink->GetLink("vxlan.ripstop").status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(*a_->kernel->Read({}), IsEmpty());
}

}  // namespace
}  // namespace ripstop::agent
