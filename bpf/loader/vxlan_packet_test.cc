// SPDX-License-Identifier: Apache-2.0
//
// VXLAN and who may speak by it: pods may not, nodes may for their own pods. The ways past
// a check at the outer header that were found on the real programs are cases here.
#include "bpf/loader/owner_store.h"
#include "bpf/loader/packet_testing.h"

namespace ripstop::loader {
namespace {

constexpr uint16_t kPort = 4789;

policy::Cidr Net(const char* text) { return policy::Cidr::Parse(text).value(); }

// This node's block 198.51.100.0/24 and 2001:db8::/64 in pools of which the first wants
// VXLAN always, the second across subnets; node B (.2) here in the rack, C (.3) beyond.
class VxlanTest : public PacketTest {
 protected:
  static constexpr const char* kB = "192.0.2.2";
  static constexpr const char* kC = "192.0.2.3";
  static constexpr const char* kPodOfB = "10.65.2.7";
  static constexpr const char* kPodOfC = "10.65.3.7";
  static constexpr const char* kBorrowedByC = "10.65.2.9";  // of B's block
  static constexpr const char* kPodOfB6 = "2001:db8:0:2::7";
  static constexpr const char* kPodOfC6 = "2001:db8:0:3::7";

  void SetUp() override {
    PacketTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    store_ = std::make_unique<OwnerStore>(&kernel_->object());
    const auto node = [](const char* vtep, uint32_t flags = 0) {
      return Owner{Owner::Who::kOtherNode, Addr(vtep), flags};
    };
    owners_ = {
        {Net("10.65.0.0/16"), {}},
        {Net("198.51.100.0/24"),
         {Owner::Who::kThisNode, {}, OWNER_TUNNEL_NEAR | OWNER_TUNNEL_ACROSS}},
        {Net("2001:db8::/64"), {Owner::Who::kThisNode, {}, OWNER_TUNNEL_ACROSS}},
        {Net("192.0.2.1/32"), {Owner::Who::kThisNode, {}, OWNER_HOST}},
        {Net("192.0.2.2/32"), node(kB, OWNER_HOST)},
        {Net("192.0.2.3/32"), node(kC, OWNER_HOST)},
        {Net("10.65.2.0/24"), node(kB)},
        {Net("10.65.2.9/32"), node(kC, OWNER_ACROSS)},
        {Net("10.65.3.0/24"), node(kC, OWNER_ACROSS)},
        {Net("2001:db8:0:2::/64"), node(kB)},
        {Net("2001:db8:0:3::/64"), node(kC, OWNER_ACROSS)},
    };
    SetOwners();
    HandmadeTables tables(kernel_->engine_options());
    tables.Take();
    for (const char* pod : {kPodOfB, kPodOfC, kBorrowedByC, kPodOfB6, kPodOfC6}) {
      tables.AddOther(pod, ADDRESS_REMOTE_ENDPOINT, 1);
    }
    Write(tables);
    b_ = Vouched(Udp(kB, kHost, kPort));
    c_ = Vouched(Udp(kC, kHost, kPort));
    ASSERT_NE(b_, 0u);
    ASSERT_NE(c_, 0u);
    ASSERT_NE(b_, c_);
  }
  void SetOwners() {
    const absl::Status set = store_->Set(owners_);
    ASSERT_TRUE(set.ok()) << set;
  }
  // The node number that from_host gives the packet, which it passes to the stack.
  uint32_t Vouched(const Frame& frame) {
    const RunResult got = Run(Hook::kFromHost, frame, kAway);
    EXPECT_EQ(got.verdict.action, TC_ACT_OK) << "reason " << got.verdict.reason;
    EXPECT_EQ(got.frame, frame);
    return got.verdict.sender;
  }
  uint32_t Vouched(const FrameSpec& spec) { return Vouched(MakeFrame(spec)); }

  void ExpectTunnelDrop(const Frame& frame, uint32_t sender, drop_reason reason) {
    const uint64_t before = Drops(reason);
    const RunResult got = RunFromTunnel(frame, sender);
    EXPECT_EQ(got.verdict.action, TC_ACT_SHOT);
    EXPECT_EQ(got.verdict.reason, reason);
    EXPECT_EQ(Drops(reason), before + 1);
  }
  void ExpectTunnelDrop(const FrameSpec& spec, uint32_t sender, drop_reason reason) {
    ExpectTunnelDrop(MakeFrame(spec), sender, reason);
  }
  void ExpectTunnelDelivered(const FrameSpec& spec, uint32_t sender) {
    const RunResult got = RunFromTunnel(MakeFrame(spec), sender);
    EXPECT_EQ(got.verdict.action, TC_ACT_REDIRECT) << "reason " << got.verdict.reason;
  }
  void ExpectTunnelPassed(const FrameSpec& spec, uint32_t sender) {
    const RunResult got = RunFromTunnel(MakeFrame(spec), sender);
    EXPECT_EQ(got.verdict.action, TC_ACT_OK) << "reason " << got.verdict.reason;
  }

  std::unique_ptr<OwnerStore> store_;
  Owners owners_;
  uint32_t b_ = 0, c_ = 0;
};

// ---- pods ----

TEST_F(VxlanTest, PodsSendToTheTunnelsPortToPodsOnly) {
  ExpectDelivered(Hook::kFromWorkload, Udp(kClient, "198.51.100.50", kPort));
  // Routed, and no route to 10.65 where the test runs: the stack's, after the verdict.
  ExpectPassed(Hook::kFromWorkload, Udp(kClient, kPodOfB, kPort));
  for (const char* to : {
           kB,               // a node
           kHost,            // this one
           "192.0.2.201",    // a second address of one, that nobody told
           "192.0.2.255",    // all of a rack
           "203.0.113.255",  // or of another
           kStranger,
       }) {
    ExpectDrop(Hook::kFromWorkload, Udp(kClient, to, kPort), DROP_VXLAN_FROM_WORKLOAD);
  }
  for (const char* to : {"2001:db8:1::", "2001:db8:1::2"}) {  // subnet-router anycast; a node
    ExpectDrop(Hook::kFromWorkload, Udp(kClient6, to, kPort), DROP_VXLAN_FROM_WORKLOAD);
  }
  ExpectDrop(Hook::kFromWorkload, Udp(kClient, "224.0.0.1", kPort), DROP_MARTIAN);
  ExpectDrop(Hook::kFromWorkload, Udp(kClient6, "ff02::1", kPort), DROP_MARTIAN);
  ExpectDrop(Hook::kFromWorkload, Udp(kClient6, "fe80::2", kPort), DROP_MARTIAN);
  ExpectPassed(Hook::kFromWorkload, Udp(kClient, kB, 8472));
}

TEST_F(VxlanTest, AnEndpointThatIsANodesAddressIsNoPod) {
  HandmadeTables tables(kernel_->engine_options());
  tables.Take();
  tables.AddOther(kC, ADDRESS_OTHER_NODE | ADDRESS_REMOTE_ENDPOINT, 1);
  Write(tables);
  ExpectDrop(Hook::kFromWorkload, Udp(kClient, kC, kPort), DROP_VXLAN_FROM_WORKLOAD);
}

TEST_F(VxlanTest, FragmentsAndOddHeadersOfPodsAreNoWayToANode) {
  FrameSpec first = Udp(kClient, kB, kPort), later = first;
  first.fragmented = later.fragmented = first.more_fragments = true;
  first.payload.clear();  // eight bytes: the UDP header and no VNI
  later.fragment_offset = 8;
  ExpectDrop(Hook::kFromWorkload, later, DROP_FRAGMENT_UNKNOWN);
  ExpectDrop(Hook::kFromWorkload, first, DROP_VXLAN_FROM_WORKLOAD);
  ExpectDrop(Hook::kFromWorkload, later, DROP_FRAGMENT_UNKNOWN);
  Frame frame = MakeFrame(Udp(kClient6, "2001:db8:1::2", kPort));
  frame[14 + 40 + 4] = frame[14 + 40 + 5] = 0;  // UDP length 0: a jumbogram to the stack
  ExpectDrop(Hook::kFromWorkload, frame, DROP_BAD_LENGTH);
  FrameSpec headers = Udp(kClient6, "2001:db8:1::2", kPort);
  for (int i = 0; i < 9; ++i) headers.extensions.push_back({60, {0, 1, 4, 0, 0, 0, 0}});
  ExpectDrop(Hook::kFromWorkload, headers, DROP_EXTENSION_HEADERS);
}

// A flow that the far end began, from the tunnel's port, does not open that port.
TEST_F(VxlanTest, AnswersToTheTunnelsPortAreForPodsOnly) {
  ExpectDelivered(Hook::kFromHost, Udp(kStranger, kClient, 7000, kPort), kAway);
  ExpectDrop(Hook::kFromWorkload, Udp(kClient, kStranger, kPort, 7000), DROP_VXLAN_FROM_WORKLOAD);
  ExpectTunnelDelivered(Udp(kPodOfB, kClient, 7000, kPort), b_);
  ExpectPassed(Hook::kFromWorkload, Udp(kClient, kPodOfB, kPort, 7000));
}

TEST_F(VxlanTest, WithoutATunnelThePortIsLikeAnyOther) {
  kernel_->object().state()->vxlan_port = 0;
  ExpectPassed(Hook::kFromWorkload, Udp(kClient, kB, kPort));
  EXPECT_EQ(Vouched(Udp(kB, kHost, kPort)), 0u);
}

// ---- who vouches ----

TEST_F(VxlanTest, OnlyUnicastOfANodeIsVouchedFor) {
  EXPECT_EQ(Vouched(Udp(kB, "192.0.2.201", kPort)), b_) << "to whichever address of this node";
  EXPECT_EQ(Vouched(Udp(kStranger, kHost, kPort)), 0u);
  EXPECT_EQ(Vouched(Udp("2001:db8:9::1", "2001:db8:1::1", kPort)), 0u);
  EXPECT_EQ(Vouched(Udp(kB, kHost, 53)), 0u) << "nothing to look up";
  Frame frame = MakeFrame(Udp(kB, kHost, kPort));
  for (int i = 0; i < 6; ++i) frame[i] = 0xff;
  EXPECT_EQ(Vouched(frame), 0u) << "a broadcast MAC with a unicast address";
  frame[0] = 0x01;
  EXPECT_EQ(Vouched(frame), 0u) << "a multicast MAC";
}

TEST_F(VxlanTest, FragmentsAreVouchedForByTheirSource) {
  for (const char* from : {kB, kStranger}) {
    const uint32_t expected = from == kB ? b_ : 0;
    FrameSpec first = Udp(from, kHost, kPort), later = first;
    first.fragmented = later.fragmented = first.more_fragments = true;
    first.payload.clear();
    later.fragment_offset = 8;
    EXPECT_EQ(Vouched(later), expected) << "the later one first, from " << from;
    EXPECT_EQ(Vouched(first), expected) << "no more than the UDP header, from " << from;
  }
}

TEST_F(VxlanTest, WhatCannotBeParsedIsNotVouchedFor) {
  Frame frame = MakeFrame(Udp(kB, kHost, kPort));
  frame[14 + 20 + 4] = frame[14 + 20 + 5] = 0;
  EXPECT_EQ(Vouched(frame), 0u) << "UDP length 0";
  FrameSpec headers = Udp("2001:db8:1::2", "2001:db8:1::1", kPort);
  for (int i = 0; i < 9; ++i) headers.extensions.push_back({60, {0, 1, 4, 0, 0, 0, 0}});
  EXPECT_EQ(Vouched(headers), 0u) << "nine option headers";
}

// Listed senders that are no nodes (externalNodesList).
TEST_F(VxlanTest, AListedSenderIsVouchedForWhileItIsListed) {
  const auto list = [this](const std::set<policy::Cidr>& prefixes) {
    const absl::Status set = store_->SetExternals(prefixes);
    ASSERT_TRUE(set.ok()) << set;
  };
  const FrameSpec from_v6 = Udp("2001:db8:9::1", "2001:db8:1::1", kPort);
  list({Net("203.0.113.0/24"), Net("2001:db8:9::1/128"), Net("192.0.2.0/24")});
  EXPECT_EQ(Vouched(Udp("203.0.113.77", kHost, kPort)), OWNER_EXTERNAL);
  EXPECT_EQ(Vouched(from_v6), OWNER_EXTERNAL);
  EXPECT_EQ(Vouched(Udp("203.0.114.1", kHost, kPort)), 0u);
  EXPECT_EQ(Vouched(Udp("2001:db8:9::2", "2001:db8:1::1", kPort)), 0u);
  EXPECT_EQ(Vouched(Udp(kB, kHost, kPort)), b_) << "a node stays that node";
  list({Net("2001:db8:9::1/128")});
  EXPECT_EQ(Vouched(Udp("203.0.113.77", kHost, kPort)), 0u);
  EXPECT_EQ(Vouched(from_v6), OWNER_EXTERNAL);
  list({});
  EXPECT_EQ(Vouched(from_v6), 0u);
}

TEST_F(VxlanTest, AListedSenderSpeaksForWhatNobodyOwns) {
  ExpectTunnelDelivered(Tcp("203.0.113.77", kServer), OWNER_EXTERNAL);
  for (const char* owned : {kPodOfB, kBorrowedByC, kB, "10.65.77.1", kClient, kHost}) {
    ExpectTunnelDrop(Tcp(owned, kServer), OWNER_EXTERNAL, DROP_VXLAN_SPOOFED);
  }
  ExpectTunnelDrop(Tcp(kPodOfB6, kServer6), OWNER_EXTERNAL, DROP_VXLAN_SPOOFED);
}

// ---- the tunnel ----

TEST_F(VxlanTest, NothingLeavesTheTunnelThatNobodyVouchedFor) {
  ExpectTunnelDrop(Tcp(kPodOfB, kServer), 0, DROP_VXLAN_FOREIGN);
  ExpectTunnelDrop(Tcp(kPodOfB6, kServer6), 0, DROP_VXLAN_FOREIGN);
  ExpectTunnelDrop(Tcp(kPodOfB, kHost), 0, DROP_VXLAN_FOREIGN);
  ExpectTunnelDrop(Tcp(kPodOfB, "203.0.113.9"), 0, DROP_VXLAN_FOREIGN);
  Frame frame = MakeFrame(Tcp(kPodOfB, kServer));
  frame[12] = 0x08;
  frame[13] = 0x06;
  ExpectTunnelDrop(frame, 0, DROP_VXLAN_FOREIGN);
  ExpectTunnelDrop(frame, b_, DROP_ARP);
  frame = MakeFrame(Tcp(kPodOfB, kHost));
  for (int i = 0; i < 6; ++i) frame[i] = 0xff;
  ExpectTunnelDrop(frame, b_, DROP_NOT_FOR_US);
  frame = MakeFrame(Tcp(kPodOfB, kHost));
  frame[14 + 20 + 12] = 0x40;
  ExpectTunnelDrop(frame, b_, DROP_BAD_LENGTH);
}

TEST_F(VxlanTest, ANodeSpeaksForItsOwnPodsOnly) {
  ExpectTunnelDelivered(Tcp(kPodOfB, kServer), b_);
  ExpectTunnelDelivered(Tcp(kPodOfB6, kServer6), b_);
  ExpectTunnelDelivered(Tcp(kBorrowedByC, kServer), c_);
  for (const char* source : {kPodOfB, kB}) {
    ExpectTunnelDrop(Tcp(source, kServer), c_, DROP_VXLAN_SPOOFED);
    ExpectTunnelDrop(Tcp(source, kHost), c_, DROP_VXLAN_SPOOFED);
    ExpectTunnelDrop(Tcp(source, "203.0.113.9"), c_, DROP_VXLAN_SPOOFED);
  }
  ExpectTunnelDrop(Tcp(kPodOfB6, kServer6), c_, DROP_VXLAN_SPOOFED);
  ExpectTunnelDrop(Tcp(kBorrowedByC, kServer), b_, DROP_VXLAN_SPOOFED);
  ExpectTunnelDrop(Tcp("10.65.77.1", kServer), b_, DROP_VXLAN_SPOOFED);  // a pool's, nobody's
  for (const char* ours : {kClient, kHost}) {
    ExpectTunnelDrop(Tcp(ours, kServer), b_, DROP_VXLAN_SPOOFED);
    ExpectTunnelDrop(Tcp(ours, kHost), b_, DROP_VXLAN_SPOOFED);
  }
}

TEST_F(VxlanTest, ANodeMayForwardFromOutsideAndSpeakForItself) {
  ExpectTunnelDelivered(Tcp(kStranger, kServer), b_);
  ExpectTunnelPassed(Tcp(kB, kHost, 22), b_);
  ExpectTunnelPassed(Tcp(kPodOfB, "203.0.113.9"), b_);
}

TEST_F(VxlanTest, FragmentsOutOfTheTunnelAreBoundToo) {
  FrameSpec first = Udp(kPodOfB, kClient, 80), later = first;
  first.fragmented = later.fragmented = first.more_fragments = true;
  later.fragment_offset = 24;
  ExpectTunnelDelivered(first, b_);
  ExpectTunnelDelivered(later, b_);
  ExpectTunnelDrop(later, c_, DROP_VXLAN_SPOOFED);
}

// ---- natively ----

TEST_F(VxlanTest, NobodyOnTheRackSpeaksForPodsThatComeByTunnel) {
  ExpectDrop(Hook::kFromHost, Tcp(kPodOfB, kServer), DROP_SPOOFED, kAway);
  ExpectDrop(Hook::kFromHost, Tcp(kPodOfC, kServer), DROP_SPOOFED, kAway);
  ExpectDrop(Hook::kFromHost, Tcp("10.65.77.1", kServer), DROP_SPOOFED, kAway);
  // In at an interface without a program, and through the stack.
  ExpectDrop(Hook::kToWorkload, Tcp(kPodOfB, kServer), DROP_SPOOFED, kAway);
  // Across subnets only: the rack speaks natively for itself, not for those beyond.
  ExpectDelivered(Hook::kFromHost, Tcp(kPodOfB6, kServer6), kAway);
  ExpectDrop(Hook::kFromHost, Tcp(kPodOfC6, kServer6), DROP_SPOOFED, kAway);
  // Nodes and whoever is outside come as they come.
  ExpectDelivered(Hook::kFromHost, Tcp(kStranger, kServer), kAway);
  ExpectDrop(Hook::kFromHost, Tcp(kB, kServer), DROP_POLICY_INGRESS, kAway);
}

TEST_F(VxlanTest, ThroughTheStackFromTheTunnelIsFromTheTunnel) {
  kernel_->object().state()->tunnel_ifindex = kAway;
  ExpectPassed(Hook::kToWorkload, Tcp(kPodOfB, kServer), kAway);
  ExpectDrop(Hook::kToWorkload, Tcp(kPodOfB, kServer), DROP_SPOOFED, kAway + 1);
}

TEST_F(VxlanTest, AFlowDoesNotLendItsWayToAnother) {
  const FrameSpec data = Flags(Tcp(kPodOfB, kServer), 0x18);
  ExpectTunnelDelivered(Tcp(kPodOfB, kServer), b_);
  ExpectPassed(Hook::kFromWorkload, Flags(Tcp(kServer, kPodOfB, 40000, 80), 0x12));
  ExpectTunnelDelivered(data, b_);
  ExpectTunnelDrop(data, c_, DROP_VXLAN_SPOOFED);
  ExpectTunnelDrop(data, 0, DROP_VXLAN_FOREIGN);
  ExpectDrop(Hook::kFromHost, data, DROP_SPOOFED, kAway);
  ExpectDrop(Hook::kToWorkload, data, DROP_SPOOFED, kAway);
  ExpectTunnelDelivered(data, b_);
}

TEST_F(VxlanTest, AnswersToAPodsOwnFlowsAreBoundAsWell) {
  ExpectPassed(Hook::kFromWorkload, Tcp(kClient, kPodOfB, 80, 1234));
  const FrameSpec answer = Flags(Tcp(kPodOfB, kClient, 1234, 80), 0x12);
  ExpectTunnelDrop(answer, c_, DROP_VXLAN_SPOOFED);
  ExpectDrop(Hook::kFromHost, answer, DROP_SPOOFED, kAway);
  const FrameSpec rest = Flags(Tcp(kClient, kPodOfB, 80, 1234), 0x10);
  ExpectPassed(Hook::kFromWorkload, rest);
  EXPECT_FALSE(FlowExists(answer, true)) << "a stranger's word must not make it an answered one";
  ExpectTunnelDelivered(answer, b_);
  ExpectPassed(Hook::kFromWorkload, rest);
  EXPECT_TRUE(FlowExists(answer, true));
}

// While a pool goes from native to VXLAN and back, live flows follow the table.
TEST_F(VxlanTest, LiveFlowsFollowTheModeOfThePool) {
  Owner& ours = owners_[Net("198.51.100.0/24")];
  ours.flags = 0;
  SetOwners();
  const FrameSpec data = Flags(Tcp(kPodOfB, kServer), 0x18);
  ExpectDelivered(Hook::kFromHost, Tcp(kPodOfB, kServer), kAway);
  ExpectDelivered(Hook::kFromHost, data, kAway);
  ExpectTunnelDelivered(data, b_);  // B has changed already
  ExpectDelivered(Hook::kFromHost, data, kAway);
  ours.flags = OWNER_TUNNEL_NEAR | OWNER_TUNNEL_ACROSS;
  SetOwners();
  ExpectDrop(Hook::kFromHost, data, DROP_SPOOFED, kAway);
  ExpectTunnelDelivered(data, b_);
  ours.flags = 0;
  SetOwners();
  ExpectDelivered(Hook::kFromHost, data, kAway);
}

TEST_F(VxlanTest, AnAddressThatMovesToAnotherNodeIsThatNodesAtOnce) {
  ExpectTunnelDelivered(Tcp(kPodOfB, kServer), b_);
  owners_[Net("10.65.2.7/32")] = {Owner::Who::kOtherNode, Addr(kC), OWNER_ACROSS};
  SetOwners();
  const FrameSpec data = Flags(Tcp(kPodOfB, kServer), 0x18);
  ExpectTunnelDrop(data, b_, DROP_VXLAN_SPOOFED);
  ExpectTunnelDelivered(data, c_);
}

}  // namespace
}  // namespace ripstop::loader
