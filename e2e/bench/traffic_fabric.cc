// SPDX-License-Identifier: Apache-2.0
#include "e2e/bench/traffic_fabric.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "agent/base/netns.h"
#include "agent/base/testing/big_tcp.h"
#include "e2e/lab/connectivity.h"
#include "e2e/lab/fabric.h"
#include "policy/status_macros.h"

namespace ripstop::bench {
namespace {

using absl::StrCat;

constexpr char kFabric[] = R"(
subnets:
- {name: rack1, v4: 192.0.2.0/26, v6: "2001:db8:1::/64"}
- {name: rack2, v4: 198.51.100.0/24, v6: "2001:db8:2::/64"}
routers:
- {name: r1, subnets: [rack1, rack2]}
- {name: x, subnets: [{name: rack1, v4: 192.0.2.60, v6: "2001:db8:1::60"}]}
nodes:
- {name: node1, subnet: rack1, v4: 192.0.2.11, v6: "2001:db8:1::11"}
- {name: node2, subnet: rack1, v4: 192.0.2.12, v6: "2001:db8:1::12"}
- {name: node3, subnet: rack2, v4: 198.51.100.13, v6: "2001:db8:2::13"}
pods:
- {name: client, namespace: bench, node: node1, labels: {role: client}, ports: [{port: 7001}]}
- {name: same, namespace: bench, node: node1, labels: {role: server}, ports: [{port: 7001}]}
- {name: native, namespace: bench, node: node2, labels: {role: server}, ports: [{port: 7001}]}
- {name: vxlan, namespace: bench, node: node3, labels: {role: server}, ports: [{port: 7001}]}
)";

constexpr char kCluster[] = R"(
bgp: {asNumber: 64512}
pools:
- {name: pods-v4, cidr: 10.65.0.0/16, vxlanMode: CrossSubnet}
- {name: pods-v6, cidr: "fd00:10:65::/48", vxlanMode: CrossSubnet}
namespaces: [{name: bench}]
)";

constexpr char kPolicy[] = R"(
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: servers, namespace: bench}
spec:
  selector: role == 'server'
  types: [Ingress]
  ingress:
  - {action: Allow, protocol: TCP, source: {selector: role == 'client'}, destination: {ports: ["7000:7999"]}}
  - {action: Allow, protocol: UDP, source: {selector: role == 'client'}, destination: {ports: ["7000:7999"]}}
---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: client, namespace: bench}
spec:
  selector: role == 'client'
  types: [Egress]
  egress:
  - {action: Allow, protocol: TCP, destination: {ports: ["7000:7999"]}}
  - {action: Allow, protocol: UDP, destination: {ports: ["7000:7999"]}}
)";

constexpr char kSwitch[] = "switch";  // where the racks' bridges are

constexpr absl::Duration kHang = absl::Minutes(5);

const std::vector<std::string>& Pods() {
  static const std::vector<std::string> pods = {"bench/client", "bench/same", "bench/native",
                                                "bench/vxlan"};
  return pods;
}

// Of this thread's network namespace.
absl::Status SetOfAllLinks(uint32_t bytes) {
  struct if_nameindex* const links = if_nameindex();
  if (links == nullptr) return absl::ErrnoToStatus(errno, "links");
  absl::Status status;
  for (const struct if_nameindex* link = links; link->if_name != nullptr; ++link) {
    const absl::Status set = agent::SetLargestPacket(link->if_name, bytes);
    if (!absl::IsInvalidArgument(set)) status.Update(set);  // tunnels cannot
  }
  if_freenameindex(links);
  return status;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TrafficFabric>> TrafficFabric::Raise(bool plain) {
  // Another run may be under way, or have left its own.
  const std::string name = StrCat(plain ? "bench-plain-" : "bench-ours-", getpid());
  const std::string text =
      StrCat("name: ", name, plain ? "\nagents: none" : "", kFabric, plain ? "" : kCluster);
  ASSIGN_OR_RETURN(lab::Topology topology, lab::ParseTopology(text, "fabric of traffic", "/"));
  ASSIGN_OR_RETURN(lab::Lab lab,
                   lab::Lab::Up(topology, "/topology.yaml", text, {.agent_patience = kHang}));
  std::unique_ptr<TrafficFabric> fabric(new TrafficFabric(std::move(lab), plain));
  RETURN_IF_ERROR(plain ? fabric->AddPlainTunnel() : fabric->lab_.Apply(kPolicy));
  RETURN_IF_ERROR(fabric->AddWayBack());
  // Ports come again after minutes, not after seconds, and no socket waits for its own.
  for (const std::string& pod : Pods()) {
    RETURN_IF_ERROR(fabric->Shell(pod,
                                  "sysctl -qw net.ipv4.ip_local_port_range='1024 65000' "
                                  "net.ipv4.tcp_max_tw_buckets=64 net.core.somaxconn=4096"));
  }
  RETURN_IF_ERROR(fabric->UntilReached());
  return fabric;
}

TrafficFabric::~TrafficFabric() {
  const absl::Status down = lab::Lab::Down(lab_.topology().name, {});
  if (!down.ok()) std::fprintf(stderr, "%s\n", down.ToString().c_str());
}

absl::Status TrafficFabric::Shell(const std::string& target, const std::string& script) const {
  ASSIGN_OR_RETURN(const lab::Output output, lab_.Exec(target, {"sh", "-ec", script}));
  if (output.exit_code == 0) return absl::OkStatus();
  return absl::InternalError(StrCat("in ", target, ": ", script, ": ", output.err));
}

// As the agents' own: one device for each family of the outer header, learning nothing.
absl::Status TrafficFabric::AddPlainTunnel() {
  struct End {
    std::string node, pod, number;
  };
  const End ends[] = {{"node1", "bench/client", "1"}, {"node3", "bench/vxlan", "3"}};
  for (int i : {0, 1}) {
    const End &here = ends[i], &there = ends[1 - i];
    for (int family : {4, 6}) {
      const std::string device = StrCat("vx", family), mac = "02:00:00:00:40:0";
      const std::string ip = family == 4 ? "ip" : "ip -6";
      const std::string way =
          family == 4 ? StrCat("10.245.0.", there.number) : StrCat("fd00:10:245::", there.number);
      const std::string pod = StrCat(AddressOf(there.pod, family), family == 4 ? "/32" : "/128");
      RETURN_IF_ERROR(Shell(
          here.node,
          StrCat("ip link add ", device, " address ", mac, here.number, " type vxlan id ", family,
                 " dstport 4789 nolearning local ", AddressOf(here.node, family), "; ip link set ",
                 device, " up; bridge fdb append ", mac, there.number, " dev ", device, " dst ",
                 AddressOf(there.node, family), "; ip neigh replace ", way, " lladdr ", mac,
                 there.number, " dev ", device, " nud permanent; ", ip, " route replace ", pod,
                 " via ", way, " dev ", device, " onlink")));
    }
  }
  for (const std::string& pod : Pods()) RETURN_IF_ERROR(Shell(pod, "ip link set eth0 mtu 1450"));
  return absl::OkStatus();
}

// x answers pods that show themselves, too.
absl::Status TrafficFabric::AddWayBack() {
  const std::string& client = kClient;
  return Shell(kOutside, StrCat("ip route replace ", AddressOf(client, 4), "/32 via ",
                                AddressOf("node1", 4), "; ip -6 route replace ",
                                AddressOf(client, 6), "/128 via ", AddressOf("node1", 6)));
}

absl::Status TrafficFabric::UntilReached() const {
  std::vector<lab::Flow> flows;
  for (const char* to : {"bench/same", "bench/native", "bench/vxlan"})
    for (int family : {4, 6}) flows.push_back({kClient, to, "TCP", 7001, family});
  const absl::Time deadline = absl::Now() + kHang;
  for (;;) {
    ASSIGN_OR_RETURN(auto results, lab::Measure(lab_, flows, absl::Seconds(3)));
    std::erase_if(results, [](const lab::FlowResult& result) { return result.reached(); });
    if (results.empty()) return absl::OkStatus();
    if (absl::Now() > deadline) {
      return absl::DeadlineExceededError(
          StrCat(results[0].flow.ToString(), ": still ", results[0].result));
    }
  }
}

std::string TrafficFabric::AddressOf(const std::string& target, int family) const {
  if (target == kOutside) return family == 4 ? "192.0.2.60" : "2001:db8:1::60";
  return lab_.AddressOf(target, family).value();
}

absl::StatusOr<int> TrafficFabric::NetnsOf(const std::string& target) {
  UniqueFd& netns = netns_[target];
  if (!netns.ok()) {
    absl::StatusOr<std::string> name = lab::MachineNetns(lab_.topology().name, target);
    if (target != kSwitch) name = lab_.NetnsOf(target);
    RETURN_IF_ERROR(name.status());
    ASSIGN_OR_RETURN(netns, agent::OpenNetns(StrCat("/run/netns/", *name)));
  }
  return netns.get();
}

absl::Status TrafficFabric::SetMasqueraded(bool masqueraded) {
  std::string documents;
  for (const lab::Pool& pool : lab_.topology().pools) {
    absl::StrAppend(&documents, "---\napiVersion: projectcalico.org/v3\nkind: IPPool\n",
                    "metadata: {name: ", pool.name, "}\nspec: {cidr: \"", pool.cidr,
                    "\", vxlanMode: CrossSubnet, natOutgoing: ", masqueraded ? "true" : "false",
                    "}\n");
  }
  return lab_.Apply(documents);
}

absl::Status TrafficFabric::SetLargestPacket(uint32_t bytes) {
  std::vector<std::string> targets = Pods();
  for (const char* machine : {"node1", "node2", "node3", "r1", "x", kSwitch})
    targets.push_back(machine);
  for (const std::string& target : targets) {
    ASSIGN_OR_RETURN(const int netns, NetnsOf(target));
    RETURN_IF_ERROR(agent::RunInNetns(netns, [&] { return SetOfAllLinks(bytes); }));
  }
  return absl::OkStatus();
}

}  // namespace ripstop::bench
