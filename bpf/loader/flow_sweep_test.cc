// SPDX-License-Identifier: Apache-2.0
//
// How long flows may be quiet.
#include <time.h>

#include <tuple>
#include <vector>

#include "bpf/loader/flow_testing.h"

namespace ripstop::loader {
namespace {

TEST_F(FlowTest, WhatIsOverGoesSoonerWhileTheTableIsNearlyFull) {
  for (const uint16_t port : {1, 2, 3}) Open(port);
  Pass(Out(4, kSyn));
  const FrameSpec live = Out(1, kAck), closed = Out(2, kAck), reset = Out(3, kAck);
  Pass(Out(2, kFinAck, 1001));
  Pass(Back(2, kFinAck, 5001));
  Pass(Back(3, kRstAck, 5001));
  const uint64_t now = Flow(live).seen_ns;
  Sweep({.now_ns = now + 18 * kSecond});
  EXPECT_TRUE(FlowExists(Out(4, kSyn)));
  Sweep({.now_ns = now + 22 * kSecond});
  EXPECT_FALSE(FlowExists(Out(4, kSyn))) << "nobody has answered";
  EXPECT_TRUE(FlowExists(closed));
  Sweep({.now_ns = now + 32 * kSecond});
  EXPECT_FALSE(FlowExists(closed)) << "both have said FIN";
  EXPECT_TRUE(FlowExists(reset)) << "a reset may be forged";
  Sweep({.now_ns = now + 32 * kSecond, .pressed = 1});
  EXPECT_FALSE(FlowExists(reset));
  EXPECT_TRUE(FlowExists(live));
  Sweep({.now_ns = now + 7201 * kSecond});
  EXPECT_TRUE(FlowExists(live)) << "hosts ask after two hours whether the other end is there";
  ExpectCountsAreRight();
}

// One flow of each kind; then each limit for itself, and zero, which is the usual one again.
TEST_F(FlowTest, TheSweepGoesByTheTimesThatAreSet) {
  const FrameSpec tcp = Out(1, kAck), half_open = Out(2, kSyn), closed = Out(3, kAck),
                  reset = Out(4, kAck), udp = Udp(kServer, kClient, 53, 5);
  const auto begin = [&] {
    for (const uint16_t port : {1, 3, 4}) Open(port);
    Pass(half_open);
    Pass(Out(3, kFinAck, 1001));
    Pass(Back(3, kFinAck, 5001));
    Pass(Back(4, kRstAck, 5001));
    Pass(udp);
    Pass(Udp(kClient, kServer, 5, 53));
  };
  const auto sweep = [&](uint64_t idle_ns, bool pressed = false) {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    Sweep({.now_ns = now.tv_sec * kSecond + now.tv_nsec + idle_ns, .pressed = pressed});
  };
  const std::vector<std::tuple<const char*, __u64 flow_timeouts::*, FrameSpec>> kinds = {
      {"tcp", &flow_timeouts::tcp_established_ns, tcp},
      {"half open", &flow_timeouts::tcp_syn_sent_ns, half_open},
      {"closed", &flow_timeouts::tcp_fins_seen_ns, closed},
      {"reset", &flow_timeouts::tcp_reset_seen_ns, reset},
      {"udp", &flow_timeouts::udp_ns, udp},
  };
  for (const auto& [name, limit, flow] : kinds) {
    ASSERT_TRUE(kernel_->object().ForgetFlows({ToKey(Addr(kServer))}).ok());
    begin();
    flow_timeouts timeouts = {};
    timeouts.*limit = 3 * kSecond;
    kernel_->object().SetTimeouts(timeouts);
    sweep(kSecond);
    EXPECT_TRUE(FlowExists(flow)) << name;
    sweep(4 * kSecond);
    for (const auto& [other_name, other_limit, other] : kinds) {
      EXPECT_EQ(FlowExists(other), other_limit != limit)
          << other_name << " while the limit of " << name << " is set";
    }
    kernel_->object().SetTimeouts({});
    ASSERT_TRUE(kernel_->object().ForgetFlows({ToKey(Addr(kServer))}).ok());
    begin();
    sweep(4 * kSecond);
    EXPECT_TRUE(FlowExists(flow)) << name << ": the usual time again";
  }
  // Longer than usual, and shorter only while the table is nearly full.
  flow_timeouts timeouts = {};
  timeouts.udp_ns = 1000 * kSecond;
  kernel_->object().SetTimeouts(timeouts);
  sweep(900 * kSecond);
  EXPECT_TRUE(FlowExists(udp));
  sweep(900 * kSecond, true);
  EXPECT_FALSE(FlowExists(udp));
  begin();
  timeouts.udp_ns = 3 * kSecond;
  kernel_->object().SetTimeouts(timeouts);
  sweep(4 * kSecond, true);
  EXPECT_FALSE(FlowExists(udp)) << "a nearly full table prolongs nothing";
}

TEST_F(FlowTest, SweepRemovesIdleFlowsAndThoseOfAForgottenAddress) {
  Open(1);
  sweep_request got = Sweep({});
  EXPECT_EQ(got.visited, 1u);
  EXPECT_EQ(got.removed, 0u);
  got = Sweep({.now_ns = Flow(Out(1, kSyn)).seen_ns + FLOW_TCP_IDLE_NS + 1});
  EXPECT_EQ(got.removed, 1u);
  EXPECT_FALSE(FlowExists(Out(1, kSyn)));

  Pass(Out(1, kSyn));
  const auto forget = [&](std::vector<ip_address> addresses) {
    return kernel_->object().ForgetFlows(addresses).value_or(99);
  };
  EXPECT_EQ(forget({ToKey(Addr(kHost))}), 0u);
  EXPECT_EQ(forget({ToKey(Addr(kHost)), ToKey(Addr(kServer))}), 1u);
  EXPECT_FALSE(FlowExists(Out(1, kSyn)));
  ExpectCountsAreRight();
}

}  // namespace
}  // namespace ripstop::loader
