// SPDX-License-Identifier: Apache-2.0
//
// What a lab is to look like: the topology file, read and checked.
//
//   name: demo                  # also the prefix of its namespaces: rl-demo-…
//   agents: ripstop             # or none: plain routing, no policy; see plain_routing.h
//   subnets:
//   - {name: rack1, v4: 192.0.2.0/26, v6: "2001:db8:1::/64", mtu: 1500}
//   routers:                    # takes the first address of each subnet unless told
//   - {name: r1, subnets: [rack1, rack2]}
//   nodes:
//   - {name: node1, subnet: rack1, v4: 192.0.2.11, v6: "2001:db8:1::11"}
//   bgp: {asNumber: 64512}
//   pools:
//   - {name: pods-v4, cidr: 10.65.0.0/16, vxlanMode: CrossSubnet}
//   namespaces:
//   - {name: shop, labels: {team: web}}
//   pods:
//   - name: cart-1
//     namespace: shop
//     node: node1
//     labels: {app: cart}
//     serviceAccount: cart
//     ips: [10.65.0.7]          # asks for these addresses; else whichever are free
//     ports: [{name: grpc, port: 7070, protocol: TCP}]
//     serve: true               # run a server on each port; the default
//   manifests: [policies]       # files or folders, relative to this file
//
// Errors are kInvalidArgument with file, line and field. Unknown fields are errors.
#ifndef RIPSTOP_E2E_LAB_TOPOLOGY_H_
#define RIPSTOP_E2E_LAB_TOPOLOGY_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace ripstop::lab {

struct Subnet {
  std::string name;
  std::string v4, v6;  // CIDRs; either may be empty
  int mtu = 1500;
};

struct Router {
  struct Port {
    std::string subnet;
    std::string v4, v6;  // addresses without prefix length
  };
  std::string name;
  std::vector<Port> ports;
};

struct Node {
  std::string name;
  std::string subnet;
  std::string v4, v6;  // addresses without prefix length
  int mtu = 0;         // of its uplink; 0: the subnet's
};

struct Port {
  std::string name;
  uint16_t port = 0;
  std::string protocol = "TCP";  // TCP, UDP
};

struct Pod {
  std::string name, ns = "default", node;
  std::string service_account;
  std::map<std::string, std::string> labels;
  std::vector<Port> ports;
  std::vector<std::string> ips;  // asked for, without prefix length; empty: any
  bool serve = true;
  std::string key() const { return ns + "/" + name; }
};

struct Pool {
  std::string name, cidr;
  std::string vxlan_mode = "Never";
  int block_size = 0;  // 0: the product's default
};

struct NamespaceSpec {
  std::string name;
  std::map<std::string, std::string> labels;
};

struct Topology {
  std::string name;
  bool with_agents = true;
  std::vector<Subnet> subnets;
  std::vector<Router> routers;
  std::vector<Node> nodes;
  uint32_t as_number = 64512;
  std::vector<Pool> pools;
  std::vector<NamespaceSpec> namespaces;
  std::vector<Pod> pods;
  std::vector<std::string> manifests;  // absolute

  const Subnet* FindSubnet(const std::string& subnet) const;
  const Node* FindNode(const std::string& node) const;
  const Pod* FindPod(const std::string& key) const;  // "ns/name"
  // The port of the first router in a subnet; null if no router is there.
  const Router::Port* Gateway(const std::string& subnet) const;
};

// `origin` names the text in errors; `folder` is where its manifests are relative to.
absl::StatusOr<Topology> ParseTopology(const std::string& text, const std::string& origin,
                                       const std::string& folder);
absl::StatusOr<Topology> ReadTopology(const std::string& path);

// "192.0.2.11" in "192.0.2.0/26" → "192.0.2.11/26".
std::string WithPrefixOf(const std::string& address, const std::string& cidr);

// The `index`th address of a CIDR of either family, without prefix length.
absl::StatusOr<std::string> AddressIn(const std::string& cidr, uint32_t index);

}  // namespace ripstop::lab

#endif  // RIPSTOP_E2E_LAB_TOPOLOGY_H_
