// SPDX-License-Identifier: Apache-2.0
//
// Random rules: what the walk says becomes of a packet is what becomes of it in the kernel.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <fstream>
#include <random>

#include "absl/strings/str_cat.h"
#include "agent/network/filter_walk.h"
#include "agent/network/testing_rules.h"
#include "policy/base/unique_fd.h"

namespace ripstop::agent {
namespace {

constexpr uint16_t kPort = 7777, kMarkerPort = 9, kFirstSourcePort = 20000;
constexpr int kChains = 4, kRounds = 150;

UniqueFd Bound(uint16_t port) {
  UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in own = {
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {}, .sin_zero = {}};
  own.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(bind(fd.get(), reinterpret_cast<const sockaddr*>(&own), sizeof(own)), 0);
  return fd;
}
void Send(const UniqueFd& from, uint16_t port) {
  sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {}, .sin_zero = {}};
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(sendto(from.get(), "x", 1, 0, reinterpret_cast<const sockaddr*>(&to), sizeof(to)), 1);
}

// Of what is known of the packet: nothing stays open.
const char* const kMatches[] = {"",
                                "iifname lo",
                                "iifname != lo",
                                "iifname l*",
                                "iif 1",
                                "oifname eth0",
                                "ip saddr 127.0.0.0/8",
                                "ip saddr 10.0.0.0/8",
                                "ip saddr & 255.0.0.0 == 127.0.0.0",
                                "ip daddr { 127.0.0.1, 10.0.0.1 }",
                                "ip daddr != { 10.0.0.0/8, 127.0.0.0/16 }",
                                "ip protocol udp",
                                "meta nfproto ipv6",
                                "meta l4proto { tcp, udp }",
                                "tcp dport 7777",
                                "udp dport 7777",
                                "udp dport 1-100",
                                "udp dport { 53, 7000-8000 }",
                                "udp dport > 7000",
                                "udp dport <= 7776",
                                "udp sport != 1",
                                "ct state new",
                                "ct state established,related",
                                "ct state { new, invalid }",
                                "ct status dnat",
                                "fib daddr type local",
                                "fib daddr type unicast"};

class FilterWalkKernelTest : public RulesTest {
 protected:
  // Chain `c0` is the base chain; jumps go to later ones only.
  std::string RandomRules() {
    const auto pick = [this](int below) { return static_cast<int>(random_() % below); };
    const auto verdict = [&](int chain) -> std::string {
      const int last = chain + 1 < kChains ? 6 : 4;
      const std::string later =
          absl::StrCat("c", chain + 1 + pick(std::max(1, kChains - chain - 1)));
      switch (pick(last)) {
        case 0: return "accept";
        case 1: return "drop";
        case 2: return "return";
        case 3: return "counter";
        case 4: return "jump " + later;
        default: return "goto " + later;
      }
    };
    std::string text = "table inet t {\n";
    for (int chain = kChains - 1; chain >= 0; --chain) {
      absl::StrAppend(&text, " chain c", chain, " {\n");
      if (chain == 0) {
        absl::StrAppend(&text, "  type filter hook input priority 0; policy ",
                        pick(2) == 0 ? "drop" : "accept", ";\n  udp dport ", kMarkerPort,
                        " accept\n");
      }
      for (int rules = pick(6); rules > 0; --rules) {
        std::string plain = verdict(chain);
        if (pick(8) == 0 && plain != "counter") {
          absl::StrAppend(&text, "  udp dport vmap { 1-99 : drop, 7000-7999 : ", plain, " }\n");
        } else {
          absl::StrAppend(&text, "  ", kMatches[pick(std::size(kMatches))], " ", plain, "\n");
        }
      }
      absl::StrAppend(&text, " }\n");
    }
    return text + "}\n";
  }
  // What comes after it tells that it would be there.
  bool Arrives(uint16_t from) {
    bool arrived = false;
    const absl::Status done = host_->Run([&] {
      const UniqueFd server = Bound(kPort), marker = Bound(kMarkerPort), client = Bound(from);
      Send(client, kPort);
      Send(client, kMarkerPort);
      pollfd wait = {.fd = marker.get(), .events = POLLIN, .revents = 0};
      EXPECT_EQ(poll(&wait, 1, 60'000), 1) << "the marker is lost";
      char byte;
      arrived = recv(server.get(), &byte, 1, MSG_DONTWAIT) == 1;
      return absl::OkStatus();
    });
    EXPECT_TRUE(done.ok()) << done;
    return arrived;
  }
  std::mt19937 random_{20261128};
};

TEST_F(FilterWalkKernelTest, TheKernelDoesWhatTheWalkSays) {
  Shell("ip link set lo up");
  SamplePacket packet;
  packet.way = SamplePacket::kToHost;
  packet.in = {"lo", 1};
  packet.protocol = IPPROTO_UDP;
  packet.source = packet.destination = *policy::Address::Parse("127.0.0.1");
  packet.destination_port = kPort;
  const std::string path = absl::StrCat(::testing::TempDir(), "/rules-", getpid(), ".nft");
  int dropped = 0, passed = 0;
  for (int round = 0; round < kRounds; ++round) {
    const std::string text = RandomRules();
    std::ofstream(path) << text;
    ASSERT_EQ(host_->Shell("nft flush ruleset && nft -f " + path), 0) << text;
    packet.source_port = static_cast<uint16_t>(kFirstSourcePort + round);  // a flow of its own
    const std::vector<FilterDrop> drops = WhoDrops(Read(), packet);
    const bool arrives = Arrives(*packet.source_port);
    ++(arrives ? passed : dropped);
    EXPECT_EQ(drops.empty(), arrives) << text;
    if (!drops.empty()) {
      EXPECT_TRUE(drops[0].certain) << text;
    }
  }
  unlink(path.c_str());
  EXPECT_GT(dropped, kRounds / 5);
  EXPECT_GT(passed, kRounds / 5);
}

}  // namespace
}  // namespace ripstop::agent
