// SPDX-License-Identifier: Apache-2.0
//
// A host that translates is no way around policy: marks and sources that somebody makes up.
#include <gtest/gtest.h>

#include "agent/dataplane/testing_nat.h"

namespace ripstop::agent {
namespace {

using testing::kV4;
using testing::NatNode;
using testing::RuleTool;

class HostNatAttackTest : public NatNode {};

TEST_P(HostNatAttackTest, APodsOwnMarkDoesNotLeaveIt) {
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

TEST_P(HostNatAttackTest, AnotherPodsMarkIsOfNoUse) {
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

TEST_P(HostNatAttackTest, ASpoofedSourceReachesNoService) {
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

TEST_P(HostNatAttackTest, AFlowThatWaitsForItsVerdictIsNoWayIn) {
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

INSTANTIATE_TEST_SUITE_P(Attachment, HostNatAttackTest, ::testing::Values(false, true),
                         testing::AttachmentName);

}  // namespace
}  // namespace ripstop::agent
