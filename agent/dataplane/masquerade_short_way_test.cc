// SPDX-License-Identifier: Apache-2.0
//
// The short way of masqueraded flows: from_workload translates, and to_host finds that done.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/ethtool.h>
#include <linux/pkt_cls.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>

#include <cstddef>
#include <cstring>
#include <iterator>

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

// What to_host believes is from_workload's word. A pod that may attach programs to its own side
// could say the same.
TEST_P(MasqueradeShortWayTest, APodsOwnTrafficClassIsNotBelieved) {
  StartMasquerade();
  const bpf_insn code[] = {
      {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 2, .imm = TC_INDEX_FINISHED},
      {.code = BPF_STX | BPF_MEM | BPF_W,
       .dst_reg = 1,
       .src_reg = 2,
       .off = offsetof(__sk_buff, tc_index)},
      {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = TC_ACT_UNSPEC},
      {.code = BPF_JMP | BPF_EXIT}};
  const UniqueFd program(
      bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "finished", "GPL", code, std::size(code), nullptr));
  ASSERT_TRUE(program.ok());
  const absl::Status attached = a_->Run([&]() -> absl::Status {
    LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = static_cast<int>(if_nametoindex("eth0")),
                .attach_point = BPF_TC_EGRESS);
    LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = program.get());
    if (int error = bpf_tc_hook_create(&hook); error != 0)
      return absl::ErrnoToStatus(-error, "clsact");
    if (int error = bpf_tc_attach(&hook, &options); error != 0)
      return absl::ErrnoToStatus(-error, "attach");
    return absl::OkStatus();
  });
  ASSERT_TRUE(attached.ok()) << attached;
  for (const Plan& plan : {kV4, kV6}) {
    Conversation talk = Out(Transport::kUdp, plan);
    ASSERT_TRUE(talk.Listen().ok());
    ASSERT_TRUE(talk.Begin().ok());
    talk.ClientSays();
    ASSERT_TRUE(talk.ServerHears().ok());
    EXPECT_EQ(talk.peer(), plan.node);
  }
}

}  // namespace
}  // namespace ripstop::agent
