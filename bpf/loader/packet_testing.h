// SPDX-License-Identifier: Apache-2.0
//
// For packet*_test.cc: pods of handmade tables, frames from and to them, and what becomes
// of one in a program, by BPF_PROG_TEST_RUN: verdict, frame and counter together.
#ifndef RIPSTOP_BPF_LOADER_PACKET_TESTING_H_
#define RIPSTOP_BPF_LOADER_PACKET_TESTING_H_

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gtest/gtest.h>
#include <linux/pkt_cls.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

#include "bpf/loader/entry_program.h"
#include "bpf/loader/kernel_evaluator.h"
#include "bpf/loader/testing_tables.h"

namespace ripstop::loader {

using testing::Addr;
using testing::HandmadeTables;

inline constexpr uint32_t kAway = 7;  // an incoming interface: not this host's own stack

// Pods on the loopback interface: .10 allows all, .20 admits only TCP 80 and echo from
// class 1, .30 denies both ways, .40 has no policy sets, .50 lives on another interface.
class PacketTest : public ::testing::Test {
 protected:
  static constexpr const char* kClient = "198.51.100.10";
  static constexpr const char* kServer = "198.51.100.20";
  static constexpr const char* kClosed = "198.51.100.30";
  static constexpr const char* kBare = "198.51.100.40";
  static constexpr const char* kElsewhere = "198.51.100.50";
  static constexpr const char* kHost = "192.0.2.1";
  static constexpr const char* kNode = "192.0.2.2";
  static constexpr const char* kStranger = "203.0.113.5";
  static constexpr const char* kClient6 = "2001:db8::10";
  static constexpr const char* kServer6 = "2001:db8::20";

  void SetUp() override {
    if (libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_SCHED_CLS, nullptr) != 1) {
      GTEST_SKIP() << "needs CAP_BPF and CAP_NET_ADMIN";
    }
    auto evaluator = KernelEvaluator::Open(Sizes(), use());
    ASSERT_TRUE(evaluator.ok()) << evaluator.status();
    kernel_ = *std::move(evaluator);
    HandmadeTables tables(kernel_->engine_options());
    const uint32_t open = tables.AllowAll(1, 11);
    const uint32_t server = tables.AddSet(2, [](uint32_t address_class, uint32_t l4) -> uint32_t {
      if (address_class != 1) return 22;
      return l4 == 1 || l4 == 3 || l4 == 4 ? VERDICT_ALLOW | 21 : 22;
    });
    const uint32_t closed = closed_ = tables.DenyAll(3, 33);
    const uint32_t blank = tables.AddSet(4, [](uint32_t, uint32_t) { return 0u; });
    for (const char* client : {kClient, kClient6}) tables.AddPod(client, 1, open, open);
    for (const char* server_address : {kServer, kServer6}) {
      tables.AddPod(server_address, 2, open, server);
    }
    tables.AddPod(kClosed, 2, closed, closed);
    tables.AddPod(kBare, 2, 0, 0);
    tables.AddPod("198.51.100.60", 2, blank, blank);
    tables.AddPod("198.51.100.61", 9, open, open);  // a class that no set has room for
    tables.AddPod("198.51.100.62", 1, ARENA_HANDLE(77, 5), open);
    tables.AddOther(kHost, ADDRESS_THIS_HOST);
    tables.AddOther(kNode, ADDRESS_OTHER_NODE);
    tables.AddCidr(policy::Cidr::Parse("203.0.113.0/24").value(), 1);
    l4_table_ = tables.l4_table();
    auto& state = *kernel_->object().state();
    state.vxlan_port = htons(4789);
    state.events_per_second = 1000000;
    for (int i = 0; i < 6; ++i) state.host_mac[i] = 0xee;
    ASSERT_TRUE(kernel_->Apply(tables.Take(), l4_table_).ok());
    // Past the evaluator, which would move it to the loopback interface like the rest.
    tables.AddPod(kElsewhere, 1, open, open, 4242);
    ASSERT_TRUE(kernel_->tables().Apply(tables.Take()).ok());
  }

  virtual KernelEvaluator::Use use() const { return KernelEvaluator::Use::kFrames; }
  static DatapathSizes Sizes() { return {.flows = 1024, .fragments = 1024, .event_bytes = 65536}; }
  static FrameSpec Tcp(const char* from, const char* to, uint16_t port = 80,
                       uint16_t source_port = 40000) {
    FrameSpec spec;
    spec.packet = {Addr(from), Addr(to), policy::kProtocolTcp, source_port, port};
    return spec;
  }
  static FrameSpec Udp(const char* from, const char* to, uint16_t port,
                       uint16_t source_port = 40000) {
    FrameSpec spec = Tcp(from, to, port, source_port);
    spec.packet.protocol = policy::kProtocolUdp;
    return spec;
  }
  static FrameSpec Icmp(const char* from, const char* to, uint8_t type, uint8_t code = 0) {
    FrameSpec spec;
    const bool v4 = Addr(from).is_v4();
    spec.packet = {Addr(from), Addr(to), v4 ? policy::kProtocolIcmp : policy::kProtocolIcmpV6};
    spec.packet.icmp_type = type;
    spec.packet.icmp_code = code;
    return spec;
  }
  static FrameSpec Flags(FrameSpec spec, uint8_t flags) {
    spec.tcp_flags = flags;
    return spec;
  }
  // An ICMP error that quotes `quoted`.
  static FrameSpec Error(const char* from, const char* to, uint8_t type, uint8_t code,
                         const FrameSpec& quoted) {
    FrameSpec spec = Icmp(from, to, type, code);
    const Frame inner = MakeFrame(quoted);
    spec.payload.assign(inner.begin() + 14, inner.end());
    return spec;
  }

  RunResult Run(Hook hook, const Frame& frame, uint32_t ingress = 0) {
    auto result = kernel_->Run(hook, frame, ingress);
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? *result : RunResult{};
  }
  RunResult Run(Hook hook, const FrameSpec& spec, uint32_t ingress = 0) {
    return Run(hook, MakeFrame(spec), ingress);
  }
  uint64_t Drops(drop_reason reason) {
    const uint32_t key = reason;
    std::vector<drop_count> counts(libbpf_num_possible_cpus());
    EXPECT_EQ(bpf_map_lookup_elem(kernel_->object().drops(), &key, counts.data()), 0);
    uint64_t total = 0;
    for (const auto& count : counts) total += count.packets;
    return total;
  }
  // Out of the tunnel, as from_host has passed it on: `sender` is a node number, or 0.
  RunResult RunFromTunnel(const Frame& frame, uint32_t sender) {
    const auto entry = EntryProgram::LoadWith(sender, kernel_->Program(Hook::kFromTunnel));
    EXPECT_TRUE(entry.ok()) << entry.status();
    if (!entry.ok()) return {};
    auto result = kernel_->RunProgram(entry->fd(), frame, kAway);
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? *result : RunResult{};
  }
  // The packet is dropped for `reason`, counted once there, and left as it was.
  void ExpectDrop(Hook hook, const Frame& frame, drop_reason reason, uint32_t ingress = 0) {
    const uint64_t before = Drops(reason);
    const RunResult got = Run(hook, frame, ingress);
    EXPECT_EQ(got.verdict.action, TC_ACT_SHOT);
    EXPECT_EQ(got.verdict.reason, reason);
    EXPECT_EQ(got.frame, frame);
    EXPECT_EQ(Drops(reason), before + 1);
  }
  void ExpectDrop(Hook hook, const FrameSpec& spec, drop_reason reason, uint32_t ingress = 0) {
    ExpectDrop(hook, MakeFrame(spec), reason, ingress);
  }
  // Redirected into the pod, as a router would forward it.
  void ExpectDelivered(Hook hook, const FrameSpec& spec, uint32_t ingress = 0) {
    Frame expected = MakeFrame(spec);
    const RunResult got = Run(hook, expected, ingress);
    EXPECT_EQ(got.verdict.action, TC_ACT_REDIRECT) << "reason " << got.verdict.reason;
    const uint8_t mac[12] = {2, 0, 0, 0, 0, 9, 0xee, 0xee, 0xee, 0xee, 0xee, 0xee};
    std::copy(mac, mac + 12, expected.begin());
    if (spec.packet.source.is_v4()) {
      expected[14 + 8]--;
      ASSERT_EQ(got.frame.size(), expected.size());
      EXPECT_EQ(Ipv4HeaderChecksum(got.frame), 0);
      expected[14 + 10] = got.frame[14 + 10];
      expected[14 + 11] = got.frame[14 + 11];
    } else {
      expected[14 + 7]--;
    }
    EXPECT_EQ(got.frame, expected);
  }
  void ExpectPassed(Hook hook, const FrameSpec& spec, uint32_t ingress = 0) {
    const Frame frame = MakeFrame(spec);
    const RunResult got = Run(hook, frame, ingress);
    EXPECT_EQ(got.verdict.action, TC_ACT_OK) << "reason " << got.verdict.reason;
    EXPECT_EQ(got.frame, frame);
  }
  bool FlowExists(const FrameSpec& spec) {
    return FlowExists(spec, false) || FlowExists(spec, true);
  }
  bool FlowExists(const FrameSpec& spec, bool open) {
    const flow_key key = FlowKeyOf(spec);
    flow_value value;
    return bpf_map_lookup_elem(kernel_->object().flows(), &key, &value) == 0 &&
           FLOW_LIFE_STATE(value.life) == (open ? FLOW_OPEN : FLOW_HALF_OPEN);
  }
  // By which marks name that pod.
  uint32_t NumberOf(const char* pod) {
    constexpr size_t kStride = (sizeof(sender_value) + 7) / 8 * 8;
    for (uint32_t number = 1; number <= MARK_NUMBER_MAX; ++number) {
      sender_value value;
      std::memcpy(&value, kernel_->object().senders() + number * kStride, sizeof(value));
      if (value.ifindex != 0 &&
          std::memcmp(&value.address, Addr(pod).bytes.data(), sizeof(value.address)) == 0)
        return number;
    }
    ADD_FAILURE() << pod << " has no number";
    return 0;
  }
  void Write(HandmadeTables& tables) { ASSERT_TRUE(kernel_->Apply(tables.Take(), 0).ok()); }

  std::unique_ptr<KernelEvaluator> kernel_;
  uint32_t closed_ = 0;  // a policy set that denies all
  uint32_t l4_table_ = 0;
};

}  // namespace ripstop::loader

#endif  // RIPSTOP_BPF_LOADER_PACKET_TESTING_H_
