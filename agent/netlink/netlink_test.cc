// SPDX-License-Identifier: Apache-2.0
//
// Against the real kernel, each test in namespaces of its own.
#include "agent/netlink/netlink.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "agent/base/testing/test_netns.h"
#include "agent/netlink/monitor.h"
#include "agent/netlink/sysctl.h"

namespace ripstop::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

policy::Address Addr(std::string_view text) { return *policy::Address::Parse(text); }
policy::Cidr Net(std::string_view text) { return *policy::Cidr::Parse(text); }
Mac MacAt(std::string_view text) { return *Mac::Parse(text); }

class NetlinkTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto host = TestNetns::Create();
    if (absl::IsPermissionDenied(host.status())) GTEST_SKIP() << "needs CAP_SYS_ADMIN";
    ASSERT_TRUE(host.ok()) << host.status();
    host_.emplace(*std::move(host));
    auto pod = TestNetns::Create();
    ASSERT_TRUE(pod.ok());
    pod_.emplace(*std::move(pod));
    netlink_ = Open(host_->fd());
    pod_netlink_ = Open(pod_->fd());
  }
  static std::unique_ptr<Netlink> Open(int fd) {
    auto made = Netlink::Open(fd);
    EXPECT_TRUE(made.ok()) << made.status();
    return *std::move(made);
  }
  Link MakeVeth(uint32_t mtu = 1400) {
    EXPECT_EQ(netlink_->CreateVeth({.name = "cali0",
                                    .mac = MacAt("ee:ee:ee:ee:ee:ee"),
                                    .peer_name = "eth0",
                                    .peer_mac = MacAt("02:00:5e:00:00:01"),
                                    .mtu = mtu,
                                    .peer_netns_fd = pod_->fd()}),
              absl::OkStatus());
    auto link = netlink_->GetLink("cali0");
    EXPECT_TRUE(link.ok()) << link.status();
    return *link;
  }
  // The host side with a carrier, so that routes may use it.
  Link MakeVethUp() {
    const Link link = MakeVeth();
    EXPECT_TRUE(netlink_->SetLinkUp(link.index, true).ok());
    EXPECT_TRUE(pod_netlink_->SetLinkUp(pod_netlink_->GetLink("eth0")->index, true).ok());
    return link;
  }

  std::optional<TestNetns> host_, pod_;
  std::unique_ptr<Netlink> netlink_, pod_netlink_;
};

TEST_F(NetlinkTest, SettingsOfAllLinksInOneRequestAreThoseOfProc) {
  MakeVethUp();
  ASSERT_EQ(
      host_->Shell("sysctl -w net.ipv4.conf.cali0.rp_filter=2 net.ipv4.conf.cali0.proxy_arp=1 "
                   "net.ipv4.conf.cali0.forwarding=1 net.ipv6.conf.cali0.accept_ra=2 "
                   "net.ipv6.conf.cali0.accept_dad=-1 net.ipv6.conf.cali0.proxy_ndp=1"),
      0);
  const auto links = netlink_->ListLinkSettings();
  ASSERT_TRUE(links.ok()) << links.status();
  int compared = 0;
  for (const LinkSettings& settings : *links) {
    for (const char* name :
         {"ipv4/conf/%/forwarding", "ipv4/conf/%/rp_filter", "ipv4/conf/%/proxy_arp",
          "ipv6/conf/%/forwarding", "ipv6/conf/%/accept_ra", "ipv6/conf/%/accept_dad",
          "ipv6/conf/%/autoconf", "ipv6/conf/%/proxy_ndp", "ipv6/conf/%/disable_ipv6"}) {
      const std::string path = "net/" + absl::StrReplaceAll(name, {{"%", settings.link.name}});
      absl::StatusOr<std::string> wanted;
      ASSERT_TRUE(host_
                      ->Run([&] {
                        wanted = ReadSysctl(path);
                        return absl::OkStatus();
                      })
                      .ok());
      ASSERT_TRUE(wanted.ok()) << wanted.status();
      EXPECT_EQ(settings.Value(path), *wanted) << path;
      ++compared;
    }
    EXPECT_EQ(settings.Value("net/ipv4/conf/other/rp_filter"), std::nullopt);
    EXPECT_EQ(settings.Value("net/ipv4/ip_forward"), std::nullopt);
  }
  EXPECT_EQ(compared, 2 * 9) << "lo and cali0";
}

TEST_F(NetlinkTest, VethIsMadeDownWithItsPeerInTheOtherNamespace) {
  const Link host = MakeVeth();
  EXPECT_FALSE(host.up);
  EXPECT_EQ(host.kind, "veth");
  EXPECT_EQ(host.mac.ToString(), "ee:ee:ee:ee:ee:ee");
  EXPECT_EQ(host.mtu, 1400u);
  auto peer = pod_netlink_->GetLink("eth0");
  ASSERT_TRUE(peer.ok()) << peer.status();
  EXPECT_EQ(peer->mac.ToString(), "02:00:5e:00:00:01");
  EXPECT_EQ(peer->mtu, 1400u);
  EXPECT_EQ(host.peer_index, peer->index);
  EXPECT_EQ(netlink_->GetLink("eth0").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(NetlinkTest, ErrorsNameTheObject) {
  MakeVeth();
  const absl::Status again = netlink_->CreateVeth({.name = "cali0",
                                                   .mac = MacAt("02:00:5e:00:00:02"),
                                                   .peer_name = "eth9",
                                                   .peer_mac = MacAt("02:00:5e:00:00:03")});
  EXPECT_EQ(again.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(again.message(), HasSubstr("cali0"));
  EXPECT_THAT(netlink_->GetLink("nosuch0").status().message(), HasSubstr("nosuch0"));
  const absl::Status route =
      netlink_->AddRoute({.destination = Net("192.0.2.1/32"), .ifindex = 4711});
  EXPECT_EQ(route.code(), absl::StatusCode::kNotFound) << route;
  EXPECT_THAT(route.message(), HasSubstr("192.0.2.1/32"));
  EXPECT_EQ(netlink_->GetLink("a-name-much-too-long").status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(NetlinkTest, LinkSettingsAndDeletion) {
  const Link link = MakeVeth();
  ASSERT_TRUE(netlink_->SetLinkMtu(link.index, 1280).ok());
  ASSERT_TRUE(netlink_->SetLinkMac(link.index, MacAt("02:00:5e:00:00:99")).ok());
  ASSERT_TRUE(netlink_->SetLinkUp(link.index, true).ok());
  auto now = netlink_->GetLink(link.index);
  ASSERT_TRUE(now.ok());
  EXPECT_TRUE(now->up);
  EXPECT_EQ(now->mtu, 1280u);
  EXPECT_EQ(now->mac.ToString(), "02:00:5e:00:00:99");
  ASSERT_TRUE(netlink_->DeleteLink(link.index).ok());
  EXPECT_EQ(netlink_->DeleteLink(link.index).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(pod_netlink_->GetLink("eth0").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(NetlinkTest, AddressesOfBothFamilies) {
  const Link link = MakeVeth();
  const InterfaceAddress v4{
      .ifindex = link.index, .address = Addr("192.0.2.9"), .prefix_length = 24};
  const InterfaceAddress v6{
      .ifindex = link.index, .address = Addr("2001:db8::9"), .prefix_length = 128, .no_dad = true};
  ASSERT_EQ(netlink_->AddAddress(v4), absl::OkStatus());
  ASSERT_EQ(netlink_->AddAddress(v4), absl::OkStatus()) << "repeated";
  ASSERT_EQ(netlink_->AddAddress(v6), absl::OkStatus());
  auto list = netlink_->ListAddresses(link.index);
  ASSERT_TRUE(list.ok());
  EXPECT_THAT(*list, UnorderedElementsAre(v4, v6));
}

TEST_F(NetlinkTest, RoutesReadBackAsTheyWereWritten) {
  const Link link = MakeVethUp();
  // Without any IPv4 address a namespace has no local table, and the kernel then takes
  // every on-link gateway for a broadcast address.
  ASSERT_TRUE(netlink_->SetLinkUp(1, true).ok());
  const std::vector<Route> routes = {
      {.destination = Net("192.0.2.1/32"), .ifindex = link.index, .scope = RT_SCOPE_LINK},
      {.destination = Net("2001:db8::1/128"), .ifindex = link.index},
      {.destination = Net("198.51.100.0/26"),
       .ifindex = link.index,
       .gateway = Addr("203.0.113.7"),
       .onlink = true},
      {.destination = Net("2001:db8:5::/122"),
       .ifindex = link.index,
       .gateway = Addr("2001:db8:9::7"),
       .onlink = true},
      {.destination = Net("203.0.113.64/26"), .type = RTN_BLACKHOLE},
      {.destination = Net("2001:db8:7::/122"), .type = RTN_BLACKHOLE},
      {.destination = Net("0.0.0.0/0"),
       .ifindex = link.index,
       .scope = RT_SCOPE_LINK,
       .priority = 50},
      {.destination = Net("::/0"), .ifindex = link.index},
  };
  std::vector<Route> want;
  for (const Route& route : routes) {
    ASSERT_EQ(netlink_->AddRoute(route), absl::OkStatus());
    EXPECT_EQ(netlink_->AddRoute(route).code(), absl::StatusCode::kAlreadyExists);
    ASSERT_EQ(netlink_->ReplaceRoute(route), absl::OkStatus());
    want.push_back(route.Normalized());
  }
  auto got = netlink_->ListRoutes();
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_THAT(*got, ::testing::UnorderedElementsAreArray(want));
  for (const Route& route : routes) ASSERT_EQ(netlink_->DeleteRoute(route), absl::OkStatus());
  EXPECT_THAT(*netlink_->ListRoutes(), IsEmpty());
  EXPECT_EQ(netlink_->DeleteRoute(routes[0]).code(), absl::StatusCode::kNotFound);
}

TEST_F(NetlinkTest, DumpsSeeOnlyTheProtocolAndDeviceAskedFor) {
  const Link link = MakeVethUp();
  Route own{.destination = Net("192.0.2.1/32"), .ifindex = link.index, .scope = RT_SCOPE_LINK};
  Route foreign{.destination = Net("192.0.2.2/32"),
                .ifindex = link.index,
                .protocol = RTPROT_STATIC,
                .scope = RT_SCOPE_LINK};
  ASSERT_TRUE(netlink_->AddRoute(own).ok());
  ASSERT_TRUE(netlink_->AddRoute(foreign).ok());
  EXPECT_THAT(*netlink_->ListRoutes(), ElementsAre(own));
  EXPECT_THAT(*netlink_->ListRoutes({.protocol = RTPROT_STATIC}), ElementsAre(foreign));
  EXPECT_THAT(*netlink_->ListRoutes({.ifindex = 1}), IsEmpty());
  EXPECT_THAT(*netlink_->ListRoutes({.table = 4242}), IsEmpty());
}

TEST_F(NetlinkTest, RulesOfTheRoutingPolicyInBothFamilies) {
  const std::vector<RoutingRule> before = *netlink_->ListRules();
  const std::vector<RoutingRule> rules = {
      {.v4 = true, .from = Net("192.0.2.1/32"), .table = 820'007, .priority = 100},
      {.v4 = true, .oif = "net1", .table = 820'007, .priority = 100},
      {.v4 = false, .from = Net("2001:db8::1/128"), .table = 7, .priority = 100},
      {.v4 = false, .oif = "net1", .table = 7, .priority = 101},
  };
  for (const RoutingRule& rule : rules) {
    ASSERT_EQ(netlink_->AddRule(rule), absl::OkStatus()) << rule.ToString();
    EXPECT_EQ(netlink_->AddRule(rule), absl::OkStatus()) << "it is there";
  }
  std::vector<RoutingRule> ours = *netlink_->ListRules();
  std::erase_if(ours, [&](const RoutingRule& rule) {
    return std::find(before.begin(), before.end(), rule) != before.end();
  });
  EXPECT_THAT(ours, ::testing::UnorderedElementsAreArray(rules));
  for (const RoutingRule& rule : rules) {
    ASSERT_EQ(netlink_->DeleteRule(rule), absl::OkStatus()) << rule.ToString();
  }
  EXPECT_EQ(netlink_->ListRules()->size(), before.size());
  EXPECT_TRUE(absl::IsNotFound(netlink_->DeleteRule(rules[0])));
}

TEST_F(NetlinkTest, PermanentNeighboursCarryOurMark) {
  const Link link = MakeVethUp();
  const Neighbour v4{
      .ifindex = link.index, .address = Addr("192.0.2.1"), .mac = MacAt("02:00:5e:00:00:01")};
  const Neighbour v6{
      .ifindex = link.index, .address = Addr("2001:db8::1"), .mac = MacAt("02:00:5e:00:00:01")};
  ASSERT_EQ(netlink_->ReplaceNeighbour(v4), absl::OkStatus());
  ASSERT_EQ(netlink_->ReplaceNeighbour(v6), absl::OkStatus());
  EXPECT_THAT(*netlink_->ListNeighbours(link.index), UnorderedElementsAre(v4, v6));
  ASSERT_EQ(netlink_->DeleteNeighbour(v4), absl::OkStatus());
  EXPECT_THAT(*netlink_->ListNeighbours(link.index), ElementsAre(v6));
}

TEST_F(NetlinkTest, VxlanDeviceWithForwardingEntries) {
  ASSERT_EQ(netlink_->CreateVxlan({.name = "vxlan.rs",
                                   .mac = MacAt("02:00:5e:00:00:aa"),
                                   .mtu = 1450,
                                   .local = Addr("192.0.2.1")}),
            absl::OkStatus());
  auto link = netlink_->GetLink("vxlan.rs");
  ASSERT_TRUE(link.ok());
  ASSERT_TRUE(link->vxlan.has_value());
  EXPECT_EQ(
      *link->vxlan,
      (Link::Vxlan{.vni = 4096, .port = 4789, .local = Addr("192.0.2.1"), .learning = false}));
  FdbEntry entry{
      .ifindex = link->index, .mac = MacAt("02:00:5e:00:00:bb"), .remote = Addr("192.0.2.2")};
  ASSERT_EQ(netlink_->ReplaceFdb(entry), absl::OkStatus());
  entry.remote = Addr("192.0.2.3");
  ASSERT_EQ(netlink_->ReplaceFdb(entry), absl::OkStatus());
  EXPECT_THAT(*netlink_->ListFdb(link->index), ElementsAre(entry));
  ASSERT_EQ(netlink_->DeleteFdb(entry), absl::OkStatus());
  EXPECT_THAT(*netlink_->ListFdb(link->index), IsEmpty());
}

std::vector<MonitorEvent> Drain(Monitor& monitor) {
  pollfd p{.fd = monitor.fd(), .events = POLLIN, .revents = 0};
  poll(&p, 1, 0);  // what a finished request caused is in the socket already
  auto events = monitor.Read();
  EXPECT_TRUE(events.ok()) << events.status();
  return *std::move(events);
}

TEST_F(NetlinkTest, TheSourceTowardsAnAddressIsTheKernelsOwnChoice) {
  const Link link = MakeVethUp();
  ASSERT_TRUE(netlink_->SetLinkUp(1, true).ok());
  const auto source = [&](const char* to) {
    const auto asked = netlink_->SourceTowards(*policy::Address::Parse(to), link.index);
    EXPECT_TRUE(asked.ok()) << asked.status();
    return asked.ok() && asked->has_value() ? (*asked)->ToString() : std::string("none");
  };
  EXPECT_EQ(source("2001:db8:f::1"), "none") << "nothing leads there";
  ASSERT_EQ(host_->Shell("ip addr add 192.0.2.1/24 dev cali0 && ip addr add 192.0.2.2/24 dev cali0 "
                         "&& ip addr add 2001:db8::1/64 dev cali0 nodad && ip route add default "
                         "via 192.0.2.9 && ip route add default via 2001:db8::9"),
            0);
  EXPECT_EQ(source("203.0.113.1"), "192.0.2.1");
  EXPECT_EQ(source("2001:db8:f::1"), "2001:db8::1");
  ASSERT_EQ(host_->Shell("ip route replace default via 192.0.2.9 src 192.0.2.2 && "
                         "ip route add unreachable 198.51.100.0/24"),
            0);
  EXPECT_EQ(source("203.0.113.1"), "192.0.2.2") << "the route says so";
  const auto gone = netlink_->SourceTowards(*policy::Address::Parse("203.0.113.1"), 4711);
  ASSERT_TRUE(gone.ok()) << gone.status();
  EXPECT_FALSE(gone->has_value()) << "no such interface";
}

TEST_F(NetlinkTest, MonitorTellsOwnRoutesAndReplacementsButNotForeignRoutes) {
  const Link link = MakeVethUp();
  auto monitor = Monitor::Open(host_->fd());
  ASSERT_TRUE(monitor.ok()) << monitor.status();
  Route foreign{.destination = Net("198.51.100.1/32"),
                .ifindex = link.index,
                .protocol = RTPROT_BIRD,
                .scope = RT_SCOPE_LINK};
  ASSERT_TRUE(netlink_->AddRoute(foreign).ok());
  ASSERT_TRUE(netlink_->DeleteRoute(foreign).ok());
  for (const MonitorEvent& event : Drain(**monitor)) {
    EXPECT_FALSE(std::holds_alternative<RouteEvent>(event));
  }
  Route own = foreign;
  own.protocol = kRouteProtocol;
  ASSERT_TRUE(netlink_->AddRoute(own).ok());
  ASSERT_TRUE(netlink_->ReplaceRoute(foreign).ok());  // somebody takes it over
  std::vector<RouteEvent> seen;
  for (const MonitorEvent& event : Drain(**monitor)) {
    if (const auto* route = std::get_if<RouteEvent>(&event)) seen.push_back(*route);
  }
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[0].route, own);
  EXPECT_EQ(seen[1].route.protocol, RTPROT_BIRD);
}

TEST_F(NetlinkTest, MonitorTellsDeletedNeighboursLinksAndForwardingEntries) {
  const Link link = MakeVethUp();
  ASSERT_TRUE(
      netlink_
          ->CreateVxlan(
              {.name = "vxlan.rs", .mac = MacAt("02:00:5e:00:00:aa"), .local = Addr("192.0.2.1")})
          .ok());
  const uint32_t vxlan = netlink_->GetLink("vxlan.rs")->index;
  const FdbEntry entry{
      .ifindex = vxlan, .mac = MacAt("02:00:5e:00:00:bb"), .remote = Addr("192.0.2.2")};
  const Neighbour n{
      .ifindex = link.index, .address = Addr("192.0.2.1"), .mac = MacAt("02:00:5e:00:00:01")};
  ASSERT_TRUE(netlink_->ReplaceFdb(entry).ok());
  ASSERT_TRUE(netlink_->ReplaceNeighbour(n).ok());
  auto monitor = Monitor::Open(host_->fd());
  ASSERT_TRUE(monitor.ok());
  ASSERT_TRUE(netlink_->DeleteFdb(entry).ok());
  ASSERT_TRUE(netlink_->DeleteNeighbour(n).ok());
  ASSERT_TRUE(netlink_->DeleteLink(link.index).ok());
  bool fdb = false, neighbour = false, gone = false;
  for (const MonitorEvent& event : Drain(**monitor)) {
    if (const auto* e = std::get_if<FdbEvent>(&event)) fdb |= e->deleted && e->entry == entry;
    if (const auto* e = std::get_if<NeighbourEvent>(&event)) {
      neighbour |= e->deleted && e->neighbour.address == n.address;
    }
    if (const auto* e = std::get_if<LinkEvent>(&event)) {
      gone |= e->deleted && e->link.index == link.index;
    }
  }
  EXPECT_TRUE(fdb);
  EXPECT_TRUE(neighbour);
  EXPECT_TRUE(gone);
}

TEST_F(NetlinkTest, SettingsAreWrittenInTheirOwnNamespaceOnly) {
  MakeVeth();
  ASSERT_EQ(host_->Run([] { return WriteWherePresent(NodeSysctls()); }), absl::OkStatus());
  ASSERT_EQ(host_->Run([] { return WriteWherePresent(HostVethSysctls("cali0")); }),
            absl::OkStatus());
  ASSERT_EQ(pod_->Run([] { return WriteWherePresent(PodVethSysctls("eth0")); }), absl::OkStatus());
  std::string host_forward, pod_forward, accept_ra;
  ASSERT_TRUE(host_
                  ->Run([&] {
                    host_forward = *ReadSysctl("net/ipv4/ip_forward");
                    return absl::OkStatus();
                  })
                  .ok());
  ASSERT_TRUE(pod_->Run([&] {
                    pod_forward = *ReadSysctl("net/ipv4/ip_forward");
                    accept_ra = *ReadSysctl("net/ipv6/conf/eth0/accept_ra");
                    return absl::OkStatus();
                  })
                  .ok());
  EXPECT_EQ(host_forward, "1");
  EXPECT_EQ(pod_forward, "0");
  EXPECT_EQ(accept_ra, "0");
  const absl::Status missing = WriteSysctl({"net/ipv4/no_such", "1"});
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(missing.message(), HasSubstr("no_such"));
}

TEST(Mac, TextFormsAndLinkLocal) {
  EXPECT_EQ(MacAt("ee:ee:ee:ee:ee:ee").LinkLocal().ToString(), "fe80::ecee:eeff:feee:eeee");
  for (const char* bad :
       {"", "02:00:5e:00:00", "02:00:5e:00:00:0g", "2:0:5e:0:0:1", "0x:00:5e:00:00:01"}) {
    EXPECT_FALSE(Mac::Parse(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace ripstop::agent
