// SPDX-License-Identifier: Apache-2.0
//
// What a trace tells of packets in the real programs: each at its hook, as judged, and no other.
#include "bpf/loader/packet_trace.h"

#include <gmock/gmock.h>

#include "bpf/loader/packet_testing.h"

namespace ripstop::loader {
namespace {

class PacketTraceTest : public PacketTest {
 protected:
  void SetUp() override {
    PacketTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    auto programs = TracedPrograms::Load(kernel_->object());
    ASSERT_TRUE(programs.ok()) << programs.status();
    programs_ = *std::move(programs);
  }
  void Begin(const trace_filter& filter = {}) {
    trace_.reset();
    auto begun = programs_->Begin(filter);
    ASSERT_TRUE(begun.ok()) << begun.status();
    trace_ = *std::move(begun);
  }
  // Through the traced program of that name.
  RunResult Traced(const char* name, const FrameSpec& spec, uint32_t ingress = 0) {
    auto result = kernel_->RunProgram(programs_->Program(name), MakeFrame(spec), ingress);
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? *result : RunResult{};
  }
  // A test run is over when it returns, and so are its records.
  std::vector<TracedPacket> Take() {
    auto taken = trace_->Take(absl::ZeroDuration());
    EXPECT_TRUE(taken.ok()) << taken.status();
    return taken.ok() ? *std::move(taken) : std::vector<TracedPacket>();
  }
  static ip_address Key(const char* text) {
    ip_address key;
    std::memcpy(&key, Addr(text).bytes.data(), sizeof(key));
    return key;
  }
  // Of that party; `to`: and of the other.
  static trace_filter Asked(trace_party party, const char* address, const char* to = nullptr) {
    trace_filter filter = {};
    const auto add = [&](trace_party which, const char* text) {
      filter.ends[which].count = 1;
      filter.ends[which].addresses[0] = Key(text);
    };
    add(party, address);
    if (to != nullptr) add(TRACE_TO, to);
    return filter;
  }
  static trace_filter Port(trace_filter filter) {
    filter.port = htons(80);
    return filter;
  }
  static bool Same(const ip_address& a, const char* text) {
    const ip_address b = Key(text);
    return std::memcmp(&a, &b, sizeof(a)) == 0;
  }

  std::shared_ptr<TracedPrograms> programs_;
  std::unique_ptr<PacketTrace> trace_;
};

TEST_F(PacketTraceTest, APacketIsToldOfWithItsVerdictAndItsBytes) {
  Begin({.snap = 60});
  const RunResult run = Traced("from_workload", Tcp(kClient, kServer));
  ASSERT_EQ(run.verdict.action, TC_ACT_REDIRECT);
  const auto packets = Take();
  ASSERT_EQ(packets.size(), 1u);
  const trace_record& r = packets[0].record;
  EXPECT_EQ(r.hook, TRACE_FROM_WORKLOAD);
  EXPECT_EQ(r.action, TC_ACT_REDIRECT);
  EXPECT_EQ(r.egress_verdict, VERDICT_ALLOW | 11);
  EXPECT_EQ(r.ingress_verdict, VERDICT_ALLOW | 21);
  EXPECT_EQ(r.reason, DROP_NONE);
  EXPECT_EQ(r.family, 4);
  EXPECT_TRUE(Same(r.source, kClient));
  EXPECT_TRUE(Same(r.destination, kServer));
  EXPECT_EQ(ntohs(r.source_port), 40000);
  EXPECT_EQ(ntohs(r.destination_port), 80);
  EXPECT_EQ(r.protocol, policy::kProtocolTcp);
  EXPECT_EQ(r.tcp_flags, 0x02);
  EXPECT_EQ(r.length, run.frame.size());
  EXPECT_EQ(r.ifindex, 1u);
  EXPECT_EQ(r.captured, 60u);
  // As the program left it: with the receiver's MAC, one hop farther.
  EXPECT_EQ(packets[0].bytes, Frame(run.frame.begin(), run.frame.begin() + 60));
}

TEST_F(PacketTraceTest, ADropHasItsReasonAndTheRule) {
  Begin();
  Traced("from_workload", Tcp(kClient, kClosed, 81));
  Traced("to_workload", Tcp(kStranger, kServer, 22), kAway);
  Traced("from_host", Tcp(kStranger, kServer, 22), kAway);
  Traced("from_workload", Tcp("198.51.100.99", kServer));
  const auto packets = Take();
  ASSERT_EQ(packets.size(), 4u);
  EXPECT_EQ(packets[0].record.action, TC_ACT_SHOT);
  EXPECT_EQ(packets[0].record.reason, DROP_POLICY_INGRESS);
  EXPECT_EQ(packets[0].record.ingress_verdict, 33u);
  EXPECT_EQ(packets[1].record.hook, TRACE_TO_WORKLOAD);
  EXPECT_EQ(packets[1].record.reason, DROP_POLICY_INGRESS);
  EXPECT_EQ(packets[1].record.ingress_verdict, 22u);
  EXPECT_EQ(packets[2].record.hook, TRACE_FROM_HOST);
  EXPECT_EQ(packets[2].record.reason, DROP_POLICY_INGRESS);
  EXPECT_EQ(packets[3].record.reason, DROP_SPOOFED);
  EXPECT_EQ(packets[3].record.captured, 0u);
}

TEST_F(PacketTraceTest, BothFamiliesAndEveryTransportAreRead) {
  Begin();
  FrameSpec extended = Tcp(kClient6, kServer6);
  extended.extensions = {{0, {0, 1, 4, 0, 0, 0, 0}}, {60, {0, 1, 4, 0, 0, 0, 0}}};
  FrameSpec options = Udp(kClient, kServer, 53);
  options.ipv4_options = {1, 1, 1, 0};
  Traced("from_workload", extended);
  Traced("from_workload", options);
  Traced("from_workload", Icmp(kClient, kServer, 8));
  Traced("from_workload", Icmp(kClient6, kServer6, 1, 4));
  FrameSpec later = Udp(kClient, kServer, 53);
  later.fragmented = true;
  later.fragment_offset = 800;
  Traced("from_workload", later);
  const auto packets = Take();
  ASSERT_EQ(packets.size(), 5u);
  const trace_record& six = packets[0].record;
  EXPECT_EQ(six.family, 6);
  EXPECT_EQ(six.protocol, policy::kProtocolTcp);
  EXPECT_TRUE(Same(six.source, kClient6));
  EXPECT_EQ(ntohs(six.destination_port), 80);
  EXPECT_EQ(ntohs(packets[1].record.destination_port), 53);
  EXPECT_TRUE(packets[2].record.flags & TRACE_HAS_ICMP);
  EXPECT_EQ(packets[2].record.icmp_type, 8);
  EXPECT_EQ(ntohs(packets[2].record.source_port), 1);  // the echo's identifier
  EXPECT_EQ(packets[3].record.icmp_type, 1);
  EXPECT_EQ(packets[3].record.icmp_code, 4);
  EXPECT_EQ(packets[4].record.flags & (TRACE_LATER_FRAGMENT | TRACE_HAS_PORTS),
            TRACE_LATER_FRAGMENT);
}

TEST_F(PacketTraceTest, WhatDoesNotFitIsNotTold) {
  // A row each: the filter, and how many of the four packets fit.
  struct Row {
    const char* name;
    trace_filter filter;
    size_t fit;
  };
  const uint8_t udp = policy::kProtocolUdp;
  const Row rows[] = {
      {"any", {}, 4},
      {"pod", Asked(TRACE_POD, kClosed), 1},
      {"nobody", Asked(TRACE_POD, "203.0.113.99"), 0},
      {"from, both ways", Asked(TRACE_FROM, kClient), 4},
      {"from and to", Asked(TRACE_FROM, kClient, kServer), 3},
      {"the other way round", Asked(TRACE_FROM, kServer, kClient), 3},
      {"port, both ways", Port(Asked(TRACE_TO, kServer)), 2},
      {"port of nobody", Port(Asked(TRACE_FROM, kServer)), 0},
      {"protocol", {.protocol = udp, .has_protocol = 1}, 1},
      {"dropped", {.verdict = TRACE_DROPPED}, 2},
      {"not dropped", {.verdict = TRACE_NOT_DROPPED}, 2},
      {"reason", {.reason = DROP_POLICY_INGRESS}, 2},
      {"another reason", {.reason = DROP_SPOOFED}, 0},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    trace_.reset();
    ASSERT_NO_FATAL_FAILURE(Begin(row.filter));
    Traced("from_workload", Tcp(kClient, kServer));
    FrameSpec answer = Tcp(kServer, kClient, 40000, 80);
    answer.tcp_flags = 0x12;
    Traced("from_workload", answer);
    Traced("from_workload", Udp(kClient, kServer, 99));
    Traced("from_workload", Tcp(kClient, kClosed, 443));
    EXPECT_EQ(Take().size(), row.fit);
  }
}

TEST_F(PacketTraceTest, AProgramThatHadNothingToDoIsNotGivenTheWordsOfAnother) {
  Begin(Asked(TRACE_FROM, kStranger));
  // Both pass all while nothing is marked; cb is what the caller left there.
  __sk_buff context = {};
  context.ifindex = 1;
  context.cb[RUN_INGRESS_VERDICT] = 77;
  context.cb[RUN_DROP_REASON] = DROP_SPOOFED;
  const Frame frame = MakeFrame(Tcp(kStranger, kServer));
  Frame out(frame.size() + 64);
  LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(), .data_out = out.data(),
              .data_size_in = static_cast<uint32_t>(frame.size()),
              .data_size_out = static_cast<uint32_t>(out.size()), .ctx_in = &context,
              .ctx_size_in = sizeof(context), .repeat = 1);
  for (const char* name : {"from_elsewhere", "to_host"}) {
    ASSERT_EQ(bpf_prog_test_run_opts(programs_->Program(name), &options), 0);
  }
  const auto packets = Take();
  ASSERT_EQ(packets.size(), 2u);  // read, though the programs did not
  for (const TracedPacket& packet : packets) {
    EXPECT_EQ(packet.record.ingress_verdict, 0u);
    EXPECT_EQ(packet.record.reason, DROP_NONE);
  }
}

TEST_F(PacketTraceTest, TheSamePacketIsKnownAtTheNextHook) {
  Begin();
  FrameSpec spec = Tcp(kStranger, kServer), translated = Tcp("203.0.113.6", kServer, 80, 1234);
  FrameSpec next = spec;
  next.tcp_sequence = 1;
  translated.ttl = 63;
  for (const FrameSpec& one : {spec, translated, next}) Traced("from_host", one, kAway);
  const auto packets = Take();
  ASSERT_EQ(packets.size(), 3u);
  EXPECT_EQ(packets[0].record.packet, packets[1].record.packet);
  EXPECT_NE(packets[0].record.packet, packets[2].record.packet);
}

TEST_F(PacketTraceTest, WhatFindsNoRoomIsCounted) {
  Begin({.snap = TRACE_SNAP_MAX});
  FrameSpec big = Udp(kClient, kServer, 99);
  big.payload.resize(1200);
  constexpr uint64_t kPackets = 2000;  // of more than a kilobyte, into a buffer of a megabyte
  for (uint64_t i = 0; i < kPackets; ++i) Traced("from_workload", big);
  uint64_t taken = 0;
  for (auto packets = Take(); !packets.empty(); packets = Take()) taken += packets.size();
  EXPECT_GT(trace_->lost(), 0u);
  EXPECT_EQ(taken + trace_->lost(), kPackets);
}

TEST_F(PacketTraceTest, TracesStandBesideEachOtherAndEndAlone) {
  Begin(Asked(TRACE_POD, kClosed));
  std::vector<std::unique_ptr<PacketTrace>> others;
  for (int i = 1; i < TRACE_SLOTS; ++i) {
    auto other = programs_->Begin({});
    ASSERT_TRUE(other.ok()) << other.status();
    others.push_back(*std::move(other));
  }
  EXPECT_TRUE(absl::IsResourceExhausted(programs_->Begin({}).status()));
  Traced("from_workload", Tcp(kClient, kServer));
  EXPECT_EQ(Take().size(), 0u);
  for (const auto& other : others) EXPECT_EQ(other->Take(absl::ZeroDuration())->size(), 1u);
  trace_.reset();
  Begin();  // in its place, with none of its filter
  Traced("from_workload", Tcp(kClient, kServer));
  EXPECT_EQ(Take().size(), 1u);
}

// Same text, same maps: what the one has begun the other knows.
TEST_F(PacketTraceTest, TheTracedProgramsJudgeAsTheOthersDo) {
  Begin();
  FrameSpec answer = Tcp(kServer, kClient, 40000, 80);
  answer.tcp_flags = 0x12;
  ExpectDrop(Hook::kFromWorkload, answer, DROP_NO_FLOW);
  EXPECT_EQ(Traced("from_workload", Tcp(kClient, kServer)).verdict.action, TC_ACT_REDIRECT);
  ExpectDelivered(Hook::kFromWorkload, answer);
  const uint64_t dropped = Drops(DROP_POLICY_INGRESS);
  EXPECT_EQ(Traced("from_workload", Tcp(kClient, kClosed)).verdict.reason, DROP_POLICY_INGRESS);
  EXPECT_EQ(Drops(DROP_POLICY_INGRESS), dropped + 1);
}

}  // namespace
}  // namespace ripstop::loader
