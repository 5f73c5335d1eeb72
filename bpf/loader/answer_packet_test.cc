// SPDX-License-Identifier: Apache-2.0
//
// What is dropped and answered, byte by byte.
#include "bpf/loader/flow_testing.h"
#include "bpf/loader/tables_reader.h"

namespace ripstop::loader {
namespace {

constexpr uint8_t kFin = 0x01;

uint16_t At16(const Frame& frame, size_t at) {
  return static_cast<uint16_t>(frame.at(at) << 8 | frame.at(at + 1));
}
uint32_t At32(const Frame& frame, size_t at) {
  return uint32_t{At16(frame, at)} << 16 | At16(frame, at + 2);
}

// RFC 1071 over `frame` from `at` on, beginning with `sum`; not complemented.
uint16_t Sum(const Frame& frame, size_t at, uint32_t sum) {
  for (; at < frame.size(); at += 2)
    sum += frame[at] << 8 | (at + 1 < frame.size() ? frame[at + 1] : 0);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

class AnswerTest : public FlowTest {
 protected:
  void SetUp() override {
    FlowTest::SetUp();
    if (!IsSkipped()) Say(STATE_RESET_UNKNOWN | STATE_REJECT);
  }
  void Say(uint32_t flags) { kernel_->object().state()->flags = flags; }

  static size_t IpBytes(const FrameSpec& spec) { return spec.packet.source.is_v4() ? 20 : 40; }
  static uint16_t PseudoSum(const FrameSpec& spec, uint8_t protocol, const Frame& frame) {
    Frame ends(frame.begin() + 14 + (spec.packet.source.is_v4() ? 12 : 8),
               frame.begin() + 14 + IpBytes(spec));
    return Sum(ends, 0, protocol + static_cast<uint32_t>(frame.size() - 14 - IpBytes(spec)));
  }
  // From the destination of `spec` to its source, whatever follows.
  static void ExpectHeaders(const FrameSpec& spec, uint8_t protocol, const Frame& got) {
    const bool v4 = spec.packet.source.is_v4();
    const size_t bytes = got.size() - 14 - IpBytes(spec);
    const Frame asked = MakeFrame(spec);
    const size_t source = 14 + (v4 ? 12 : 8), length = v4 ? 4 : 16;
    EXPECT_TRUE(std::equal(&got[source], &got[source + length], &asked[source + length]));
    EXPECT_TRUE(std::equal(&got[source + length], &got[source + 2 * length], &asked[source]));
    EXPECT_EQ(got[14 + (v4 ? 9 : 6)], protocol);
    EXPECT_EQ(At16(got, 14 + (v4 ? 2 : 4)), v4 ? bytes + 20 : bytes);
    if (v4) {
      EXPECT_EQ(Ipv4HeaderChecksum(got), 0);
    }
  }
  void ExpectReset(Hook hook, const FrameSpec& spec, drop_reason reason, uint8_t flags,
                   uint32_t sequence, uint32_t acknowledged) {
    const uint64_t before = Drops(reason);
    const RunResult got = Run(hook, spec);
    EXPECT_EQ(got.verdict.action, TC_ACT_REDIRECT);
    EXPECT_EQ(got.verdict.reason, reason);
    EXPECT_EQ(Drops(reason), before + 1);
    const size_t tcp = 14 + IpBytes(spec);
    ASSERT_EQ(got.frame.size(), tcp + 20);
    ExpectHeaders(spec, policy::kProtocolTcp, got.frame);
    EXPECT_EQ(At16(got.frame, tcp), spec.packet.destination_port);
    EXPECT_EQ(At16(got.frame, tcp + 2), spec.packet.source_port);
    EXPECT_EQ(At32(got.frame, tcp + 4), sequence);
    EXPECT_EQ(At32(got.frame, tcp + 8), acknowledged);
    EXPECT_EQ(got.frame[tcp + 13], flags);
    const uint16_t pseudo = PseudoSum(spec, policy::kProtocolTcp, got.frame);
    EXPECT_EQ(Sum(got.frame, tcp, pseudo), 0xffff) << "as a receiver checks it";
    EXPECT_EQ(At16(got.frame, tcp + 16), pseudo) << "for a device that has yet to put it in";
  }
  void ExpectProhibited(Hook hook, const FrameSpec& spec, drop_reason reason) {
    const bool v4 = spec.packet.source.is_v4();
    const RunResult got = Run(hook, spec);
    EXPECT_EQ(got.verdict.action, TC_ACT_REDIRECT);
    EXPECT_EQ(got.verdict.reason, reason);
    const size_t icmp = 14 + IpBytes(spec), quoted = IpBytes(spec) + 8;
    ASSERT_EQ(got.frame.size(), icmp + 8 + quoted);
    const uint8_t protocol = v4 ? policy::kProtocolIcmp : policy::kProtocolIcmpV6;
    ExpectHeaders(spec, protocol, got.frame);
    EXPECT_EQ(got.frame[icmp], v4 ? 3 : 1);
    EXPECT_EQ(got.frame[icmp + 1], v4 ? 13 : 1);
    EXPECT_EQ(Sum(got.frame, icmp, v4 ? 0 : PseudoSum(spec, protocol, got.frame)), 0xffff);
    const Frame asked = MakeFrame(spec);
    EXPECT_TRUE(
        std::equal(asked.begin() + 14, asked.begin() + 14 + quoted, got.frame.begin() + icmp + 8));
  }
  void ExpectSilence(Hook hook, const FrameSpec& spec, drop_reason reason, uint32_t ingress = 0) {
    const RunResult got = Run(hook, spec, ingress);
    EXPECT_EQ(got.verdict.action, TC_ACT_SHOT);
    EXPECT_EQ(got.verdict.reason, reason);
  }
};

TEST_F(AnswerTest, ASegmentOfNoKnownFlowIsReset) {
  for (const auto& [from, to] : {std::pair{kClient, kServer}, {kClient6, kServer6}}) {
    const FrameSpec tcp = Tcp(from, to);
    ExpectReset(Hook::kFromWorkload, Segment(tcp, kAck, 7000, 9000), DROP_NO_FLOW, kRst, 9000, 0);
    ExpectReset(Hook::kFromWorkload, Segment(tcp, kFinAck, 7000, ~0u), DROP_NO_FLOW, kRst, ~0u, 0);
    // No number that was acknowledged: by the segment's own, payload and FIN counted.
    ExpectReset(Hook::kFromWorkload, Segment(tcp, kFin, 7000), DROP_NO_FLOW, kRstAck, 0,
                7000 + 16 + 1);
  }
  ExpectReset(Hook::kFromHost, Segment(Tcp(kStranger, kServer), kAck, 7000, 9000), DROP_NO_FLOW,
              kRst, 9000, 0);
}

TEST_F(AnswerTest, ItIsNotToldToWhomPolicyDoesNotLetAsk) {
  Say(STATE_RESET_UNKNOWN);
  ExpectSilence(Hook::kFromWorkload, Segment(Tcp(kClient, kClosed), kAck, 7, 9), DROP_NO_FLOW);
  ExpectSilence(Hook::kFromHost, Segment(Tcp(kStranger, kClosed), kAck, 7, 9), DROP_NO_FLOW);
  Say(STATE_REJECT);
  ExpectSilence(Hook::kFromWorkload, Segment(Tcp(kClient, kServer), kAck, 7, 9), DROP_NO_FLOW);
}

TEST_F(AnswerTest, AnAnswerIsNoHitOfARule) {
  const auto hits = [&] {
    uint64_t packets = 0;
    const auto read = HitsInForce(kernel_->object());
    EXPECT_TRUE(read.ok()) << read.status();
    for (const auto& [rule, count] : *read) packets += count.packets;
    return packets;
  };
  const uint64_t before = hits();
  ExpectReset(Hook::kFromWorkload, Segment(Tcp(kClient, kServer), kAck, 7, 9), DROP_NO_FLOW, kRst,
              9, 0);
  EXPECT_EQ(hits(), before);
  Pass(Out(1, kSyn));
  EXPECT_GT(hits(), before);
}

TEST_F(AnswerTest, WhatPolicyDeniesIsAnsweredWhereThatIsWanted) {
  for (const auto& [from, to] : {std::pair{kClient, kServer}, {kClient6, kServer6}}) {
    const FrameSpec tcp = Tcp(from, to, 81), udp = Udp(from, to, 53);
    ExpectReset(Hook::kFromWorkload, Segment(tcp, kSyn, 7000), DROP_POLICY_INGRESS, kRstAck, 0,
                7000 + 16 + 1);
    ExpectProhibited(Hook::kFromWorkload, udp, DROP_POLICY_INGRESS);
    ExpectProhibited(Hook::kFromHost, Udp(kNode, kServer, 53), DROP_POLICY_INGRESS);
    Say(STATE_RESET_UNKNOWN);
    ExpectSilence(Hook::kFromWorkload, Segment(tcp, kSyn, 7000), DROP_POLICY_INGRESS);
    ExpectSilence(Hook::kFromWorkload, udp, DROP_POLICY_INGRESS);
    Say(STATE_REJECT);
  }
  // What comes out of the stack has no way back from there.
  ExpectSilence(Hook::kToWorkload, Segment(Tcp(kStranger, kClosed), kSyn, 7), DROP_POLICY_INGRESS,
                kAway);
}

TEST_F(AnswerTest, ALiveConnectionThatIsCutHearsOfIt) {
  Open(1);
  kernel_->object().state()->flags = STATE_REJECT;
  HandmadeTables tables(kernel_->engine_options());
  tables.AddPod(kServer, 2, closed_, closed_);
  ASSERT_TRUE(kernel_->tables().Apply(tables.Take()).ok());
  __atomic_add_fetch(kernel_->object().epoch(2), 1, __ATOMIC_RELEASE);
  ExpectReset(Hook::kFromWorkload, Out(1, kAck, 1001, 5001), DROP_POLICY_INGRESS, kRst, 5001, 0);
}

TEST_F(AnswerTest, AnswersAndPartsAreNotAnswered) {
  ExpectSilence(Hook::kFromWorkload, Segment(Tcp(kClient, kServer), kRst, 7), DROP_NO_FLOW);
  ExpectSilence(Hook::kFromWorkload, Segment(Tcp(kClient, kServer), kRstAck, 7, 9), DROP_NO_FLOW);
  FrameSpec fragment = Udp(kClient, kServer, 53);
  fragment.fragmented = fragment.more_fragments = true;
  ExpectSilence(Hook::kFromWorkload, fragment, DROP_POLICY_INGRESS);
  FrameSpec options = Udp(kClient, kServer, 53);
  options.ipv4_options = {1, 1, 1, 1};
  ExpectSilence(Hook::kFromWorkload, options, DROP_POLICY_INGRESS);
  ExpectSilence(Hook::kFromWorkload, Udp(kStranger, kServer, 53), DROP_SPOOFED);
}

TEST_F(AnswerTest, ThereAreOnlySoManyInASecond) {
  const FrameSpec segment = Segment(Tcp(kClient, kServer), kAck, 7000, 9000);
  // A run of the program on whatever CPU; more than all of them may send in the seconds it takes
  // would need less than a microsecond for each.
  size_t silent = 0;
  const int most = 1'000'000;
  for (int i = 0; i < most && silent == 0; ++i)
    silent += Run(Hook::kFromWorkload, segment).verdict.action == TC_ACT_SHOT;
  EXPECT_EQ(silent, 1u);
}

}  // namespace
}  // namespace ripstop::loader
