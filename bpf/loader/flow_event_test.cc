// SPDX-License-Identifier: Apache-2.0
//
// What is told of flows and drops, packet by packet; and whose loss a drop is.
#include <gmock/gmock.h>

#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bpf/loader/drop_reader.h"
#include "bpf/loader/flow_reader.h"
#include "bpf/loader/flow_testing.h"
#include "bpf/loader/tables_reader.h"

namespace ripstop::loader {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class FlowEventTest : public FlowTest {
 protected:
  void SetUp() override {
    FlowTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    ring_ = ring_buffer__new(kernel_->object().events(), OnEvent, this, nullptr);
    ASSERT_NE(ring_, nullptr);
    Watch(STATE_WATCH_FLOWS | STATE_WATCH_CLOSED);
  }
  ~FlowEventTest() override { ring_buffer__free(ring_); }

  void Watch(uint32_t flags) { kernel_->object().state()->flags = flags; }

  // What was told since last time.
  std::vector<flow_event> Events() {
    ring_buffer__consume(ring_);
    return std::exchange(events_, {});
  }
  // "closed 40000 by 1", by the port of who began it
  std::vector<std::string> Told() {
    static const char* const kTypes[] = {"",        "new",       "denied", "closed",
                                         "changed", "heartbeat", "dropped"};
    std::vector<std::string> told;
    for (const flow_event& event : Events()) {
      std::string text = absl::StrCat(kTypes[event.type], " ", ntohs(event.source_port));
      if (event.closed_by != 0) absl::StrAppend(&text, " by ", event.closed_by);
      if (event.reason != 0) absl::StrAppend(&text, " reason ", event.reason);
      told.push_back(text);
    }
    return told;
  }
  uint64_t Lost() { return ReadLost(kernel_->object(), LOST_EVENTS).value_or(99); }
  // The server's pod takes and sends by another set from now on, and its flows ask again.
  void Rule(uint32_t word) {
    HandmadeTables tables(kernel_->engine_options());
    tables.Take();
    tables.SkipLines(200 + 40 * rules_++);
    const uint32_t set = tables.AddSet(2, [word](uint32_t, uint32_t) { return word; });
    const uint32_t open = tables.AllowAll(1, 11);
    tables.AddPod(kServer, 2, open, set);
    tables.writes.push_back(policy::BumpEpoch{2});
    Write(tables);
  }
  std::map<uint32_t, uint64_t> LossesFor(drop_reason reason) {
    std::map<uint32_t, uint64_t> packets;
    const auto counts = ReadInterfaceDrops(kernel_->object());
    EXPECT_TRUE(counts.ok()) << counts.status();
    for (const InterfaceDropCount& count : *counts) {
      if (count.reason == reason) packets[count.ifindex] = count.packets;
    }
    return packets;
  }

 private:
  static int OnEvent(void* context, void* data, size_t) {
    flow_event event;
    std::memcpy(&event, data, sizeof(event));
    static_cast<FlowEventTest*>(context)->events_.push_back(event);
    return 0;
  }
  ring_buffer* ring_ = nullptr;
  std::vector<flow_event> events_;
  uint32_t rules_ = 0;
};

TEST_F(FlowEventTest, AFlowIsToldOfWhenItBeginsAndOnceWhenItIsOverWithWhatItHasCarried) {
  Open(1);
  Pass(Out(1, kFinAck, 1001, 5001));
  Pass(Back(1, kFinAck, 5001, 1002));
  Pass(Out(1, kAck, 1002, 5002));
  std::vector<flow_event> events = Events();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].type, FLOW_EVENT_NEW);
  EXPECT_EQ(ntohs(events[0].source_port), 1);
  EXPECT_EQ(ntohs(events[0].destination_port), 80);
  EXPECT_EQ(events[0].egress_verdict, VERDICT_ALLOW | 11);
  EXPECT_EQ(events[0].ingress_verdict, VERDICT_ALLOW | 21);
  EXPECT_EQ(events[0].ifindex, 0u);

  const uint64_t seen = Flow(Out(1, kSyn)).seen_ns;
  Sweep({.now_ns = seen + FLOW_CLOSED_QUIET_NS - 1});
  EXPECT_THAT(Events(), IsEmpty()) << "the last packets may be under way";
  Sweep({.now_ns = seen + FLOW_CLOSED_QUIET_NS});
  events = Events();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].type, FLOW_EVENT_CLOSED);
  EXPECT_EQ(events[0].closed_by, FLOW_CLOSED_FIN);
  EXPECT_EQ(ntohs(events[0].source_port), 1);
  EXPECT_EQ(events[0].ingress_verdict, VERDICT_ALLOW | 21);
  const uint64_t bytes = MakeFrame(Out(1, kSyn)).size();
  EXPECT_EQ(events[0].sent[0].packets, 4u);
  EXPECT_EQ(events[0].sent[0].bytes, 4 * bytes);
  EXPECT_EQ(events[0].sent[1].packets, 2u);
  EXPECT_EQ(events[0].sent[1].bytes, 2 * bytes);
  EXPECT_EQ(Sweep({.now_ns = seen + 32 * kSecond}).removed, 1u);
  EXPECT_THAT(Told(), IsEmpty()) << "it was told of before";
  ExpectCountsAreRight();
}

TEST_F(FlowEventTest, WhatEndedAFlowIsSaid) {
  // Refused by the server.
  Pass(Out(1, kSyn));
  Pass(Back(1, kRstAck, 0, 1001));
  EXPECT_THAT(Told(), ElementsAre("new 1", absl::StrCat("closed 1 by ", FLOW_CLOSED_REFUSED)));
  // Never answered, and answered and quiet.
  Pass(Out(2, kSyn));
  Open(3);
  Told();
  Sweep({.now_ns = Flow(Out(3, kSyn)).seen_ns + 32 * kSecond});
  EXPECT_THAT(Told(), ElementsAre(absl::StrCat("closed 2 by ", FLOW_CLOSED_UNANSWERED)));
  Sweep({.now_ns = Flow(Out(3, kSyn)).seen_ns + FLOW_TCP_IDLE_NS + 1});
  EXPECT_THAT(Told(), ElementsAre(absl::StrCat("closed 3 by ", FLOW_CLOSED_IDLE)));
  // By a reset; and what goes on after one is not over.
  Open(4);
  Told();
  Pass(Back(4, kRst, 5001));
  const uint64_t seen = Flow(Out(4, kSyn)).seen_ns;
  Sweep({.now_ns = seen + FLOW_CLOSED_QUIET_NS + 1});
  EXPECT_THAT(Told(), ElementsAre(absl::StrCat("closed 4 by ", FLOW_CLOSED_RST)));
  Pass(Back(4, kAck, 5001));
  Sweep({.now_ns = seen + FLOW_CLOSED_QUIET_NS + 1});
  Pass(Out(4, kFinAck, 1001, 5001));
  Pass(Back(4, kFinAck, 5001, 1002));
  Sweep({.now_ns = Flow(Out(4, kSyn)).seen_ns + FLOW_CLOSED_QUIET_NS + 1});
  EXPECT_THAT(Told(), ElementsAre(absl::StrCat("closed 4 by ", FLOW_CLOSED_FIN)));
  // A new connection under its ports: the old one was told of.
  Pass(Out(4, kSyn, 77000));
  EXPECT_THAT(Told(), ElementsAre("new 4"));
  // Where there was no time to tell of it, it is told of then.
  Open(5);
  Pass(Out(5, kFinAck, 1001, 5001));
  Pass(Back(5, kFinAck, 5001, 1002));
  Told();
  Pass(Out(5, kSyn, 77000));
  EXPECT_THAT(Told(), ElementsAre(absl::StrCat("closed 5 by ", FLOW_CLOSED_FIN), "new 5"));
  // By somebody's hand, and with its pod.
  const FlowRecord flow = {FlowKeyOf(Out(5, kSyn)), Flow(Out(5, kSyn)), true};
  EXPECT_TRUE(*EndFlow(kernel_->object(), flow));
  EXPECT_FALSE(*EndFlow(kernel_->object(), flow));
  EXPECT_THAT(Told(), ElementsAre(absl::StrCat("closed 5 by ", FLOW_CLOSED_FLUSHED)));
  EXPECT_EQ(kernel_->object().ForgetFlows({ToKey(Addr(kServer))}).value_or(0), 1u);
  EXPECT_THAT(Told(), ElementsAre(absl::StrCat("closed 4 by ", FLOW_CLOSED_ENDPOINT)));
  ExpectCountsAreRight();
}

TEST_F(FlowEventTest, ALiveFlowThatIsJudgedOtherwiseIsToldOfOnceAtEachChange) {
  Open(1);
  Told();
  const FrameSpec data = Out(1, kAck, 1001, 5001);
  Rule(VERDICT_ALLOW | 21);
  Pass(data);
  EXPECT_THAT(Told(), IsEmpty()) << "judged again, by the same rule";
  Sweep({.now_ns = Flow(data).seen_ns + FLOW_TCP_IDLE_NS + 1});
  std::vector<flow_event> closed = Events();
  ASSERT_EQ(closed.size(), 1u);
  EXPECT_FALSE(closed[0].outdated);
  // Its rule's number may be another's once policy has changed.
  Open(1);
  Told();
  Rule(VERDICT_ALLOW | 41);
  Sweep({.now_ns = Flow(data).seen_ns + FLOW_TCP_IDLE_NS + 1});
  closed = Events();
  ASSERT_EQ(closed.size(), 1u);
  EXPECT_TRUE(closed[0].outdated);
  Rule(VERDICT_ALLOW | 21);
  Open(1);
  Told();
  Rule(VERDICT_ALLOW | 42);
  Pass(data);
  Pass(data);
  std::vector<flow_event> events = Events();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].type, FLOW_EVENT_CHANGED);
  EXPECT_EQ(events[0].ingress_verdict, VERDICT_ALLOW | 42);
  EXPECT_EQ(events[0].reason, DROP_NONE);
  EXPECT_EQ(events[0].sent[0].packets, 3u);
  EXPECT_EQ(events[0].sent[1].packets, 1u);

  Rule(43);
  ExpectDrop(Hook::kFromWorkload, data, DROP_POLICY_INGRESS);
  ExpectDrop(Hook::kFromWorkload, Back(1, kAck, 5001), DROP_POLICY_INGRESS);
  const std::string reason = absl::StrCat(" reason ", DROP_POLICY_INGRESS);
  EXPECT_THAT(Told(), ElementsAre("changed 1" + reason, "denied 1" + reason));
  Rule(VERDICT_ALLOW | 42);
  Pass(data);
  EXPECT_THAT(Told(), ElementsAre("changed 1"));
  Pass(data);
  EXPECT_THAT(Told(), IsEmpty());
}

TEST_F(FlowEventTest, AFlowThatTalksIsToldOfOnceAMinute) {
  Open(1);
  Told();
  const uint64_t begin = Flow(Out(1, kSyn)).seen_ns;
  const auto sweep = [&](uint64_t from_s, uint64_t to_s) {
    for (uint64_t s = from_s; s < to_s; s += 10) {
      Sweep({.now_ns = begin + (s + 10) * kSecond, .last_ns = begin + s * kSecond});
    }
  };
  sweep(0, FLOW_HEARTBEAT_SECONDS - 10);
  sweep(FLOW_HEARTBEAT_SECONDS - 10, FLOW_HEARTBEAT_SECONDS);
  std::vector<flow_event> events = Events();
  ASSERT_LE(events.size(), 1u) << "at its own moment, or else it had been quiet for a minute";
  for (const flow_event& event : events) {
    EXPECT_EQ(event.type, FLOW_EVENT_HEARTBEAT);
    EXPECT_EQ(event.sent[0].packets, 2u);
    EXPECT_EQ(event.sent[1].packets, 1u);
  }
  sweep(FLOW_HEARTBEAT_SECONDS, 20 * FLOW_HEARTBEAT_SECONDS);
  EXPECT_THAT(Told(), IsEmpty()) << "it is quiet";
  // Many flows: each once, not all at the same moment.
  for (uint16_t port = 2; port < 42; ++port) Open(port);
  Told();
  std::map<std::string, int> beats;
  size_t most = 0;
  for (uint64_t s = 0; s < FLOW_HEARTBEAT_SECONDS - 2; ++s) {
    Sweep({.now_ns = begin + (s + 1) * kSecond, .last_ns = begin + s * kSecond});
    const std::vector<std::string> told = Told();
    most = std::max(most, told.size());
    for (const std::string& one : told) ++beats[one];
  }
  EXPECT_GT(beats.size(), 30u);
  EXPECT_LT(most, 10u);
  for (const auto& [what, times] : beats) EXPECT_EQ(times, 1) << what;
  // Without a sweep before, none is due.
  Sweep({.now_ns = begin + 59 * kSecond});
  EXPECT_THAT(Told(), IsEmpty());
}

TEST_F(FlowEventTest, NothingIsToldOfWhatNobodyWatchesAndPolicyAllows) {
  Watch(0);
  Open(1);
  Rule(VERDICT_ALLOW | 42);
  Pass(Out(1, kAck, 1001, 5001));
  const uint64_t seen = Flow(Out(1, kSyn)).seen_ns;
  Sweep({.now_ns = seen + 50 * kSecond, .last_ns = 1});
  Sweep({.now_ns = seen + FLOW_TCP_IDLE_NS + 1});
  EXPECT_THAT(Told(), IsEmpty());
  EXPECT_EQ(Lost(), 0u);
}

TEST_F(FlowEventTest, OverloadLosesEventsAndCountsThemAndNoPacketIsLost) {
  // The ring: room for some hundreds.
  constexpr uint16_t kFlows = 1000;
  for (uint16_t port = 1; port <= kFlows; ++port) Pass(Udp(kServer, kClient, 53, port));
  const size_t told = Events().size();
  EXPECT_LT(told, kFlows);
  EXPECT_GT(told, 100u);
  EXPECT_EQ(told + Lost(), kFlows);
  // The rate.
  const uint64_t before = Lost();
  kernel_->object().state()->events_per_second = 0;
  for (uint16_t port = 1; port <= 50; ++port) Pass(Udp(kServer, kClient, 54, port));
  EXPECT_THAT(Told(), IsEmpty());
  EXPECT_EQ(Lost(), before + 50);
}

TEST_F(FlowEventTest, WhatIsDroppedIsSampledThoughNobodyWatches) {
  Watch(0);
  constexpr int kPackets = 400, kSamples = EVENT_SAMPLES_PER_SECOND;
  // Policy's and the others' do not take each other's room.
  for (int i = 0; i < kPackets; ++i) {
    ExpectDrop(Hook::kFromWorkload, Tcp(kStranger, kServer), DROP_SPOOFED);
  }
  for (int i = 0; i < kPackets; ++i) {
    ExpectDrop(Hook::kFromWorkload, Tcp(kClient, kServer, 81), DROP_POLICY_INGRESS);
  }
  int denied = 0, dropped = 0;
  for (const flow_event& event : Events()) {
    EXPECT_EQ(event.ifindex, 1u);
    if (event.type == FLOW_EVENT_DENIED) {
      ++denied;
      EXPECT_EQ(event.reason, DROP_POLICY_INGRESS);
      EXPECT_EQ(event.ingress_verdict, 22u);
      EXPECT_EQ(ntohs(event.destination_port), 81);
    } else {
      ++dropped;
      EXPECT_EQ(event.type, FLOW_EVENT_DROPPED);
      EXPECT_EQ(event.reason, DROP_SPOOFED);
      const ip_address stranger = ToKey(Addr(kStranger));
      EXPECT_EQ(std::memcmp(&event.source, &stranger, sizeof(stranger)), 0);
    }
  }
  EXPECT_GE(denied, kSamples);
  EXPECT_LT(denied, kPackets / 2);
  EXPECT_GE(dropped, kSamples);
  EXPECT_LT(dropped, kPackets / 2);
  EXPECT_EQ(Lost(), 0u) << "a sample is not all";
}

TEST_F(FlowEventTest, AFrameThatIsNoPacketIsToldOfWithoutAnOlderOnesAddresses) {
  Watch(0);
  Pass(Udp(kServer, kClient, 53));
  Frame arp = MakeFrame(Udp(kServer, kClient, 53));
  arp[12] = 0x08;
  arp[13] = 0x06;
  ExpectDrop(Hook::kFromWorkload, arp, DROP_ARP);
  const std::vector<flow_event> events = Events();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].reason, DROP_ARP);
  const ip_address none = {};
  EXPECT_EQ(std::memcmp(&events[0].source, &none, sizeof(none)), 0);
}

TEST_F(FlowEventTest, ADropIsTheLossOfThePodWhosePolicyItWasElseOfWhoSentOrShouldHaveGotIt) {
  constexpr uint32_t kOther = 4242;
  HandmadeTables tables(kernel_->engine_options());
  tables.Take();
  tables.SkipLines(200);
  tables.AddPod("198.51.100.80", 2, tables.AllowAll(7, 77), tables.DenyAll(8, 88), kOther);
  ASSERT_TRUE(kernel_->tables().Apply(tables.Take()).ok());
  ExpectDrop(Hook::kFromWorkload, Tcp(kClient, "198.51.100.80"), DROP_POLICY_INGRESS);
  ExpectDrop(Hook::kFromHost, Tcp(kStranger, "198.51.100.80"), DROP_POLICY_INGRESS, kAway);
  EXPECT_THAT(LossesFor(DROP_POLICY_INGRESS), ElementsAre(std::pair(kOther, 2u)));
  ExpectDrop(Hook::kFromWorkload, Tcp(kClosed, kClient), DROP_POLICY_EGRESS);
  EXPECT_THAT(LossesFor(DROP_POLICY_EGRESS), ElementsAre(std::pair(1u, 1u)));
  ExpectDrop(Hook::kFromHost, Flags(Tcp(kStranger, "198.51.100.80"), kAck), DROP_NO_FLOW, kAway);
  EXPECT_THAT(LossesFor(DROP_NO_FLOW), ElementsAre(std::pair(kOther, 1u)));
  ExpectDrop(Hook::kFromWorkload, Tcp(kStranger, kClient), DROP_SPOOFED);
  EXPECT_THAT(LossesFor(DROP_SPOOFED), ElementsAre(std::pair(1u, 1u)));
  // All that is counted by reason is somebody's.
  std::map<drop_reason, uint64_t> sums;
  const auto counts = ReadInterfaceDrops(kernel_->object());
  for (const InterfaceDropCount& count : *counts) sums[count.reason] += count.packets;
  for (const auto& [reason, packets] : sums) EXPECT_EQ(packets, Drops(reason)) << reason;

  EXPECT_TRUE(ForgetInterfaceDrops(kernel_->object(), kOther).ok());
  EXPECT_TRUE(ForgetInterfaceDrops(kernel_->object(), kOther).ok());
  EXPECT_THAT(LossesFor(DROP_POLICY_INGRESS), IsEmpty());
  EXPECT_THAT(LossesFor(DROP_SPOOFED), ElementsAre(std::pair(1u, 1u)));
  EXPECT_EQ(Drops(DROP_POLICY_INGRESS), 2u) << "the total stays";
}

}  // namespace
}  // namespace ripstop::loader
