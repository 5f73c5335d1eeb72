// SPDX-License-Identifier: Apache-2.0
#include "e2e/bench/pod_pair.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/tcp.h>

#include <cerrno>
#include <chrono>

#include "absl/strings/str_cat.h"
#include "agent/base/testing/probe.h"
#include "e2e/bench/bench_kernel.h"
#include "policy/status_macros.h"

namespace ripstop::bench {
namespace {

using agent::TestNetns;

constexpr const char* kHostSides[] = {"hostc", "hosts"};

absl::Status Shell(const TestNetns& netns, const std::string& command) {
  const int rc = netns.Shell(command);
  return rc == 0 ? absl::OkStatus() : absl::InternalError(absl::StrCat(command, ": exit ", rc));
}

}  // namespace

absl::StatusOr<std::unique_ptr<PodPair>> PodPair::Make() {
  auto pair = std::unique_ptr<PodPair>(new PodPair());
  ASSIGN_OR_RETURN(pair->bpffs_, loader::testing::TestBpffs::Mount());
  pair->pins_ = absl::StrCat(pair->bpffs_->dir(), "/ripstop");
  for (auto* netns : {&pair->node_, &pair->client_, &pair->server_}) {
    ASSIGN_OR_RETURN(TestNetns made, TestNetns::Create());
    *netns = std::make_unique<TestNetns>(std::move(made));
  }
  RETURN_IF_ERROR(Shell(*pair->node_, "sysctl -w net.ipv4.ip_forward=1 && ip link set lo up"));
  RETURN_IF_ERROR(
      pair->MakePod(*pair->client_, kHostSides[0], kClientAddress, "02:00:00:00:00:01"));
  RETURN_IF_ERROR(
      pair->MakePod(*pair->server_, kHostSides[1], kServerAddress, "02:00:00:00:00:02"));
  RETURN_IF_ERROR(pair->Listen(*pair->server_, kServerAddress, pair->server_listener_));
  RETURN_IF_ERROR(pair->Listen(*pair->client_, kOwnAddress, pair->own_listener_));
  return pair;
}

PodPair::~PodPair() {
  stop_ = true;
  for (Listener* listener : {&server_listener_, &own_listener_}) {
    shutdown(listener->fd.get(), SHUT_RDWR);
    if (listener->acceptor.joinable()) listener->acceptor.join();
  }
}

absl::StatusOr<double> PodPair::ConnectRate(double seconds, const char* address) const {
  double rate = 0;
  const absl::Status status = client_->Run([&]() -> absl::Status {
    socklen_t length = 0;
    const sockaddr_storage to = agent::ProbeAddress(address, kServerPort, &length);
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

absl::Status PodPair::Compile(const std::vector<policy::Rule>& rules) {
  return node_->Run([&]() -> absl::Status {
    dataplane_.reset();
    RETURN_IF_ERROR(agent::Dataplane::Remove(pins_));
    ASSIGN_OR_RETURN(dataplane_, agent::Dataplane::Open({.pin_dir = pins_}));
    RETURN_IF_ERROR(dataplane_->Configure({}));
    ASSIGN_OR_RETURN(const policy::EngineOptions options, dataplane_->BeginGeneration());
    policy::Engine engine(options);
    PutWorld(World(rules), engine);
    RETURN_IF_ERROR(dataplane_->Apply(engine.Flush()));
    for (const std::string& alarm : engine.Alarms()) return absl::ResourceExhaustedError(alarm);
    RETURN_IF_ERROR(dataplane_->CommitGeneration(engine.l4_table()));
    return dataplane_->TakeOver();
  });
}

absl::Status PodPair::Attach() {
  return node_->Run([&]() -> absl::Status {
    for (const char* name : kHostSides) {
      RETURN_IF_ERROR(dataplane_->AttachWorkload(if_nametoindex(name)));
    }
    return absl::OkStatus();
  });
}

absl::Status PodPair::Detach() {
  return node_->Run([&]() -> absl::Status {
    for (const char* name : kHostSides) {
      RETURN_IF_ERROR(dataplane_->DetachWorkload(if_nametoindex(name)));
    }
    return absl::OkStatus();
  });
}

absl::Status PodPair::MakePod(const TestNetns& pod, const char* host_side, const char* address,
                              const char* mac) {
  RETURN_IF_ERROR(Shell(
      *node_,
      absl::StrCat("ip link add ", host_side,
                   " address ee:ee:ee:ee:ee:ee type veth peer name eth0 address ", mac,
                   " && ip link set eth0 netns ", pod.path(), " && ip link set ", host_side,
                   " up && ip route add ", address, "/32 dev ", host_side, " && ip neigh replace ",
                   address, " lladdr ", mac, " dev ", host_side, " nud permanent")));
  return Shell(
      pod, absl::StrCat(
               "ip link set lo up && ip link set eth0 up && ip addr add ", address,
               "/32 dev eth0 && ip route add 169.254.1.1 dev eth0 && ip route add default via "
               "169.254.1.1 && ip neigh replace 169.254.1.1 lladdr ee:ee:ee:ee:ee:ee dev eth0 nud "
               "permanent && sysctl -w net.ipv4.ip_local_port_range=\"1024 65000\""));
}

absl::Status PodPair::Listen(const TestNetns& pod, const char* address, Listener& listener) {
  // A busy machine may keep the acceptor waiting for thousands of connections.
  RETURN_IF_ERROR(Shell(pod,
                        "sysctl -w net.core.somaxconn=65535 "
                        "net.ipv4.tcp_max_syn_backlog=65535"));
  RETURN_IF_ERROR(pod.Run([&]() -> absl::Status {
    socklen_t length = 0;
    const sockaddr_storage at = agent::ProbeAddress(address, kServerPort, &length);
    listener.fd.reset(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (bind(listener.fd.get(), reinterpret_cast<const sockaddr*>(&at), length) != 0 ||
        listen(listener.fd.get(), 65535) != 0) {
      return absl::ErrnoToStatus(errno, absl::StrCat("listen on ", address));
    }
    return absl::OkStatus();
  }));
  listener.acceptor = std::thread([this, &listener] {
    while (!stop_) {
      const UniqueFd fd(accept4(listener.fd.get(), nullptr, nullptr, SOCK_CLOEXEC));
    }
  });
  return absl::OkStatus();
}

policy::World PodPair::World(const std::vector<policy::Rule>& rules) const {
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
    endpoint.addresses = {policy::Address::Parse(server ? kServerAddress : kClientAddress).value()};
    endpoint.local = policy::Attachment{if_nametoindex(kHostSides[server ? 1 : 0]),
                                        {2, 0, 0, 0, 0, static_cast<uint8_t>(server ? 2 : 1)}};
    world.Put(endpoint);
  }
  policy::Policy policy;
  policy.key = {policy::PolicyKind::kGlobalNetworkPolicy, "", "bench"};
  policy.selector = "role == 'server'";
  policy.ingress = true;
  policy.ingress_rules = rules;
  world.Put(std::move(policy));
  return world;
}

}  // namespace ripstop::bench
