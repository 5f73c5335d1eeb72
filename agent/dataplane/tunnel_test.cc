// SPDX-License-Identifier: Apache-2.0
//
// Attacks on the tunnel, with a real VXLAN device and real packets. Each one brings a
// datagram of a remote pod's address into pod B while the programs are off; that is the
// control. With them on, and a policy that admits that address, none does.
//
//   a, b (pods) ── node ── up0 ── far: node B (.2), node C (.3), a stranger of the rack
//                    └──── el0 ── guest: a container of somebody else's
#include <gtest/gtest.h>

#include <chrono>
#include <functional>

#include "agent/dataplane/testing_node.h"
#include "agent/dataplane/testing_wire.h"

namespace ripstop::agent {
namespace {

using loader::Owner;
using loader::testing::Addr;
using testing::Bytes;
using testing::kFar;
using testing::kPodA;
using testing::kPodB;

constexpr char kPodOfB[] = "10.65.2.7";
constexpr char kPodA6[] = "fd00:aa::10";
constexpr uint16_t kPort = 4789;
constexpr uint32_t kVni = 4096;
constexpr std::array<uint8_t, 6> kTunnelMac = {2, 0, 0, 0, 0, 0xa1};
constexpr std::array<uint8_t, 6> kMacOfB = {2, 0, 0, 0, 0, 0xb2};
constexpr std::array<uint8_t, 6> kUplinkMac = {2, 0, 0, 0, 0, 0x01};
constexpr std::array<uint8_t, 6> kElsewhereMac = {2, 0, 0, 0, 0, 0x02};
constexpr std::array<uint8_t, 6> kBroadcast = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
constexpr auto kHang = std::chrono::minutes(5);  // a limit for what never comes

policy::Cidr Net(const char* text) { return policy::Cidr::Parse(text).value(); }

struct Attack {
  std::string name;
  drop_reason reason;  // why it fails
  std::function<absl::Status()> send;
};

class TunnelTest : public testing::NodeTest {
 protected:
  // `outer_v4`: which family the tunnel has outside.
  void Build(bool outer_v4) {
    auto made = TestNetns::Create();
    ASSERT_TRUE(made.ok()) << made.status();
    guest_ = std::make_unique<TestNetns>(*std::move(made));
    const auto node = [this](const std::string& command) {
      ASSERT_EQ(node_->Shell(command), 0) << command;
    };
    const auto far = [this](const std::string& command) {
      ASSERT_EQ(far_->Shell(command), 0) << command;
    };
    node(
        "sysctl -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.up0.rp_filter=0 "
        "net.ipv4.conf.default.rp_filter=0 net.ipv6.conf.all.forwarding=1");
    node("ip link set up0 address 02:00:00:00:00:01");
    node("ip addr add 10.255.0.201/24 dev up0");
    far("ip addr add 10.255.0.3/24 dev eth0");
    node("ip -6 addr add fd00:255::1/64 dev up0 nodad");
    node("ip -6 addr add fe80::1/64 dev up0 nodad");
    for (const char* address : {"fd00:255::2", "fd00:255::3", "fd00:255::66"}) {
      far(absl::StrCat("ip -6 addr add ", address, "/64 dev eth0 nodad"));
    }
    node(
        absl::StrCat("ip link add vx address 02:00:00:00:00:a1 type vxlan id 4096 dstport 4789 "
                     "nolearning local ",
                     outer_v4 ? "10.255.0.1" : "fd00:255::1"));
    node("sysctl -w net.ipv4.conf.vx.rp_filter=0");
    node("ip link set vx up");
    node("ip route add 10.65.2.0/24 via 10.255.0.2 dev vx onlink");
    node("ip neigh replace 10.255.0.2 lladdr 02:00:00:00:00:b2 dev vx nud permanent");
    node(absl::StrCat("bridge fdb append 02:00:00:00:00:b2 dev vx dst ",
                      outer_v4 ? "10.255.0.2" : "fd00:255::2"));
    // Pod A has IPv6 too.
    ASSERT_EQ(a_->Shell(absl::StrCat("ip -6 addr add ", kPodA6,
                                     "/128 dev eth0 nodad && ip -6 route add fe80::99 dev eth0 && "
                                     "ip -6 route add default via fe80::99 dev eth0 && "
                                     "ip -6 neigh replace fe80::99 lladdr ee:ee:ee:ee:ee:ee "
                                     "dev eth0 nud permanent")),
              0);
    node(absl::StrCat("ip -6 route add ", kPodA6, "/128 dev hosta && ip -6 neigh replace ", kPodA6,
                      " lladdr 02:00:00:00:00:0a dev hosta nud permanent"));
    // Somebody else's container.
    node(
        absl::StrCat("ip link add el0 address 02:00:00:00:00:02 type veth peer name eth0 && "
                     "ip link set eth0 netns ",
                     guest_->path(),
                     " && ip link set el0 up && ip addr add 10.99.0.1/24 dev el0 "
                     "&& ip -6 addr add fd00:99::1/64 dev el0 nodad"));
    ASSERT_EQ(guest_->Shell("ip link set lo up && ip link set eth0 up && "
                            "ip addr add 10.99.0.2/24 dev eth0 && ip route add default via "
                            "10.99.0.1 && ip -6 addr add fd00:99::2/64 dev eth0 nodad && "
                            "ip -6 route add default via fd00:99::1"),
              0);
    const absl::Status bound = ProbeSocket(b_->fd(), kPodB, 7777, &pod_b_);
    ASSERT_TRUE(bound.ok()) << bound;
  }

  // Node B as it is: a VXLAN device of its own and a pod.
  void BuildNodeB() {
    for (const std::string command :
         {"ip link add vxb address 02:00:00:00:00:b2 type vxlan id 4096 dstport 4789 nolearning "
          "local 10.255.0.2",
          "sysctl -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0",
          "ip link set vxb up", "ip addr add 10.65.2.7/32 dev lo",
          "ip route replace 198.51.100.0/24 via 10.255.0.1 dev vxb onlink",
          "ip neigh replace 10.255.0.1 lladdr 02:00:00:00:00:a1 dev vxb nud permanent",
          "bridge fdb append 02:00:00:00:00:a1 dev vxb dst 10.255.0.1"}) {
      ASSERT_EQ(far_->Shell(command), 0) << command;
    }
  }

  // Programs, and tables in which pod B admits the pod of node B.
  void Protect(bool outer_v4) {
    Open();
    Attach();
    const absl::Status attached = node_->Run([&]() -> absl::Status {
      if (absl::Status s = dataplane_->AttachTunnel(if_nametoindex("vx")); !s.ok()) return s;
      return dataplane_->AttachElsewhere(if_nametoindex("el0"), false);
    });
    ASSERT_TRUE(attached.ok()) << attached;
    const absl::Status configured = dataplane_->ConfigureTunnel(kPort, Ifindex("vx"));
    ASSERT_TRUE(configured.ok()) << configured;
    WriteGeneration(true);
    tables_->AddOther(kPodOfB, ADDRESS_REMOTE_ENDPOINT, 1);
    const uint32_t open = tables_->AllowAll(7, 77);
    tables_->AddPod(kPodA6, 1, open, open, Ifindex("hosta"), {2, 0, 0, 0, 0, 0x0a});
    ASSERT_TRUE(dataplane_->Apply(tables_->Take()).ok());
    const auto other = [&](const char* v4, const char* v6, uint32_t flags) {
      return Owner{Owner::Who::kOtherNode, Addr(outer_v4 ? v4 : v6), flags};
    };
    const absl::Status owned = dataplane_->SetOwners(
        {{Net("10.65.0.0/16"), {}},
         {Net("198.51.100.0/24"),
          {Owner::Who::kThisNode, {}, OWNER_TUNNEL_NEAR | OWNER_TUNNEL_ACROSS}},
         {Net("10.65.2.0/24"), other("10.255.0.2", "fd00:255::2", 0)},
         {Net("10.65.3.0/24"), other("10.255.0.3", "fd00:255::3", 0)}});
    ASSERT_TRUE(owned.ok()) << owned;
  }

  static Bytes Payload(const char* source = kPodOfB, const char* target = kPodB) {
    loader::FrameSpec inner;
    inner.packet = {Addr(source), Addr(target), policy::kProtocolUdp, 5, 7777};
    inner.payload = {'x'};
    return testing::Vxlan(kVni, kTunnelMac, kMacOfB, inner);
  }
  bool Arrives(std::chrono::milliseconds limit) {
    pollfd p{.fd = pod_b_.get(), .events = POLLIN, .revents = 0};
    char data[8];
    return poll(&p, 1, static_cast<int>(limit.count())) == 1 &&
           recv(pod_b_.get(), data, sizeof(data), 0) >= 0;
  }

  // Datagrams that any process can send, to each destination.
  Attack Udp(std::string name, drop_reason reason, const TestNetns& from, std::string source,
             std::string to, std::string interface = "") {
    return {std::move(name), reason, [=, ns = from.fd()] {
              return testing::SendUdp(ns, source, to, kPort, Payload(), interface);
            }};
  }
  // Packets that need a raw socket.
  Attack Raw(std::string name, drop_reason reason, const TestNetns& from,
             std::array<uint8_t, 6> mac, std::vector<Bytes> packets) {
    return {std::move(name), reason,
            [=, ns = from.fd()] { return testing::SendFrames(ns, "eth0", mac, packets); }};
  }
  static Bytes UdpPacket(const char* from, const char* to, const Bytes& payload) {
    return testing::Ip(Addr(from), Addr(to), 17,
                       testing::UdpDatagram(Addr(from), Addr(to), kPort, payload));
  }
  static std::pair<Bytes, Bytes> UdpFragments(const char* from, const char* to) {
    return testing::Fragments(Addr(from), Addr(to),
                              testing::UdpDatagram(Addr(from), Addr(to), kPort, Payload()));
  }

  // Which comes first: the datagram at pod B, or one more counted under `reason`.
  bool ArrivesBefore(drop_reason reason, uint64_t count) {
    const auto end = std::chrono::steady_clock::now() + kHang;
    while (std::chrono::steady_clock::now() < end) {
      if (Arrives(std::chrono::milliseconds(1))) return true;
      if (Dropped(reason) > count) return false;
    }
    ADD_FAILURE() << "neither arrived nor counted";
    return false;
  }

  void ExpectAllSucceed(const std::vector<Attack>& attacks) {
    for (const Attack& attack : attacks) {
      SCOPED_TRACE(attack.name);
      const absl::Status sent = attack.send();
      ASSERT_TRUE(sent.ok()) << sent;
      EXPECT_TRUE(Arrives(kHang)) << "control: the attack is none";
    }
  }
  void ExpectAllFail(const std::vector<Attack>& attacks) {
    for (const Attack& attack : attacks) {
      SCOPED_TRACE(attack.name);
      const uint64_t before = Dropped(attack.reason);
      const absl::Status sent = attack.send();
      ASSERT_TRUE(sent.ok()) << sent;
      EXPECT_FALSE(ArrivesBefore(attack.reason, before));
      EXPECT_GT(Dropped(attack.reason), before) << "not counted under its reason";
      EXPECT_FALSE(Arrives(std::chrono::milliseconds(0)));
    }
  }

  std::unique_ptr<TestNetns> guest_;
  UniqueFd pod_b_;
};

TEST_P(TunnelTest, NoDatagramOverIpv4SpeaksForAnotherNodesPod) {
  Build(true);
  const auto [first, later] = UdpFragments(kFar, "10.255.0.1");
  const auto [pod_first, pod_later] = UdpFragments(kPodA, "10.255.0.1");
  const auto foreign = DROP_VXLAN_FOREIGN;
  const auto pods = DROP_VXLAN_FROM_WORKLOAD;
  const std::vector<Attack> attacks = {
      Udp("a pod, to the node", pods, *a_, kPodA, "10.255.0.1"),
      Udp("a pod, to the node's second address", pods, *a_, kPodA, "10.255.0.201"),
      Udp("a pod, to all of the rack", pods, *a_, kPodA, "10.255.0.255"),
      Raw("a pod, in fragments", pods, *a_, {0xee, 0xee, 0xee, 0xee, 0xee, 0xee},
          {pod_first, pod_later}),
      Udp("a stranger, to the node", foreign, *far_, kFar, "10.255.0.1"),
      Udp("a stranger, to the node's second address", foreign, *far_, kFar, "10.255.0.201"),
      Udp("a stranger, to all of the rack", foreign, *far_, kFar, "10.255.0.255"),
      Udp("a stranger, to everybody", foreign, *far_, kFar, "255.255.255.255", "eth0"),
      Udp("a stranger, to all hosts", foreign, *far_, kFar, "224.0.0.1", "eth0"),
      Udp("a node, to all hosts", foreign, *far_, "10.255.0.3", "224.0.0.1", "eth0"),
      Raw("a stranger, first fragment of eight bytes", foreign, *far_, kUplinkMac, {first, later}),
      Raw("a stranger, later fragment first", foreign, *far_, kUplinkMac, {later, first}),
      Raw("a stranger, to a broadcast MAC", foreign, *far_, kBroadcast,
          {UdpPacket(kFar, "10.255.0.1", Payload())}),
      Raw("a node's address, to a broadcast MAC", foreign, *far_, kBroadcast,
          {UdpPacket("10.255.0.2", "10.255.0.1", Payload())}),
      Udp("the host itself", foreign, *node_, "127.0.0.1", "127.0.0.1"),
      Udp("the host itself, by its address", foreign, *node_, "10.255.0.1", "10.255.0.1"),
      Udp("in at another interface", foreign, *guest_, "10.99.0.2", "10.255.0.1"),
      Raw("a node's address, in at another interface", foreign, *guest_, kElsewhereMac,
          {UdpPacket("10.255.0.2", "10.255.0.1", Payload())}),
      Udp("another node", DROP_VXLAN_SPOOFED, *far_, "10.255.0.3", "10.255.0.1"),
      Raw("natively", DROP_SPOOFED, *far_, kUplinkMac,
          {testing::Ip(Addr(kPodOfB), Addr(kPodB), 17,
                       testing::UdpDatagram(Addr(kPodOfB), Addr(kPodB), 7777, {'x'}))}),
      Raw("natively, in at another interface", DROP_SPOOFED, *guest_, kElsewhereMac,
          {testing::Ip(Addr(kPodOfB), Addr(kPodB), 17,
                       testing::UdpDatagram(Addr(kPodOfB), Addr(kPodB), 7777, {'x'}))}),
  };
  ExpectAllSucceed(attacks);
  Protect(true);
  ExpectAllFail(attacks);
}

TEST_P(TunnelTest, NoDatagramOverIpv6SpeaksForAnotherNodesPod) {
  Build(false);
  const char *stranger = "fd00:255::66", *us = "fd00:255::1";
  const auto [first, later] = UdpFragments(stranger, us);
  const auto foreign = DROP_VXLAN_FOREIGN;
  const auto pods = DROP_VXLAN_FROM_WORKLOAD;
  const Bytes datagram = testing::UdpDatagram(Addr(stranger), Addr(us), kPort, Payload());
  Bytes headers;
  for (int i = 0; i < 9; ++i) {
    testing::Append(headers, {uint8_t(i < 8 ? 60 : 17), 0, 1, 4, 0, 0, 0, 0});
  }
  testing::Append(headers, datagram);
  const std::vector<Attack> attacks = {
      Udp("a pod, to the node", pods, *a_, kPodA6, us),
      Udp("a pod, to the subnet's routers", pods, *a_, kPodA6, "fd00:255::"),
      Udp("a stranger, to the node", foreign, *far_, stranger, us),
      Udp("a stranger, to the subnet's routers", foreign, *far_, stranger, "fd00:255::"),
      Udp("a stranger, to all nodes", foreign, *far_, stranger, "ff02::1", "eth0"),
      Udp("a stranger, to a link-local address", foreign, *far_, stranger, "fe80::1", "eth0"),
      Raw("a stranger, first fragment of eight bytes", foreign, *far_, kUplinkMac, {first, later}),
      Raw("a stranger, later fragment first", foreign, *far_, kUplinkMac, {later, first}),
      Raw("a stranger, UDP length 0", foreign, *far_, kUplinkMac,
          {testing::Ip(Addr(stranger), Addr(us), 17,
                       testing::UdpDatagram(Addr(stranger), Addr(us), kPort, Payload(), 0))}),
      Raw("a stranger, nine option headers", foreign, *far_, kUplinkMac,
          {testing::Ip(Addr(stranger), Addr(us), 60, headers)}),
      Udp("the host itself", foreign, *node_, "::1", "::1"),
      Udp("in at another interface", foreign, *guest_, "fd00:99::2", us),
      Udp("another node", DROP_VXLAN_SPOOFED, *far_, "fd00:255::3", us),
  };
  ExpectAllSucceed(attacks);
  Protect(false);
  ExpectAllFail(attacks);
}

// The kernel alone takes them where route_localnet is set, as sources with accept_local: the
// control shows it (CVE-2020-8558).
TEST_P(TunnelTest, LoopbackIsNotBelievedFromOutside) {
  Build(true);
  for (const char* link : {"up0", "el0"}) {
    ASSERT_EQ(node_->Shell(absl::StrCat("sysctl -w net.ipv4.conf.", link, ".rp_filter=0 ",
                                        "net.ipv4.conf.", link, ".accept_local=1 ",
                                        "net.ipv4.conf.", link, ".route_localnet=1")),
              0);
  }
  ASSERT_TRUE(ProbeSocket(node_->fd(), "0.0.0.0", 7777, &pod_b_).ok());
  const auto packet = [](const char* from, const char* to) -> std::vector<Bytes> {
    return {testing::Ip(Addr(from), Addr(to), 17,
                        testing::UdpDatagram(Addr(from), Addr(to), 7777, {'x'}))};
  };
  const auto [first, later] =
      testing::Fragments(Addr(kFar), Addr("127.0.0.1"),
                         testing::UdpDatagram(Addr(kFar), Addr("127.0.0.1"), 7777, Bytes(24, 'x')));
  const std::vector<Bytes> pieces = {first, later};
  const std::vector<Attack> attacks = {
      Raw("a stranger", DROP_MARTIAN, *far_, kUplinkMac, packet(kFar, "127.0.0.1")),
      Raw("a stranger, to another of them", DROP_MARTIAN, *far_, kUplinkMac,
          packet(kFar, "127.9.9.9")),
      Raw("a stranger, in pieces", DROP_MARTIAN, *far_, kUplinkMac, pieces),
      Raw("a stranger, the later piece first", DROP_MARTIAN, *far_, kUplinkMac,
          {pieces[1], pieces[0]}),
      Raw("a stranger, in a frame to everybody", DROP_MARTIAN, *far_, kBroadcast,
          packet(kFar, "127.0.0.1")),
      Raw("a stranger, as the node itself", DROP_MARTIAN, *far_, kUplinkMac,
          packet("127.0.0.1", "10.255.0.1")),
      Raw("in at another interface", DROP_MARTIAN, *guest_, kElsewhereMac,
          packet("10.99.0.2", "127.0.0.1")),
      Raw("in at another interface, in a frame to everybody", DROP_MARTIAN, *guest_, kBroadcast,
          packet("10.99.0.2", "127.0.0.1")),
      Raw("in at another interface, as the node itself", DROP_MARTIAN, *guest_, kElsewhereMac,
          packet("127.0.0.1", "10.99.0.1")),
  };
  ExpectAllSucceed(attacks);
  Protect(true);
  ExpectAllFail(attacks);
}

// A namespace's owner may give packets a traffic class on their way out, and it stays with
// them: the control shows that from_tunnel would believe it.
TEST_P(TunnelTest, NobodyElsesTrafficClassIsBelieved) {
  Build(true);
  Protect(true);
  ASSERT_EQ(guest_->Shell("tc qdisc add dev eth0 clsact"), 0);
  const auto claim = [this](int number) {
    ASSERT_EQ(guest_->Shell(absl::StrCat("tc filter replace dev eth0 egress pref 1 handle 1 bpf "
                                         "bytecode \"1,6 0 0 4294967295\" classid 1:",
                                         number)),
              0);
  };
  for (int number = 1; number <= 4; ++number) {
    claim(number);
    ExpectAllFail({Udp("a forged class", DROP_VXLAN_FOREIGN, *guest_, "10.99.0.2", "10.255.0.1")});
  }
  const absl::Status detached =
      node_->Run([&] { return dataplane_->DetachHost(if_nametoindex("el0")); });
  ASSERT_TRUE(detached.ok()) << detached;
  bool believed = false;
  for (int number = 1; number <= 4; ++number) {
    claim(number);
    // The right number arrives; a wrong one is a node that has no such pod.
    const uint64_t before = Dropped(DROP_VXLAN_SPOOFED);
    ASSERT_TRUE(testing::SendUdp(guest_->fd(), "10.99.0.2", "10.255.0.1", kPort, Payload()).ok());
    believed = ArrivesBefore(DROP_VXLAN_SPOOFED, before) || believed;
  }
  EXPECT_TRUE(believed) << "control: no class is believed, so nothing was shown";
}

TEST_P(TunnelTest, NodesReachEachOthersPodsAlsoInFragments) {
  Build(true);
  BuildNodeB();
  Protect(true);
  EXPECT_TRUE(Passes(*far_, kPodOfB, *b_, kPodB));
  EXPECT_TRUE(Passes(*b_, kPodB, *far_, kPodOfB));
  // A narrower path: the outer packets arrive in pieces.
  ASSERT_EQ(far_->Shell("ip link set eth0 mtu 1300 && ip link set vxb mtu 1450"), 0);
  ASSERT_EQ(node_->Shell("ip link set up0 mtu 1300 && ip link set vx mtu 1450"), 0);
  const absl::Status whole = Probe(far_->fd(), kPodOfB, b_->fd(), kPodB, 1400);
  EXPECT_TRUE(whole.ok()) << whole;
  EXPECT_EQ(Dropped(DROP_VXLAN_FOREIGN), 0u);
  EXPECT_EQ(Dropped(DROP_VXLAN_SPOOFED), 0u);
}

// Nodes may be reached through a tunnel of the host's own (WireGuard, a tun device).
TEST_P(TunnelTest, ADeviceWithoutEthernetVouchesToo) {
  Build(true);
  UniqueFd tun;
  const absl::Status made = testing::MakeTun(node_->fd(), "tun0", &tun);
  if (!made.ok()) {
    RecordProperty("kernel_lacks", "tun devices");
    GTEST_SKIP() << made;
  }
  ASSERT_EQ(node_->Shell("sysctl -w net.ipv4.conf.tun0.rp_filter=0 && ip link set tun0 up"), 0);
  Protect(true);
  const absl::Status attached =
      node_->Run([&] { return dataplane_->AttachUplink(if_nametoindex("tun0")); });
  ASSERT_TRUE(attached.ok()) << attached;
  const auto arrive = [&](const char* from) -> absl::Status {
    const Bytes packet = UdpPacket(from, "10.255.0.1", Payload());
    if (write(tun.get(), packet.data(), packet.size()) == static_cast<ssize_t>(packet.size())) {
      return absl::OkStatus();
    }
    return absl::ErrnoToStatus(errno, "write to the tun device");
  };
  ASSERT_TRUE(arrive("10.255.0.2").ok());
  EXPECT_TRUE(Arrives(kHang));
  ExpectAllFail({{"a stranger", DROP_VXLAN_FOREIGN, [&] { return arrive(kFar); }},
                 {"another node", DROP_VXLAN_SPOOFED, [&] { return arrive("10.255.0.3"); }}});
}

// The VLAN's own interface has the say, and there may be none.
TEST_P(TunnelTest, FramesOfAVlanOnTheUplinkAreNotForPods) {
  Build(true);
  Protect(true);
  const auto frame = [](bool tagged) {
    const policy::Address from = Addr(testing::kFarUnknown), to = Addr(kPodB);
    Bytes out(kUplinkMac.begin(), kUplinkMac.end());
    testing::Append(out, {2, 0, 0, 0, 0, 0x0f});
    if (tagged) testing::Append(out, {0x81, 0, 0, 5});
    testing::Append(out, {8, 0});
    testing::Append(out, testing::Ip(from, to, 17, testing::UdpDatagram(from, to, 7777, {'x'})));
    return out;
  };
  // Pod B denies this source, so what is taken to be for it is counted.
  const uint64_t before = Dropped(DROP_POLICY_INGRESS);
  ASSERT_TRUE(testing::SendFrame(far_->fd(), "eth0", frame(true)).ok());
  ExpectAllFail({{"control: without a tag", DROP_POLICY_INGRESS,
                  [&] { return testing::SendFrame(far_->fd(), "eth0", frame(false)); }}});
  EXPECT_EQ(Dropped(DROP_POLICY_INGRESS), before + 1) << "the tagged one went first";
}

// externalNodesList.
TEST_P(TunnelTest, AListedSenderThatIsNoNodeIsHeardWhileItIsListed) {
  constexpr const char* kOutside = "203.0.113.9";
  Build(true);
  Protect(true);
  tables_->AddOther(kOutside, 0, 1);
  ASSERT_TRUE(dataplane_->Apply(tables_->Take()).ok());
  const auto send = [&](const char* inner) -> Attack {
    return {inner, DROP_VXLAN_FOREIGN, [this, inner] {
              return testing::SendUdp(far_->fd(), kFar, "10.255.0.1", kPort, Payload(inner), "");
            }};
  };
  const auto as_another = [&](const char* inner) {
    Attack attack = send(inner);
    attack.reason = DROP_VXLAN_SPOOFED;
    return attack;
  };
  ExpectAllFail({send(kOutside), send(kPodOfB)});
  ASSERT_TRUE(dataplane_->SetExternalNodes({policy::Cidr::Of(Addr(kFar), 126)}).ok());
  ExpectAllSucceed({send(kOutside)});
  ExpectAllFail({as_another(kPodOfB), as_another("10.65.9.9")});
  ASSERT_TRUE(dataplane_->SetExternalNodes({}).ok());
  ExpectAllFail({send(kOutside)});
}

TEST_P(TunnelTest, AnotherNetworkOnTheSamePortIsUntouched) {
  Build(true);
  ASSERT_EQ(node_->Shell("ip link add vy type vxlan id 77 dstport 4789 nolearning "
                         "local 10.255.0.1 && ip link set vy up && ip addr add 10.77.0.1/24 dev vy "
                         "&& bridge fdb append 00:00:00:00:00:00 dev vy dst 10.255.0.66"),
            0);
  ASSERT_EQ(far_->Shell("ip addr add 10.255.0.66/24 dev eth0 && ip link add vy type vxlan id 77 "
                        "dstport 4789 nolearning local 10.255.0.66 && ip link set vy up && "
                        "ip addr add 10.77.0.2/24 dev vy && "
                        "bridge fdb append 00:00:00:00:00:00 dev vy dst 10.255.0.1"),
            0);
  Protect(true);
  EXPECT_TRUE(Passes(*far_, "10.77.0.2", *node_, "10.77.0.1"));
}

INSTANTIATE_TEST_SUITE_P(Attachment, TunnelTest, ::testing::Values(false, true),
                         testing::AttachmentName);

}  // namespace
}  // namespace ripstop::agent
