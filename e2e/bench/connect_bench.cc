// SPDX-License-Identifier: Apache-2.0
//
// New TCP connections per second from one pod to another on a node, under N rules, each
// for one source address and port, the last of which admits the client:
//
//   plain       the kernel routes, no policy at all
//   nft rules   a chain of N rules behind `ct state established accept`
//   nft map     the same policy as one verdict map lookup
//   ripstop     the same policy compiled into tables; both pods are endpoints
//
// Variants take turns in short rounds, and the best round of each counts: it is the one in
// which nothing else had the processors.
//   connect_bench [--json] [--rounds N] [--seconds S]
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "agent/base/testing/probe.h"
#include "agent/base/testing/test_netns.h"
#include "agent/dataplane/dataplane.h"
#include "agent/dataplane/testing_bpffs.h"
#include "e2e/bench/bench_kernel.h"
#include "policy/status_macros.h"

namespace ripstop::bench {
namespace {

using agent::TestNetns;
using agent::UniqueFd;

constexpr char kClient[] = "10.1.0.10";
constexpr char kServer[] = "10.1.0.20";
constexpr uint16_t kPort = 8080;

bool json = false;
int rounds = 11;
double seconds = 0.2;

absl::Status Shell(const TestNetns& netns, const std::string& command) {
  const int rc = netns.Shell(command);
  return rc == 0 ? absl::OkStatus() : absl::InternalError(absl::StrCat(command, ": exit ", rc));
}

// The rules: source address and port of rule i of n; the last one is the client's.
std::string SourceOf(int i, int n) {
  if (i == n - 1) return kClient;
  return absl::StrCat("100.", 64 + i / 62500, ".", i / 250 % 250, ".", i % 250 + 1);
}
uint16_t PortOf(int i, int n) { return i == n - 1 ? kPort : static_cast<uint16_t>(9000 + i % 16); }

class Node {
 public:
  static absl::StatusOr<std::unique_ptr<Node>> Make() {
    auto node = std::unique_ptr<Node>(new Node());
    ASSIGN_OR_RETURN(node->bpffs_, agent::testing::TestBpffs::Mount());
    node->pins_ = absl::StrCat(node->bpffs_->dir(), "/ripstop");
    for (auto* netns : {&node->node_, &node->client_, &node->server_}) {
      ASSIGN_OR_RETURN(TestNetns made, TestNetns::Create());
      *netns = std::make_unique<TestNetns>(std::move(made));
    }
    RETURN_IF_ERROR(Shell(*node->node_, "sysctl -w net.ipv4.ip_forward=1 && ip link set lo up"));
    RETURN_IF_ERROR(node->MakePod(*node->client_, "hostc", kClient, "02:00:00:00:00:01"));
    RETURN_IF_ERROR(node->MakePod(*node->server_, "hosts", kServer, "02:00:00:00:00:02"));
    RETURN_IF_ERROR(node->Listen());
    return node;
  }
  ~Node() {
    stop_ = true;
    shutdown(listener_.get(), SHUT_RDWR);
    if (acceptor_.joinable()) acceptor_.join();
  }

  // Connections per second over `seconds`.
  absl::StatusOr<double> Rate() {
    double rate = 0;
    const absl::Status status = client_->Run([&]() -> absl::Status {
      socklen_t length = 0;
      const sockaddr_storage to = agent::ProbeAddress(kServer, kPort, &length);
      const linger reset = {1, 0};  // no TIME_WAIT, ports are reused at once
      const auto start = std::chrono::steady_clock::now();
      std::chrono::duration<double> took{};
      int made = 0;
      for (; took.count() < seconds; ++made) {
        const UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        const timeval limit = {5, 0};
        setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
        setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
        if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), length) != 0) {
          return absl::ErrnoToStatus(errno, "connect");
        }
        took = std::chrono::steady_clock::now() - start;
      }
      rate = made / took.count();
      return absl::OkStatus();
    });
    if (!status.ok()) return status;
    return rate;
  }

  absl::Status NftRules(int n, bool map) {
    const std::string path = "/tmp/ripstop-connect-bench.nft";
    std::ofstream out(path);
    out << "table ip t {\n";
    if (map) {
      out << " map m { type ipv4_addr . inet_service : verdict; elements = {\n";
      for (int i = 0; i < n; ++i) {
        out << "  " << SourceOf(i, n) << " . " << PortOf(i, n) << " : accept,\n";
      }
      out << " } }\n";
    }
    out << " chain f { type filter hook forward priority 0; policy drop;\n"
           "  ct state established,related accept\n";
    if (map) {
      out << "  ip saddr . tcp dport vmap @m\n";
    } else {
      for (int i = 0; i < n; ++i) {
        out << "  ip saddr " << SourceOf(i, n) << " tcp dport " << PortOf(i, n) << " accept\n";
      }
    }
    out << " }\n}\n";
    out.close();
    const absl::Status loaded = Shell(*node_, absl::StrCat("nft -f ", path));
    unlink(path.c_str());
    return loaded;
  }
  absl::Status NftNone() { return Shell(*node_, "nft flush ruleset"); }

  absl::Status Ripstop(int n) {
    return node_->Run([&]() -> absl::Status {
      ASSIGN_OR_RETURN(dataplane_, agent::Dataplane::Open({.pin_dir = pins_}));
      RETURN_IF_ERROR(dataplane_->Configure({}));
      ASSIGN_OR_RETURN(const policy::EngineOptions options, dataplane_->BeginGeneration());
      policy::Engine engine(options);
      PutWorld(World(n), engine);
      RETURN_IF_ERROR(dataplane_->Apply(engine.Flush()));
      RETURN_IF_ERROR(dataplane_->CommitGeneration(engine.l4_table()));
      for (const char* name : {"hostc", "hosts"}) {
        RETURN_IF_ERROR(dataplane_->AttachWorkload(if_nametoindex(name)));
      }
      return absl::OkStatus();
    });
  }
  absl::Status RipstopNone() {
    dataplane_.reset();
    return agent::Dataplane::Remove(pins_);
  }

 private:
  Node() = default;
  absl::Status MakePod(const TestNetns& pod, const char* host_side, const char* address,
                       const char* mac) {
    RETURN_IF_ERROR(Shell(*node_, absl::StrCat(
        "ip link add ", host_side, " address ee:ee:ee:ee:ee:ee type veth peer name eth0 address ",
        mac, " && ip link set eth0 netns ", pod.path(), " && ip link set ", host_side,
        " up && ip route add ", address, "/32 dev ", host_side, " && ip neigh replace ", address,
        " lladdr ", mac, " dev ", host_side, " nud permanent")));
    return Shell(pod, absl::StrCat(
        "ip link set lo up && ip link set eth0 up && ip addr add ", address,
        "/32 dev eth0 && ip route add 169.254.1.1 dev eth0 && ip route add default via "
        "169.254.1.1 && ip neigh replace 169.254.1.1 lladdr ee:ee:ee:ee:ee:ee dev eth0 nud "
        "permanent && sysctl -w net.ipv4.ip_local_port_range=\"1024 65000\""));
  }
  absl::Status Listen() {
    // A busy machine may keep the acceptor waiting for thousands of connections.
    RETURN_IF_ERROR(Shell(*server_, "sysctl -w net.core.somaxconn=65535 "
                                    "net.ipv4.tcp_max_syn_backlog=65535"));
    RETURN_IF_ERROR(server_->Run([&]() -> absl::Status {
      socklen_t length = 0;
      const sockaddr_storage at = agent::ProbeAddress(kServer, kPort, &length);
      listener_.reset(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      if (bind(listener_.get(), reinterpret_cast<const sockaddr*>(&at), length) != 0 ||
          listen(listener_.get(), 65535) != 0) {
        return absl::ErrnoToStatus(errno, "listen");
      }
      return absl::OkStatus();
    }));
    acceptor_ = std::thread([this] {
      while (!stop_) {
        const UniqueFd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      }
    });
    return absl::OkStatus();
  }
  uint32_t Ifindex(const char* name) const { return if_nametoindex(name); }
  policy::World World(int n) const {
    policy::World world;
    world.Put(policy::Tier{"default", 1'000'000, policy::Action::kDeny});
    policy::Rule all;
    all.action = policy::Action::kAllow;
    policy::Profile open;
    open.name = "open";
    open.egress_rules = open.ingress_rules = {all};
    world.Put(open);
    for (const bool server : {false, true}) {
      policy::Endpoint endpoint;
      endpoint.id = server ? "bench/server" : "bench/client";
      endpoint.labels = {{"role", server ? "server" : "client"}};
      endpoint.profiles = {"open"};
      endpoint.addresses = {policy::Address::Parse(server ? kServer : kClient).value()};
      endpoint.local = policy::Attachment{Ifindex(server ? "hosts" : "hostc"),
                                          {2, 0, 0, 0, 0, static_cast<uint8_t>(server ? 2 : 1)}};
      world.Put(endpoint);
    }
    policy::Policy policy;
    policy.key = {policy::PolicyKind::kGlobalNetworkPolicy, "", "bench"};
    policy.selector = "role == 'server'";
    policy.ingress = true;
    for (int i = 0; i < n; ++i) {
      policy::Rule rule;
      rule.action = policy::Action::kAllow;
      rule.protocol = policy::kProtocolTcp;
      rule.source.nets = {policy::Cidr::Of(policy::Address::Parse(SourceOf(i, n)).value(), 128)};
      rule.destination.ports =
          policy::PortMatch{.ranges = {{PortOf(i, n), PortOf(i, n)}}, .names = {}};
      policy.ingress_rules.push_back(rule);
    }
    world.Put(std::move(policy));
    return world;
  }

  std::unique_ptr<TestNetns> node_, client_, server_;
  std::unique_ptr<agent::testing::TestBpffs> bpffs_;
  std::string pins_;
  std::unique_ptr<agent::Dataplane> dataplane_;
  UniqueFd listener_;
  std::thread acceptor_;
  std::atomic<bool> stop_ = false;
};

absl::Status Run() {
  ASSIGN_OR_RETURN(const auto node, Node::Make());
  if (!json) {
    std::printf("connections per second, best of %d rounds of %.1f s\n%8s %8s %10s %8s %8s %14s "
                "%12s\n", rounds, seconds, "rules", "plain", "nft rules", "nft map", "ripstop",
                "÷ nft rules", "÷ nft map");
  }
  for (const int n : {1, 100, 1000, 10000}) {
    std::vector<double> rates[4];
    for (int round = 0; round < rounds; ++round) {
      for (int variant = 0; variant < 4; ++variant) {
        if (variant == 1 || variant == 2) RETURN_IF_ERROR(node->NftRules(n, variant == 2));
        if (variant == 3) RETURN_IF_ERROR(node->Ripstop(n));
        const absl::StatusOr<double> rate = node->Rate();
        RETURN_IF_ERROR(node->NftNone());
        RETURN_IF_ERROR(node->RipstopNone());
        if (!rate.ok()) {
          return absl::Status(rate.status().code(),
                              absl::StrCat("variant ", variant, ", ", n, " rules: ",
                                           std::string(rate.status().message())));
        }
        rates[variant].push_back(*rate);
      }
    }
    double best[4];
    for (int i = 0; i < 4; ++i) best[i] = *std::max_element(rates[i].begin(), rates[i].end());
    std::printf(json ? "{\"rules\":%d,\"plain\":%.0f,\"nft_rules\":%.0f,\"nft_map\":%.0f,"
                       "\"ripstop\":%.0f,\"over_nft_rules\":%.2f,\"over_nft_map\":%.2f}\n"
                     : "%8d %8.0f %10.0f %8.0f %8.0f %13.2f %11.2f\n",
                n, best[0], best[1], best[2], best[3], best[3] / best[1],
                best[3] / best[2]);
    std::fflush(stdout);
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace ripstop::bench

int main(int argc, char** argv) {
  using namespace ripstop::bench;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--json") == 0) {
      json = true;
    } else if (std::strcmp(argv[i], "--rounds") == 0 && i + 1 < argc) {
      rounds = std::max(1, std::atoi(argv[++i]));
    } else if (std::strcmp(argv[i], "--seconds") == 0 && i + 1 < argc) {
      seconds = std::atof(argv[++i]);
    } else {
      std::fprintf(stderr, "connect_bench [--json] [--rounds N] [--seconds S]\n");
      return 2;
    }
  }
  const absl::Status status = Run();
  if (!status.ok()) std::fprintf(stderr, "connect_bench: %s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}
