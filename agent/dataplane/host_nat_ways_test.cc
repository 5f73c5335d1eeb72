// SPDX-License-Identifier: Apache-2.0
//
// Beside a host that translates: fragments and errors, narrow paths, other interfaces, and host's
// NAT that comes and goes.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "agent/dataplane/testing_nat.h"

namespace ripstop::agent {
namespace {

using testing::kCases;
using testing::kV4;
using testing::kV6;
using testing::NatNode;
using testing::Plan;
using testing::RuleTool;

class HostNatWaysTest : public NatNode {};

TEST_P(HostNatWaysTest, FragmentsAndErrorsAreTranslatedAsTheirFlowIs) {
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

TEST_P(HostNatWaysTest, APathTooNarrowIsToldToThePodAlsoBehindAService) {
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

TEST_P(HostNatWaysTest, AnswersThatComeByAnotherInterfaceAreKnownToo) {
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
TEST_P(HostNatWaysTest, WhatLeavesByATunDeviceIsJudgedThere) {
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

TEST_P(HostNatWaysTest, FlowsGoOnAsTheyBeganWhenHostsNatComesAndGoes) {
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

INSTANTIATE_TEST_SUITE_P(Attachment, HostNatWaysTest, ::testing::Values(false, true),
                         testing::AttachmentName);

}  // namespace
}  // namespace ripstop::agent
