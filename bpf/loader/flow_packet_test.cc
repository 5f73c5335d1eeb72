// SPDX-License-Identifier: Apache-2.0
//
// What packets do to flows: how they begin, open, close and end, and on whose account.
#include <time.h>

#include <random>
#include <set>
#include <thread>
#include <tuple>

#include "bpf/loader/flow_reader.h"
#include "bpf/loader/packet_testing.h"
#include "bpf/loader/tables_reader.h"

namespace ripstop::loader {
namespace {

constexpr uint64_t kSecond = 1000000000;
constexpr uint8_t kSyn = 0x02, kSynAck = 0x12, kAck = 0x10, kRst = 0x04, kRstAck = 0x14,
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

TEST_F(FlowTest, AnUnansweredFlowMakesRoomForALaterOneOfItsPodAndOfNoOther) {
  kernel_->object().state()->account_half_open = 3;
  const FrameSpec other = Udp(kServer, kClient, 53, 999);
  Pass(other);
  for (uint16_t port = 1; port <= 5; ++port) Pass(Out(port, kSyn));
  for (uint16_t port = 1; port <= 5; ++port)
    EXPECT_EQ(FlowExists(Out(port, kSyn)), port > 2) << port;
  EXPECT_EQ(AccountOf(Out(5, kSyn)).evicted, 2u);
  EXPECT_TRUE(FlowExists(other));
  // An answer takes it out of the reckoning.
  Pass(Back(3, kSynAck));
  Pass(Out(3, kAck, 1001, 5001));
  Pass(Out(6, kSyn));
  for (uint16_t port = 3; port <= 6; ++port) EXPECT_TRUE(FlowExists(Out(port, kSyn))) << port;
  ExpectCountsAreRight();
}

TEST_F(FlowTest, WhenNoneOfTheLatestCanMakeRoomTheNewOneIsDenied) {
  for (uint16_t port = 1; port <= 4; ++port) Pass(Out(port, kSyn));
  for (uint16_t port = 100; port < 100 + FLOW_HALF_OPEN_RING; ++port) Open(port);
  kernel_->object().state()->account_half_open = 4;
  ExpectDrop(Hook::kFromWorkload, Out(5, kSyn), DROP_POD_HALF_OPEN);
  // What is sent to the pod by others is on another account.
  ExpectDelivered(Hook::kFromHost, Tcp(kStranger, kServer), kAway);
  ExpectCountsAreRight();
}

TEST_F(FlowTest, APodHasNoMoreFlowsThanItsShare) {
  kernel_->object().state()->account_flows = 3;
  for (uint16_t port = 1; port <= 3; ++port) Open(port);
  ExpectDrop(Hook::kFromWorkload, Out(4, kSyn), DROP_POD_FLOWS);
  // On the server's account of what it receives: a stranger's are denied, this host's are not.
  for (uint16_t port = 1; port <= 3; ++port) {
    ExpectDelivered(Hook::kFromHost, Tcp(kStranger, kServer, 80, port), kAway);
    Run(Hook::kFromWorkload, Segment(Tcp(kServer, kStranger, port, 80), kSynAck, 5000));
    ExpectDelivered(Hook::kFromHost, Segment(Tcp(kStranger, kServer, 80, port), kAck, 1, 5001),
                    kAway);
  }
  ExpectDrop(Hook::kFromHost, Tcp(kStranger, kServer, 80, 4), DROP_POD_FLOWS, kAway);
  ExpectPassed(Hook::kToWorkload, Tcp(kHost, kServer, 80, 4));
  Pass(Out(1, kAck, 1001, 5001));
  Pass(Udp(kServer, kClient, 53, 999));
  ExpectCountsAreRight();
}

TEST_F(FlowTest, FlowsThatFindTheTableFullAreDeniedAndCounted) {
  auto small = KernelEvaluator::Open({.flows = 1, .event_bytes = 65536});
  ASSERT_TRUE(small.ok()) << small.status();
  kernel_ = *std::move(small);
  for (int i = 0; i < 6; ++i) kernel_->object().state()->host_mac[i] = 0xee;
  HandmadeTables tables(kernel_->engine_options());
  const uint32_t open = tables.AllowAll(1, 11);
  tables.AddPod(kClient, 1, open, open);
  tables.AddPod(kServer, 1, open, open);
  ASSERT_TRUE(kernel_->Apply(tables.Take(), tables.l4_table()).ok());
  Pass(Udp(kClient, kServer, 53, 40000));
  ExpectDrop(Hook::kFromWorkload, Udp(kClient, kServer, 53, 40001), DROP_FLOW_TABLE_FULL);
  EXPECT_EQ(ReadLost(kernel_->object(), LOST_FLOW_ROOM).value_or(0), 1u);
  Pass(Udp(kServer, kClient, 40000, 53));
  ExpectCountsAreRight();
}

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

TEST_F(FlowTest, FlowsAreReadInPartsAndEndedOneByOne) {
  constexpr uint16_t kFlows = 1000;
  kernel_->object().state()->account_flows = kernel_->object().state()->account_half_open =
      2 * kFlows;
  for (uint16_t port = 1; port <= kFlows; ++port) Pass(Out(port, kSyn));
  std::set<uint16_t> ports;
  int parts = 0;
  uint32_t from = 0;
  do {
    const absl::StatusOr<FlowPart> part = ReadFlows(kernel_->object(), from);
    ASSERT_TRUE(part.ok()) << part.status();
    for (const FlowRecord& flow : part->flows) {
      EXPECT_TRUE(flow.current);
      EXPECT_TRUE(ports.insert(ntohs(flow.key.port[flow.value.initiator])).second);
    }
    from = part->next;
    ++parts;
  } while (from != 0);
  EXPECT_EQ(ports.size(), kFlows);
  EXPECT_GT(parts, 1);
  const FlowRecord seventh = {FlowKeyOf(Out(7, kSyn)), Flow(Out(7, kSyn)), true};
  FlowRecord former = seventh;
  former.value.life += uint64_t{1} << 32;
  EXPECT_FALSE(*EndFlow(kernel_->object(), former)) << "another one has its tuple now";
  EXPECT_TRUE(*EndFlow(kernel_->object(), seventh));
  EXPECT_FALSE(*EndFlow(kernel_->object(), seventh));
  EXPECT_FALSE(FlowExists(Out(7, kSyn)));
  ExpectCountsAreRight();
  HandmadeTables tables(kernel_->engine_options());
  tables.Take();
  tables.writes.push_back(policy::BumpEpoch{2});
  Write(tables);
  EXPECT_FALSE(ReadFlows(kernel_->object(), 0)->flows[0].current);
}

// Floods, answers, closes, sweeps and a small table, from two threads at once: whoever ends a
// flow, its account is told once.
TEST_F(FlowTest, CountsEqualARecountAfterFloodsFromTwoProcessors) {
  datapath_state& state = *kernel_->object().state();
  state.account_half_open = 20;
  state.account_flows = 300;
  const auto run = [&](uint32_t seed) {
    std::mt19937 random(seed);
    for (int i = 0; i < 30000; ++i) {
      const auto port = static_cast<uint16_t>(random() % 500);
      const bool back = random() % 2 == 0;
      const uint8_t flags[] = {kSyn, kSyn, kSynAck, kAck, kRstAck, kFinAck};
      FrameSpec spec = back ? Back(port, flags[random() % 6]) : Out(port, flags[random() % 6]);
      if (random() % 4 == 0) {
        spec = back ? Udp(kServer, kClient, port, 53) : Udp(kClient, kServer, 53, port);
      }
      (void)kernel_->Run(Hook::kFromWorkload, MakeFrame(spec), 0);
    }
  };
  std::thread one(run, 1), two(run, 2);
  for (int i = 0; i < 20; ++i) {
    Sweep({.pressed = 1});
    (void)kernel_->object().ForgetFlows({ToKey(Addr(kServer))});
  }
  one.join();
  two.join();
  EXPECT_FALSE(Recount().empty());
  ExpectCountsAreRight();
}

}  // namespace
}  // namespace ripstop::loader
