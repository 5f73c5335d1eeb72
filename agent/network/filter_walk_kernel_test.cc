// SPDX-License-Identifier: Apache-2.0
//
// Random rules: what the walk says becomes of a packet is what becomes of it in the kernel.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <random>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "agent/network/filter_walk.h"
#include "agent/network/testing_rules.h"
#include "policy/base/unique_fd.h"

namespace ripstop::agent {
namespace {

constexpr uint16_t kPort = 7777, kMarkerPort = 9, kFirstSourcePort = 20000;
constexpr int kChains = 4, kRounds = 150;

constexpr char kClient[] = "192.0.2.2", kNear[] = "192.0.2.1", kFar[] = "198.51.100.1",
               kServer[] = "198.51.100.2";

sockaddr_in End(const char* address, uint16_t port) {
  sockaddr_in end = {
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {}, .sin_zero = {}};
  EXPECT_EQ(inet_pton(AF_INET, address, &end.sin_addr), 1);
  return end;
}
UniqueFd Bound(const char* address, uint16_t port) {
  UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const sockaddr_in own = End(address, port);
  EXPECT_EQ(bind(fd.get(), reinterpret_cast<const sockaddr*>(&own), sizeof(own)), 0);
  return fd;
}
// False where this host's own rules have dropped it.
bool Send(const UniqueFd& from, const char* address, uint16_t port) {
  const sockaddr_in to = End(address, port);
  const ssize_t sent =
      sendto(from.get(), "x", 1, 0, reinterpret_cast<const sockaddr*>(&to), sizeof(to));
  EXPECT_TRUE(sent == 1 || errno == EPERM) << strerror(errno);
  return sent == 1;
}

// Of what is known of the packet: nothing stays open. "in" and "out" are the router's interfaces.
const char* const kMatches[] = {"",
                                "iifname in",
                                "iifname != in",
                                "iifname i*",
                                "iif in",
                                "oifname out",
                                "oifname != out",
                                "oif out",
                                "ip saddr 192.0.2.0/24",
                                "ip saddr 10.0.0.0/8",
                                "ip saddr & 255.0.0.0 == 192.0.0.0",
                                "ip daddr { 198.51.100.2, 10.0.0.1 }",
                                "ip daddr != { 10.0.0.0/8, 198.51.0.0/16 }",
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

// A client, the host whose rules are tried, and a server behind it.
struct Path {
  SamplePacket::Way way;
  const char *source, *destination;
  std::vector<std::string> hooks;
};
const Path kPaths[] = {
    {SamplePacket::kToHost, kClient, kNear, {"prerouting", "input"}},
    {SamplePacket::kForwarded, kClient, kServer, {"prerouting", "forward", "postrouting"}},
    {SamplePacket::kFromHost, kFar, kServer, {"output", "postrouting"}},
};

class FilterWalkKernelTest : public RulesTest, public ::testing::WithParamInterface<Path> {
 protected:
  void SetUp() override {
    RulesTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    client_.emplace(*TestNetns::Create());
    server_.emplace(*TestNetns::Create());
    Shell("echo 1 > /proc/sys/net/ipv4/ip_forward");
    Join("in", kNear, *client_, kClient);
    Join("out", kFar, *server_, kServer);
  }
  void Join(const std::string& name, const std::string& address, const TestNetns& other,
            const std::string& there) {
    Shell(absl::StrCat("ip link add ", name, " type veth peer name eth0 netns ", other.path()));
    Shell(absl::StrCat("ip addr add ", address, "/24 dev ", name, " && ip link set ", name, " up"));
    const std::string up = absl::StrCat("ip addr add ", there, "/24 dev eth0 && ip link set eth0 ",
                                        "up && ip route add default via ", address);
    ASSERT_EQ(other.Shell(up), 0) << up;
  }
  SamplePacket::Interface Named(const std::string& name) {
    SamplePacket::Interface interface{name, 0};
    EXPECT_EQ(host_->Run([&] {
      interface.index = if_nametoindex(name.c_str());
      return absl::OkStatus();
    }),
              absl::OkStatus());
    return interface;
  }
  const TestNetns& Source() {
    return GetParam().way == SamplePacket::kFromHost ? *host_ : *client_;
  }
  const TestNetns& Destination() {
    return GetParam().way == SamplePacket::kToHost ? *host_ : *server_;
  }
  // Not open: what this host's own came in by, after routing.
  std::string RandomMatch(const std::string& hook) {
    while (true) {
      const std::string match = kMatches[random_() % std::size(kMatches)];
      const bool open = GetParam().way == SamplePacket::kFromHost && hook == "postrouting" &&
                        absl::StartsWith(match, "iif");
      if (!open) return match;
    }
  }
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
    const std::string hook = GetParam().hooks[random_() % GetParam().hooks.size()];
    std::string text = "table inet t {\n";
    for (int chain = kChains - 1; chain >= 0; --chain) {
      absl::StrAppend(&text, " chain c", chain, " {\n");
      if (chain == 0) {
        absl::StrAppend(&text, "  type filter hook ", hook, " priority 0; policy ",
                        pick(2) == 0 ? "drop" : "accept", ";\n  udp dport ", kMarkerPort,
                        " accept\n");
      }
      for (int rules = pick(6); rules > 0; --rules) {
        std::string plain = verdict(chain);
        if (pick(8) == 0 && plain != "counter") {
          absl::StrAppend(&text, "  udp dport vmap { 1-99 : drop, 7000-7999 : ", plain, " }\n");
        } else {
          absl::StrAppend(&text, "  ", RandomMatch(hook), " ", plain, "\n");
        }
      }
      absl::StrAppend(&text, " }\n");
    }
    return text + "}\n";
  }
  // What comes after it tells that it would be there.
  bool Arrives(uint16_t from) {
    const Path& path = GetParam();
    UniqueFd server, marker;
    EXPECT_EQ(Destination().Run([&] {
      server = Bound(path.destination, kPort);
      marker = Bound(path.destination, kMarkerPort);
      return absl::OkStatus();
    }),
              absl::OkStatus());
    EXPECT_EQ(Source().Run([&] {
      const UniqueFd client = Bound(path.source, from);
      Send(client, path.destination, kPort);
      EXPECT_TRUE(Send(client, path.destination, kMarkerPort));
      return absl::OkStatus();
    }),
              absl::OkStatus());
    pollfd wait = {.fd = marker.get(), .events = POLLIN, .revents = 0};
    EXPECT_EQ(poll(&wait, 1, 60'000), 1) << "the marker is lost";
    char byte;
    return recv(server.get(), &byte, 1, MSG_DONTWAIT) == 1;
  }
  std::optional<TestNetns> client_, server_;
  std::mt19937 random_{20261128};
};

TEST_P(FilterWalkKernelTest, TheKernelDoesWhatTheWalkSays) {
  SamplePacket packet;
  packet.way = GetParam().way;
  if (packet.way != SamplePacket::kFromHost) packet.in = Named("in");
  if (packet.way != SamplePacket::kToHost) packet.out = Named("out");
  packet.protocol = IPPROTO_UDP;
  packet.source = *policy::Cidr::Parse(GetParam().source);
  packet.destination = *policy::Cidr::Parse(GetParam().destination);
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

std::string WayOf(const ::testing::TestParamInfo<Path>& info) {
  static const char* const kNames[] = {"Forwarded", "ToHost", "FromHost"};
  return kNames[info.param.way];
}
INSTANTIATE_TEST_SUITE_P(Ways, FilterWalkKernelTest, ::testing::ValuesIn(kPaths), WayOf);

}  // namespace
}  // namespace ripstop::agent
