// SPDX-License-Identifier: Apache-2.0
//
// On whose account flows are, who makes room, and that every count is a recount's.
#include <random>
#include <set>
#include <thread>

#include "bpf/loader/flow_reader.h"
#include "bpf/loader/flow_testing.h"
#include "bpf/loader/tables_reader.h"

namespace ripstop::loader {
namespace {

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
