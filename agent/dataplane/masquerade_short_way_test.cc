// SPDX-License-Identifier: Apache-2.0
//
// The short way of masqueraded flows: from_workload translates, and to_host finds that done.
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>

#include <cstring>

#include "absl/strings/str_format.h"
#include "agent/dataplane/testing_masquerade.h"

namespace ripstop::agent {
namespace {

using testing::kCases;
using testing::kV4;
using testing::kV6;
using testing::MasqueradeNodeTest;
using testing::Plan;

class MasqueradeShortWayTest : public MasqueradeNodeTest {
 protected:
  // Whether the device computes checksums of what it sends; if not the kernel does before.
  static void SetOffload(const TestNetns& netns, const char* device, bool on) {
    const absl::Status set = netns.Run([&]() -> absl::Status {
      const UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
      ethtool_value value = {.cmd = ETHTOOL_STXCSUM, .data = on};
      ifreq request = {};
      std::strncpy(request.ifr_name, device, IFNAMSIZ - 1);
      request.ifr_data = reinterpret_cast<char*>(&value);
      return ioctl(fd.get(), SIOCETHTOOL, &request) == 0
                 ? absl::OkStatus()
                 : absl::ErrnoToStatus(errno, "ETHTOOL_STXCSUM");
    });
    ASSERT_TRUE(set.ok()) << set;
  }
};
INSTANTIATE_TEST_SUITE_P(Attachment, MasqueradeShortWayTest, ::testing::Values(false, true),
                         testing::AttachmentName);

// Where the last device computes none, the receiver's kernel checks what it gets.
TEST_P(MasqueradeShortWayTest, SumsAreRightWhoeverComputesThem) {
  StartMasquerade();
  SetOffload(*node_, "up0", false);
  for (const bool pods_device : {true, false}) {
    SetOffload(*a_, "eth0", pods_device);
    for (const auto& [plan, transport] : kCases) {
      Conversation talk = Out(transport, plan);
      const absl::Status open = talk.Open();
      ASSERT_TRUE(open.ok()) << open;
      for (const size_t bytes : {size_t{3}, size_t{1400}, size_t{60000}}) {
        if (bytes > 1400 && transport != Transport::kTcp) continue;
        talk.ClientSays(bytes);
        const absl::Status heard = talk.ServerHears();
        EXPECT_TRUE(heard.ok()) << bytes << " bytes: " << heard;
        EXPECT_EQ(talk.peer(), plan.node);
        talk.ServerSays(bytes);
        const absl::Status back = talk.ClientHears();
        EXPECT_TRUE(back.ok()) << bytes << " bytes: " << back;
      }
    }
  }
}

// Shown by an exit whose program is gone.
TEST_P(MasqueradeShortWayTest, WhatHasBeenAnsweredComesTranslatedToTheExit) {
  StartMasquerade();
  for (const Plan& plan : {kV4, kV6}) {
    ASSERT_TRUE(node_->Run([&] { return dataplane_->AttachUplink(Ifindex("up0")); }).ok());
    Conversation talk = Out(Transport::kUdp, plan);
    ASSERT_TRUE(talk.Open().ok());
    ASSERT_TRUE(talk.Exchange().ok());
    ASSERT_TRUE(node_->Run([&] { return dataplane_->DetachHost(Ifindex("up0")); }).ok());
    const auto peer_of = [](Conversation& of) {
      of.ClientSays();
      const absl::Status heard = of.ServerHears();
      EXPECT_TRUE(heard.ok()) << heard;
      return of.peer();
    };
    // One in FLOW_SEEN_STEP_NS asks routes again, and is the exit's.
    const std::string first = peer_of(talk);
    EXPECT_EQ(first == plan.node ? first : peer_of(talk), plan.node);
    Conversation unanswered = Out(Transport::kUdp, plan, 0, nullptr, 81);
    ASSERT_TRUE(unanswered.Listen().ok());
    ASSERT_TRUE(unanswered.Begin().ok());
    EXPECT_EQ(peer_of(unanswered), plan.a) << "the exit's, which is gone";
  }
}

// What to_host believes is from_workload's word. The kernel lets a pod's own filter write a class
// into its packets, and on tcx makes skb->tc_index of it wherever a program lets them through.
TEST_P(MasqueradeShortWayTest, APodsOwnTrafficClassIsNotBelieved) {
  ASSERT_EQ(a_->Shell("tc qdisc add dev eth0 clsact"), 0);
  for (const uint32_t said : {TC_INDEX_FINISHED, TC_INDEX_REDIRECTED}) {
    ASSERT_EQ(a_->Shell(absl::StrFormat("tc filter replace dev eth0 egress prio 1 handle 1 bpf "
                                        "bytecode \"1,6 0 0 0\" flowid 1:%x",
                                        said)),
              0);
    for (const bool host_nat : {false, true}) {
      StartMasquerade(host_nat);
      for (const Plan& plan : {kV4, kV6}) {
        Conversation talk = Out(Transport::kUdp, plan);
        ASSERT_TRUE(talk.Listen().ok());
        ASSERT_TRUE(talk.Begin().ok());
        talk.ClientSays();
        ASSERT_TRUE(talk.ServerHears().ok());
        EXPECT_EQ(talk.peer(), plan.node) << said << ", host's NAT " << host_nat;
      }
    }
    // Nor does it pass policy that waits for the exit.
    Start(Policy::kClosed, Policy::kOpen, true);
    for (const Plan& plan : {kV4, kV6})
      ExpectDenied(Out(Transport::kUdp, plan), DROP_POLICY_EGRESS);
  }
}

// Packets on the way have no mark by which to_host could know that they are judged.
TEST_P(MasqueradeShortWayTest, FlowsGoOnWhenHostsNatBegins) {
  StartMasquerade();
  for (const auto& [plan, transport] : kCases) {
    ConfigureNat(false);
    Conversation talk = Out(transport, plan);
    ASSERT_TRUE(talk.Open().ok());
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(talk.Exchange().ok());
    ConfigureNat(true);
    const uint64_t before = Dropped(DROP_MARK_CHANGED);
    const absl::Status exchanged = talk.Exchange();
    EXPECT_TRUE(exchanged.ok()) << exchanged;
    EXPECT_EQ(Dropped(DROP_MARK_CHANGED), before);
  }
}

// An exit on top of another, as a bridge, a VLAN or a bond is.
TEST_P(MasqueradeShortWayTest, AnExitOnTopOfAnotherTranslatesForBoth) {
  ASSERT_EQ(
      node_->Shell("ip link add up5 type bridge && ip link set up5 up && "
                   "ip addr add 10.255.5.1/24 dev up5 && ip link set up0 master up5 && "
                   "ip neigh replace 10.255.5.2 dev up5 nud permanent lladdr 02:00:00:00:00:0f"),
      0);
  ASSERT_EQ(far_->Shell("ip addr add 10.255.5.2/24 dev eth0"), 0);
  ASSERT_EQ(node_->Shell(absl::StrCat("ip route replace ", kV4.far, "/32 via 10.255.5.2 dev up5")),
            0);
  settings_.exits[Ifindex("up5")] = {.v4 = policy::Address::Parse("10.255.5.1").value()};
  for (const bool host_nat : {false, true}) {
    Start(Policy::kOnlyClass1, Policy::kOpen, host_nat);
    ASSERT_TRUE(node_->Run([&] { return dataplane_->AttachUplink(Ifindex("up5")); }).ok());
    Set();
    Conversation talk = Out(Transport::kUdp, kV4);
    ASSERT_TRUE(talk.Listen().ok());
    ASSERT_TRUE(talk.Begin().ok());
    for (int i = 0; i < 4; ++i) {
      talk.ClientSays();
      ASSERT_TRUE(talk.ServerHears().ok()) << "host's NAT " << host_nat;
      EXPECT_EQ(talk.peer(), "10.255.5.1");
      talk.ServerSays();
      ASSERT_TRUE(talk.ClientHears().ok());
    }
    EXPECT_EQ(Dropped(DROP_MARK_CHANGED), 0u);
  }
}

// Larger than the uplink takes, and may be divided: that the host's stack does, behind the program
// at the pod's interface.
TEST_P(MasqueradeShortWayTest, WhatTheHostDividesArrivesWhole) {
  ASSERT_EQ(a_->Shell("ip link set eth0 mtu 4000"), 0);
  ASSERT_EQ(node_->Shell("ip link set hosta mtu 4000"), 0);
  for (const bool host_nat : {false, true}) {
    StartMasquerade(host_nat);
    Conversation talk = Out(Transport::kUdp, kV4);
    ASSERT_TRUE(talk.Listen().ok());
    ASSERT_TRUE(talk.Begin().ok());
    const int divide = IP_PMTUDISC_DONT;
    ASSERT_EQ(setsockopt(talk.client_fd(), IPPROTO_IP, IP_MTU_DISCOVER, &divide, sizeof(divide)),
              0);
    for (int i = 0; i < 3; ++i) {
      talk.ClientSays(3000);
      const absl::Status heard = talk.ServerHears();
      ASSERT_TRUE(heard.ok()) << heard << ", host's NAT " << host_nat;
      EXPECT_EQ(talk.peer(), kV4.node);
    }
  }
}

}  // namespace
}  // namespace ripstop::agent
