// SPDX-License-Identifier: Apache-2.0
#include "e2e/lab/plain_routing.h"

#include "absl/strings/str_cat.h"
#include "e2e/lab/fabric.h"
#include "e2e/lab/netns.h"
#include "policy/status_macros.h"

namespace ripstop::lab {
namespace {

using absl::StrCat;

constexpr char kGateway4[] = "169.254.1.1";
constexpr char kGateway6[] = "fe80::1";

int NodeNumber(const Topology& topology, const std::string& node) {
  for (size_t i = 0; i < topology.nodes.size(); ++i) {
    if (topology.nodes[i].name == node) return static_cast<int>(i) + 1;
  }
  return 0;
}

std::vector<std::string> RoutesToPodsOf(const Topology& topology, const Node& node) {
  const int number = NodeNumber(topology, node.name);
  std::vector<std::string> lines;
  if (!node.v4.empty())
    lines.push_back(StrCat("route replace 10.244.", number, ".0/24 via ", node.v4));
  if (!node.v6.empty()) {
    lines.push_back(StrCat("route replace fd00:10:244:", number, "::/64 via ", node.v6));
  }
  return lines;
}

}  // namespace

std::string PlainInterface(int number) { return StrCat("pod", number); }

absl::Status RoutePlainly(const Topology& topology) {
  for (const Node& node : topology.nodes) {
    const std::string netns = MachineNetns(topology.name, node.name);
    RETURN_IF_ERROR(
        WriteSysctls(netns, {{"net/ipv4/ip_forward", "1"}, {"net/ipv6/conf/all/forwarding", "1"}}));
    std::vector<std::string> lines;
    for (const Node& other : topology.nodes) {
      if (other.name == node.name || other.subnet != node.subnet) continue;
      for (std::string& line : RoutesToPodsOf(topology, other)) lines.push_back(std::move(line));
    }
    RETURN_IF_ERROR(IpBatch(netns, lines));
  }
  for (const Router& router : topology.routers) {
    std::vector<std::string> lines;
    for (const Node& node : topology.nodes) {
      for (const Router::Port& port : router.ports) {
        if (port.subnet != node.subnet) continue;
        for (std::string& line : RoutesToPodsOf(topology, node)) lines.push_back(std::move(line));
      }
    }
    RETURN_IF_ERROR(IpBatch(MachineNetns(topology.name, router.name), lines));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> AttachPlainly(const Topology& topology, const Pod& pod,
                                                       int number) {
  const int node = NodeNumber(topology, pod.node);
  const std::string link = PlainInterface(number);
  const std::string pod_netns = PodNetns(topology.name, pod.key());
  const std::string node_netns = MachineNetns(topology.name, pod.node);
  const std::string v4 = StrCat("10.244.", node, ".", number);
  const std::string v6 = StrCat("fd00:10:244:", node, "::", absl::Hex(number));
  const int mtu = topology.FindSubnet(topology.FindNode(pod.node)->subnet)->mtu;
  RETURN_IF_ERROR(WriteSysctls(node_netns, {{"net/ipv6/conf/default/accept_dad", "0"}}));
  RETURN_IF_ERROR(WriteSysctls(pod_netns, {{"net/ipv6/conf/default/accept_dad", "0"}}));
  RETURN_IF_ERROR(IpBatch(
      node_netns,
      {StrCat("link add ", link, " mtu ", mtu, " type veth peer name eth0 mtu ", mtu, " netns ",
              pod_netns),
       StrCat("addr add ", kGateway4, "/32 dev ", link),
       StrCat("addr add ", kGateway6, "/64 dev ", link, " nodad"), StrCat("link set ", link, " up"),
       StrCat("route add ", v4, "/32 dev ", link), StrCat("route add ", v6, "/128 dev ", link)}));
  RETURN_IF_ERROR(IpBatch(
      pod_netns, {"link set lo up", "link set eth0 up", StrCat("addr add ", v4, "/32 dev eth0"),
                  StrCat("addr add ", v6, "/128 dev eth0 nodad"),
                  StrCat("route add ", kGateway4, "/32 dev eth0 scope link"),
                  StrCat("route add default via ", kGateway4, " dev eth0"),
                  StrCat("route add ::/0 via ", kGateway6, " dev eth0")}));
  return std::vector<std::string>{v4, v6};
}

absl::Status DetachPlainly(const Topology& topology, const std::string& node,
                           const std::vector<std::string>& addresses) {
  if (addresses.empty()) return absl::OkStatus();
  const std::string number = addresses[0].substr(addresses[0].rfind('.') + 1);
  return IpBatch(MachineNetns(topology.name, node), {StrCat("link del pod", number)});
}

}  // namespace ripstop::lab
