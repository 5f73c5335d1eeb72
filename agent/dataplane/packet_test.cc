// SPDX-License-Identifier: Apache-2.0
//
// Each program on single packets, by BPF_PROG_TEST_RUN: verdict, frame and counter
// together.
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gtest/gtest.h>
#include <linux/pkt_cls.h>

#include <cstdio>
#include <set>

#include "agent/dataplane/kernel_evaluator.h"
#include "agent/dataplane/testing_tables.h"

namespace ripstop::agent {
namespace {

using testing::Addr;
using testing::HandmadeTables;

constexpr uint32_t kAway = 7;  // an incoming interface: not this host's own stack

// Pods on the loopback interface: .10 allows all, .20 admits only TCP 80 and echo from
// class 1, .30 denies both ways, .40 has no policy sets, .50 lives on another interface.
class PacketTest : public ::testing::Test {
 protected:
  static constexpr const char* kClient = "198.51.100.10";
  static constexpr const char* kServer = "198.51.100.20";
  static constexpr const char* kClosed = "198.51.100.30";
  static constexpr const char* kBare = "198.51.100.40";
  static constexpr const char* kElsewhere = "198.51.100.50";
  static constexpr const char* kHost = "192.0.2.1";
  static constexpr const char* kNode = "192.0.2.2";
  static constexpr const char* kStranger = "203.0.113.5";
  static constexpr const char* kClient6 = "2001:db8::10";
  static constexpr const char* kServer6 = "2001:db8::20";

  void SetUp() override {
    if (libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_SCHED_CLS, nullptr) != 1) {
      GTEST_SKIP() << "needs CAP_BPF and CAP_NET_ADMIN";
    }
    auto evaluator = KernelEvaluator::Open();
    ASSERT_TRUE(evaluator.ok()) << evaluator.status();
    kernel_ = *std::move(evaluator);
    HandmadeTables tables(kernel_->engine_options());
    const uint32_t open = tables.AllowAll(1, 11);
    const uint32_t server = tables.AddSet(2, [](uint32_t address_class, uint32_t l4) -> uint32_t {
      if (address_class != 1) return 22;
      return l4 == 1 || l4 == 3 || l4 == 4 ? VERDICT_ALLOW | 21 : 22;
    });
    const uint32_t closed = tables.DenyAll(3, 33);
    const uint32_t blank = tables.AddSet(4, [](uint32_t, uint32_t) { return 0u; });
    for (const char* client : {kClient, kClient6}) tables.AddPod(client, 1, open, open);
    for (const char* server_address : {kServer, kServer6}) {
      tables.AddPod(server_address, 2, open, server);
    }
    tables.AddPod(kClosed, 2, closed, closed);
    tables.AddPod(kBare, 2, 0, 0);
    tables.AddPod("198.51.100.60", 2, blank, blank);
    tables.AddPod("198.51.100.61", 9, open, open);  // a class that no set has room for
    tables.AddPod("198.51.100.62", 1, ARENA_HANDLE(77, 5), open);
    tables.AddOther(kHost, ADDRESS_THIS_HOST);
    tables.AddOther(kNode, ADDRESS_OTHER_NODE);
    tables.AddCidr(policy::Cidr::Parse("203.0.113.0/24").value(), 1);
    l4_table_ = tables.l4_table();
    auto& state = *kernel_->object().state();
    state.vxlan_port = htons(4789);
    state.vxlan_vni = 4096;
    state.events_per_second = 1000000;
    for (int i = 0; i < 6; ++i) state.host_mac[i] = 0xee;
    ASSERT_TRUE(kernel_->Apply(tables.Take(), l4_table_).ok());
    // Past the evaluator, which would move it to the loopback interface like the rest.
    tables.AddPod(kElsewhere, 1, open, open, 4242);
    ASSERT_TRUE(kernel_->tables().Apply(tables.Take()).ok());
  }

  static FrameSpec Tcp(const char* from, const char* to, uint16_t port = 80,
                       uint16_t source_port = 40000) {
    FrameSpec spec;
    spec.packet = {Addr(from), Addr(to), policy::kProtocolTcp, source_port, port};
    return spec;
  }
  static FrameSpec Udp(const char* from, const char* to, uint16_t port, uint16_t source_port = 40000) {
    FrameSpec spec = Tcp(from, to, port, source_port);
    spec.packet.protocol = policy::kProtocolUdp;
    return spec;
  }
  static FrameSpec Icmp(const char* from, const char* to, uint8_t type, uint8_t code = 0) {
    FrameSpec spec;
    const bool v4 = Addr(from).is_v4();
    spec.packet = {Addr(from), Addr(to), v4 ? policy::kProtocolIcmp : policy::kProtocolIcmpV6};
    spec.packet.icmp_type = type;
    spec.packet.icmp_code = code;
    return spec;
  }
  static FrameSpec Flags(FrameSpec spec, uint8_t flags) {
    spec.tcp_flags = flags;
    return spec;
  }
  // An ICMP error that quotes `quoted`.
  static FrameSpec Error(const char* from, const char* to, uint8_t type, uint8_t code,
                         const FrameSpec& quoted) {
    FrameSpec spec = Icmp(from, to, type, code);
    const Frame inner = MakeFrame(quoted);
    spec.payload.assign(inner.begin() + 14, inner.end());
    return spec;
  }

  RunResult Run(Hook hook, const Frame& frame, uint32_t ingress = 0) {
    auto result = kernel_->Run(hook, frame, ingress);
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? *result : RunResult{};
  }
  RunResult Run(Hook hook, const FrameSpec& spec, uint32_t ingress = 0) {
    return Run(hook, MakeFrame(spec), ingress);
  }
  uint64_t Drops(drop_reason reason) {
    const uint32_t key = reason;
    std::vector<drop_count> counts(libbpf_num_possible_cpus());
    EXPECT_EQ(bpf_map_lookup_elem(kernel_->object().drops(), &key, counts.data()), 0);
    uint64_t total = 0;
    for (const auto& count : counts) total += count.packets;
    return total;
  }
  // The packet is dropped for `reason`, counted once there, and left as it was.
  void ExpectDrop(Hook hook, const Frame& frame, drop_reason reason, uint32_t ingress = 0) {
    const uint64_t before = Drops(reason);
    const RunResult got = Run(hook, frame, ingress);
    EXPECT_EQ(got.verdict.action, TC_ACT_SHOT);
    EXPECT_EQ(got.verdict.reason, reason);
    EXPECT_EQ(got.frame, frame);
    EXPECT_EQ(Drops(reason), before + 1);
  }
  void ExpectDrop(Hook hook, const FrameSpec& spec, drop_reason reason, uint32_t ingress = 0) {
    ExpectDrop(hook, MakeFrame(spec), reason, ingress);
  }
  // Redirected into the pod, as a router would forward it.
  void ExpectDelivered(Hook hook, const FrameSpec& spec, uint32_t ingress = 0) {
    Frame expected = MakeFrame(spec);
    const RunResult got = Run(hook, expected, ingress);
    EXPECT_EQ(got.verdict.action, TC_ACT_REDIRECT) << "reason " << got.verdict.reason;
    const uint8_t mac[12] = {2, 0, 0, 0, 0, 9, 0xee, 0xee, 0xee, 0xee, 0xee, 0xee};
    std::copy(mac, mac + 12, expected.begin());
    if (spec.packet.source.is_v4()) {
      expected[14 + 8]--;
      ASSERT_EQ(got.frame.size(), expected.size());
      EXPECT_EQ(Ipv4HeaderChecksum(got.frame), 0);
      expected[14 + 10] = got.frame[14 + 10];
      expected[14 + 11] = got.frame[14 + 11];
    } else {
      expected[14 + 7]--;
    }
    EXPECT_EQ(got.frame, expected);
  }
  void ExpectPassed(Hook hook, const FrameSpec& spec, uint32_t ingress = 0) {
    const Frame frame = MakeFrame(spec);
    const RunResult got = Run(hook, frame, ingress);
    EXPECT_EQ(got.verdict.action, TC_ACT_OK) << "reason " << got.verdict.reason;
    EXPECT_EQ(got.frame, frame);
  }
  bool FlowExists(const FrameSpec& spec, bool answered) {
    const flow_key key = FlowKeyOf(spec);
    flow_value value;
    return bpf_map_lookup_elem(answered ? kernel_->object().flows() : kernel_->object().embryos(),
                               &key, &value) == 0;
  }
  void Write(HandmadeTables& tables) { ASSERT_TRUE(kernel_->Apply(tables.Take(), 0).ok()); }

  std::unique_ptr<KernelEvaluator> kernel_;
  uint32_t l4_table_ = 0;
};

TEST_F(PacketTest, ProgramsLoadAndStayBelowAQuarterOfTheInstructionLimit) {
  for (const ProgramStats& stats : kernel_->object().Stats()) {
    std::printf("%-16s verified %7u instructions, %5u translated, %6u bytes of machine code\n",
                stats.name.c_str(), stats.verified_instructions, stats.translated_instructions,
                stats.machine_bytes);
    EXPECT_LT(stats.verified_instructions, 250000u) << stats.name;
  }
}

TEST_F(PacketTest, AllowedSynIsDeliveredAndNamesBothRules) {
  ExpectDelivered(Hook::kFromWorkload, Tcp(kClient, kServer));
  const RunResult got = Run(Hook::kFromWorkload, Tcp(kClient, kServer));
  EXPECT_EQ(got.verdict.egress_word, VERDICT_ALLOW | 11);
  EXPECT_EQ(got.verdict.ingress_word, VERDICT_ALLOW | 21);
}

TEST_F(PacketTest, AllowedSynIsDeliveredInIpv6) {
  ExpectDelivered(Hook::kFromWorkload, Tcp(kClient6, kServer6));
}

TEST_F(PacketTest, IngressDenyDropsWithTheRule) {
  ExpectDrop(Hook::kFromWorkload, Tcp(kClient, kServer, 81), DROP_POLICY_INGRESS);
  const RunResult got = Run(Hook::kFromWorkload, Tcp(kClient, kServer, 81));
  EXPECT_EQ(got.verdict.egress_word, VERDICT_ALLOW | 11);
  EXPECT_EQ(got.verdict.ingress_word, 22u);
  EXPECT_FALSE(FlowExists(Tcp(kClient, kServer, 81), false));
}

TEST_F(PacketTest, EgressDenyDrops) {
  ExpectDrop(Hook::kFromWorkload, Tcp(kClosed, kClient), DROP_POLICY_EGRESS);
}

TEST_F(PacketTest, RemoteSourceIsClassedByCidr) {
  ExpectDelivered(Hook::kFromHost, Tcp(kStranger, kServer), kAway);
  ExpectDrop(Hook::kFromHost, Tcp("192.0.2.99", kServer), DROP_POLICY_INGRESS, kAway);
}

TEST_F(PacketTest, SourcePortsAreAskedOnlyWhereASetHasThem) {
  HandmadeTables tables(kernel_->engine_options());
  tables.Take();
  tables.SkipLines(200);
  const uint32_t set = tables.AddSet(9, [](uint32_t, uint32_t) { return 44u; }, true);
  tables.AddPod("198.51.100.70", 2, set, set);
  Write(tables);
  ExpectDrop(Hook::kFromHost, Tcp(kStranger, "198.51.100.70", 80, 998), DROP_POLICY_INGRESS, kAway);
  ExpectDelivered(Hook::kFromHost, Tcp(kStranger, "198.51.100.70", 80, 999), kAway);
}

TEST_F(PacketTest, RepliesPassWithoutBeingAllowedThemselves) {
  const FrameSpec reply = Flags(Tcp(kServer, kClient, 40000, 80), 0x12);
  ExpectDrop(Hook::kFromWorkload, reply, DROP_NO_FLOW);
  ExpectDelivered(Hook::kFromWorkload, Tcp(kClient, kServer));
  EXPECT_TRUE(FlowExists(reply, false));
  ExpectDelivered(Hook::kFromWorkload, reply);
  EXPECT_TRUE(FlowExists(reply, true)) << "an answered flow leaves the LRU";
  EXPECT_FALSE(FlowExists(reply, false));
  ExpectDelivered(Hook::kFromWorkload, Flags(Tcp(kClient, kServer), 0x10));
}

TEST_F(PacketTest, UdpReplyOfARemoteServerPasses) {
  ExpectPassed(Hook::kFromWorkload, Udp(kClient, kHost, 53));
  ExpectPassed(Hook::kToWorkload, Udp(kHost, kClient, 40000, 53));
}

TEST_F(PacketTest, MidStreamSegmentsMakeNoFlow) {
  for (uint8_t flags : {0x10, 0x11, 0x04, 0x14, 0x12, 0x18}) {
    ExpectDrop(Hook::kFromWorkload, Flags(Tcp(kClient, kServer), flags), DROP_NO_FLOW);
    ExpectDrop(Hook::kFromHost, Flags(Tcp(kStranger, kServer), flags), DROP_NO_FLOW, kAway);
  }
}

TEST_F(PacketTest, ImpossibleTcpFlagsAreDropped) {
  for (uint8_t flags : {0x00, 0x03, 0x06, 0x20}) {
    ExpectDrop(Hook::kFromWorkload, Flags(Tcp(kClient, kServer), flags), DROP_BAD_TCP_FLAGS);
  }
}

TEST_F(PacketTest, EpochMovesJudgeTheNextPacketAgain) {
  ExpectDelivered(Hook::kFromWorkload, Tcp(kClient, kServer));
  ExpectDelivered(Hook::kFromWorkload, Flags(Tcp(kServer, kClient, 40000, 80), 0x12));
  HandmadeTables tables(kernel_->engine_options());
  tables.Take();
  tables.SkipLines(200);
  const uint32_t deny = tables.DenyAll(8, 88);
  const uint32_t allow = tables.AllowAll(7, 77);

  // The address switches; the flow stands until the epoch of its set moves.
  tables.AddPod(kServer, 2, allow, deny);
  Write(tables);
  const FrameSpec data = Flags(Tcp(kClient, kServer), 0x18);
  ExpectDelivered(Hook::kFromWorkload, data);
  tables.writes.push_back(policy::BumpEpoch{2});
  Write(tables);
  ExpectDrop(Hook::kFromWorkload, data, DROP_POLICY_INGRESS);
  // Each packet is judged and named while it is denied, and the flow goes on after.
  ExpectDrop(Hook::kFromWorkload, data, DROP_POLICY_INGRESS);
  tables.AddPod(kServer, 2, allow, allow);
  Write(tables);
  ExpectDelivered(Hook::kFromWorkload, data);
}

TEST_F(PacketTest, ReplyOfADeniedFlowIsJudgedInTheDirectionOfTheFlow) {
  ExpectDelivered(Hook::kFromWorkload, Tcp(kClient, kServer));
  HandmadeTables tables(kernel_->engine_options());
  tables.Take();
  tables.writes.push_back(policy::BumpEpoch{2});
  Write(tables);
  // Still allowed: judged as the client's TCP 80, not as the server's TCP 40000.
  ExpectDelivered(Hook::kFromWorkload, Flags(Tcp(kServer, kClient, 40000, 80), 0x12));
  EXPECT_TRUE(FlowExists(Tcp(kClient, kServer), true));
}

TEST_F(PacketTest, SpoofedSourcesAreDropped) {
  ExpectDrop(Hook::kFromWorkload, Tcp(kElsewhere, kServer), DROP_SPOOFED);
  ExpectDrop(Hook::kFromWorkload, Tcp("203.0.113.77", kServer), DROP_SPOOFED);
  ExpectDrop(Hook::kFromWorkload, Tcp(kHost, kServer), DROP_SPOOFED);
  ExpectDrop(Hook::kFromHost, Tcp(kClient, kServer), DROP_SPOOFED, kAway);
  ExpectDrop(Hook::kFromHost, Tcp(kHost, kServer), DROP_SPOOFED, kAway);
}

TEST_F(PacketTest, AFlowDoesNotLendItsAddressToAnotherInterface) {
  // A flow of .50, which lives on interface 4242; the same packet from interface 1.
  ExpectDelivered(Hook::kFromWorkload, Tcp(kClient, kElsewhere));
  ExpectDrop(Hook::kFromWorkload, Flags(Tcp(kElsewhere, kClient, 40000, 80), 0x12), DROP_SPOOFED);
}

TEST_F(PacketTest, MartiansAreDropped) {
  for (const char* to : {"127.0.0.1", "0.0.0.0", "0.1.2.3", "224.0.0.1", "240.0.0.1",
                         "255.255.255.255", kClient}) {
    ExpectDrop(Hook::kFromWorkload, Tcp(kClient, to), DROP_MARTIAN);
  }
  for (const char* to : {"::1", "::", "ff02::1", "fe80::1", kClient6}) {
    ExpectDrop(Hook::kFromWorkload, Tcp(kClient6, to), DROP_MARTIAN);
  }
  ExpectDrop(Hook::kFromHost, Tcp("127.0.0.1", kServer), DROP_MARTIAN, kAway);
}

TEST_F(PacketTest, RouterAndNeighborMessagesOfPodsAreDropped) {
  for (uint8_t type : {133, 134, 135, 136, 137}) {
    ExpectDrop(Hook::kFromWorkload, Icmp(kClient6, "2001:db8::1", type), DROP_NEIGHBOR_DISCOVERY);
    ExpectDrop(Hook::kFromWorkload, Icmp("fe80::5", "ff02::1", type), DROP_NEIGHBOR_DISCOVERY);
  }
  ExpectDrop(Hook::kFromWorkload, Icmp(kClient, kServer, 5), DROP_NEIGHBOR_DISCOVERY);
}

TEST_F(PacketTest, FramesThatAreNotIpAreDropped) {
  Frame frame = MakeFrame(Tcp(kClient, kServer));
  frame[12] = 0x08;
  frame[13] = 0x06;
  ExpectDrop(Hook::kFromWorkload, frame, DROP_ARP);
  frame[12] = 0x88;
  frame[13] = 0xcc;
  ExpectDrop(Hook::kFromWorkload, frame, DROP_ETHERTYPE);
}

TEST_F(PacketTest, ForeignMacIsDropped) {
  Frame frame = MakeFrame(Tcp(kClient, kServer));
  frame[0] = 2;
  ExpectDrop(Hook::kFromWorkload, frame, DROP_NOT_FOR_US);
  frame[0] = 0xff;
  ExpectDrop(Hook::kFromWorkload, frame, DROP_NOT_FOR_US);
}

TEST_F(PacketTest, VxlanOfPodsToNodesIsDropped) {
  ExpectDrop(Hook::kFromWorkload, Udp(kClient, kNode, 4789), DROP_VXLAN_FROM_WORKLOAD);
  ExpectDrop(Hook::kFromWorkload, Udp(kClient, kHost, 4789), DROP_VXLAN_FROM_WORKLOAD);
}

TEST_F(PacketTest, VxlanOfOurNetworkMustComeFromANode) {
  FrameSpec vxlan = Udp(kStranger, kHost, 4789);
  vxlan.payload = {8, 0, 0, 0, 0, 0x10, 0, 0};  // VNI 4096
  ExpectDrop(Hook::kFromHost, vxlan, DROP_VXLAN_FOREIGN, kAway);
  vxlan.packet.source = Addr(kNode);
  ExpectPassed(Hook::kFromHost, vxlan, kAway);
  vxlan.packet.source = Addr(kStranger);
  vxlan.payload[5] = 0x20;  // someone else's network
  ExpectPassed(Hook::kFromHost, vxlan, kAway);
}

TEST_F(PacketTest, BadLengthsAndHeadersAreDropped) {
  const Frame good = MakeFrame(Tcp(kClient, kServer));
  for (uint8_t first : {0x44, 0x35, 0x60}) {
    Frame frame = good;
    frame[14] = first;
    ExpectDrop(Hook::kFromWorkload, frame, DROP_BAD_IP_HEADER);
  }
  Frame frame = good;
  frame[14] = 0x4f;  // options beyond the total length
  ExpectDrop(Hook::kFromWorkload, frame, DROP_BAD_LENGTH);
  frame = good;
  frame[17] = 0xff;
  ExpectDrop(Hook::kFromWorkload, frame, DROP_BAD_LENGTH);
  frame = good;
  frame[14 + 20 + 12] = 0x40;
  ExpectDrop(Hook::kFromWorkload, frame, DROP_BAD_LENGTH);
  frame = MakeFrame(Udp(kClient, kServer, 80));
  frame[14 + 20 + 5] = 200;
  ExpectDrop(Hook::kFromWorkload, frame, DROP_BAD_LENGTH);
  FrameSpec cut = Tcp(kClient, kServer);
  cut.raw_transport = {1, 2, 3, 4, 5, 6, 7, 8};
  cut.payload.clear();
  ExpectDrop(Hook::kFromWorkload, cut, DROP_TRUNCATED);
  frame = MakeFrame(Tcp(kClient6, kServer6));
  frame[14 + 5] = 0xff;
  ExpectDrop(Hook::kFromWorkload, frame, DROP_BAD_LENGTH);
}

TEST_F(PacketTest, Ipv4OptionsAreSkippedAndSourceRoutesDropped) {
  FrameSpec spec = Tcp(kClient, kServer);
  spec.ipv4_options = {1, 1, 148, 4, 0, 0, 1, 0};  // NOP, NOP, router alert
  ExpectDelivered(Hook::kFromWorkload, spec);
  spec.ipv4_options = {1, 131, 7, 4, 192, 0, 2, 1};
  ExpectDrop(Hook::kFromWorkload, spec, DROP_SOURCE_ROUTE);
  spec.ipv4_options = {148, 60, 0, 0};
  ExpectDrop(Hook::kFromWorkload, spec, DROP_BAD_IP_HEADER);
}

TEST_F(PacketTest, Ipv6ExtensionHeadersAreFollowedUpToALimit) {
  FrameSpec spec = Tcp(kClient6, kServer6);
  const FrameSpec::Extension padding{60, {0, 1, 4, 0, 0, 0, 0}};
  for (int i = 0; i < 8; ++i) spec.extensions.push_back(padding);
  ExpectDelivered(Hook::kFromWorkload, spec);
  spec.extensions.push_back(padding);
  ExpectDrop(Hook::kFromWorkload, spec, DROP_EXTENSION_HEADERS);
  spec.extensions = {{43, {0, 0, 0, 0, 0, 0, 0}}};
  ExpectDrop(Hook::kFromWorkload, spec, DROP_SOURCE_ROUTE);
  spec.extensions = {{60, {9, 1, 4, 0, 0, 0, 0}}};
  ExpectDrop(Hook::kFromWorkload, spec, DROP_TRUNCATED);
}

TEST_F(PacketTest, MappedAddressesOnTheWireAreDropped) {
  Frame frame = MakeFrame(Tcp(kClient6, kServer6));
  for (int i = 0; i < 10; ++i) frame[14 + 8 + i] = 0;
  frame[14 + 8 + 10] = frame[14 + 8 + 11] = 0xff;
  ExpectDrop(Hook::kFromWorkload, frame, DROP_MAPPED_ADDRESS);
  ExpectDrop(Hook::kFromHost, frame, DROP_MAPPED_ADDRESS, kAway);
}

TEST_F(PacketTest, LaterFragmentsNeedTheirFirst) {
  for (const auto& [from, to] : {std::pair{kClient, kServer}, std::pair{kClient6, kServer6}}) {
    FrameSpec first = Tcp(from, to), later = first;
    first.fragmented = later.fragmented = true;
    first.more_fragments = true;
    later.fragment_offset = 40;
    ExpectDrop(Hook::kFromWorkload, later, DROP_FRAGMENT_UNKNOWN);
    ExpectDelivered(Hook::kFromWorkload, first);
    ExpectDelivered(Hook::kFromWorkload, later);
    later.fragment_id = 8;
    ExpectDrop(Hook::kFromWorkload, later, DROP_FRAGMENT_UNKNOWN);
  }
}

TEST_F(PacketTest, LaterFragmentsOfADeniedFirstAreDropped) {
  FrameSpec first = Udp(kClient, kServer, 80), later = first;
  first.fragmented = later.fragmented = true;
  first.more_fragments = true;
  later.fragment_offset = 24;
  ExpectDrop(Hook::kFromWorkload, first, DROP_POLICY_INGRESS);
  ExpectDrop(Hook::kFromWorkload, later, DROP_FRAGMENT_UNKNOWN);
}

TEST_F(PacketTest, FragmentsThatCutOrOverwriteTheHeaderAreDropped) {
  FrameSpec tiny = Tcp(kClient, kServer);
  tiny.fragmented = tiny.more_fragments = true;
  tiny.raw_transport = {0x9c, 0x40, 0, 80, 0, 0, 0, 0};
  tiny.payload.clear();
  ExpectDrop(Hook::kFromWorkload, tiny, DROP_FRAGMENT_OVERLAP);
  FrameSpec overlap = Tcp(kClient, kServer);
  overlap.fragmented = true;
  overlap.fragment_offset = 8;
  ExpectDrop(Hook::kFromWorkload, overlap, DROP_FRAGMENT_OVERLAP);
  overlap.fragment_offset = 65528;
  ExpectDrop(Hook::kFromWorkload, overlap, DROP_BAD_LENGTH);
}

TEST_F(PacketTest, EchoMakesAFlowAndOnlyItsReplyComesBack) {
  ExpectDelivered(Hook::kFromWorkload, Icmp(kClient, kServer, 8));
  ExpectDelivered(Hook::kFromWorkload, Icmp(kServer, kClient, 0));
  ExpectDelivered(Hook::kFromWorkload, Icmp(kClient6, kServer6, 128));
  // Another message between the same two is judged by itself.
  ExpectDrop(Hook::kFromWorkload, Icmp(kClient, kServer, 13), DROP_POLICY_INGRESS);
  FrameSpec zero = Icmp(kClient, kServer, 8);
  zero.icmp_id = 0;
  ExpectDelivered(Hook::kFromWorkload, zero);
  ExpectDrop(Hook::kFromWorkload, Icmp(kClient, kServer, 13), DROP_POLICY_INGRESS);
}

TEST_F(PacketTest, AnEchoFlowDoesNotLetRequestsBack) {
  // The server may ping the client; then the client's set, not the flow, decides.
  ExpectDelivered(Hook::kFromWorkload, Icmp(kServer, kClient, 8));
  HandmadeTables tables(kernel_->engine_options());
  tables.Take();
  tables.SkipLines(200);
  const uint32_t open = tables.AllowAll(6, 66), closed = tables.DenyAll(5, 55);
  tables.AddPod(kServer, 2, open, closed);
  Write(tables);
  ExpectDelivered(Hook::kFromWorkload, Icmp(kClient, kServer, 0));
  ExpectDrop(Hook::kFromWorkload, Icmp(kClient, kServer, 8), DROP_POLICY_INGRESS);
}

TEST_F(PacketTest, IcmpErrorsPassOnlyForKnownFlows) {
  const FrameSpec syn = Tcp(kClient, kServer);
  ExpectDrop(Hook::kFromWorkload, Error(kClient, kElsewhere, 3, 1, syn), DROP_ICMP_UNRELATED);
  ExpectDelivered(Hook::kFromWorkload, syn);
  ExpectDelivered(Hook::kFromWorkload, Error(kServer, kClient, 3, 3, syn));
  // A router's error about it comes from anywhere outside …
  ExpectDelivered(Hook::kFromHost, Error(kStranger, kClient, 3, 4, syn), kAway);
  // … but not about other ports, nor to someone else, nor from a pod that is no router.
  ExpectDrop(Hook::kFromHost, Error(kStranger, kClient, 3, 4, Tcp(kClient, kServer, 80, 40001)),
             DROP_ICMP_UNRELATED, kAway);
  ExpectDrop(Hook::kFromHost, Error(kStranger, kElsewhere, 3, 4, syn), DROP_ICMP_UNRELATED, kAway);
  ExpectDelivered(Hook::kFromWorkload, Tcp(kClient6, kServer6));
  ExpectDelivered(Hook::kFromHost, Error("2001:db8:9::1", kClient6, 2, 0, Tcp(kClient6, kServer6)),
                  kAway);
}

TEST_F(PacketTest, ExpiringTtlIsTheStacksToAnswerAfterTheVerdict) {
  FrameSpec spec = Tcp(kClient, kServer);
  spec.ttl = 1;
  ExpectPassed(Hook::kFromWorkload, spec);
  spec.packet.destination_port = 81;
  ExpectDrop(Hook::kFromWorkload, spec, DROP_POLICY_INGRESS);
}

TEST_F(PacketTest, HostReachesItsPodsBeforePolicyAndRepliesPass) {
  ExpectPassed(Hook::kToWorkload, Tcp(kHost, kClosed));
  ExpectPassed(Hook::kFromWorkload, Flags(Tcp(kClosed, kHost, 40000, 80), 0x12));
  ExpectDrop(Hook::kFromWorkload, Tcp(kClosed, kHost, 22), DROP_POLICY_EGRESS);
}

TEST_F(PacketTest, HostObeysPolicyWhenToldToAndItsLiveFlowsToo) {
  ExpectPassed(Hook::kToWorkload, Tcp(kHost, kClosed));
  kernel_->object().state()->flags = STATE_HOST_OBEYS_POLICY;
  ExpectDrop(Hook::kFromWorkload, Flags(Tcp(kClosed, kHost, 40000, 80), 0x12), DROP_POLICY_INGRESS);
  ExpectDrop(Hook::kToWorkload, Tcp(kHost, kClosed), DROP_POLICY_INGRESS);
}

TEST_F(PacketTest, ForwardedTrafficToAPodIsJudgedOnItsInterface) {
  ExpectPassed(Hook::kToWorkload, Tcp(kStranger, kServer), kAway);
  ExpectDrop(Hook::kToWorkload, Tcp(kStranger, kServer, 81), DROP_POLICY_INGRESS, kAway);
  ExpectDrop(Hook::kToWorkload, Tcp(kClient, kServer), DROP_SPOOFED, kAway);
  ExpectDrop(Hook::kToWorkload, Tcp(kStranger, kElsewhere), DROP_UNKNOWN_ENDPOINT, kAway);
}

TEST_F(PacketTest, TrafficThatIsNotForAPodIsLeftAlone) {
  ExpectPassed(Hook::kFromHost, Tcp(kStranger, kHost), kAway);
  ExpectPassed(Hook::kFromHost, Flags(Tcp(kStranger, "192.0.2.77"), 0x10), kAway);
  FrameSpec later = Tcp(kStranger, kHost);
  later.fragmented = true;
  later.fragment_offset = 800;
  ExpectPassed(Hook::kFromHost, later, kAway);
}

TEST_F(PacketTest, UnreadablePolicyDenies) {
  ExpectDrop(Hook::kFromWorkload, Tcp(kBare, kClient), DROP_NO_POLICY_SET);
  ExpectDrop(Hook::kFromWorkload, Tcp(kClient, kBare), DROP_NO_POLICY_SET);
  ExpectDrop(Hook::kFromWorkload, Tcp("198.51.100.60", kClient), DROP_NO_VERDICT);
  ExpectDrop(Hook::kFromWorkload, Tcp(kClient, "198.51.100.61"), DROP_BAD_POLICY_SET);
  ExpectDrop(Hook::kFromWorkload, Tcp("198.51.100.62", kClient), DROP_BAD_POLICY_SET);
}

// Entries of the CIDR table's root that no writer leaves like this for long.
TEST_F(PacketTest, AnAddressWhoseCidrCannotBeToldIsDenied) {
  HandmadeTables tables(kernel_->engine_options());
  tables.Take();
  const auto root_entry = [&](uint32_t index, uint32_t entry) {
    tables.writes.push_back(policy::WriteWords{
        l4_table_ + CIDR_ROOT_LINE_V4 + index / ARENA_LINE_WORDS, index % ARENA_LINE_WORDS, {entry}});
  };
  const uint32_t node = CIDR_NODE | CIDR_FIRST_POSITION_V4 << CIDR_POSITION_SHIFT;
  const uint32_t endless = ARENA_HANDLE(kernel_->engine_options().first_chunk + 1, 1000);
  root_entry(0x6440, CIDR_NO_ROOM);
  root_entry(0x6441, node | ARENA_HANDLE(500, 1));  // a chunk that is not there
  root_entry(0x6442, node | endless);
  tables.writes.push_back(policy::WriteWords{
      endless, 0, std::vector<uint32_t>(CIDR_NODE_ENTRIES, node | endless)});
  Write(tables);
  ExpectDelivered(Hook::kFromHost, Tcp("100.63.0.1", kClient), kAway);
  ExpectDrop(Hook::kFromHost, Tcp("100.64.0.1", kClient), DROP_NO_POLICY_SET, kAway);
  ExpectDrop(Hook::kFromHost, Tcp("100.65.0.1", kClient), DROP_BAD_POLICY_SET, kAway);
  ExpectDrop(Hook::kFromHost, Tcp("100.66.0.1", kClient), DROP_BAD_POLICY_SET, kAway);
}

TEST_F(PacketTest, WithoutTablesInForceNothingPasses) {
  auto fresh = KernelEvaluator::Open();
  ASSERT_TRUE(fresh.ok()) << fresh.status();
  kernel_ = *std::move(fresh);
  ExpectDrop(Hook::kFromWorkload, Tcp(kClient, kServer), DROP_NO_GENERATION);
  ExpectDrop(Hook::kToWorkload, Tcp(kHost, kServer), DROP_NO_GENERATION);
  ExpectPassed(Hook::kFromHost, Tcp(kStranger, kServer), kAway);
}

TEST_F(PacketTest, AResetOnlyShortensTheFlowUntilItGoesOn) {
  ExpectDelivered(Hook::kFromWorkload, Tcp(kClient, kServer));
  ExpectDelivered(Hook::kFromWorkload, Flags(Tcp(kServer, kClient, 40000, 80), 0x12));
  const flow_key key = FlowKeyOf(Tcp(kClient, kServer));
  flow_value value;
  ExpectDelivered(Hook::kFromWorkload, Flags(Tcp(kServer, kClient, 40000, 80), 0x04));
  ASSERT_EQ(bpf_map_lookup_elem(kernel_->object().flows(), &key, &value), 0);
  EXPECT_TRUE(value.flags & FLOW_RESET);
  ExpectDelivered(Hook::kFromWorkload, Flags(Tcp(kServer, kClient, 40000, 80), 0x10));
  ASSERT_EQ(bpf_map_lookup_elem(kernel_->object().flows(), &key, &value), 0);
  EXPECT_FALSE(value.flags & FLOW_RESET);
}

TEST_F(PacketTest, SweepRemovesIdleFlowsAndThoseOfAForgottenAddress) {
  ExpectDelivered(Hook::kFromWorkload, Tcp(kClient, kServer));
  ExpectDelivered(Hook::kFromWorkload, Flags(Tcp(kServer, kClient, 40000, 80), 0x12));
  const auto sweep = [&](sweep_request request) {
    LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = &request, .ctx_size_in = sizeof(request));
    EXPECT_EQ(bpf_prog_test_run_opts(kernel_->object().flow_sweep(), &options), 0);
    return request;
  };
  sweep_request got = sweep({});
  EXPECT_EQ(got.visited, 1u);
  EXPECT_EQ(got.removed, 0u);
  const flow_key key = FlowKeyOf(Tcp(kClient, kServer));
  flow_value value;
  ASSERT_EQ(bpf_map_lookup_elem(kernel_->object().flows(), &key, &value), 0);
  got = sweep({.now_ns = value.seen_ns + FLOW_TCP_IDLE_NS + 1});
  EXPECT_EQ(got.removed, 1u);
  EXPECT_FALSE(FlowExists(Tcp(kClient, kServer), true));

  ExpectDelivered(Hook::kFromWorkload, Tcp(kClient, kServer));
  EXPECT_EQ(sweep({.forget = ToKey(Addr(kHost))}).removed, 0u);
  EXPECT_EQ(sweep({.forget = ToKey(Addr(kServer))}).removed, 1u);
  EXPECT_FALSE(FlowExists(Tcp(kClient, kServer), false));
}

TEST_F(PacketTest, VerdictsAreCountedByRule) {
  Run(Hook::kFromWorkload, Tcp(kClient, kServer, 81));
  Run(Hook::kFromWorkload, Tcp(kClient, kServer, 81));
  const uint32_t outer = 0;
  uint32_t id = 0;
  ASSERT_EQ(bpf_map_lookup_elem(kernel_->object().hits(), &outer, &id), 0);
  BpfFd inner(bpf_map_get_fd_by_id(id));
  std::vector<rule_hits> hits(libbpf_num_possible_cpus());
  const uint32_t rule = 22;
  ASSERT_EQ(bpf_map_lookup_elem(inner.get(), &rule, hits.data()), 0);
  uint64_t packets = 0;
  for (const auto& hit : hits) packets += hit.packets;
  EXPECT_EQ(packets, 2u);
}

}  // namespace
}  // namespace ripstop::agent
