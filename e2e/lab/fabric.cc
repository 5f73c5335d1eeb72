// SPDX-License-Identifier: Apache-2.0
#include "e2e/lab/fabric.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "e2e/lab/netns.h"
#include "policy/status_macros.h"

namespace ripstop::lab {
namespace {

using absl::StrCat;

// A veth between a bridge and a machine, and the machine's addresses on it.
void AddLeg(const Topology& topology, const std::string& machine, const std::string& switch_port,
            const std::string& interface, const Subnet& subnet, const std::string& v4,
            const std::string& v6, int mtu, Wiring* wiring) {
  if (mtu == 0) mtu = subnet.mtu;
  wiring->in_switch.push_back(StrCat("link add ", switch_port, " mtu ", mtu,
                                     " type veth peer name ", interface, " mtu ", mtu, " netns ",
                                     MachineNetns(topology.name, machine)));
  wiring->in_switch.push_back(StrCat("link set ", switch_port, " master br-", subnet.name, " up"));
  wiring->in_machine.push_back(StrCat("link set ", interface, " up"));
  if (!v4.empty()) {
    wiring->in_machine.push_back(
        StrCat("addr add ", WithPrefixOf(v4, subnet.v4), " dev ", interface));
  }
  if (!v6.empty()) {
    wiring->in_machine.push_back(
        StrCat("addr add ", WithPrefixOf(v6, subnet.v6), " dev ", interface, " nodad"));
  }
}

// A fabric where addresses wait a second for duplicates to answer comes up a second late.
absl::Status Quiet(const std::string& netns) {
  return WriteSysctls(netns, {{"net/ipv6/conf/all/accept_dad", "0"},
                              {"net/ipv6/conf/default/accept_dad", "0"},
                              {"net/ipv6/conf/all/accept_ra", "0"},
                              {"net/ipv6/conf/default/accept_ra", "0"}});
}

absl::Status Apply(const Topology& topology, const std::string& machine, const Wiring& wiring) {
  const std::string netns = MachineNetns(topology.name, machine);
  RETURN_IF_ERROR(Quiet(netns));
  RETURN_IF_ERROR(IpBatch(MachineNetns(topology.name, "switch"), wiring.in_switch));
  return IpBatch(netns, wiring.in_machine);
}

}  // namespace

std::string MachineNetns(const std::string& lab, const std::string& machine) {
  return StrCat("rl-", lab, "-", machine);
}

std::string PodNetns(const std::string& lab, const std::string& pod_key) {
  // No pod's name has an underscore, so a/b-c and a-b/c stay apart.
  return StrCat("rl-", lab, "-", absl::StrReplaceAll(pod_key, {{"/", "_"}}));
}

Wiring SubnetWiring(const Topology& topology) {
  Wiring wiring;
  wiring.in_switch.push_back("link set lo up");
  for (const Subnet& subnet : topology.subnets) {
    // Snooping without a querier forgets neighbour discovery's groups.
    wiring.in_switch.push_back(
        StrCat("link add br-", subnet.name, " mtu ", subnet.mtu, " type bridge mcast_snooping 0"));
    wiring.in_switch.push_back(StrCat("link set br-", subnet.name, " up"));
  }
  return wiring;
}

Wiring RouterWiring(const Topology& topology, const Router& router) {
  Wiring wiring;
  wiring.in_machine.push_back("link set lo up");
  for (size_t i = 0; i < router.ports.size(); ++i) {
    const Router::Port& port = router.ports[i];
    AddLeg(topology, router.name, StrCat(router.name, "-", i), StrCat("eth", i),
           *topology.FindSubnet(port.subnet), port.v4, port.v6, 0, &wiring);
  }
  return wiring;
}

Wiring NodeWiring(const Topology& topology, const Node& node) {
  Wiring wiring;
  wiring.in_machine.push_back("link set lo up");
  AddLeg(topology, node.name, node.name, "eth0", *topology.FindSubnet(node.subnet), node.v4,
         node.v6, node.mtu, &wiring);
  if (const Router::Port* gateway = topology.Gateway(node.subnet)) {
    if (!gateway->v4.empty() && !node.v4.empty()) {
      wiring.in_machine.push_back(StrCat("route add default via ", gateway->v4));
    }
    if (!gateway->v6.empty() && !node.v6.empty()) {
      wiring.in_machine.push_back(StrCat("route add ::/0 via ", gateway->v6));
    }
  }
  return wiring;
}

absl::Status WireSubnets(const Topology& topology) {
  const std::string netns = MachineNetns(topology.name, "switch");
  RETURN_IF_ERROR(Quiet(netns));
  return IpBatch(netns, SubnetWiring(topology).in_switch);
}

absl::Status WireRouter(const Topology& topology, const Router& router) {
  RETURN_IF_ERROR(Apply(topology, router.name, RouterWiring(topology, router)));
  return WriteSysctls(MachineNetns(topology.name, router.name),
                      {{"net/ipv4/ip_forward", "1"}, {"net/ipv6/conf/all/forwarding", "1"}});
}

absl::Status WireNode(const Topology& topology, const Node& node) {
  return Apply(topology, node.name, NodeWiring(topology, node));
}

absl::Status UnwireNode(const Topology& topology, const std::string& node) {
  return IpBatch(MachineNetns(topology.name, "switch"), {StrCat("link del ", node)});
}

}  // namespace ripstop::lab
