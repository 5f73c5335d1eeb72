// SPDX-License-Identifier: Apache-2.0
//
// Pods beside a host that translates: kube-proxy's services, hostPorts, masquerade. Each
// rule is tried first without the datapath, so that what follows is no fault of the rule.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "agent/dataplane/testing_nat.h"

namespace ripstop::agent {
namespace {

using testing::kV4;
using testing::kV6;
using testing::NatNode;
using testing::Plan;
using testing::RuleTool;

// Families, transports and tools, all of them.
struct Case {
  const Plan& plan;
  Transport transport;
};
const Case kCases[] = {
    {kV4, Transport::kTcp}, {kV4, Transport::kUdp}, {kV6, Transport::kTcp}, {kV6, Transport::kUdp}};

class HostNatTest : public NatNode {};

TEST_P(HostNatTest, AServicesBackendOnTheSameNodeIsReachedAndAnswers) {
  for (const Plan& plan : {kV4, kV6}) Dnat(plan, RuleTool::kNft, plan.service, 80, plan.b, 8080);
  for (const auto& [plan, transport] : kCases) {
    const absl::Status control = FromA(transport, plan, plan.service, *b_, plan.b).Open();
    ASSERT_TRUE(control.ok()) << "control, without the datapath: " << control;
  }
  Start(Policy::kOnlyClass1);
  for (const auto& [plan, transport] : kCases) {
    Conversation talk = FromA(transport, plan, plan.service, *b_, plan.b);
    const absl::Status open = talk.Open();
    EXPECT_TRUE(open.ok()) << open;
    EXPECT_EQ(talk.peer(), plan.a);
  }
}

TEST_P(HostNatTest, AServicesBackendOutsideIsReachedAndAnswers) {
  for (const Plan& plan : {kV4, kV6}) Dnat(plan, RuleTool::kNft, plan.service, 80, plan.far, 8080);
  for (const auto& [plan, transport] : kCases) {
    const absl::Status control = FromA(transport, plan, plan.service, *far_, plan.far).Open();
    ASSERT_TRUE(control.ok()) << "control, without the datapath: " << control;
  }
  Start(Policy::kOnlyClass1);
  for (const auto& [plan, transport] : kCases) {
    Conversation talk = FromA(transport, plan, plan.service, *far_, plan.far);
    const absl::Status open = talk.Open();
    EXPECT_TRUE(open.ok()) << open;
    EXPECT_EQ(talk.peer(), plan.a);
  }
}

TEST_P(HostNatTest, WithoutHostsNatPacketsPassTheRulesBy) {
  // What this is all for: the negative control of the tests above.
  Dnat(kV4, RuleTool::kNft, kV4.service, 80, kV4.b, 8080);
  ASSERT_EQ(far_->Shell(absl::StrCat("ip addr add ", kV4.service, "/32 dev lo")), 0);
  Start(Policy::kOpen, Policy::kOpen, /*host_nat=*/false);
  {
    Conversation untranslated =
        FromA(Transport::kUdp, kV4, kV4.service, *far_, kV4.service, 80, 80);
    const absl::Status open = untranslated.Open();
    EXPECT_TRUE(open.ok()) << "by the default route: " << open;
  }
  ConfigureNat(true);
  Conversation translated = FromA(Transport::kUdp, kV4, kV4.service, *b_, kV4.b);
  const absl::Status open = translated.Open();
  EXPECT_TRUE(open.ok()) << open;
}

TEST_P(HostNatTest, EgressPolicyIsThatOfTheBackendNotOfTheServiceAddress) {
  for (const Plan& plan : {kV4, kV6}) {
    Dnat(plan, RuleTool::kNft, plan.service, 80, plan.b, 8080);
    Dnat(plan, RuleTool::kNft, plan.service, 81, plan.far, 8080);
  }
  for (const auto& [plan, transport] : kCases) {
    const absl::Status control = FromA(transport, plan, plan.service, *far_, plan.far, 81).Open();
    ASSERT_TRUE(control.ok()) << "control, without the datapath: " << control;
  }
  Start(Policy::kOnlyClass0);  // the service address, not what is behind it
  for (const auto& [plan, transport] : kCases) {
    ExpectDenied(FromA(transport, plan, plan.service, *b_, plan.b), DROP_POLICY_EGRESS);
    ExpectDenied(FromA(transport, plan, plan.service, *far_, plan.far, 81), DROP_POLICY_EGRESS);
  }
  Write(Policy::kOpen, Policy::kOnlyClass0);
  for (const auto& [plan, transport] : kCases) {
    ExpectDenied(FromA(transport, plan, plan.service, *b_, plan.b), DROP_POLICY_INGRESS);
    const absl::Status open = FromA(transport, plan, plan.service, *far_, plan.far, 81).Open();
    EXPECT_TRUE(open.ok()) << open;
  }
}

TEST_P(HostNatTest, MasqueradedPodsAreJudgedAsThemselves) {
  for (const Plan& plan : {kV4, kV6}) Masquerade(plan, RuleTool::kNft);
  // Only to the node: whoever sees a pod's address cannot answer.
  ASSERT_EQ(far_->Shell("ip route del 198.51.100.0/24; ip -6 route del 2001:db8:a::/64"), 0);
  for (const auto& [plan, transport] : kCases) {
    const absl::Status control =
        FromA(transport, plan, plan.far_other, *far_, plan.far_other, 80, 80).Open();
    ASSERT_TRUE(control.ok()) << "control, without the datapath: " << control;
  }
  Start(Policy::kOnlyClass1);
  for (const auto& [plan, transport] : kCases) {
    Conversation talk = FromA(transport, plan, plan.far, *far_, plan.far, 80, 80);
    const absl::Status open = talk.Open();
    EXPECT_TRUE(open.ok()) << open;
    EXPECT_EQ(talk.peer(), plan.node);
    ExpectDenied(FromA(transport, plan, plan.far_other, *far_, plan.far_other, 80, 80),
                 DROP_POLICY_EGRESS);
  }
}

TEST_P(HostNatTest, PoolsAreMasqueradedAfterTheHostsOwnNat) {
  for (const Plan& plan : {kV4, kV6}) Dnat(plan, RuleTool::kNft, plan.service, 80, plan.far, 8080);
  ASSERT_EQ(far_->Shell("ip route del 198.51.100.0/24; ip -6 route del 2001:db8:a::/64"), 0);
  Start(Policy::kOnlyClass1);
  loader::Masquerade masquerade;
  for (const Plan& plan : {kV4, kV6})
    masquerade.pools[policy::Cidr::Parse(plan.pods).value()] = true;
  masquerade.exits[Ifindex("up0")] = {.v4 = policy::Address::Parse(kV4.node).value(),
                                      .v6 = policy::Address::Parse(kV6.node).value()};
  const absl::Status set = node_->Run([&] { return dataplane_->SetMasquerade(masquerade); });
  ASSERT_TRUE(set.ok()) << set;
  for (const auto& [plan, transport] : kCases) {
    Conversation talk = FromA(transport, plan, plan.service, *far_, plan.far);
    const absl::Status open = talk.Open();
    EXPECT_TRUE(open.ok()) << open;
    EXPECT_EQ(talk.peer(), plan.node);
    const absl::Status more = talk.Exchange();
    EXPECT_TRUE(more.ok()) << more;
    ExpectDenied(FromA(transport, plan, plan.far_other, *far_, plan.far_other, 80, 80),
                 DROP_POLICY_EGRESS);
  }
}

TEST_P(HostNatTest, HostPortsAreReachedFromOutsideAndFromTheNode) {
  for (const Plan& plan : {kV4, kV6}) Dnat(plan, RuleTool::kNft, plan.node, 7080, plan.b, 8080);
  const auto from = [&](Transport transport, const Plan& plan, const TestNetns& client,
                        const char* address) {
    return Conversation(transport, {.client_ns = client.fd(),
                                    .client = address,
                                    .to = plan.node,
                                    .to_port = 7080,
                                    .server_ns = b_->fd(),
                                    .server = plan.b,
                                    .server_port = 8080});
  };
  for (const auto& [plan, transport] : kCases) {
    const absl::Status control = from(transport, plan, *far_, plan.far).Open();
    ASSERT_TRUE(control.ok()) << "control, without the datapath: " << control;
  }
  Start(Policy::kOpen, Policy::kOnlyClass1);
  for (const auto& [plan, transport] : kCases) {
    {
      Conversation talk = from(transport, plan, *far_, plan.far);
      const absl::Status open = talk.Open();
      EXPECT_TRUE(open.ok()) << open;
      EXPECT_EQ(talk.peer(), plan.far);
    }
    const absl::Status of_node = from(transport, plan, *node_, plan.node).Open();
    EXPECT_TRUE(of_node.ok()) << "the host reaches its pods before policy: " << of_node;
    // Class 0, whatever port it asks for.
    ExpectDenied(from(transport, plan, *far_, plan.far_other), DROP_POLICY_INGRESS);
    // From a pod of the same node, by the node's address: judged as pod to pod.
    const absl::Status of_pod = FromA(transport, plan, plan.node, *b_, plan.b, 7080).Open();
    EXPECT_TRUE(of_pod.ok()) << of_pod;
  }
  Write(Policy::kOnlyClass0, Policy::kOpen);
  for (const auto& [plan, transport] : kCases) {
    ExpectDenied(FromA(transport, plan, plan.node, *b_, plan.b, 7080), DROP_POLICY_EGRESS);
  }
}

TEST_P(HostNatTest, APodReachesItselfByItsServiceWhateverThePolicy) {
  for (const Plan& plan : {kV4, kV6}) {
    Dnat(plan, RuleTool::kNft, plan.service, 80, plan.a, 8080);
    const char* family = plan.v4 ? "ip" : "ip6";
    Nft(absl::StrCat("add rule ", family, " t postrouting ", family, " saddr ", plan.a, " ", family,
                     " daddr ", plan.a, " masquerade"));
    ASSERT_EQ(node_->Shell("sysctl -w net.ipv4.conf.hosta.route_localnet=0"), 0);
  }
  for (const auto& [plan, transport] : kCases) {
    const absl::Status control = FromA(transport, plan, plan.service, *a_, plan.a).Open();
    ASSERT_TRUE(control.ok()) << "control, without the datapath: " << control;
  }
  Start(Policy::kClosed);
  for (const auto& [plan, transport] : kCases) {
    const absl::Status open = FromA(transport, plan, plan.service, *a_, plan.a).Open();
    EXPECT_TRUE(open.ok()) << open;
  }
}

TEST_P(HostNatTest, AnEditCutsALiveTranslatedFlowAndAnotherLetsItGoOn) {
  for (const Plan& plan : {kV4, kV6}) {
    Dnat(plan, RuleTool::kNft, plan.service, 80, plan.b, 8080);
    Dnat(plan, RuleTool::kNft, plan.service, 81, plan.far, 8080);
    Masquerade(plan, RuleTool::kNft);
  }
  Start(Policy::kOpen);
  for (const auto& [plan, transport] : kCases) {
    Conversation beside = FromA(transport, plan, plan.service, *b_, plan.b);
    Conversation outside = FromA(transport, plan, plan.service, *far_, plan.far, 81);
    for (Conversation* talk : {&beside, &outside}) {
      const absl::Status open = talk->Open();
      ASSERT_TRUE(open.ok()) << open;
    }
    Write(Policy::kOnlyClass0);
    for (Conversation* talk : {&beside, &outside}) {
      ExpectDropped(DROP_POLICY_EGRESS, [&] { talk->ClientSays(); });
      EXPECT_FALSE(talk->ServerHears(0).ok());
      // Nor may the answers pass, of whoever still speaks.
      ExpectDropped(DROP_POLICY_EGRESS, [&] { talk->ServerSays(); });
      EXPECT_FALSE(talk->ClientHears(0).ok());
    }
    Write(Policy::kOnlyClass1);
    for (Conversation* talk : {&beside, &outside}) {
      if (transport == Transport::kUdp) talk->ClientSays();  // TCP says it again by itself
      const absl::Status heard = talk->ServerHears();
      EXPECT_TRUE(heard.ok()) << heard;
    }
    Write(Policy::kOpen, Policy::kClosed);
    ExpectDropped(DROP_POLICY_INGRESS, [&] { beside.ClientSays(); });
    ExpectDropped(DROP_POLICY_INGRESS, [&] { beside.ServerSays(); });
    Write(Policy::kOpen);
  }
}

TEST_P(HostNatTest, ALiveTranslatedFlowOutlivesAgentsAndEditsThatStillAllowIt) {
  for (const Plan& plan : {kV4, kV6}) {
    Dnat(plan, RuleTool::kNft, plan.service, 80, plan.b, 8080);
    Dnat(plan, RuleTool::kNft, plan.service, 81, plan.far, 8080);
    Masquerade(plan, RuleTool::kNft);
  }
  Start(Policy::kOpen);
  std::vector<Conversation> talks;
  for (const auto& [plan, transport] : kCases) {
    talks.push_back(FromA(transport, plan, plan.service, *b_, plan.b));
    talks.push_back(FromA(transport, plan, plan.service, *far_, plan.far, 81));
  }
  for (Conversation& talk : talks) {
    const absl::Status open = talk.Open();
    ASSERT_TRUE(open.ok()) << open;
  }
  // A download: it is the answers that come first after the edit.
  const auto download = [&] {
    for (Conversation& talk : talks) {
      talk.ServerSays();
      const absl::Status heard = talk.ClientHears();
      EXPECT_TRUE(heard.ok()) << heard;
    }
  };
  Write(Policy::kOnlyClass1);
  download();
  Start(Policy::kOnlyClass1);
  download();
  for (Conversation& talk : talks) {
    const absl::Status exchanged = talk.Exchange();
    EXPECT_TRUE(exchanged.ok()) << exchanged;
  }
}

// Services whose backend is this host itself, as the API server is on its node.
TEST_P(HostNatTest, ASocketOfTheHostBehindAServiceIsAskedOnlyAsPolicyAllows) {
  for (const Plan& plan : {kV4, kV6}) {
    Dnat(plan, RuleTool::kNft, plan.service, 80, plan.node, 6443);
    Dnat(plan, RuleTool::kNft, plan.service, 81, plan.node, 6444);
  }
  const auto ask = [&](Transport transport, const Plan& plan, uint16_t more = 0) {
    return FromA(transport, plan, plan.service, *node_, plan.node, 80 + more, 6443 + more);
  };
  for (const auto& [plan, transport] : kCases) {
    const absl::Status control = ask(transport, plan).Open();
    ASSERT_TRUE(control.ok()) << "control, without the datapath: " << control;
  }
  Start(Policy::kOpen);
  for (const auto& [plan, transport] : kCases) {
    Conversation talk = ask(transport, plan);
    const absl::Status open = talk.Open();
    ASSERT_TRUE(open.ok()) << open;
    Write(Policy::kClosed);
    ExpectDenied(ask(transport, plan, 1), DROP_POLICY_EGRESS);
    ExpectDropped(DROP_POLICY_EGRESS, [&] { talk.ClientSays(); });
    EXPECT_FALSE(talk.ServerHears(0).ok()) << "a live one is cut as well";
    Write(Policy::kOnlyClass0);  // the node's own address is of class 0
    if (transport == Transport::kUdp) talk.ClientSays();
    const absl::Status heard = talk.ServerHears();
    EXPECT_TRUE(heard.ok()) << heard;
  }
}

TEST_P(HostNatTest, FragmentsAndErrorsAreTranslatedAsTheirFlowIs) {
  for (const Plan& plan : {kV4, kV6}) {
    Dnat(plan, RuleTool::kNft, plan.service, 80, plan.b, 8080);
    Dnat(plan, RuleTool::kNft, plan.service, 81, plan.far, 8080);
    Masquerade(plan, RuleTool::kNft);
  }
  Start(Policy::kOnlyClass1);
  constexpr size_t kLarge = 4000;
  for (const Plan& plan : {kV4, kV6}) {
    {
      Conversation beside = FromA(Transport::kUdp, plan, plan.service, *b_, plan.b);
      Conversation outside = FromA(Transport::kUdp, plan, plan.service, *far_, plan.far, 81);
      for (Conversation* talk : {&beside, &outside}) {
        ASSERT_TRUE(talk->Listen().ok());
        ASSERT_TRUE(talk->Begin().ok());
        const int fragment = plan.v4 ? IP_PMTUDISC_DONT : IPV6_PMTUDISC_DONT;
        setsockopt(talk->client_fd(), plan.v4 ? IPPROTO_IP : IPPROTO_IPV6,
                   plan.v4 ? IP_MTU_DISCOVER : IPV6_MTU_DISCOVER, &fragment, sizeof(fragment));
        talk->ClientSays(kLarge);
        const absl::Status heard = talk->ServerHears();
        EXPECT_TRUE(heard.ok()) << heard;
        talk->ServerSays();
        EXPECT_TRUE(talk->ClientHears().ok());
      }
    }
    // Nobody serves there any more: the backend's word about it reaches the pod, under the
    // name of the service.
    for (const uint16_t port : {80, 81}) {
      Conversation talk = FromA(Transport::kUdp, plan, plan.service, *a_, plan.a, port, 9);
      ASSERT_TRUE(talk.Listen().ok());
      ASSERT_TRUE(talk.Begin().ok());
      talk.ClientSays();
      const absl::Status refused = talk.ClientHears();
      EXPECT_TRUE(absl::IsUnavailable(refused)) << refused;
    }
  }
}

TEST_P(HostNatTest, APathTooNarrowIsToldToThePodAlsoBehindAService) {
  for (const Plan& plan : {kV4, kV6}) Dnat(plan, RuleTool::kNft, plan.service, 80, plan.far, 8080);
  ASSERT_EQ(node_->Shell("ip link set up0 mtu 1300"), 0);
  Start(Policy::kOnlyClass1);
  for (const Plan& plan : {kV4, kV6}) {
    Conversation talk = FromA(Transport::kUdp, plan, plan.service, *far_, plan.far);
    ASSERT_TRUE(talk.Listen().ok());
    ASSERT_TRUE(talk.Begin().ok());
    const int level = plan.v4 ? IPPROTO_IP : IPPROTO_IPV6;
    const int always = plan.v4 ? IP_PMTUDISC_DO : IPV6_PMTUDISC_DO;
    setsockopt(talk.client_fd(), level, plan.v4 ? IP_MTU_DISCOVER : IPV6_MTU_DISCOVER, &always,
               sizeof(always));
    const auto mtu = [&] {
      int value = 0;
      socklen_t length = sizeof(value);
      getsockopt(talk.client_fd(), level, plan.v4 ? IP_MTU : IPV6_MTU, &value, &length);
      return value;
    };
    ASSERT_EQ(mtu(), 1500);
    talk.ClientSays(1400);
    const absl::Time limit = absl::Now() + absl::Minutes(5);
    while (mtu() != 1300) {
      ASSERT_LT(absl::Now(), limit) << "nobody told the pod; it still believes in " << mtu();
      absl::SleepFor(absl::Milliseconds(1));
    }
    talk.ClientSays(1200);
    EXPECT_TRUE(talk.ServerHears().ok());
  }
}

TEST_P(HostNatTest, AnswersThatComeByAnotherInterfaceAreKnownToo) {
  for (const Plan& plan : {kV4, kV6}) {
    Dnat(plan, RuleTool::kNft, plan.service, 80, plan.far, 8080);
    Masquerade(plan, RuleTool::kNft);
  }
  Start(Policy::kOnlyClass1);
  ASSERT_TRUE(
      node_->Run([&] { return dataplane_->AttachElsewhere(if_nametoindex("up0"), false); }).ok());
  for (const auto& [plan, transport] : kCases) {
    Conversation talk = FromA(transport, plan, plan.service, *far_, plan.far);
    const absl::Status open = talk.Open();
    EXPECT_TRUE(open.ok()) << open;
    Write(Policy::kOnlyClass0);
    ExpectDropped(DROP_POLICY_EGRESS, [&] { talk.ServerSays(); });
    ExpectDropped(DROP_POLICY_EGRESS, [&] { talk.ClientSays(); });
    Write(Policy::kOnlyClass1);
  }
}

// An interface whose frames have no Ethernet header: a VPN.
TEST_P(HostNatTest, WhatLeavesByATunDeviceIsJudgedThere) {
  const char* const kBeyond = "203.0.113.200";  // class 1
  UniqueFd tun;
  const absl::Status made = node_->Run([&]() -> absl::Status {
    tun.reset(open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
    ifreq request = {};
    std::strncpy(request.ifr_name, "tun0", sizeof(request.ifr_name) - 1);
    request.ifr_flags = IFF_TUN | IFF_NO_PI;
    if (!tun.ok() || ioctl(tun.get(), TUNSETIFF, &request) != 0) {
      return absl::ErrnoToStatus(errno, "tun0");
    }
    return absl::OkStatus();
  });
  if (!made.ok()) {
    RecordProperty("kernel_lacks", "tun");
    GTEST_SKIP() << made;
  }
  ASSERT_EQ(node_->Shell("sysctl -w net.ipv6.conf.tun0.disable_ipv6=1 && ip link set tun0 up && "
                         "ip route add 203.0.113.200/32 dev tun0"),
            0);
  Start(Policy::kClosed);
  ASSERT_TRUE(
      node_->Run([&] { return dataplane_->AttachElsewhere(if_nametoindex("tun0"), true); }).ok());
  const auto talk = [&] { return FromA(Transport::kUdp, kV4, kBeyond, *far_, kV4.far, 80, 80); };
  ExpectDenied(talk(), DROP_POLICY_EGRESS);
  Write(Policy::kOnlyClass1);
  Conversation allowed = talk();
  ASSERT_TRUE(allowed.Listen().ok());
  ASSERT_TRUE(allowed.Begin().ok());
  allowed.ClientSays();
  pollfd readable{.fd = tun.get(), .events = POLLIN, .revents = 0};
  ASSERT_EQ(poll(&readable, 1, Conversation::kPatience), 1);
  std::array<uint8_t, 256> packet;
  const ssize_t bytes = read(tun.get(), packet.data(), packet.size());
  ASSERT_EQ(bytes, 29);
  // Back to its sender; the checksums stay right.
  std::swap_ranges(packet.begin() + 12, packet.begin() + 16, packet.begin() + 16);
  std::swap_ranges(packet.begin() + 20, packet.begin() + 22, packet.begin() + 22);
  ASSERT_EQ(write(tun.get(), packet.data(), static_cast<size_t>(bytes)), bytes);
  EXPECT_TRUE(allowed.ClientHears().ok());
}

TEST_P(HostNatTest, FlowsGoOnAsTheyBeganWhenHostsNatComesAndGoes) {
  Dnat(kV4, RuleTool::kNft, kV4.service, 80, kV4.b, 8080);
  Nft("add table inet f");
  Nft("add chain inet f forward { type filter hook forward priority 0; counter; }");
  Start(Policy::kOpen, Policy::kOpen, /*host_nat=*/false);
  const auto outside = [&](uint16_t port) {
    return FromA(Transport::kTcp, kV4, kV4.far, *far_, kV4.far, port, port);
  };
  Conversation direct = outside(8081);
  ASSERT_TRUE(direct.Open().ok());
  ConfigureNat(true);
  EXPECT_TRUE(direct.Exchange().ok());
  Conversation service = FromA(Transport::kTcp, kV4, kV4.service, *b_, kV4.b);
  Conversation by_stack = outside(8082);
  EXPECT_TRUE(service.Open().ok());
  EXPECT_TRUE(by_stack.Open().ok());
  ConfigureNat(false);
  for (Conversation* talk : {&direct, &service, &by_stack}) {
    const absl::Status exchanged = talk->Exchange();
    EXPECT_TRUE(exchanged.ok()) << exchanged;
  }
  Write(Policy::kClosed);
  for (Conversation* talk : {&direct, &service, &by_stack}) {
    ExpectDropped(DROP_POLICY_EGRESS, [&] { talk->ClientSays(); });
  }
}

// ---- attacks ----

TEST_P(HostNatTest, APodsOwnMarkDoesNotLeaveIt) {
  Masquerade(kV4, RuleTool::kNft);
  const auto talk = [&] {
    return Conversation(Transport::kUdp, {.client_ns = a_->fd(),
                                          .client = kV4.a,
                                          .to = kV4.far,
                                          .to_port = 80,
                                          .server_ns = far_->fd(),
                                          .server = kV4.far,
                                          .server_port = 80,
                                          .client_mark = kNumberOfB * kMarkUnit});
  };
  // The mark is there inside the pod, and gone at the host's side of the veth.
  for (const TestNetns* netns : {a_.get(), node_.get()}) {
    ASSERT_EQ(netns->Shell("nft add table ip m && nft \"add chain ip m c { type filter hook "
                           "postrouting priority -200; }\" && nft add rule ip m c meta mark "
                           "0x20000 counter drop"),
              0);
  }
  const auto marked = [](const TestNetns& netns) {
    return netns.Shell("nft list chain ip m c | grep -q \"counter packets 0\"") != 0;
  };
  {
    Conversation control = talk();
    ASSERT_TRUE(control.Listen().ok());
    ASSERT_TRUE(control.Begin().ok());
    control.ClientSays();
    EXPECT_TRUE(marked(*a_)) << "control: the socket's mark works";
  }
  ASSERT_EQ(a_->Shell("nft delete table ip m"), 0);
  EXPECT_TRUE(talk().Open().ok()) << "control: without the datapath";
  EXPECT_FALSE(marked(*node_));
  Start(Policy::kClosed);
  ExpectDenied(talk(), DROP_POLICY_EGRESS);
}

TEST_P(HostNatTest, AnotherPodsMarkIsOfNoUse) {
  Masquerade(kV4, RuleTool::kNft);
  Start(Policy::kClosed);  // B may send to everybody
  const auto from = [&](const TestNetns& client, const char* address) {
    return Conversation(Transport::kUdp, {.client_ns = client.fd(),
                                          .client = address,
                                          .to = kV4.far,
                                          .to_port = 80,
                                          .server_ns = far_->fd(),
                                          .server = kV4.far,
                                          .server_port = 80});
  };
  // Whoever could write marks on the host, and takes A's packets for B's.
  Nft("add table ip m");
  Nft("add chain ip m pre { type filter hook prerouting priority -150; }");
  Nft(absl::StrCat("add rule ip m pre iifname { hosta, hostb } meta mark set ",
                   kNumberOfB * kMarkUnit));
  EXPECT_TRUE(from(*b_, kV4.b).Open().ok()) << "control: that mark opens the way to B";
  ExpectDenied(from(*a_, kV4.a), DROP_MARK_CHANGED);
  // Nor does "judged already", nor "an answer", nor none at all.
  const uint32_t of_b = kNumberOfB * kMarkUnit;
  for (const uint32_t mark : {kKindUnit * MARK_JUDGED + of_b, kKindUnit * MARK_ANSWER + of_b,
                              kKindUnit * MARK_JUDGED, kKindUnit * 3 + of_b, 0u}) {
    Nft("flush chain ip m pre");
    Nft(absl::StrCat("add rule ip m pre iifname hosta meta mark set ", mark));
    ExpectDenied(from(*a_, kV4.a), DROP_MARK_CHANGED);
  }
}

TEST_P(HostNatTest, ASpoofedSourceReachesNoService) {
  Dnat(kV4, RuleTool::kNft, kV4.service, 80, kV4.far, 8080);
  ASSERT_EQ(a_->Shell(absl::StrCat("ip addr add ", kV4.b, "/32 dev lo")), 0);
  const auto talk = [&] {
    return Conversation(Transport::kUdp, {.client_ns = a_->fd(),
                                          .client = kV4.b,
                                          .to = kV4.service,
                                          .to_port = 80,
                                          .server_ns = far_->fd(),
                                          .server = kV4.far,
                                          .server_port = 8080});
  };
  {
    Conversation control = talk();
    ASSERT_TRUE(control.Listen().ok());
    ASSERT_TRUE(control.Begin().ok());
    control.ClientSays();
    EXPECT_TRUE(control.ServerHears().ok()) << "control: without the datapath";
  }
  Start(Policy::kOpen);
  ExpectDenied(talk(), DROP_SPOOFED);
}

TEST_P(HostNatTest, AFlowThatWaitsForItsVerdictIsNoWayIn) {
  Start(Policy::kClosed);
  Conversation talk = FromA(Transport::kUdp, kV4, kV4.far_other, *far_, kV4.far_other, 80, 80);
  ASSERT_TRUE(talk.Listen().ok());
  ASSERT_TRUE(talk.Begin().ok());
  ExpectDropped(DROP_POLICY_EGRESS, [&] { talk.ClientSays(); });
  sockaddr_storage pod{};
  socklen_t length = sizeof(pod);
  ASSERT_EQ(getsockname(talk.client_fd(), reinterpret_cast<sockaddr*>(&pod), &length), 0);
  const auto knock = [&] { talk.ServerSaysTo(pod, length); };
  ExpectDropped(DROP_POLICY_INGRESS, knock);
  EXPECT_FALSE(talk.ClientHears(0).ok());
  Write(Policy::kOpen);
  talk.ClientSays();
  knock();
  EXPECT_TRUE(talk.ClientHears().ok()) << "control: once the flow is admitted";
}

INSTANTIATE_TEST_SUITE_P(Attachment, HostNatTest, ::testing::Values(false, true),
                         testing::AttachmentName);

// The same rules by each of the tools that write them.
class HostNatToolTest : public NatNode {
 protected:
  void Try(RuleTool tool) {
    if (tool == RuleTool::kIptablesLegacy && node_->Shell("iptables-legacy -t nat -L") != 0) {
      RecordProperty("kernel_lacks", "iptables-legacy");
      GTEST_SKIP() << "this kernel has no iptables-legacy";
    }
    for (const Plan& plan : {kV4, kV6}) {
      Dnat(plan, tool, plan.service, 80, plan.b, 8080);
      Dnat(plan, tool, plan.service, 81, plan.far, 8080);
      Dnat(plan, tool, plan.node, 7080, plan.b, 8080);
      Masquerade(plan, tool);
    }
    Start(Policy::kOnlyClass1, Policy::kOnlyClass1);
    for (const auto& [plan, transport] : kCases) {
      const absl::Status beside = FromA(transport, plan, plan.service, *b_, plan.b).Open();
      EXPECT_TRUE(beside.ok()) << beside;
      {
        Conversation outside = FromA(transport, plan, plan.service, *far_, plan.far, 81);
        const absl::Status open = outside.Open();
        EXPECT_TRUE(open.ok()) << open;
        EXPECT_EQ(outside.peer(), plan.node) << "masqueraded";
      }
      Conversation host_port(transport, {.client_ns = far_->fd(),
                                         .client = plan.far,
                                         .to = plan.node,
                                         .to_port = 7080,
                                         .server_ns = b_->fd(),
                                         .server = plan.b,
                                         .server_port = 8080});
      const absl::Status reached = host_port.Open();
      EXPECT_TRUE(reached.ok()) << reached;
    }
    Write(Policy::kOnlyClass0, Policy::kOnlyClass0);
    for (const auto& [plan, transport] : kCases) {
      ExpectDenied(FromA(transport, plan, plan.service, *b_, plan.b), DROP_POLICY_EGRESS);
      ExpectDenied(FromA(transport, plan, plan.service, *far_, plan.far, 81), DROP_POLICY_EGRESS);
    }
  }
};

TEST_P(HostNatToolTest, Nftables) { Try(RuleTool::kNft); }
TEST_P(HostNatToolTest, IptablesOnNftables) { Try(RuleTool::kIptablesNft); }
TEST_P(HostNatToolTest, IptablesLegacy) { Try(RuleTool::kIptablesLegacy); }

INSTANTIATE_TEST_SUITE_P(Attachment, HostNatToolTest, ::testing::Values(false),
                         testing::AttachmentName);

}  // namespace
}  // namespace ripstop::agent
