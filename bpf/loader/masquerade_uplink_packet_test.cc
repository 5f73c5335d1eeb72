// SPDX-License-Identifier: Apache-2.0
//
// The short way of masqueraded flows, packet by packet: once the next hop is known and the flow is
// answered, from_workload makes of a packet what to_host would.
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/socket.h>

#include <cstdlib>
#include <memory>

#include "bpf/loader/entry_program.h"
#include "bpf/loader/masquerade_testing.h"
#include "policy/base/unique_fd.h"

namespace ripstop::loader {
namespace {

constexpr uint8_t kRouterMac[6] = {2, 0, 0, 0, 0, 0xfe};

// A node with an uplink, in a network namespace of its own, where test runs find a way out.
class MasqueradeUplinkTest : public MasqueradeTest {
 protected:
  void SetUp() override {
    before_ = UniqueFd(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    if (unshare(CLONE_NEWNET) != 0) GTEST_SKIP() << "no privilege for a network namespace";
    ASSERT_EQ(std::system(
                  "exec > /dev/null; sysctl -qw net.ipv4.ip_forward=1 "
                  "net.ipv6.conf.all.forwarding=1 && ip link set lo up && "
                  "ip link add up0 address 02:00:00:00:00:01 type veth peer name up1 && "
                  "ip link set up1 up && ip link set up0 up && "
                  "ip addr add 192.0.2.1/24 dev up0 && ip addr add 2001:db8:1::1/64 dev up0 nodad "
                  "&& ip neigh add 192.0.2.254 lladdr 02:00:00:00:00:fe dev up0 nud permanent && "
                  "ip neigh add 2001:db8:1::fe lladdr 02:00:00:00:00:fe dev up0 nud permanent && "
                  "ip route add default via 192.0.2.254 && "
                  "ip -6 route add default via 2001:db8:1::fe"),
              0);
    MasqueradeTest::SetUp();
  }
  void TearDown() override {
    MasqueradeTest::TearDown();
    if (before_.ok()) {
      ASSERT_EQ(setns(before_.get(), CLONE_NEWNET), 0);
    }
  }

  struct Way {
    FrameSpec spec;
    const char* ours;
  };
  static std::vector<Way> Ways() {
    return {{Tcp(kClient, kStranger, 443), kHost},
            {Udp(kClient, kStranger, 53), kHost},
            {Tcp(kClient6, kStranger6, 443), kOurs6},
            {Udp(kClient6, kStranger6, 53), kOurs6}};
  }
  // A flow that the other end has answered, and whose next hop is known. Returns its port outside.
  uint16_t Opened(const Way& way) {
    const Frame sent = Sent(way.spec);
    ExpectAnswered(way.spec, Answer(way.spec, sent, way.ours));
    // The handshake's end, and the first to be delivered by route.
    for (int i = 0; i < 2; ++i) EXPECT_EQ(Leaves(More(way.spec)).verdict.action, TC_ACT_REDIRECT);
    return PortOf(sent);
  }
  static FrameSpec More(FrameSpec spec) {
    spec.tcp_flags = kAck;
    spec.tcp_sequence = spec.tcp_acknowledged = 1;
    return spec;
  }
  RunResult Leaves(const FrameSpec& spec) { return Run(Hook::kFromWorkload, Summed(spec)); }
  // As the router gets it.
  static Frame Routed(FrameSpec spec) {
    spec.ttl--;
    Frame frame = Summed(spec);
    std::copy(kRouterMac, kRouterMac + 6, frame.begin());
    const uint8_t mac[6] = {2, 0, 0, 0, 0, 1};
    std::copy(mac, mac + 6, frame.begin() + 6);
    return frame;
  }
  static FrameSpec Masqueraded(FrameSpec spec, const char* ours, uint16_t port) {
    spec.packet.source = Addr(ours);
    spec.packet.source_port = spec.icmp_id = port;
    return spec;
  }

 private:
  UniqueFd before_;
};

TEST_F(MasqueradeUplinkTest, WhatLeavesByAKnownNextHopIsTranslatedAtOnce) {
  for (const Way& way : Ways()) {
    const uint16_t port = Opened(way);
    ASSERT_NE(port, way.spec.packet.source_port);
    for (const size_t bytes : {0u, 1u, 700u}) {
      FrameSpec more = More(way.spec);
      more.payload.assign(bytes, 0xa5);
      const RunResult out = Leaves(more);
      EXPECT_EQ(out.verdict.action, TC_ACT_REDIRECT);
      EXPECT_EQ(out.frame, Routed(Masqueraded(more, way.ours, port))) << bytes << " bytes";
    }
    // And to_host believes what it is told: this one it would have to translate.
    const auto entry = EntryProgram::LoadWith(TC_INDEX_FINISHED, kernel_->object().to_host());
    ASSERT_TRUE(entry.ok()) << entry.status();
    const Frame untranslated = Summed(More(way.spec));
    EXPECT_NE(Exit(untranslated).frame, untranslated);
    const auto exit = kernel_->RunProgram(entry->fd(), untranslated, kAway);
    ASSERT_TRUE(exit.ok()) << exit.status();
    EXPECT_EQ(exit->verdict.action, TC_ACT_OK);
    EXPECT_EQ(exit->frame, untranslated);
  }
}

TEST_F(MasqueradeUplinkTest, APodsOwnPortIsLeftWhereItIs) {
  for (Way way : Ways()) {
    way.spec.packet.source_port = way.spec.icmp_id = 23456;
    ASSERT_EQ(Opened(way), 23456);
    const FrameSpec more = More(way.spec);
    EXPECT_EQ(Leaves(more).frame, Routed(Masqueraded(more, way.ours, 23456)));
  }
}

TEST_F(MasqueradeUplinkTest, NobodysAnswerYetMeansThatTheExitDecides) {
  const FrameSpec spec = Udp(kClient, kStranger, 53);
  Sent(spec);
  Leaves(spec);  // by route; from then on the next hop is known
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Leaves(spec).frame, Routed(spec));
}

TEST_F(MasqueradeUplinkTest, TheTunnelsExitDecidesItself) {
  const Way way = Ways()[1];
  Opened(way);
  kernel_->object().state()->tunnel_ifindex = if_nametoindex("up0");
  EXPECT_EQ(Leaves(way.spec).frame, Routed(way.spec));
}

TEST_F(MasqueradeUplinkTest, WhatIsNotTranslatedLeavesAsItIs) {
  // An answer of a pod to who has asked it by its own address.
  ExpectDelivered(Hook::kFromHost, Udp(kStranger, kClient, 40000, 53), kAway);
  const FrameSpec answer = Udp(kClient, kStranger, 53, 40000);
  Leaves(answer);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Leaves(answer).frame, Routed(answer));
  // And a flow that was answered before the pool was masqueraded.
  settings_.pools[policy::Cidr::Parse("198.51.100.0/24").value()] = false;
  Set();
  const FrameSpec asked = Udp(kClient, kStranger, 54);
  Leaves(asked);
  ExpectDelivered(Hook::kFromHost, Udp(kStranger, kClient, 40000, 54), kAway);
  Leaves(asked);
  settings_.pools[policy::Cidr::Parse("198.51.100.0/24").value()] = true;
  Set();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Leaves(asked).frame, Routed(asked));
}

// Their identifier stands behind the checksum, where a packet may not be linear.
TEST_F(MasqueradeUplinkTest, EchoesAreTranslatedAtTheExit) {
  for (const Way& way :
       {Way{Icmp(kClient, kStranger, 8), kHost}, Way{Icmp(kClient6, kStranger6, 128), kOurs6}}) {
    const uint16_t id = Opened(way);
    EXPECT_EQ(Leaves(way.spec).frame, Routed(way.spec));
    EXPECT_EQ(PortOf(Exit(Summed(way.spec)).frame), id);
  }
}

// IPv4 options and IPv6 extension headers before the ports.
TEST_F(MasqueradeUplinkTest, HeadersBeforeThePortsStayAsTheyAre) {
  for (Way way : Ways()) {
    const uint16_t port = Opened(way);
    FrameSpec more = More(way.spec);
    const bool v4 = more.packet.source.is_v4();
    if (v4)
      more.ipv4_options = {1, 1, 1, 1, 1, 1, 1, 1};  // eight times "no operation"
    else
      more.extensions = {{60, {0, 1, 4, 0, 0, 0, 0}}};  // destination options: padding
    Frame sent = MakeFrame(more), wanted = MakeFrame(Masqueraded(more, way.ours, port));
    const size_t l4 = (v4 ? 34 : 54) + 8;
    const size_t sum = l4 + (more.packet.protocol == policy::kProtocolTcp ? 16 : 6);
    // Any sum will do that is right before: it has to be right by as much afterwards.
    const auto add = [](uint32_t a, uint32_t b) { return (a + b) % 0xffff; };
    sent[sum] = wanted[sum] = 0x12;
    sent[sum + 1] = wanted[sum + 1] = 0x34;
    const RunResult out = Run(Hook::kFromWorkload, sent);
    ASSERT_EQ(out.verdict.action, TC_ACT_REDIRECT) << out.verdict.reason;
    const auto words = [&](const Frame& frame) {
      uint32_t total = 0;
      const size_t addresses = v4 ? 26 : 22, end = v4 ? 34 : 54;
      for (size_t i = addresses; i < end; i += 2) total = add(total, frame[i] << 8 | frame[i + 1]);
      for (size_t i = l4; i + 1 < frame.size(); i += 2)
        total = add(total, frame[i] << 8 | frame[i + 1]);
      return total;
    };
    EXPECT_EQ(words(out.frame), words(sent)) << "what the checksum covers sums up as before";
    EXPECT_NE(out.frame[sum], 0x12);
    // All else is as if it had been made so.
    wanted[sum] = out.frame[sum];
    wanted[sum + 1] = out.frame[sum + 1];
    wanted[v4 ? 22 : 21]--;
    std::copy(out.frame.begin(), out.frame.begin() + 12, wanted.begin());
    if (v4) {
      EXPECT_EQ(Ipv4HeaderChecksum(out.frame), 0);
      std::copy(out.frame.begin() + 24, out.frame.begin() + 26, wanted.begin() + 24);
    }
    EXPECT_EQ(out.frame, wanted);
  }
}

// A first fragment has a port and no whole checksum to see; it is to_host's.
TEST_F(MasqueradeUplinkTest, FragmentsAreTranslatedAtTheExit) {
  const Way way = Ways()[1];
  const uint16_t port = Opened(way);
  FrameSpec first = way.spec;
  first.fragmented = first.more_fragments = true;
  Frame sent = MakeFrame(first);
  const RunResult out = Run(Hook::kFromWorkload, sent);
  EXPECT_EQ(out.verdict.action, TC_ACT_REDIRECT);
  EXPECT_EQ(PortOf(out.frame), way.spec.packet.source_port);
  EXPECT_EQ(PortOf(Exit(sent).frame), port);
}

}  // namespace
}  // namespace ripstop::loader
