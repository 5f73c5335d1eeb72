// SPDX-License-Identifier: Apache-2.0
//
// Connections between a client and a server of this node, packet by packet, and what the table of
// flows has of them.
#ifndef RIPSTOP_BPF_LOADER_FLOW_TESTING_H_
#define RIPSTOP_BPF_LOADER_FLOW_TESTING_H_

#include <vector>

#include "bpf/loader/packet_testing.h"

namespace ripstop::loader {

inline constexpr uint64_t kSecond = 1000000000;
inline constexpr uint8_t kSyn = 0x02, kSynAck = 0x12, kAck = 0x10, kRst = 0x04, kRstAck = 0x14,
                         kFinAck = 0x11;

class FlowTest : public PacketTest {
 protected:
  static FrameSpec Segment(const FrameSpec& spec, uint8_t flags, uint32_t sequence,
                           uint32_t acknowledged = 0) {
    FrameSpec segment = spec;
    segment.tcp_flags = flags;
    segment.tcp_sequence = sequence;
    segment.tcp_acknowledged = acknowledged;
    return segment;
  }
  static FrameSpec Out(uint16_t port, uint8_t flags, uint32_t sequence = 1000,
                       uint32_t acknowledged = 0) {
    return Segment(Tcp(kClient, kServer, 80, port), flags, sequence, acknowledged);
  }
  static FrameSpec Back(uint16_t port, uint8_t flags, uint32_t sequence = 5000,
                        uint32_t acknowledged = 1001) {
    return Segment(Tcp(kServer, kClient, port, 80), flags, sequence, acknowledged);
  }
  void Pass(const FrameSpec& spec) { ExpectDelivered(Hook::kFromWorkload, spec); }
  void Open(uint16_t port) {
    Pass(Out(port, kSyn));
    Pass(Back(port, kSynAck));
    Pass(Out(port, kAck, 1001, 5001));
  }
  flow_value Flow(const FrameSpec& spec) {
    const flow_key key = FlowKeyOf(spec);
    flow_value value = {};
    EXPECT_EQ(bpf_map_lookup_elem(kernel_->object().flows(), &key, &value), 0);
    return value;
  }
  sweep_request Sweep(sweep_request request) {
    LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = &request, .ctx_size_in = sizeof(request));
    EXPECT_EQ(bpf_prog_test_run_opts(kernel_->object().flow_sweep(), &options), 0);
    return request;
  }
  // By account, as the flows in the table say.
  std::vector<uint64_t> Recount() {
    std::vector<uint64_t> counts(FLOW_ACCOUNTS);
    flow_key key, next;
    flow_value value;
    const void* from = nullptr;
    while (bpf_map_get_next_key(kernel_->object().flows(), from, &next) == 0) {
      key = next;
      from = &key;
      if (bpf_map_lookup_elem(kernel_->object().flows(), &key, &value) != 0) continue;
      EXPECT_NE(FLOW_LIFE_STATE(value.life), FLOW_DEAD);
      counts[FLOW_LIFE_ACCOUNT(value.life)] +=
          1 + (FLOW_LIFE_STATE(value.life) == FLOW_HALF_OPEN ? FLOW_COUNT_HALF_OPEN : 0);
    }
    return counts;
  }
  void ExpectCountsAreRight() {
    const std::vector<uint64_t> counts = Recount();
    for (uint32_t i = 0; i < FLOW_ACCOUNTS; ++i) {
      EXPECT_EQ(kernel_->object().flow_accounts()[i].counts, counts[i]) << "account " << i;
    }
  }
  const flow_account& AccountOf(const FrameSpec& spec) {
    return kernel_->object().flow_accounts()[FLOW_LIFE_ACCOUNT(Flow(spec).life)];
  }
};

}  // namespace ripstop::loader

#endif  // RIPSTOP_BPF_LOADER_FLOW_TESTING_H_
