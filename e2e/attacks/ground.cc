// SPDX-License-Identifier: Apache-2.0
#include "e2e/attacks/ground.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "e2e/lab/connectivity.h"
#include "policy/status_macros.h"

namespace ripstop::attacks {
namespace {

using absl::StrCat;
using nlohmann::json;

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
- {name: mallory, namespace: attack, node: node1, labels: {app: mallory}, ports: [{port: 7001}]}
- {name: alice, namespace: attack, node: node1, labels: {app: alice}, ports: [{port: 7001}]}
- {name: bob1, namespace: attack, node: node1, labels: {app: bob}, ports: [{port: 7001}, {port: 7002, protocol: UDP}]}
- {name: bob2, namespace: attack, node: node2, labels: {app: bob}, ports: [{port: 7001}, {port: 7002, protocol: UDP}]}
- {name: bob3, namespace: attack, node: node3, labels: {app: bob}, ports: [{port: 7001}, {port: 7002, protocol: UDP}]}
)";

constexpr char kCluster[] = R"(
bgp: {asNumber: 64512}
pools:
- {name: pods-v4, cidr: 10.65.0.0/16, vxlanMode: CrossSubnet}
- {name: pods-v6, cidr: "fd00:10:65::/48", vxlanMode: CrossSubnet}
namespaces: [{name: attack}]
)";

constexpr char kPolicy[] = R"(
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: bob, namespace: attack}
spec:
  selector: app == 'bob'
  types: [Ingress]
  ingress:
  - {action: Allow, protocol: TCP, destination: {ports: ["7000:7099"]}}
  - {action: Allow, protocol: UDP, destination: {ports: ["7000:7099"]}}
  - {action: Allow, protocol: ICMP}
  - {action: Allow, protocol: ICMPv6}
)";

// How long a fabric may take: a limit for hangs alone.
constexpr absl::Duration kHang = absl::Minutes(10);
const std::vector<std::string> kNodes = {"node1", "node2", "node3"};

}  // namespace

std::string TunnelDevice(bool guarded) { return guarded ? "vxlan.ripstop" : "vx4"; }

std::string Variant::ToString() const {
  constexpr const char* kPaths[] = {"same", "native", "vxlan"};
  return StrCat("v", family, " ", kPaths[static_cast<int>(path)]);
}

std::vector<Variant> Everywhere() {
  std::vector<Variant> all;
  for (int family : {4, 6}) {
    for (Path path : {Path::kSame, Path::kNative, Path::kVxlan}) all.push_back({family, path});
  }
  return all;
}
std::vector<Variant> OnNode() { return {{4, Path::kSame}, {6, Path::kSame}}; }
std::vector<Variant> OnNode(int family) { return {{family, Path::kSame}}; }
std::vector<Variant> Across() {
  return {{4, Path::kNative}, {4, Path::kVxlan}, {6, Path::kNative}, {6, Path::kVxlan}};
}

absl::StatusOr<std::unique_ptr<Ground>> Ground::Raise(const std::string& name, bool guarded) {
  const std::string text =
      StrCat("name: ", name, guarded ? "" : "\nagents: none", kFabric, guarded ? kCluster : "");
  ASSIGN_OR_RETURN(lab::Topology topology, lab::ParseTopology(text, "fabric of the attacks", "/"));
  ASSIGN_OR_RETURN(lab::Lab lab,
                   lab::Lab::Up(topology, "/topology.yaml", text, {.agent_patience = kHang}));
  std::unique_ptr<Ground> ground(new Ground(std::move(lab), guarded));
  for (const lab::Router& router : ground->lab().topology().routers) {
    if (router.name != kOutside) continue;
    ground->outside_ = {{"4", router.ports[0].v4}, {"6", router.ports[0].v6}};
  }
  RETURN_IF_ERROR(ground->Shell(kOutside, {"ip route replace default via 192.0.2.1",
                                           "ip -6 route replace default via 2001:db8:1::1"}));
  if (guarded) {
    RETURN_IF_ERROR(ground->lab().Apply(kPolicy));
  } else {
    RETURN_IF_ERROR(ground->AddTunnels());
  }
  RETURN_IF_ERROR(ground->BelieveAll());
  // Until routes and policy are there everywhere.
  std::vector<lab::Flow> flows;
  for (const char* from : {kMallory, kAlice}) {
    for (const Variant& variant : Everywhere()) {
      flows.push_back({from, ground->Victim(variant.path), "TCP", 7001, variant.family});
      flows.push_back({ground->Victim(variant.path), from, "TCP", 7001, variant.family});
    }
  }
  const absl::Time deadline = absl::Now() + kHang;
  for (;;) {
    ASSIGN_OR_RETURN(auto results, lab::Measure(ground->lab(), flows, absl::Seconds(3)));
    std::erase_if(results, [](const lab::FlowResult& result) { return result.reached(); });
    if (results.empty()) return ground;
    if (absl::Now() > deadline) {
      return absl::DeadlineExceededError(StrCat(results[0].flow.ToString(), ": still ",
                                                results[0].result, " in lab '", name, "'"));
    }
  }
}

Ground::~Ground() {
  const absl::Status down = lab::Lab::Down(lab_.topology().name, {});
  if (!down.ok()) absl::FPrintF(stderr, "%s\n", down.ToString());
}

absl::Status Ground::BelieveAll() {
  for (const char* machine : {"node1", "node2", "node3", "r1"}) {
    std::string script =
        "for d in /proc/sys/net/ipv4/conf/*; do echo 0 >$d/rp_filter; echo 1 >$d/arp_accept; "
        "echo 1 >$d/route_localnet; echo 1 >$d/accept_source_route; done; "
        "for d in /proc/sys/net/ipv6/conf/*; do echo 1 >$d/accept_untracked_na; "
        "echo 1 >$d/accept_source_route; ";
    // The agent has this in its own hands, and puts it back.
    if (!guarded_) script += "echo 2 >$d/accept_ra; ";
    RETURN_IF_ERROR(Shell(machine, {script + "done"}));
  }
  return absl::OkStatus();
}

// One for each family of the outer packet, as a node whose tunnel speaks it has.
absl::Status Ground::AddTunnels() {
  for (const std::string& node : kNodes) {
    for (int family : {4, 6}) {
      const std::string device = StrCat("vx", family);
      RETURN_IF_ERROR(
          Shell(node, {StrCat("ip link add ", device, " address 02:00:00:00:40:0", node.substr(4),
                              " type vxlan id ", kVni, " dstport ", kTunnelPort,
                              " nolearning local ", AddressText(node, family)),
                       StrCat("ip link set ", device, " up")}));
    }
  }
  return absl::OkStatus();
}

std::string Ground::Victim(Path path) const {
  return StrCat("attack/bob", static_cast<int>(path) + 1);
}
std::string Ground::NodeOf(Path path) const { return kNodes[static_cast<int>(path)]; }

std::string Ground::AddressText(const std::string& target, int family) const {
  if (target == kOutside) return outside_.at(StrCat(family));
  return lab_.AddressOf(target, family).value();
}
policy::Address Ground::Address(const std::string& target, int family) const {
  return *policy::Address::Parse(AddressText(target, family));
}
std::string Ground::NetnsPath(const std::string& target) const {
  return StrCat("/run/netns/", lab_.NetnsOf(target).value());
}

absl::Status Ground::Shell(const std::string& target, const std::vector<std::string>& lines) {
  return Read(target, absl::StrJoin(lines, " && ")).status();
}

absl::StatusOr<std::string> Ground::Read(const std::string& target, const std::string& line) {
  ASSIGN_OR_RETURN(const lab::Output output, lab_.Exec(target, {"sh", "-c", line}));
  if (output.exit_code == 0) return output.out;
  return absl::InternalError(StrCat("in ", target, ": ", line, ": ", output.err));
}

absl::StatusOr<Mac> Ground::MacOf(const std::string& target, const std::string& link) {
  ASSIGN_OR_RETURN(const std::string text, Read(target, StrCat("ip -j link show dev ", link)));
  const std::string address = json::parse(text)[0].at("address");
  Mac mac{};
  for (size_t i = 0; i < mac.size(); ++i) {
    mac[i] = static_cast<uint8_t>(std::stoi(address.substr(3 * i, 2), nullptr, 16));
  }
  return mac;
}

absl::StatusOr<std::string> Ground::HostLink(const std::string& pod) {
  ASSIGN_OR_RETURN(const std::string own, Read(pod, "ip -j link show dev eth0"));
  const int index = json::parse(own)[0].at("link_index");
  const std::string node = lab_.state().pods.at(pod).node;
  ASSIGN_OR_RETURN(const std::string links, Read(node, "ip -j link"));
  for (const json& link : json::parse(links)) {
    if (link.at("ifindex") == index) return link.at("ifname").get<std::string>();
  }
  return absl::NotFoundError(StrCat("no link ", index, " in ", node, ", of pod ", pod));
}

absl::StatusOr<Mac> Ground::HostMac(const std::string& pod) {
  ASSIGN_OR_RETURN(const std::string link, HostLink(pod));
  return MacOf(lab_.state().pods.at(pod).node, link);
}

absl::StatusOr<Ground::Drops> Ground::DropsNow() {
  Drops drops;
  if (!guarded_) return drops;
  for (const auto& [node, _] : lab_.state().nodes) {
    ASSIGN_OR_RETURN(const auto reply, lab_.AgentDrops(node));
    for (const auto& reason : reply.reasons()) {
      if (!reason.expected() && reason.packets() != 0) {
        drops[{node, reason.name()}] = reason.packets();
      }
    }
  }
  return drops;
}

absl::StatusOr<Ground*> Grounds::Get(bool guarded) {
  if (!failed_[guarded].ok()) return failed_[guarded];
  if (!grounds_[guarded]) {
    auto raised = Ground::Raise(StrCat(name_, guarded ? "g" : "p"), guarded);
    if (!raised.ok()) return failed_[guarded] = raised.status();
    grounds_[guarded] = *std::move(raised);
  }
  return grounds_[guarded].get();
}

}  // namespace ripstop::attacks
