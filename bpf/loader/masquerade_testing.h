// SPDX-License-Identifier: Apache-2.0
//
// For masquerade_packet_test.cc: frames that leave the host and come in, with checksums that are
// computed anew and compared.
#ifndef RIPSTOP_BPF_LOADER_MASQUERADE_TESTING_H_
#define RIPSTOP_BPF_LOADER_MASQUERADE_TESTING_H_

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "bpf/loader/flow_testing.h"
#include "bpf/loader/masquerade_store.h"

namespace ripstop::loader {

inline uint16_t OnesSum(const std::vector<uint8_t>& data) {
  uint32_t sum = 0;
  for (size_t i = 0; i < data.size(); i += 2)
    sum += data[i] << 8 | (i + 1 < data.size() ? data[i + 1] : 0);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

// Of a whole packet of TCP, UDP or ICMP without options or extensions: what must be 0xffff.
inline uint16_t TransportSum(const Frame& frame) {
  const bool v4 = frame[12] == 8;
  const size_t header = v4 ? 20 : 40;
  const uint8_t protocol = v4 ? frame[14 + 9] : frame[14 + 6];
  const std::vector<uint8_t> body(frame.begin() + 14 + header, frame.end());
  std::vector<uint8_t> all;
  if (protocol != 1) {
    const auto addresses = frame.begin() + 14 + (v4 ? 12 : 8);
    all.assign(addresses, addresses + (v4 ? 8 : 32));
    all.insert(all.end(), {0, protocol, uint8_t(body.size() >> 8), uint8_t(body.size())});
  }
  all.insert(all.end(), body.begin(), body.end());
  return OnesSum(all);
}

// MakeFrame with the transport's checksum in it.
inline Frame Summed(const FrameSpec& spec) {
  Frame frame = MakeFrame(spec);
  const size_t l4 = spec.packet.source.is_v4() ? 34 : 54;
  const size_t at = l4 + (spec.packet.protocol == 6 ? 16 : spec.packet.protocol == 17 ? 6 : 2);
  const uint16_t sum = ~TransportSum(frame);
  frame[at] = sum >> 8;
  frame[at + 1] = sum & 0xff;
  return frame;
}

class MasqueradeTest : public FlowTest {
 protected:
  static constexpr const char* kOurs6 = "2001:db8:1::1";
  static constexpr const char* kStranger6 = "2001:db8:f::5";
  static constexpr const char* kPeerPod = "10.9.0.7";  // another node's, in a pool of its own

  KernelEvaluator::Use use() const override { return KernelEvaluator::Use::kExits; }

  void SetUp() override {
    FlowTest::SetUp();
    if (IsSkipped()) return;
    store_ = std::make_unique<MasqueradeStore>(&kernel_->object());
    settings_ = {.pools = {{policy::Cidr::Parse("198.51.100.0/24").value(), true},
                           {policy::Cidr::Parse("2001:db8::/112").value(), true},
                           {policy::Cidr::Parse("10.9.0.0/16").value(), false}},
                 .exits = {{1, {.v4 = Addr(kHost), .v6 = Addr(kOurs6)}}},
                 .first_port = 20000,
                 .last_port = 29999};
    Set();
    const uint32_t ifindex = kAway;
    const interface_value workload = {.flags = INTERFACE_WORKLOAD};
    ASSERT_EQ(bpf_map_update_elem(kernel_->object().interfaces(), &ifindex, &workload, BPF_ANY), 0);
  }
  void Set() {
    ASSERT_TRUE(store_->Set(settings_).ok());
    kernel_->object().state()->flags |= STATE_MASQUERADE;
  }

  RunResult Exit(const Frame& frame, uint32_t ingress = kAway) {
    auto result = kernel_->RunProgram(kernel_->object().to_host(), frame, ingress);
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? *result : RunResult{};
  }
  // Sent by a pod of this node, judged, and on its way out: the frame that leaves.
  Frame Sent(const FrameSpec& spec) {
    const RunResult judged = Run(Hook::kFromWorkload, Summed(spec));
    EXPECT_NE(judged.verdict.action, TC_ACT_SHOT) << "reason " << judged.verdict.reason;
    const RunResult out = Exit(Summed(spec));
    EXPECT_EQ(out.verdict.action, TC_ACT_OK) << "reason " << out.verdict.reason;
    return out.frame;
  }
  void ExpectStopped(const FrameSpec& spec, drop_reason reason) {
    EXPECT_NE(Run(Hook::kFromWorkload, Summed(spec)).verdict.action, TC_ACT_SHOT);
    const uint64_t before = Drops(reason);
    const RunResult out = Exit(Summed(spec));
    EXPECT_EQ(out.verdict.action, TC_ACT_SHOT);
    EXPECT_EQ(out.verdict.reason, reason);
    EXPECT_EQ(Drops(reason), before + 1);
  }
  // The 16-bit word at `offset` of the transport header.
  static uint16_t Word(const Frame& frame, size_t offset = 0) {
    const size_t at = (frame[12] == 8 ? 34 : 54) + offset;
    return static_cast<uint16_t>(frame[at] << 8 | frame[at + 1]);
  }
  // Source port, or identifier of an echo.
  static uint16_t PortOf(const Frame& frame) {
    const uint8_t protocol = frame[12] == 8 ? frame[14 + 9] : frame[14 + 6];
    return Word(frame, protocol == 1 || protocol == 58 ? 4 : 0);
  }
  // `frame` is `spec` but for source address, port and the sums, which are right.
  void ExpectMasqueraded(const FrameSpec& spec, const Frame& frame, const char* ours) {
    FrameSpec expected = spec;
    expected.packet.source = Addr(ours);
    expected.packet.source_port = expected.icmp_id = PortOf(frame);
    EXPECT_EQ(frame, Summed(expected)) << "source port " << PortOf(frame);
  }
  // The answer to what left as `frame`.
  static FrameSpec Answer(const FrameSpec& spec, const Frame& frame, const char* ours) {
    FrameSpec answer = spec;
    answer.packet.source = spec.packet.destination;
    answer.packet.destination = Addr(ours);
    answer.packet.source_port = spec.packet.destination_port;
    answer.packet.destination_port = answer.icmp_id = PortOf(frame);
    answer.tcp_flags = kSynAck;
    if (spec.packet.icmp_type == 8) answer.packet.icmp_type = 0;
    if (spec.packet.icmp_type == 128) answer.packet.icmp_type = 129;
    return answer;
  }
  // It comes in and is delivered to who sent `spec`.
  void ExpectAnswered(const FrameSpec& spec, const FrameSpec& answer) {
    FrameSpec expected = answer;
    expected.packet.destination = spec.packet.source;
    expected.packet.destination_port = spec.packet.source_port;
    expected.icmp_id = spec.icmp_id;
    expected.ttl--;
    const RunResult got = Run(Hook::kFromHost, Summed(answer), kAway);
    EXPECT_EQ(got.verdict.action, TC_ACT_REDIRECT) << "reason " << got.verdict.reason;
    Frame want = Summed(expected);
    const uint8_t mac[12] = {2, 0, 0, 0, 0, 9, 0xee, 0xee, 0xee, 0xee, 0xee, 0xee};
    std::copy(mac, mac + 12, want.begin());
    EXPECT_EQ(got.frame, want);
  }
  size_t Entries() {
    masquerade_key key, next;
    const void* from = nullptr;
    size_t count = 0;
    while (bpf_map_get_next_key(kernel_->object().Map("rs_masquerade_v1"), from, &next) == 0) {
      key = next;
      from = &key;
      ++count;
    }
    return count;
  }

  std::unique_ptr<MasqueradeStore> store_;
  Masquerade settings_;
};

}  // namespace ripstop::loader

#endif  // RIPSTOP_BPF_LOADER_MASQUERADE_TESTING_H_
