// SPDX-License-Identifier: Apache-2.0
//
// Pods of masqueraded pools and a neighbour that knows no way back to them: real packets, with
// and without host's NAT beside.

#include <algorithm>
#include <set>
#include <vector>

#include "agent/dataplane/testing_masquerade.h"

namespace ripstop::agent {
namespace {

using testing::kCases;
using testing::kV4;
using testing::kV6;
using testing::MasqueradeNodeTest;
using testing::Plan;

TEST_P(MasqueradeNodeTest, WhoKnowsNoWayBackIsReachedAndAnswers) {
  Start(Policy::kOnlyClass1, Policy::kOpen, false);
  {
    // What this is all for: the pod is heard under its own address, and never gets an answer.
    Conversation talk = Out(Transport::kUdp, kV4);
    ASSERT_TRUE(talk.Listen().ok());
    ASSERT_TRUE(talk.Begin().ok());
    talk.ClientSays();
    ASSERT_TRUE(talk.ServerHears().ok());
    EXPECT_EQ(talk.peer(), kV4.a);
    talk.ServerSays();
    EXPECT_FALSE(talk.ClientHears(0).ok());
  }
  for (const bool host_nat : {false, true}) {
    StartMasquerade(host_nat);
    for (const auto& [plan, transport] : kCases) {
      Conversation talk = Out(transport, plan);
      const absl::Status open = talk.Open();
      EXPECT_TRUE(open.ok()) << open;
      EXPECT_EQ(talk.peer(), plan.node);
      EXPECT_GE(talk.peer_port(), 20000);
      EXPECT_LE(talk.peer_port(), 29999);
      // Segments that the device is to divide, and sums that it is to make.
      talk.ClientSays(transport == Transport::kTcp ? 60000 : 1400);
      EXPECT_TRUE(talk.ServerHears().ok());
      // Policy is of the pod and of whom it asks.
      ExpectDenied(Conversation(transport, {.client_ns = a_->fd(),
                                            .client = plan.a,
                                            .to = plan.far_other,
                                            .to_port = 80,
                                            .server_ns = far_->fd(),
                                            .server = plan.far_other,
                                            .server_port = 80}),
                   DROP_POLICY_EGRESS);
    }
  }
}

TEST_P(MasqueradeNodeTest, EchoesOfTwoPodsWithOneIdentifier) {
  StartMasquerade();
  for (const Plan& plan : {kV4, kV6}) {
    const int family = plan.v4 ? AF_INET : AF_INET6;
    std::vector<UniqueFd> pings;
    for (const auto& [pod, address] : {std::pair{a_.get(), plan.a}, {b_.get(), plan.b}}) {
      ASSERT_EQ(pod->Shell("sysctl -qw net.ipv4.ping_group_range='0 2147483647'"), 0);
      pings.push_back(Socket(*pod, family, SOCK_DGRAM, plan.v4 ? 1 : 58, address, 25555));
      socklen_t length = 0;
      const sockaddr_storage to = ProbeAddress(plan.far, 0, &length);
      const uint8_t request[16] = {static_cast<uint8_t>(plan.v4 ? 8 : 128)};
      ASSERT_EQ(sendto(pings.back().get(), request, sizeof(request), 0,
                       reinterpret_cast<const sockaddr*>(&to), length),
                static_cast<ssize_t>(sizeof(request)));
    }
    for (const UniqueFd& ping : pings) {
      uint8_t answer[64] = {};
      pollfd p{.fd = ping.get(), .events = POLLIN, .revents = 0};
      ASSERT_EQ(poll(&p, 1, Conversation::kPatience), 1) << "no echo";
      ASSERT_GT(recv(ping.get(), answer, sizeof(answer), 0), 0);
      EXPECT_EQ(answer[0], plan.v4 ? 0 : 129);
      EXPECT_EQ(answer[4] << 8 | answer[5], 25555);
    }
  }
}

TEST_P(MasqueradeNodeTest, TwoPodsWithOnePortToOneServer) {
  StartMasquerade();
  for (const auto& [plan, transport] : kCases) {
    Conversation first = Out(transport, plan, 23456);
    const absl::Status open = first.Open();
    ASSERT_TRUE(open.ok()) << open;
    EXPECT_EQ(first.peer_port(), 23456) << "a pod's own, where it is free";
    Conversation second(transport, {.client_ns = b_->fd(),
                                    .client = plan.b,
                                    .to = plan.far,
                                    .to_port = 80,
                                    .server_ns = far_->fd(),
                                    .server = plan.far,
                                    .server_port = 81,
                                    .client_port = 23456});
    ASSERT_TRUE(second.Listen().ok());
    ASSERT_TRUE(second.Begin().ok());
    second.ClientSays();
    // It arrives where the first one is, under another port.
    if (transport == Transport::kUdp) {
      const absl::Status heard = first.ServerHears();
      ASSERT_TRUE(heard.ok()) << heard;
      EXPECT_EQ(first.peer(), plan.node);
      EXPECT_NE(first.peer_port(), 23456);
      first.ServerSays();
      EXPECT_TRUE(second.ClientHears().ok()) << "the answer goes to who asked";
      EXPECT_FALSE(first.ClientHears(0).ok());
    } else {
      EXPECT_TRUE(second.Connected().ok()) << "a connection of its own at the same server";
    }
    const absl::Status goes_on = first.Exchange();
    EXPECT_TRUE(goes_on.ok()) << goes_on;
  }
}

TEST_P(MasqueradeNodeTest, ARangeOfFourIsFullWithFour) {
  settings_.first_port = 25000;
  settings_.last_port = 25003;
  StartMasquerade();
  for (const Plan& plan : {kV4, kV6}) {
    std::set<uint16_t> ports;
    UniqueFd server = Socket(*far_, plan.v4 ? AF_INET : AF_INET6, SOCK_DGRAM, 0, plan.far, 53);
    std::vector<UniqueFd> clients;
    socklen_t length = 0;
    const sockaddr_storage to = ProbeAddress(plan.far, 53, &length);
    const auto ask = [&] {
      clients.push_back(Socket(*a_, plan.v4 ? AF_INET : AF_INET6, SOCK_DGRAM, 0, plan.a, 0));
      sendto(clients.back().get(), "?", 1, 0, reinterpret_cast<const sockaddr*>(&to), length);
    };
    for (int i = 0; i < 4; ++i) {
      ask();
      sockaddr_storage peer = {};
      socklen_t size = sizeof(peer);
      char data[8];
      pollfd p{.fd = server.get(), .events = POLLIN, .revents = 0};
      ASSERT_EQ(poll(&p, 1, Conversation::kPatience), 1);
      ASSERT_EQ(
          recvfrom(server.get(), data, sizeof(data), 0, reinterpret_cast<sockaddr*>(&peer), &size),
          1);
      ports.insert(ntohs(reinterpret_cast<const sockaddr_in*>(&peer)->sin_port));
    }
    EXPECT_EQ(ports, (std::set<uint16_t>{25000, 25001, 25002, 25003}));
    ExpectDropped(DROP_NAT_PORTS, ask);
  }
}

TEST_P(MasqueradeNodeTest, FlowsOutliveTheAgentAndTheEndOfThePoolsMasquerade) {
  StartMasquerade();
  std::vector<Conversation> talks;
  for (const auto& [plan, transport] : kCases) talks.push_back(Out(transport, plan));
  for (Conversation& talk : talks) {
    const absl::Status open = talk.Open();
    ASSERT_TRUE(open.ok()) << open;
  }
  const auto go_on = [&](const char* when) {
    for (Conversation& talk : talks) {
      const uint16_t port = talk.peer_port();
      const absl::Status exchanged = talk.Exchange();
      EXPECT_TRUE(exchanged.ok()) << when << ": " << exchanged;
      EXPECT_EQ(talk.peer_port(), port) << when;
    }
  };
  Open();  // an agent that has not said anything yet
  go_on("another agent");
  StartMasquerade();
  go_on("its settings");
  for (auto& [pool, masqueraded] : settings_.pools) masqueraded = false;
  settings_.first_port = 40000;
  settings_.last_port = 40003;
  Set();
  go_on("the pool is masqueraded no more");
  // What begins now shows the pod, which is a matter of the fabric's routes then.
  Conversation later = Out(Transport::kUdp, kV4, 0, nullptr, 81);
  ASSERT_TRUE(later.Listen().ok());
  ASSERT_TRUE(later.Begin().ok());
  later.ClientSays();
  ASSERT_TRUE(later.ServerHears().ok());
  EXPECT_EQ(later.peer(), kV4.a);
}

TEST_P(MasqueradeNodeTest, AFlowThatIsFlushedFreesItsPort) {
  settings_.first_port = settings_.last_port = 25000;
  StartMasquerade();
  Conversation talk = Out(Transport::kUdp, kV4);
  ASSERT_TRUE(talk.Open().ok());
  const auto part = dataplane_->Flows(0);
  ASSERT_TRUE(part.ok()) << part.status();
  for (const loader::FlowRecord& flow : part->flows)
    EXPECT_TRUE(dataplane_->EndFlow(flow).value_or(false));
  talk.ServerSays();  // late: nobody's any more
  Conversation other(Transport::kUdp, {.client_ns = b_->fd(),
                                       .client = kV4.b,
                                       .to = kV4.far,
                                       .to_port = 80,
                                       .server_ns = far_->fd(),
                                       .server = kV4.far,
                                       .server_port = 81});
  ASSERT_TRUE(other.Listen().ok());
  ASSERT_TRUE(other.Begin().ok());
  other.ClientSays();
  ASSERT_TRUE(talk.ServerHears().ok());
  EXPECT_EQ(talk.peer_port(), 25000);
  talk.ServerSays();
  EXPECT_TRUE(other.ClientHears().ok());
  EXPECT_FALSE(talk.ClientHears(0).ok());
}

TEST_P(MasqueradeNodeTest, APortThatTheHostItselfUsesIsLeftToIt) {
  settings_.first_port = 25000;
  settings_.last_port = 25001;
  StartMasquerade();
  for (const auto& [plan, transport] : kCases) {
    Conversation own(transport, {.client_ns = node_->fd(),
                                 .client = plan.node,
                                 .to = plan.far,
                                 .to_port = 80,
                                 .server_ns = far_->fd(),
                                 .server = plan.far,
                                 .server_port = 80,
                                 .client_port = 25000});
    const absl::Status open = own.Open();
    ASSERT_TRUE(open.ok()) << open;
    EXPECT_EQ(own.peer_port(), 25000);
    Conversation pods(transport, {.client_ns = a_->fd(),
                                  .client = plan.a,
                                  .to = plan.far,
                                  .to_port = 80,
                                  .server_ns = far_->fd(),
                                  .server = plan.far,
                                  .server_port = 81,
                                  .client_port = 25000});
    ASSERT_TRUE(pods.Listen().ok());
    ASSERT_TRUE(pods.Begin().ok());
    pods.ClientSays();
    if (transport == Transport::kTcp) {
      EXPECT_TRUE(pods.Connected().ok());
    } else {
      ASSERT_TRUE(own.ServerHears().ok());
      EXPECT_EQ(own.peer_port(), 25001);
      own.ServerSays();
      EXPECT_TRUE(pods.ClientHears().ok());
      continue;
    }
    const absl::Status goes_on = own.Exchange();
    EXPECT_TRUE(goes_on.ok()) << "the host's own: " << goes_on;
  }
}

TEST_P(MasqueradeNodeTest, FragmentsAndErrorsFollowTheirFlow) {
  for (const bool host_nat : {false, true}) {
    StartMasquerade(host_nat);
    for (const Plan& plan : {kV4, kV6}) {
      {
        Conversation talk = Out(Transport::kUdp, plan);
        ASSERT_TRUE(talk.Listen().ok());
        ASSERT_TRUE(talk.Begin().ok());
        const int fragment = plan.v4 ? IP_PMTUDISC_DONT : IPV6_PMTUDISC_DONT;
        setsockopt(talk.client_fd(), plan.v4 ? IPPROTO_IP : IPPROTO_IPV6,
                   plan.v4 ? IP_MTU_DISCOVER : IPV6_MTU_DISCOVER, &fragment, sizeof(fragment));
        talk.ClientSays(4000);
        const absl::Status heard = talk.ServerHears();
        EXPECT_TRUE(heard.ok()) << heard;
        EXPECT_EQ(talk.peer(), plan.node);
        talk.ServerSays(4000);
        const absl::Status back = talk.ClientHears();
        EXPECT_TRUE(back.ok()) << back;
      }
      // Nobody serves there: the other end's word reaches the pod.
      Conversation refused(Transport::kUdp, {.client_ns = a_->fd(),
                                             .client = plan.a,
                                             .to = plan.far,
                                             .to_port = 99,
                                             .server_ns = far_->fd(),
                                             .server = plan.far,
                                             .server_port = 98});
      ASSERT_TRUE(refused.Listen().ok());
      ASSERT_TRUE(refused.Begin().ok());
      refused.ClientSays();
      const absl::Status told = refused.ClientHears();
      EXPECT_TRUE(absl::IsUnavailable(told)) << told;
    }
  }
}

TEST_P(MasqueradeNodeTest, ARouterBeyondTellsThePodThatThePathIsNarrow) {
  ASSERT_EQ(far_->Shell("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 && "
                        "ip link add narrow type veth peer name end && ip link set end up && "
                        "ip link set narrow mtu 1300 up && "
                        "ip route add 203.0.113.200/31 dev narrow && "
                        "ip route add 2001:db8:f::200/127 dev narrow"),
            0);
  for (const bool host_nat : {false, true}) {
    StartMasquerade(host_nat);
    for (const Plan& plan : {kV4, kV6}) {
      const std::string to =
          absl::StrCat(plan.v4 ? "203.0.113." : "2001:db8:f::", 200 + (host_nat ? 1 : 0));
      const int family = plan.v4 ? AF_INET : AF_INET6;
      const UniqueFd fd = Socket(*a_, family, SOCK_DGRAM, 0, plan.a, 0);
      const int level = plan.v4 ? IPPROTO_IP : IPPROTO_IPV6;
      const int always = plan.v4 ? IP_PMTUDISC_DO : IPV6_PMTUDISC_DO;
      setsockopt(fd.get(), level, plan.v4 ? IP_MTU_DISCOVER : IPV6_MTU_DISCOVER, &always,
                 sizeof(always));
      socklen_t length = 0;
      const sockaddr_storage remote = ProbeAddress(to, 80, &length);
      ASSERT_EQ(connect(fd.get(), reinterpret_cast<const sockaddr*>(&remote), length), 0);
      const auto mtu = [&] {
        int value = 0;
        socklen_t size = sizeof(value);
        getsockopt(fd.get(), level, plan.v4 ? IP_MTU : IPV6_MTU, &value, &size);
        return value;
      };
      ASSERT_EQ(mtu(), 1500);
      const std::string large(1400, 'x');
      const absl::Time limit = absl::Now() + absl::Minutes(5);
      while (mtu() != 1300) {
        ASSERT_LT(absl::Now(), limit) << "nobody told the pod; it still believes in " << mtu();
        (void)!send(fd.get(), large.data(), large.size(), MSG_NOSIGNAL);
        absl::SleepFor(absl::Milliseconds(5));
      }
    }
  }
}

TEST_P(MasqueradeNodeTest, NoAddressOfAFamilyLeaksNoPod) {
  settings_.exits[Ifindex("up0")].v6.reset();
  StartMasquerade();
  Conversation talk = Out(Transport::kUdp, kV6);
  ASSERT_TRUE(talk.Listen().ok());
  ExpectDropped(DROP_NAT_ADDRESS, [&] {
    ASSERT_TRUE(talk.Begin().ok());
    talk.ClientSays();
  });
  EXPECT_FALSE(talk.ServerHears(0).ok());
}

// An interface where no node is: answers come through the host's stack.
TEST_P(MasqueradeNodeTest, AnExitWhereNoNodeIs) {
  Open();
  const absl::Status attached = node_->Run([&]() -> absl::Status {
    for (const char* name : {"hosta", "hostb"}) {
      absl::Status done = dataplane_->AttachWorkload(if_nametoindex(name));
      if (!done.ok()) return done;
    }
    return dataplane_->AttachElsewhere(if_nametoindex("up0"), false);
  });
  ASSERT_TRUE(attached.ok()) << attached;
  Write(Policy::kOnlyClass1);
  Set();
  for (const auto& [plan, transport] : kCases) {
    Conversation talk = Out(transport, plan);
    const absl::Status open = talk.Open();
    EXPECT_TRUE(open.ok()) << open;
    EXPECT_EQ(talk.peer(), plan.node);
  }
}

INSTANTIATE_TEST_SUITE_P(Attachment, MasqueradeNodeTest, ::testing::Values(false, true),
                         testing::AttachmentName);

}  // namespace
}  // namespace ripstop::agent
