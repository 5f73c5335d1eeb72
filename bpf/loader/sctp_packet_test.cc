// SPDX-License-Identifier: Apache-2.0
//
// SCTP associations, chunk by chunk. There are no sockets for it on the machines that run these.
#include "bpf/loader/flow_testing.h"

namespace ripstop::loader {
namespace {

constexpr uint8_t kData = 0, kInit = 1, kInitAck = 2, kHeartbeat = 4, kAbort = 6, kCookieEcho = 10,
                  kShutdownComplete = 14;
constexpr uint32_t kOfClient = 0x11111111, kOfServer = 0x22222222;

class SctpTest : public FlowTest {
 protected:
  static FrameSpec Chunk(bool out, uint8_t chunk, uint32_t tag) {
    FrameSpec spec = out ? Udp(kServer, kClient, 5000, 6000) : Udp(kClient, kServer, 6000, 5000);
    spec.packet.protocol = policy::kProtocolSctp;
    spec.sctp_chunk = chunk;
    spec.sctp_tag = tag;
    return spec;
  }
  // From the server's pod, whom the client admits.
  static FrameSpec Out(uint8_t chunk, uint32_t tag) { return Chunk(true, chunk, tag); }
  static FrameSpec Back(uint8_t chunk, uint32_t tag) { return Chunk(false, chunk, tag); }
  void Associate() {
    Pass(Out(kInit, 0));
    Pass(Back(kInitAck, kOfServer));
    Pass(Out(kCookieEcho, kOfClient));
    Pass(Back(kData, kOfServer));
  }
  uint32_t Swept(uint64_t seconds) {
    return Sweep({.now_ns = Flow(Out(kInit, 0)).seen_ns + seconds * kSecond}).removed;
  }
};

TEST_F(SctpTest, AnAssociationBeginsWithInitOrHeartbeat) {
  for (const uint8_t chunk : {kData, kInitAck, kAbort, kCookieEcho, kShutdownComplete}) {
    ExpectDrop(Hook::kFromWorkload, Out(chunk, kOfClient), DROP_NO_FLOW);
    EXPECT_FALSE(FlowExists(Out(chunk, kOfClient)));
  }
  Associate();
  EXPECT_TRUE(FlowExists(Out(kInit, 0), true));
  FrameSpec path = Out(kHeartbeat, kOfClient);
  path.packet.source_port = 6001;
  Pass(path);
  EXPECT_TRUE(FlowExists(path, false));
}

TEST_F(SctpTest, AnInitAgainstTheFlowIsJudgedInItsOwnDirection) {
  Associate();
  Pass(Back(kData, kOfServer));
  ExpectDrop(Hook::kFromWorkload, Back(kInit, 0), DROP_POLICY_INGRESS);
  Pass(Back(kData, kOfServer));
}

TEST_F(SctpTest, WhatNobodyAnswersGoesSoonAndTheRestStays) {
  Pass(Out(kInit, 0));
  EXPECT_EQ(Swept(19), 0u);
  EXPECT_EQ(Swept(25), 1u);
  Associate();
  EXPECT_EQ(Swept(500), 0u);
}

TEST_F(SctpTest, ItEndsByWhoeverKnowsATag) {
  for (const uint8_t chunk : {kAbort, kShutdownComplete}) {
    for (const bool out : {true, false}) {
      for (const uint32_t tag : {kOfClient, kOfServer}) {
        Associate();
        Pass(Chunk(out, chunk, 0));
        Pass(Chunk(out, chunk, 0x33333333));
        EXPECT_EQ(Swept(500), 0u) << "forged";
        Pass(Chunk(out, chunk, tag));
        EXPECT_EQ(Swept(30), 0u);
        EXPECT_EQ(Swept(45), 1u);
      }
    }
  }
}

// The tag of a refusal is the one that the INIT proposes, which no header has had yet.
TEST_F(SctpTest, ARefusalOpensNothing) {
  Pass(Out(kInit, 0));
  Pass(Back(kAbort, kOfServer));
  EXPECT_TRUE(FlowExists(Out(kInit, 0), false)) << "still unanswered";
  EXPECT_EQ(Swept(25), 1u);
}

TEST_F(SctpTest, AnAssociationThatGoesOnOutlivesAnEnd) {
  Associate();
  Pass(Back(kAbort, kOfServer));
  Pass(Out(kData, kOfClient));
  EXPECT_EQ(Swept(500), 0u);
}

}  // namespace
}  // namespace ripstop::loader
