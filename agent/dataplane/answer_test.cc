// SPDX-License-Identifier: Apache-2.0
//
// What sockets hear when the datapath drops what they sent: with real stacks at both ends, which
// check every sum. The control is silence.
#include "agent/dataplane/testing_nat.h"

namespace ripstop::agent {
namespace {

using testing::kV4;
using testing::kV6;
using testing::NatNode;
using testing::Plan;

constexpr int kSilence = 500;  // ms; where an answer comes it has come long before
constexpr int kPatience = Conversation::kPatience;

class AnswerTest : public NatNode {
 protected:
  void Answer(bool reset_unknown, bool reject_denied) {
    const absl::Status configured = node_->Run([&] {
      return dataplane_->Configure(
          {.reset_unknown = reset_unknown, .reject_denied = reject_denied});
    });
    ASSERT_TRUE(configured.ok()) << configured;
  }
  Conversation Talk(Transport transport, const Plan& plan, bool outside, uint16_t port) {
    return Conversation(transport, {.client_ns = a_->fd(),
                                    .client = plan.a,
                                    .to = outside ? plan.far : plan.b,
                                    .to_port = port,
                                    .server_ns = outside ? far_->fd() : b_->fd(),
                                    .server = outside ? plan.far : plan.b,
                                    .server_port = port});
  }
  void ForgetFlows(const Plan& plan) {
    const auto forgotten = dataplane_->ForgetFlows({policy::Address::Parse(plan.a).value()});
    ASSERT_TRUE(forgotten.ok()) << forgotten.status();
    ASSERT_GT(*forgotten, 0u);
  }
  // What the socket has been told, within that time: 0, or an errno.
  static int Told(int fd, int timeout_ms) {
    pollfd p{.fd = fd, .events = POLLIN, .revents = 0};
    if (poll(&p, 1, timeout_ms) != 1) return 0;
    int error = 0;
    socklen_t length = sizeof(error);
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
    return error;
  }
};

TEST_P(AnswerTest, AForgottenConnectionEndsAtItsNextSegment) {
  Start(Policy::kOpen, Policy::kOpen, false);
  uint16_t port = 8100;
  for (const Plan& plan : {kV4, kV6}) {
    for (const bool outside : {false, true}) {
      for (const bool answered : {false, true}) {
        SCOPED_TRACE(absl::StrCat(plan.a, outside ? " outside" : " to a pod",
                                  answered ? "" : ", in silence"));
        Answer(answered, false);
        Conversation talk = Talk(Transport::kTcp, plan, outside, ++port);
        const absl::Status open = talk.Open();
        ASSERT_TRUE(open.ok()) << open;
        ForgetFlows(plan);
        talk.ClientSays();
        EXPECT_EQ(Told(talk.client_fd(), answered ? kPatience : kSilence),
                  answered ? ECONNRESET : 0);
        // The other end could not have begun it; a pod here is told all the same.
        const bool told = answered && !outside;
        talk.ServerSays();
        EXPECT_EQ(Told(talk.server_fd(), told ? kPatience : kSilence), told ? ECONNRESET : 0);
      }
    }
  }
}

TEST_P(AnswerTest, WhoeverIsOutsideIsToldWherePolicyLetsHimAsk) {
  Open();
  Attach();
  Write(Policy::kClosed, Policy::kClosed, Policy::kOpen);
  Answer(true, false);
  uint16_t port = 8200;
  for (const Plan& plan : {kV4, kV6}) {
    Conversation talk(Transport::kTcp, {.client_ns = far_->fd(),
                                        .client = plan.far,
                                        .to = plan.a,
                                        .to_port = ++port,
                                        .server_ns = a_->fd(),
                                        .server = plan.a,
                                        .server_port = port});
    const absl::Status open = talk.Open();
    ASSERT_TRUE(open.ok()) << open;
    ForgetFlows(plan);
    talk.ClientSays();
    EXPECT_EQ(Told(talk.client_fd(), kPatience), ECONNRESET);
  }
}

TEST_P(AnswerTest, WhatPolicyDeniesIsRefusedAtOnce) {
  Start(Policy::kClosed, Policy::kClosed, false);
  uint16_t port = 8300;
  for (const Plan& plan : {kV4, kV6}) {
    for (const bool outside : {false, true}) {
      for (const bool answered : {false, true}) {
        SCOPED_TRACE(absl::StrCat(plan.a, outside ? " outside" : " to a pod",
                                  answered ? "" : ", in silence"));
        Answer(false, answered);
        const int patience = answered ? kPatience : kSilence;
        Conversation tcp = Talk(Transport::kTcp, plan, outside, ++port);
        ASSERT_TRUE(tcp.Listen().ok());
        ASSERT_TRUE(tcp.Begin().ok());
        EXPECT_EQ(Told(tcp.client_fd(), patience), answered ? ECONNREFUSED : 0);
        Conversation udp = Talk(Transport::kUdp, plan, outside, port);
        ASSERT_TRUE(udp.Listen().ok());
        ASSERT_TRUE(udp.Begin().ok());
        udp.ClientSays();
        EXPECT_EQ(Told(udp.client_fd(), patience), !answered ? 0 : plan.v4 ? EHOSTUNREACH : EACCES);
      }
    }
  }
}

TEST_P(AnswerTest, ACutConnectionEndsAtBothEnds) {
  uint16_t port = 8400;
  for (const Plan& plan : {kV4, kV6}) {
    if (dataplane_ == nullptr) Start(Policy::kOpen, Policy::kOpen, false);
    Write(Policy::kOpen, Policy::kOpen);
    Answer(false, true);
    Conversation talk = Talk(Transport::kTcp, plan, false, ++port);
    const absl::Status open = talk.Open();
    ASSERT_TRUE(open.ok()) << open;
    Write(Policy::kOpen, Policy::kClosed);
    talk.ClientSays();
    EXPECT_EQ(Told(talk.client_fd(), kPatience), ECONNRESET);
    talk.ServerSays();
    EXPECT_EQ(Told(talk.server_fd(), kPatience), ECONNRESET);
  }
}

INSTANTIATE_TEST_SUITE_P(Attachment, AnswerTest, ::testing::Bool(), testing::AttachmentName);

}  // namespace
}  // namespace ripstop::agent
