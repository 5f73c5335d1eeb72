// SPDX-License-Identifier: Apache-2.0
//
// What packets do to flows: how they begin, open and close.
#include "bpf/loader/flow_testing.h"

namespace ripstop::loader {
namespace {

TEST_F(FlowTest, ConnectionsAreOpenOnceTheirHandshakeIsComplete) {
  const FrameSpec flow = Out(1, kSyn);
  Pass(flow);
  EXPECT_TRUE(FlowExists(flow, false));
  Pass(Back(1, kSynAck));
  EXPECT_TRUE(FlowExists(flow, false)) << "whoever forges the SYN's source answers no more";
  Pass(Out(1, kAck, 1001, 5001));
  EXPECT_TRUE(FlowExists(flow, true));

  const FrameSpec question = Udp(kServer, kClient, 53), answer = Udp(kClient, kServer, 40000, 53);
  Pass(question);
  Pass(question);
  EXPECT_TRUE(FlowExists(question, false));
  Pass(answer);
  EXPECT_TRUE(FlowExists(question, true));
  ExpectCountsAreRight();
}

// Whoever forges the source of a SYN does not see the answer.
TEST_F(FlowTest, AnAckThatHasNotSeenTheAnswerOpensNothing) {
  Pass(Out(1, kSyn));
  Pass(Out(1, kAck, 1001, 5001));
  Pass(Back(1, kSynAck));
  for (const uint32_t number : {0u, 4999u, 5001u + 600000u, 1u << 31}) {
    Pass(Out(1, kAck, 1001, number));
    EXPECT_TRUE(FlowExists(Out(1, kSyn), false)) << number;
  }
  Pass(Out(1, kAck, 1001, 5001));
  EXPECT_TRUE(FlowExists(Out(1, kSyn), true));
}

// Nothing comes after it: the flow goes when the unanswered do, not when connections do.
TEST_F(FlowTest, AResetOfWhoAskedOpensNothing) {
  Pass(Out(1, kSyn));
  Pass(Back(1, kSynAck));
  Pass(Out(1, kRstAck, 1001, 5001));
  EXPECT_TRUE(FlowExists(Out(1, kSyn), false));
  EXPECT_EQ(Sweep({.now_ns = Flow(Out(1, kSyn)).seen_ns + 22 * kSecond}).removed, 1u);
}

TEST_F(FlowTest, WhatIsForgedDuringAHandshakeDoesNotKeepItFromOpeningNorFromClosing) {
  const FrameSpec flow = Out(1, kSyn);
  Pass(flow);
  Pass(Back(1, kRst, 700));
  Pass(Back(1, kRstAck, 700, 4711));
  Pass(Back(1, kFinAck, 700, 4711));
  Pass(Out(1, kSyn, 900000000));
  Pass(Back(1, kSynAck));
  Pass(Out(1, kAck, 1001, 5001));
  EXPECT_TRUE(FlowExists(flow, true));
  EXPECT_FALSE(Flow(flow).flags & FLOW_RESET);
  Pass(Out(1, kFinAck, 1001, 5001));
  EXPECT_EQ(Sweep({.now_ns = Flow(flow).seen_ns + 3600 * kSecond}).removed, 0u)
      << "one end has said FIN";
  Pass(Back(1, kFinAck, 5001, 1002));
  EXPECT_EQ(Sweep({.now_ns = Flow(flow).seen_ns + 32 * kSecond}).removed, 1u);
}

TEST_F(FlowTest, PacketsAndBytesAreCountedByTheEndThatSentThem) {
  Open(1);
  const flow_value flow = Flow(Out(1, kSyn));
  const flow_count& out = flow.sent[flow.initiator];
  const flow_count& back = flow.sent[1 - flow.initiator];
  EXPECT_EQ(out.packets, 2u);
  EXPECT_EQ(out.bytes, 2 * MakeFrame(Out(1, kSyn)).size());
  EXPECT_EQ(back.packets, 1u);
  EXPECT_EQ(back.bytes, MakeFrame(Back(1, kSynAck)).size());
}

TEST_F(FlowTest, ARefusedConnectionIsGoneAtOnceAndAForgedRefusalChangesNothing) {
  const FrameSpec flow = Out(1, kSyn);
  Pass(flow);
  Pass(Back(1, kRstAck, 0, 4711));
  EXPECT_TRUE(FlowExists(flow, false)) << "it does not name the SYN's number";
  Pass(Back(1, kRstAck, 0, 1001));
  EXPECT_FALSE(FlowExists(flow));
  // The same where the flow is judged again on the way.
  Pass(flow);
  HandmadeTables tables(kernel_->engine_options());
  tables.Take();
  tables.writes.push_back(policy::BumpEpoch{2});
  Write(tables);
  Pass(Back(1, kRstAck, 0, 1001));
  EXPECT_FALSE(FlowExists(flow));
  ExpectCountsAreRight();
}

TEST_F(FlowTest, AResetOnlyShortensTheFlowUntilItGoesOn) {
  Open(1);
  Pass(Back(1, kRst, 5001));
  EXPECT_TRUE(Flow(Out(1, kSyn)).flags & FLOW_RESET);
  Pass(Back(1, kAck, 5001));
  EXPECT_FALSE(Flow(Out(1, kSyn)).flags & FLOW_RESET);
}

TEST_F(FlowTest, ResetsAndFinsOfNumbersThatTheirSenderIsNotAtShortenNothing) {
  Open(1);
  const FrameSpec flow = Out(1, kSyn);
  for (const uint32_t number :
       {5001u + (1u << 30), 5001u - (1u << 30), 5001u + 600000u, 5001u - 70000u}) {
    Pass(Back(1, kAck, number));
    Pass(Back(1, kRst, number));
    Pass(Back(1, kFinAck, number));
    EXPECT_FALSE(Flow(flow).flags & FLOW_RESET) << number;
  }
  Pass(Out(1, kFinAck, 1001));
  EXPECT_EQ(Sweep({.now_ns = Flow(flow).seen_ns + 2 * 3600 * kSecond}).removed, 0u);
  // Where its sender is: far from where it began, by steps and by what one segment carries.
  for (uint32_t number = 5001; number < 5001 + 3000000; number += 190000) {
    Pass(Back(1, kAck, number));
  }
  Pass(Back(1, kFinAck, 5001 + 3000000));
  EXPECT_EQ(Sweep({.now_ns = Flow(flow).seen_ns + 32 * kSecond}).removed, 1u);
}

TEST_F(FlowTest, ASynOnALiveFlowIsJudgedAndLeavesItOpen) {
  Open(1);
  const FrameSpec flow = Out(1, kSyn);
  const uint64_t life = Flow(flow).life;
  Pass(Out(1, kSyn, 900000000));
  EXPECT_EQ(Flow(flow).life, life) << "others could forge it, and have it evicted";
  Pass(Out(1, kRst, 900000000));
  EXPECT_FALSE(Flow(flow).flags & FLOW_RESET) << "nor does its number count";
  // If it was meant, the other end says so, and its numbers are those from now on.
  Pass(Back(1, kSynAck, 2000000000, 900000001));
  Pass(Back(1, kRst, 2000000001));
  EXPECT_TRUE(Flow(flow).flags & FLOW_RESET);
}

TEST_F(FlowTest, ASynOnAClosedFlowBeginsANewOne) {
  Open(1);
  const FrameSpec flow = Out(1, kSyn);
  Pass(Out(1, kFinAck, 1001, 5001));
  Pass(Back(1, kFinAck, 5001, 1002));
  const uint64_t life = Flow(flow).life;
  Pass(Out(1, kSyn, 77000));
  EXPECT_NE(Flow(flow).life >> 32, life >> 32);
  EXPECT_TRUE(FlowExists(flow, false));
  EXPECT_EQ(Flow(flow).side[Flow(flow).initiator].tcp_flags, kSyn);
  ExpectCountsAreRight();
}

}  // namespace
}  // namespace ripstop::loader
