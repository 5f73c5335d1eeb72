// SPDX-License-Identifier: Apache-2.0
//
// Verdicts and flows of single packets.
#include <set>

#include "bpf/loader/packet_testing.h"
#include "bpf/loader/tables_reader.h"

namespace ripstop::loader {
namespace {

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
  EXPECT_FALSE(FlowExists(Tcp(kClient, kServer, 81)));
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
  ExpectDelivered(Hook::kFromWorkload, Flags(Tcp(kClient, kServer), 0x10));
  EXPECT_TRUE(FlowExists(reply, true));
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
  ExpectDelivered(Hook::kFromWorkload, Flags(Tcp(kClient, kServer), 0x10));
  EXPECT_TRUE(FlowExists(Tcp(kClient, kServer), true));
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

// A pod that a rule has masqueraded shows the host's address, and its port may be one that the host
// had: the flow is still known.
TEST_F(PacketTest, WhatTheHostMayAPodBehindItsAddressMayNot) {
  datapath_state& state = *kernel_->object().state();
  state.flags |= STATE_MARKS;
  state.mark_mask = 0x0fff0000;
  const uint32_t away = 4242;  // where kElsewhere is
  const interface_value workload = {.flags = INTERFACE_WORKLOAD};
  ASSERT_EQ(bpf_map_update_elem(kernel_->object().interfaces(), &away, &workload, BPF_ANY), 0);
  const FrameSpec own = Udp(kHost, kClosed, 80);
  ExpectPassed(Hook::kToWorkload, own);
  const auto got = kernel_->RunProgram(kernel_->object().to_workload(), MakeFrame(own), away, 0,
                                       NumberOf(kElsewhere) << 16);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->verdict.action, TC_ACT_SHOT);
  EXPECT_EQ(got->verdict.reason, DROP_POLICY_INGRESS);
  ExpectPassed(Hook::kToWorkload, own);
}

// Else the pod's number would stand beside no interface, and so be that of a node by whose tunnel
// the host's address may come.
TEST_F(PacketTest, WhoHidesBehindTheHostsAddressHasAFlowOfHisOwn) {
  datapath_state& state = *kernel_->object().state();
  state.flags |= STATE_MARKS;
  state.mark_mask = 0x0fff0000;
  const uint32_t away = 4242;  // where kElsewhere is
  const interface_value workload = {.flags = INTERFACE_WORKLOAD};
  ASSERT_EQ(bpf_map_update_elem(kernel_->object().interfaces(), &away, &workload, BPF_ANY), 0);
  const FrameSpec own = Udp(kHost, kClient, 80);
  ExpectPassed(Hook::kToWorkload, own);
  const flow_key key = FlowKeyOf(own);
  const auto hosts_end = [&] {
    flow_value flow = {};
    EXPECT_EQ(bpf_map_lookup_elem(kernel_->object().flows(), &key, &flow), 0);
    return flow.side[flow.initiator & 1];
  };
  ASSERT_EQ(hosts_end().ifindex, 0u);
  const auto got = kernel_->RunProgram(kernel_->object().to_workload(), MakeFrame(own), away, 0,
                                       NumberOf(kElsewhere) << 16);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->verdict.action, TC_ACT_OK) << "this pod admits it";
  const flow_side behind = hosts_end();
  EXPECT_TRUE(behind.ifindex == away || behind.number != NumberOf(kElsewhere))
      << "number " << behind.number << " at interface " << behind.ifindex;
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
    tables.writes.push_back(
        policy::WriteWords{l4_table_ + CIDR_ROOT_LINE_V4 + index / ARENA_LINE_WORDS,
                           index % ARENA_LINE_WORDS,
                           {entry}});
  };
  const uint32_t node = CIDR_NODE | CIDR_FIRST_POSITION_V4 << CIDR_POSITION_SHIFT;
  const uint32_t endless = ARENA_HANDLE(kernel_->engine_options().first_chunk + 1, 1000);
  root_entry(0x6440, CIDR_NO_ROOM);
  root_entry(0x6441, node | ARENA_HANDLE(500, 1));  // a chunk that is not there
  root_entry(0x6442, node | endless);
  tables.writes.push_back(
      policy::WriteWords{endless, 0, std::vector<uint32_t>(CIDR_NODE_ENTRIES, node | endless)});
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

TEST_F(PacketTest, AnEvaluatorLoadsWhatItRuns) {
  const auto packet_programs = [](KernelEvaluator& evaluator) {
    std::set<std::string> names;
    for (const ProgramStats& program : evaluator.object().Stats())
      if (program.name.starts_with("from_") || program.name.starts_with("to_"))
        names.insert(program.name);
    return names;
  };
  EXPECT_EQ(packet_programs(*kernel_),
            (std::set<std::string>{"from_host", "from_tunnel", "from_workload", "to_workload"}));
  const auto verdicts = KernelEvaluator::OpenForVerdicts();
  ASSERT_TRUE(verdicts.ok()) << verdicts.status();
  EXPECT_EQ(packet_programs(**verdicts),
            (std::set<std::string>{"from_host", "from_workload", "to_workload"}));
  const auto unknown = DatapathObject::Load({}, "", {"from_nowhere"});
  EXPECT_EQ(unknown.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(unknown.status().message(), "the datapath has no program from_nowhere");
}

TEST_F(PacketTest, VerdictsAreCountedByRule) {
  Run(Hook::kFromWorkload, Tcp(kClient, kServer, 81));
  Run(Hook::kFromWorkload, Tcp(kClient, kServer, 81));
  const uint32_t outer = 0;
  uint32_t id = 0;
  ASSERT_EQ(bpf_map_lookup_elem(kernel_->object().hits(), &outer, &id), 0);
  UniqueFd inner(bpf_map_get_fd_by_id(id));
  std::vector<rule_hits> hits(libbpf_num_possible_cpus());
  const uint32_t rule = 22;
  ASSERT_EQ(bpf_map_lookup_elem(inner.get(), &rule, hits.data()), 0);
  uint64_t packets = 0;
  for (const auto& hit : hits) packets += hit.packets;
  EXPECT_EQ(packets, 2u);
}

}  // namespace
}  // namespace ripstop::loader
