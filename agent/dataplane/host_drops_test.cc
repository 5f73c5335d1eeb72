// SPDX-License-Identifier: Apache-2.0
//
// The kernel's own drops of real pods' packets, beside those of our programs.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gmock/gmock.h>
#include <linux/pkt_cls.h>

#include "agent/dataplane/testing_node.h"
#include "agent/dataplane/testing_wire.h"

namespace ripstop::agent {
namespace {

using loader::testing::Addr;
using testing::kFar;
using testing::kPodA;
using testing::kPodB;

class HostDropsTest : public testing::NodeTest {
 protected:
  void SetUp() override {
    NodeTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    Open();
    if (HasFatalFailure()) return;
    WriteGeneration(true);
    Attach();
  }
  uint64_t Count(const std::string& name, host_drop_place place) {
    const auto drops = dataplane_->HostDrops();
    EXPECT_TRUE(drops.ok()) << drops.status();
    if (!drops.ok()) return 0;
    for (const loader::HostDrop& drop : *drops) {
      if (drop.name == name && drop.place == place) return drop.packets;
    }
    return 0;
  }
  // All that were of no reason in particular are the namespaces' own chatter.
  uint64_t All(const std::string& name) {
    uint64_t packets = 0;
    for (const host_drop_place place : {HOST_DROP_UNKNOWN, HOST_DROP_HERE, HOST_DROP_ELSEWHERE}) {
      packets += Count(name, place);
    }
    return packets;
  }
  // A datagram is sent, or refused where it begins; the count says what became of it.
  void Send(const TestNetns& from, const char* source, const char* to) {
    (void)testing::SendUdp(from.fd(), source, to, 4444, {'x'});
  }
};
INSTANTIATE_TEST_SUITE_P(All, HostDropsTest, ::testing::Bool(), testing::AttachmentName);

TEST_P(HostDropsTest, APortWhereNobodyListensIsThePodsOwn) {
  Send(*a_, kPodA, kPodB);
  EXPECT_EQ(Count("NO_SOCKET", HOST_DROP_ELSEWHERE), 1u);
  EXPECT_EQ(Count("NO_SOCKET", HOST_DROP_HERE), 0u);
}

TEST_P(HostDropsTest, WhatTheHostCannotForwardHasTheKernelsReason) {
  // To nowhere: the stack is asked, and has no route.
  Send(*a_, kPodA, "203.0.113.200");
  EXPECT_EQ(All("IP_INNOROUTES") + All("IP_INADDRERRORS") + All("NOT_SPECIFIED"), 1u);
}

TEST_P(HostDropsTest, ARuleOfTheHostsNetfilterIsNamed) {
  ASSERT_EQ(node_->Shell("nft add table ip t && nft add chain ip t f "
                         "{ type filter hook forward priority 0\\; policy drop\\; } && "
                         "ip route add 203.0.113.200/32 via 10.255.0.77 dev up0"),
            0);
  // What a pod sends whose bandwidth is limited goes by the stack.
  ASSERT_EQ(dataplane_->SetShaped(Ifindex("hosta"), true), absl::OkStatus());
  Send(*a_, kPodA, "203.0.113.200");
  EXPECT_EQ(Count("NETFILTER_DROP", HOST_DROP_HERE), 1u);
}

TEST_P(HostDropsTest, DropsOfOurProgramsAreNotCountedTwice) {
  WriteGeneration(false);
  ASSERT_TRUE(PodsBlocked());
  ASSERT_TRUE(Blocked(*far_, kFar, *b_, kPodB));
  EXPECT_GT(Dropped(DROP_POLICY_INGRESS), 1u);
  EXPECT_EQ(All("TC_INGRESS"), 0u);
  EXPECT_EQ(All("TC_EGRESS"), 0u);
}

// A filter of somebody else's on the pod's interface.
TEST_P(HostDropsTest, DropsOfOtherPeoplesProgramsAreNamed) {
  bpf_insn code[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = TC_ACT_SHOT},
                     {.code = BPF_JMP | BPF_EXIT}};
  const UniqueFd drop_all(
      bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "drop_all", "GPL", code, 2, nullptr));
  ASSERT_TRUE(drop_all.ok());
  const absl::Status attached = b_->Run([&]() -> absl::Status {
    LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = static_cast<int>(if_nametoindex("eth0")),
                .attach_point = BPF_TC_INGRESS);
    LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = drop_all.get());
    if (int error = bpf_tc_hook_create(&hook); error != 0)
      return absl::ErrnoToStatus(-error, "clsact");
    if (int error = bpf_tc_attach(&hook, &options); error != 0)
      return absl::ErrnoToStatus(-error, "attach");
    return absl::OkStatus();
  });
  ASSERT_TRUE(attached.ok()) << attached;
  ASSERT_TRUE(PodsBlocked());
  EXPECT_GT(All("TC_INGRESS"), 0u);
}

TEST_P(HostDropsTest, AProbeIsNobodysPacket) {
  const auto all = [&] {
    uint64_t packets = 0;
    const auto drops = dataplane_->HostDrops();
    EXPECT_TRUE(drops.ok()) << drops.status();
    if (!drops.ok()) return packets;
    for (const loader::HostDrop& drop : *drops) packets += drop.packets;
    return packets;
  };
  // The pods' own kernels may say something meanwhile; a probe that counts does so each time.
  uint64_t before = 0, after = 1;
  for (int i = 0; i < 10 && after != before; ++i) {
    before = all();
    const absl::Status probed = node_->Run([&] {
      return dataplane_
          ->Probe({*policy::Address::Parse(kPodA), *policy::Address::Parse(kPodB),
                   policy::kProtocolUdp, 40000, 80})
          .status();
    });
    ASSERT_EQ(probed, absl::OkStatus());
    after = all();
  }
  EXPECT_EQ(after, before);
}

TEST_P(HostDropsTest, PacketsOfNoPodAreNobodysBusiness) {
  Send(*far_, kFar, "10.255.0.1");
  EXPECT_EQ(All("NO_SOCKET"), 0u);
}

}  // namespace
}  // namespace ripstop::agent
