// SPDX-License-Identifier: Apache-2.0
//
// Masquerade, packet by packet: what leaves, what comes back, and what never may.
#include <sys/socket.h>

#include "bpf/loader/masquerade_testing.h"

namespace ripstop::loader {
namespace {

using policy::Cidr;

struct Way {
  FrameSpec spec;
  const char* ours;
};

class MasqueradeWaysTest : public MasqueradeTest {
 protected:
  std::vector<Way> Ways() {
    return {{Tcp(kClient, kStranger, 443), kHost},   {Udp(kClient, kStranger, 53), kHost},
            {Icmp(kClient, kStranger, 8), kHost},    {Tcp(kClient6, kStranger6, 443), kOurs6},
            {Udp(kClient6, kStranger6, 53), kOurs6}, {Icmp(kClient6, kStranger6, 128), kOurs6}};
  }
};

TEST_F(MasqueradeWaysTest, APodsPacketLeavesUnderTheHostsAddressAndTheAnswerFindsIt) {
  for (const auto& [spec, ours] : Ways()) {
    const Frame sent = Sent(spec);
    ExpectMasqueraded(spec, sent, ours);
    EXPECT_GE(PortOf(sent), 20000);
    EXPECT_LE(PortOf(sent), 29999);
    ExpectAnswered(spec, Answer(spec, sent, ours));
    // The same port for all of the flow, answered or not.
    FrameSpec more = spec;
    more.tcp_flags = kAck;
    EXPECT_EQ(PortOf(Exit(Summed(more)).frame), PortOf(sent));
  }
  EXPECT_EQ(Entries(), 6u);
}

TEST_F(MasqueradeWaysTest, APodsOwnPortIsKeptWhereItIsInTheRangeAndFree) {
  for (auto [spec, ours] : Ways()) {
    spec.packet.source_port = spec.icmp_id = 23456;
    EXPECT_EQ(PortOf(Sent(spec)), 23456);
    // Another pod with that port: another one towards the same remote end, the same elsewhere.
    FrameSpec other = spec;
    const bool v4 = spec.packet.source.is_v4();
    other.packet.source = Addr(v4 ? kServer : kServer6);
    const Frame sent = Sent(other);
    EXPECT_NE(PortOf(sent), 23456);
    ExpectMasqueraded(other, sent, ours);
    ExpectAnswered(other, Answer(other, sent, ours));
    ExpectAnswered(spec, Answer(spec, Sent(spec), ours));
    other.packet.destination = Addr(v4 ? "203.0.113.6" : "2001:db8:f::6");
    EXPECT_EQ(PortOf(Sent(other)), 23456);
  }
}

TEST_F(MasqueradeTest, WhatStaysAmongPodsOrIsNoPodsIsLeftAlone) {
  settings_.exits[1].v4 = Addr(kHost);
  const FrameSpec to_peer = Tcp(kClient, kPeerPod);
  EXPECT_EQ(Sent(to_peer), Summed(to_peer)) << "the other end is in a pool";
  // This host's own; and what it forwards for somebody else.
  for (const uint32_t ingress : {0u, kAway}) {
    const Frame frame = Summed(Tcp(kHost, kStranger));
    EXPECT_EQ(Exit(frame, ingress).frame, frame);
  }
  // An answer of a pod to who has asked it by its own address.
  const FrameSpec asked = Tcp(kStranger, kClient);
  ExpectDelivered(Hook::kFromHost, asked, kAway);
  const FrameSpec answer = Flags(Tcp(kClient, kStranger, 40000, 80), kSynAck);
  EXPECT_EQ(Sent(answer), Summed(answer));
  EXPECT_EQ(Entries(), 0u);
  // The pool goes: what begins now shows the pod, what has begun does not change.
  const FrameSpec before = Udp(kClient, kStranger, 53), after = Udp(kClient, kStranger, 54);
  ExpectMasqueraded(before, Sent(before), kHost);
  settings_.pools[Cidr::Parse("198.51.100.0/24").value()] = false;
  Set();
  ExpectMasqueraded(before, Sent(before), kHost);
  EXPECT_EQ(Sent(after), Summed(after));
  settings_.pools[Cidr::Parse("198.51.100.0/24").value()] = true;
  Set();
  ExpectMasqueraded(after, Sent(after), kHost);  // who was asked in vain is asked as the host
}

TEST_F(MasqueradeTest, NodesSeeThePodWhereTheyAreSpared) {
  const FrameSpec first = Tcp(kClient, kNode), second = Tcp(kClient, kNode, 81);
  ExpectMasqueraded(first, Sent(first), kHost);
  settings_.spares_nodes = true;
  Set();
  EXPECT_EQ(Sent(second), Summed(second));
  const FrameSpec third = Tcp(kClient, kStranger);
  ExpectMasqueraded(third, Sent(third), kHost);
}

// In the pod's name, to who has asked it by its own address, and is no pod of this node.
TEST_F(MasqueradeTest, AResetThatAnswersIsNoPodsPacket) {
  const Frame reset = Summed(Flags(Tcp(kClient, kStranger), kRst));
  const RunResult got = Exit(reset, 1);
  EXPECT_EQ(got.verdict.action, TC_ACT_OK);
  EXPECT_EQ(got.frame, reset);
  EXPECT_EQ(Exit(reset).verdict.reason, DROP_NO_FLOW) << "of a pod here it is dropped";
}

TEST_F(MasqueradeTest, AFlowThatWasAnsweredUnderThePodsAddressKeepsIt) {
  settings_.pools[Cidr::Parse("198.51.100.0/24").value()] = false;
  Set();
  const FrameSpec spec = Udp(kClient, kStranger, 53);
  ASSERT_NE(Run(Hook::kFromWorkload, spec).verdict.action, TC_ACT_SHOT);  // passed no exit
  ExpectDelivered(Hook::kFromHost, Udp(kStranger, kClient, 40000, 53), kAway);
  settings_.pools[Cidr::Parse("198.51.100.0/24").value()] = true;
  Set();
  EXPECT_EQ(Sent(spec), Summed(spec));
}

TEST_F(MasqueradeTest, ARangeOfFourHasRoomForFourAndSaysSo) {
  settings_.first_port = 25000;
  settings_.last_port = 25003;
  Set();
  std::set<uint16_t> ports;
  std::vector<FrameSpec> specs;
  for (uint16_t i = 0; i < 4; ++i) {
    specs.push_back(Udp(kClient, kStranger, 53, 40000 + i));
    ports.insert(PortOf(Sent(specs.back())));
  }
  EXPECT_EQ(ports, (std::set<uint16_t>{25000, 25001, 25002, 25003}));
  const FrameSpec fifth = Udp(kClient, kStranger, 53, 40004);
  ExpectStopped(fifth, DROP_NAT_PORTS);
  // Elsewhere there is room, and here when one has gone.
  Sent(Udp(kClient, kStranger, 54, 40004));
  end_request request = {.life = Flow(specs[2]).life, .key = FlowKeyOf(specs[2])};
  const uint16_t freed = ntohs(Flow(specs[2]).translation.port);
  LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = &request, .ctx_size_in = sizeof(request));
  ASSERT_EQ(bpf_prog_test_run_opts(kernel_->object().flow_end(), &options), 0);
  EXPECT_EQ(Entries(), 4u);
  EXPECT_EQ(PortOf(Sent(fifth)), freed);
  ExpectCountsAreRight();
}

TEST_F(MasqueradeTest, AnEntryGoesWithItsFlowHoweverThatEnds) {
  const FrameSpec swept = Udp(kClient, kStranger, 53, 1),
                  forgotten = Udp(kServer, kStranger, 53, 2);
  Sent(swept);
  Sent(forgotten);
  ASSERT_EQ(Entries(), 2u);
  ASSERT_TRUE(kernel_->object().ForgetFlows({ToKey(Addr(kServer))}).ok());
  EXPECT_EQ(Entries(), 1u);
  Sweep({.now_ns = Flow(swept).seen_ns + 61 * kSecond});
  EXPECT_EQ(Entries(), 0u);
  // One that a new connection replaces: its port is free before the new one asks.
  const FrameSpec old = Tcp(kClient, kStranger, 443, 21000);
  EXPECT_EQ(PortOf(Sent(old)), 21000);
  ExpectAnswered(old, Segment(Answer(old, Sent(old), kHost), kSynAck, 5000, 1));
  Sent(Segment(old, kFinAck, 1, 5001));
  ExpectAnswered(old, Segment(Answer(old, Exit(Summed(old)).frame, kHost), kFinAck, 5001, 2));
  EXPECT_EQ(PortOf(Sent(Segment(old, kSyn, 90000))), 21000);
  EXPECT_EQ(Entries(), 1u);
  // Evicted by another one of the same account.
  kernel_->object().state()->account_half_open = 1;
  Sent(Udp(kClient, kStranger, 53, 3));
  Sent(Udp(kClient, kStranger, 53, 4));
  EXPECT_LE(Entries(), 2u);
}

TEST_F(MasqueradeTest, AStaleEntryIsTakenOverAndGivesNobodyAWayIn) {
  const FrameSpec gone = Udp(kServer, kStranger, 53, 22222),
                  next = Udp(kClient, kStranger, 53, 22222);
  const Frame sent = Sent(gone);
  ASSERT_EQ(PortOf(sent), 22222);
  const flow_key key = FlowKeyOf(gone);
  ASSERT_EQ(bpf_map_delete_elem(kernel_->object().flows(), &key), 0);  // as no program does it
  ASSERT_EQ(Entries(), 1u);
  const RunResult late = Run(Hook::kFromHost, Summed(Answer(gone, sent, kHost)), kAway);
  EXPECT_EQ(late.verdict.action, TC_ACT_SHOT);
  EXPECT_EQ(late.verdict.reason, DROP_NO_FLOW);
  EXPECT_EQ(PortOf(Sent(next)), 22222);
  EXPECT_EQ(Entries(), 1u);
  ExpectAnswered(next, Answer(next, sent, kHost));
}

TEST_F(MasqueradeTest, OnlyAnswersComeBack) {
  const FrameSpec tcp = Tcp(kClient, kStranger, 443), udp = Udp(kClient, kStranger, 53),
                  echo = Icmp(kClient, kStranger, 8);
  const Frame tcp_sent = Sent(tcp), udp_sent = Sent(udp), echo_sent = Sent(echo);
  // Something new from the other end, another host, another port: this host's own.
  FrameSpec syn = Answer(tcp, tcp_sent, kHost);
  syn.tcp_flags = kSyn;
  FrameSpec request = Answer(echo, echo_sent, kHost);
  request.packet.icmp_type = 8;
  FrameSpec other_host = Answer(udp, udp_sent, kHost), other_port = other_host;
  other_host.packet.source = Addr("203.0.113.6");
  other_port.packet.source_port = 54;
  FrameSpec next_port = Answer(udp, udp_sent, kHost);
  next_port.packet.destination_port++;
  for (const FrameSpec& spec : {syn, request, other_host, other_port, next_port}) {
    const RunResult got = Run(Hook::kFromHost, Summed(spec), kAway);
    EXPECT_EQ(got.verdict.action, TC_ACT_OK);
    EXPECT_EQ(got.frame, Summed(spec));
  }
}

TEST_F(MasqueradeTest, PolicySeesThePodOnTheWayBackToo) {
  const FrameSpec spec = Udp(kClient, kStranger, 53);
  const FrameSpec answer = Answer(spec, Sent(spec), kHost);
  ExpectAnswered(spec, answer);
  HandmadeTables tables(kernel_->engine_options());
  tables.Take();
  tables.SkipLines(200);
  const uint32_t deny = tables.DenyAll(8, 88);
  tables.AddPod(kClient, 1, deny, deny);
  tables.writes.push_back(policy::BumpEpoch{1});
  Write(tables);
  const RunResult got = Run(Hook::kFromHost, Summed(answer), kAway);
  EXPECT_EQ(got.verdict.action, TC_ACT_SHOT);
  EXPECT_EQ(got.verdict.reason, DROP_POLICY_EGRESS);
  EXPECT_EQ(got.verdict.egress_word, 88u);
}

// A router's word about what we have sent, and the pod's about what it was sent.
TEST_F(MasqueradeWaysTest, ErrorsAreTranslatedWithWhatTheyQuote) {
  for (const auto& [spec, ours] : Ways()) {
    const bool v4 = spec.packet.source.is_v4();
    const char* router = v4 ? "203.0.113.250" : "2001:db8:f::fa";
    const std::string pod = v4 ? kClient : kClient6, remote = v4 ? kStranger : kStranger6;
    const Frame sent = Sent(spec);
    FrameSpec outside = spec;
    outside.packet.source = Addr(ours);
    outside.packet.source_port = outside.icmp_id = PortOf(sent);
    const auto too_big = [&](const char* to, const FrameSpec& quoted) {
      FrameSpec error = Error(router, to, v4 ? 3 : 2, v4 ? 4 : 0, quoted);
      return Summed(error);
    };
    const RunResult got = Run(Hook::kFromHost, too_big(ours, outside), kAway);
    EXPECT_EQ(got.verdict.action, TC_ACT_REDIRECT) << "reason " << got.verdict.reason;
    EXPECT_EQ(TransportSum(got.frame), 0xffff);
    Frame want = too_big(pod.c_str(), spec);
    EXPECT_EQ(Frame(got.frame.begin() + (v4 ? 34 : 54), got.frame.end()),
              Frame(want.begin() + (v4 ? 34 : 54), want.end()));
    EXPECT_EQ(std::equal(want.begin() + 22 + (v4 ? 4 : 0), want.begin() + (v4 ? 34 : 54),
                         got.frame.begin() + 22 + (v4 ? 4 : 0)),
              true)
        << "the pod's address in the header";
    if (spec.packet.protocol != 17) continue;

    // An answer that nobody in the pod wants any more.
    const FrameSpec answer = Answer(spec, sent, ours);
    ExpectAnswered(spec, answer);
    FrameSpec inside = answer;
    inside.packet.destination = Addr(pod);
    inside.packet.destination_port = spec.packet.source_port;
    const auto unreachable = [&](const char* from, const FrameSpec& quoted) {
      return Summed(Error(from, remote.c_str(), v4 ? 3 : 1, v4 ? 3 : 4, quoted));
    };
    ASSERT_NE(Run(Hook::kFromWorkload, unreachable(pod.c_str(), inside)).verdict.action,
              TC_ACT_SHOT);
    const RunResult out = Exit(unreachable(pod.c_str(), inside));
    EXPECT_EQ(out.verdict.action, TC_ACT_OK);
    EXPECT_EQ(out.frame, unreachable(ours, answer));
  }
}

TEST_F(MasqueradeTest, AnErrorThatQuotesNothingOfOursIsTheHosts) {
  const FrameSpec spec = Udp(kClient, kStranger, 53);
  const Frame sent = Sent(spec);
  FrameSpec quoted = Udp(kHost, kStranger, 53, PortOf(sent) + 1);
  const Frame error = Summed(Error("203.0.113.250", kHost, 3, 4, quoted));
  const RunResult got = Run(Hook::kFromHost, error, kAway);
  EXPECT_EQ(got.verdict.action, TC_ACT_OK);
  EXPECT_EQ(got.frame, error);
}

TEST_F(MasqueradeTest, FragmentsFollowTheirFirst) {
  for (const auto& [from, to, ours] :
       {std::tuple{kClient, kStranger, kHost}, {kClient6, kStranger6, kOurs6}}) {
    FrameSpec first = Udp(from, to, 53, 24000);
    first.fragmented = first.more_fragments = true;
    first.fragment_id = 77;
    FrameSpec later = first;
    later.fragment_offset = 24;
    later.more_fragments = false;
    const auto sent = [&](FrameSpec spec, const char* source) {
      spec.packet.source = Addr(source);
      return MakeFrame(spec);
    };
    for (const FrameSpec& spec : {first, later}) {
      ASSERT_NE(Run(Hook::kFromWorkload, spec).verdict.action, TC_ACT_SHOT);
      const RunResult out = Exit(MakeFrame(spec));
      EXPECT_EQ(out.verdict.action, TC_ACT_OK) << out.verdict.reason;
      Frame want = sent(spec, ours), got = out.frame;
      if (spec.fragment_offset == 0) {  // the sum of a part is right if it moved as it should
        const size_t check = got.size() - first.payload.size() - 2;
        want[check] = got[check];
        want[check + 1] = got[check + 1];
      }
      EXPECT_EQ(got, want);
    }
    // And back.
    FrameSpec back = Udp(to, ours, 24000, 53), rest;
    back.fragmented = back.more_fragments = true;
    back.fragment_id = 78;
    rest = back;
    rest.fragment_offset = 24;
    rest.more_fragments = false;
    const RunResult stray = Run(Hook::kFromHost, rest, kAway);
    EXPECT_EQ(stray.verdict.action, TC_ACT_OK) << "without its first it is the host's";
    for (const FrameSpec& spec : {back, rest}) {
      const RunResult got = Run(Hook::kFromHost, spec, kAway);
      EXPECT_EQ(got.verdict.action, TC_ACT_REDIRECT) << got.verdict.reason;
      FrameSpec inside = spec;
      inside.packet.destination = Addr(from);
      const Frame want = MakeFrame(inside);
      const size_t at = inside.packet.source.is_v4() ? 30 : 38;
      EXPECT_TRUE(std::equal(want.begin() + at, want.begin() + at + 4, got.frame.begin() + at));
    }
  }
}

TEST_F(MasqueradeTest, ADatagramWithoutChecksumStaysOne) {
  const FrameSpec spec = Udp(kClient, kStranger, 53);
  const Frame plain = MakeFrame(spec);
  ASSERT_NE(Run(Hook::kFromWorkload, plain).verdict.action, TC_ACT_SHOT);
  const Frame sent = Exit(plain).frame;
  EXPECT_EQ(Word(sent, 6), 0);
  EXPECT_EQ(Ipv4HeaderChecksum(sent), 0);
}

TEST_F(MasqueradeTest, NoAddressOfThatFamilyLetsNothingOut) {
  settings_.exits[1] = {.v4 = Addr(kHost), .v6 = std::nullopt};
  Set();
  ExpectStopped(Tcp(kClient6, kStranger6, 443), DROP_NAT_ADDRESS);
  const FrameSpec spec = Tcp(kClient, kStranger, 443);
  ExpectMasqueraded(spec, Sent(spec), kHost);
  settings_.exits.clear();  // one that nobody has asked yet
  Set();
  const FrameSpec other = Tcp(kClient, kStranger, 444);
  ExpectStopped(other, DROP_NAT_ADDRESS);
  kernel_->object().state()->tunnel_ifindex = 1;
  EXPECT_EQ(Sent(other), Summed(other));
}

TEST_F(MasqueradeTest, ProtocolsWithoutPortsHaveOnePodForEachAddress) {
  const auto esp = [](const char* from, const char* to) {
    FrameSpec spec;
    spec.packet = {Addr(from), Addr(to), 50};
    return spec;
  };
  const FrameSpec first = esp(kClient, kStranger);
  ASSERT_NE(Run(Hook::kFromWorkload, first).verdict.action, TC_ACT_SHOT);
  EXPECT_EQ(Exit(MakeFrame(first)).frame, MakeFrame(esp(kHost, kStranger)));
  const RunResult back = Run(Hook::kFromHost, esp(kStranger, kHost), kAway);
  EXPECT_EQ(back.verdict.action, TC_ACT_REDIRECT);
  const auto stopped = [&](const FrameSpec& spec, drop_reason reason) {
    ASSERT_NE(Run(Hook::kFromWorkload, spec).verdict.action, TC_ACT_SHOT);
    const RunResult out = Exit(MakeFrame(spec));
    EXPECT_EQ(out.verdict.action, TC_ACT_SHOT);
    EXPECT_EQ(out.verdict.reason, reason);
  };
  stopped(esp(kServer, kStranger), DROP_NAT_PORTS);
  FrameSpec dccp = first, sctp = first;
  dccp.packet.protocol = 33;
  stopped(dccp, DROP_NAT_PROTOCOL);
  stopped(Icmp(kClient, kStranger, 13), DROP_NAT_PROTOCOL);  // timestamp
  // SCTP's sum covers ports and no addresses.
  sctp.packet = {Addr(kClient), Addr(kStranger), policy::kProtocolSctp, 5000, 5001};
  ASSERT_NE(Run(Hook::kFromWorkload, sctp).verdict.action, TC_ACT_SHOT);
  const Frame sent = Exit(MakeFrame(sctp)).frame;
  sctp.packet.source = Addr(kHost);
  EXPECT_EQ(sent, MakeFrame(sctp));
  sctp.packet.source = Addr(kServer);
  stopped(sctp, DROP_NAT_PORTS);
}

TEST_F(MasqueradeTest, APortThatASocketOfTheHostHasIsNotTaken) {
  // Bound on all addresses of this namespace, of which a test run's device is the loopback.
  const UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  socklen_t length = sizeof(address);
  ASSERT_EQ(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), length), 0);
  ASSERT_EQ(getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length), 0);
  const uint16_t port = ntohs(address.sin_port);
  settings_.first_port = port - 1;
  settings_.last_port = port;
  Set();
  EXPECT_EQ(PortOf(Sent(Udp(kClient, kStranger, 53, port))), port - 1);
  ExpectStopped(Udp(kClient, kStranger, 53, 40001), DROP_NAT_PORTS);
  EXPECT_EQ(Entries(), 1u);
}

TEST_F(MasqueradeTest, ARangeThatIsNearlyFullIsSearchedWell) {
  settings_.first_port = 30000;
  settings_.last_port = 30399;
  Set();
  std::set<uint16_t> ports;
  int found = 0;
  for (uint16_t i = 0; i < 360; ++i) {
    const FrameSpec spec = Udp(kClient, kStranger, 53, 1000 + i);
    ASSERT_NE(Run(Hook::kFromWorkload, Summed(spec)).verdict.action, TC_ACT_SHOT);
    const RunResult out = Exit(Summed(spec));
    if (out.verdict.action != TC_ACT_OK) continue;
    ++found;
    EXPECT_TRUE(ports.insert(PortOf(out.frame)).second) << "given twice";
  }
  EXPECT_EQ(found, 360) << "of 400, in 128 tries each";
}

}  // namespace
}  // namespace ripstop::loader
