// SPDX-License-Identifier: Apache-2.0
//
// Packets that should not be: spoofed, martian, malformed, in pieces; and ICMP errors.
#include "bpf/loader/packet_testing.h"

namespace ripstop::loader {
namespace {

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

// What an address was allowed while another node's pod had it.
TEST_F(PacketTest, AFlowServesNoLaterHolderOfItsAddress) {
  const FrameSpec asked = Udp(kStranger, kClient, 7000),
                  answer = Udp(kClient, kStranger, 40000, 7000);
  const FrameSpec syn = Tcp(kStranger, kServer),
                  data = Flags(Tcp(kServer, kStranger, 40000, 80), 0x18);
  for (const FrameSpec& spec : {asked, syn}) ExpectDelivered(Hook::kFromHost, spec, kAway);
  for (const FrameSpec& spec : {answer, data}) {
    EXPECT_NE(Run(Hook::kFromWorkload, spec).verdict.action, TC_ACT_SHOT);
    ExpectDrop(Hook::kToWorkload, spec, DROP_UNKNOWN_ENDPOINT, kAway);  // nobody has it here
    EXPECT_TRUE(FlowExists(spec));
  }

  HandmadeTables tables(kernel_->engine_options());
  tables.Take();
  tables.SkipLines(200);
  tables.AddPod(kStranger, 1, tables.AllowAll(7, 77), tables.DenyAll(8, 88));
  Write(tables);
  ExpectDrop(Hook::kToWorkload, answer, DROP_POLICY_INGRESS, 1);
  ExpectDrop(Hook::kToWorkload, data, DROP_NO_FLOW, 1);
  for (const FrameSpec& spec : {answer, data}) EXPECT_FALSE(FlowExists(spec));
  // Its own connection, though its ports are those of the other's.
  ExpectDelivered(Hook::kFromWorkload, syn);
  ExpectDelivered(Hook::kFromWorkload, data);

  // It leaves, and a pod elsewhere has the address.
  tables.AddOther(kStranger, ADDRESS_REMOTE_ENDPOINT, 1);
  Write(tables);
  ExpectDrop(Hook::kFromHost, Flags(syn, 0x18), DROP_NO_FLOW, kAway);
}

TEST_F(PacketTest, MartiansAreDropped) {
  for (const char* to :
       {"127.0.0.1", "0.0.0.0", "0.1.2.3", "224.0.0.1", "240.0.0.1", "255.255.255.255", kClient}) {
    ExpectDrop(Hook::kFromWorkload, Tcp(kClient, to), DROP_MARTIAN);
  }
  for (const char* to : {"::1", "::", "ff02::1", "fe80::1", kClient6}) {
    ExpectDrop(Hook::kFromWorkload, Tcp(kClient6, to), DROP_MARTIAN);
  }
  ExpectDrop(Hook::kFromHost, Tcp("127.0.0.1", kServer), DROP_MARTIAN, kAway);
  for (const char* to : {"127.0.0.1", "127.255.255.254"})
    ExpectDrop(Hook::kFromHost, Tcp(kStranger, to), DROP_MARTIAN, kAway);
  ExpectPassed(Hook::kFromHost, Tcp(kStranger, "128.0.0.1"), kAway);
}

TEST_F(PacketTest, WhatAPodAsksNobodyForIsDropped) {
  for (const char* to : {"169.254.1.1", "169.254.169.1", "169.254.255.255"})
    ExpectDrop(Hook::kFromWorkload, Tcp(kClient, to), DROP_MARTIAN);
  for (const char* to : {"169.254.169.254", "169.254.20.10", "169.253.1.1", "169.255.1.1"})
    ExpectPassed(Hook::kFromWorkload, Tcp(kClient, to));
  for (const char* to : {"fec0::1", "feff::1", "100::1", "::203.0.113.5", "64:ff9b::10.0.0.1",
                         "64:ff9b::172.31.0.1", "64:ff9b::192.168.1.1", "64:ff9b::169.254.169.254",
                         "64:ff9b::127.0.0.1", "64:ff9b::100.64.0.1", "64:ff9b::224.0.0.1",
                         "2002:0a00:0001::1", "2002:7f00:0001::1", "2002:c0a8:0101::1"})
    ExpectDrop(Hook::kFromWorkload, Tcp(kClient6, to), DROP_MARTIAN);
  for (const char* to : {"64:ff9b::203.0.113.5", "64:ff9b::172.32.0.1", "64:ff9b:1::10.0.0.1",
                         "2002:cb00:7105::1", "100:0:0:1::1", "fe00::1", "2001:db8:f::5"})
    ExpectPassed(Hook::kFromWorkload, Tcp(kClient6, to));
  // An address that this host has itself, NodeLocal DNS's wherever it is.
  HandmadeTables tables(kernel_->engine_options());
  tables.AddOther("169.254.77.77", ADDRESS_THIS_HOST);
  ASSERT_TRUE(kernel_->tables().Apply(tables.Take()).ok());
  ExpectPassed(Hook::kFromWorkload, Tcp(kClient, "169.254.77.77"));
}

TEST_F(PacketTest, TunnelsOfPodsEndAtPods) {
  for (const uint8_t protocol : {4, 41, 47}) {
    FrameSpec spec = Udp(kClient, kStranger, 0, 0);
    spec.packet.protocol = protocol;
    for (const char* to : {kStranger, kHost, kNode}) {
      spec.packet.destination = Addr(to);
      ExpectDrop(Hook::kFromWorkload, spec, DROP_TUNNEL_FROM_WORKLOAD);
    }
    spec.packet.destination = Addr(kClosed);
    ExpectDrop(Hook::kFromWorkload, spec, DROP_POLICY_INGRESS);
  }
}

TEST_F(PacketTest, PodsAreNoDhcpServersAndNodesNone) {
  for (const uint16_t port : {67, 68, 546, 547})
    for (const char* to : {kHost, kNode})
      ExpectDrop(Hook::kFromWorkload, Udp(kClient, to, port), DROP_DHCP_FROM_WORKLOAD);
  ExpectDrop(Hook::kFromWorkload, Udp(kClient, kStranger, 68, 67), DROP_DHCP_FROM_WORKLOAD);
  ExpectDrop(Hook::kFromWorkload, Udp(kClient6, kServer6, 546, 547), DROP_DHCP_FROM_WORKLOAD);
  ExpectPassed(Hook::kFromWorkload, Udp(kClient, kStranger, 67));  // a client of a server outside
  ExpectPassed(Hook::kFromWorkload, Tcp(kClient, kHost, 67));
}

TEST_F(PacketTest, RouterAndNeighborMessagesOfPodsAreDropped) {
  for (uint8_t type : {133, 134, 135, 136, 137}) {
    ExpectDrop(Hook::kFromWorkload, Icmp(kClient6, "2001:db8::1", type), DROP_NEIGHBOR_DISCOVERY);
    ExpectDrop(Hook::kFromWorkload, Icmp("fe80::5", "ff02::1", type), DROP_NEIGHBOR_DISCOVERY);
  }
  ExpectDrop(Hook::kFromWorkload, Icmp(kClient, kServer, 5), DROP_NEIGHBOR_DISCOVERY);
}

TEST_F(PacketTest, WhatKernelsSayOfMulticastGroupsIsNoNoise) {
  for (uint8_t type : {130, 131, 132, 143}) {
    Frame report = MakeFrame(Icmp("fe80::5", "ff02::16", type));
    report[0] = report[1] = 0x33;
    ExpectDrop(Hook::kFromWorkload, report, DROP_MULTICAST_LISTENER);
    ExpectPassed(Hook::kToWorkload, Icmp("fe80::1", "ff02::16", type));
    // Not the kernel's own: of another scope, to one receiver, or passed on.
    report = MakeFrame(Icmp("fe80::5", "ff05::16", type));
    report[0] = report[1] = 0x33;
    ExpectDrop(Hook::kFromWorkload, report, DROP_NOT_FOR_US);
    ExpectDrop(Hook::kFromWorkload, Icmp(kClient6, "ff02::16", type), DROP_MARTIAN);
    ExpectDrop(Hook::kToWorkload, Icmp("fe80::1", "ff02::16", type), DROP_UNKNOWN_ENDPOINT, kAway);
  }
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

// What kernels hand to each other in one piece of more than 64 KiB.
TEST_F(PacketTest, BigTcpPassesAndNothingElseGoesWithoutALength) {
  constexpr uint32_t kSegment = 8;
  const auto unsaid = [](const FrameSpec& spec) {
    Frame frame = MakeFrame(spec);
    const size_t length = spec.packet.source.is_v4() ? 14 + 2 : 14 + 4;
    frame[length] = frame[length + 1] = 0;
    return frame;
  };
  const auto reason = [&](const FrameSpec& spec, uint32_t gso_size) {
    const auto got = kernel_->Run(Hook::kFromWorkload, unsaid(spec), 0, gso_size);
    EXPECT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(got->verdict.action,
              got->verdict.reason == DROP_NONE ? TC_ACT_REDIRECT : TC_ACT_SHOT);
    return got->verdict.reason;
  };
  FrameSpec jumbo = Tcp(kClient6, kServer6);
  jumbo.extensions = {{0, {0, 0xc2, 4, 0, 1, 0x80, 0}}};
  for (const FrameSpec& spec : {Tcp(kClient, kServer), Tcp(kClient6, kServer6), jumbo}) {
    EXPECT_EQ(reason(spec, kSegment), DROP_NONE);
    EXPECT_NE(reason(spec, 0), DROP_NONE);
    FrameSpec fragment = spec;
    fragment.fragmented = fragment.more_fragments = true;
    EXPECT_EQ(reason(fragment, kSegment), DROP_BAD_LENGTH);
  }
  for (const auto& [from, to] : {std::pair(kClient, kServer), std::pair(kClient6, kServer6)}) {
    EXPECT_EQ(reason(Udp(from, to, 80), kSegment), DROP_BAD_LENGTH);
  }
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

}  // namespace
}  // namespace ripstop::loader
