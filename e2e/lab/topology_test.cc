// SPDX-License-Identifier: Apache-2.0
//
// The topology file and what is computed from it, without privilege.
#include "e2e/lab/topology.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "e2e/lab/fabric.h"
#include "e2e/lab/resources.h"

namespace ripstop::lab {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kTwoRacks[] = R"(name: demo
subnets:
- {name: rack1, v4: 192.0.2.0/26, v6: "2001:db8:1::/64"}
- {name: rack2, v4: 198.51.100.0/24, v6: "2001:db8:2::/64", mtu: 1400}
routers:
- {name: r1, subnets: [rack1, {name: rack2, v4: 198.51.100.254}]}
nodes:
- {name: node1, subnet: rack1, v4: 192.0.2.11, v6: "2001:db8:1::11"}
- {name: node2, subnet: rack2, v4: 198.51.100.11}
pools:
- {name: pods, cidr: 10.65.0.0/16, vxlanMode: CrossSubnet}
pods:
- {name: cart-1, namespace: shop, node: node1, labels: {app: cart},
   ports: [{name: grpc, port: 7070}]}
)";

std::string ErrorOf(const std::string& text) {
  return std::string(ParseTopology(text, "t.yaml", "/").status().message());
}

TEST(Topology, RouterTakesTheFirstAddressUnlessTold) {
  const auto topology = ParseTopology(kTwoRacks, "t.yaml", "/");
  ASSERT_TRUE(topology.ok()) << topology.status();
  ASSERT_NE(topology->Gateway("rack1"), nullptr);
  EXPECT_EQ(topology->Gateway("rack1")->v4, "192.0.2.1");
  EXPECT_EQ(topology->Gateway("rack1")->v6, "2001:db8:1::1");
  EXPECT_EQ(topology->Gateway("rack2")->v4, "198.51.100.254");
  EXPECT_EQ(topology->pods[0].ports[0].protocol, "TCP");
}

TEST(Topology, ErrorsNameLineFieldAndRemedy) {
  EXPECT_EQ(ErrorOf("name: demo\nnodes:\n- {name: a, subnet: nowhere}\n"),
            "t.yaml:3: nodes[0]. names subnet 'nowhere', which is not there");
  EXPECT_THAT(ErrorOf("name: demo\nsubnet: []\n"),
              HasSubstr("t.yaml:2: subnet is not a field; there are: agents, bgp"));
  EXPECT_THAT(ErrorOf("name: Demo!\n"), HasSubstr("t.yaml:1: name must be"));
  EXPECT_THAT(ErrorOf("name: demo\nsubnets:\n- {name: a, v4: 192.0.2.0/26}\nnodes:\n"
                      "- {name: n, subnet: a, v4: 192.0.2.64}\n"),
              HasSubstr("t.yaml:5: nodes[0].v4 is '192.0.2.64', not an address of subnet a"));
  EXPECT_THAT(ErrorOf("name: demo\npods:\n- {name: p, node: gone}\n"),
              HasSubstr("pods[0].node 'gone' is not a node of this file"));
  EXPECT_THAT(
      ErrorOf("name: demo\nsubnets: [{name: a, v4: 192.0.2.0/26}]\n"
              "nodes: [{name: n, subnet: a}]\npods:\n- {name: p, node: n, ips: [10.65.0]}\n"),
      HasSubstr("t.yaml:5: pods[0].ips has '10.65.0', which is not an address"));
  EXPECT_THAT(ErrorOf("name: [\n"), HasSubstr("t.yaml:"));
}

TEST(Topology, NodeAndRouterMayNotShareAName) {
  EXPECT_THAT(ErrorOf("name: demo\nsubnets: [{name: a, v4: 192.0.2.0/26}]\n"
                      "routers: [{name: x, subnets: [a]}]\nnodes: [{name: x, subnet: a}]\n"),
              HasSubstr("nodes[0].name 'x' is taken"));
}

TEST(Topology, AddressInCarriesIntoTheNextByte) {
  EXPECT_EQ(AddressIn("192.0.2.0/26", 11).value(), "192.0.2.11");
  EXPECT_EQ(AddressIn("198.51.0.250/16", 10).value(), "198.51.1.4");
  EXPECT_EQ(AddressIn("2001:db8::/64", 0x11).value(), "2001:db8::11");
}

TEST(Fabric, NodeGetsUplinkWithTheSubnetsMtuAndDefaultRoutesViaItsRouter) {
  const auto topology = ParseTopology(kTwoRacks, "t.yaml", "/");
  ASSERT_TRUE(topology.ok()) << topology.status();
  EXPECT_THAT(NodeWiring(*topology, topology->nodes[0]).in_machine,
              ElementsAre("link set lo up", "link set eth0 up", "addr add 192.0.2.11/26 dev eth0",
                          "addr add 2001:db8:1::11/64 dev eth0 nodad",
                          "route add default via 192.0.2.1", "route add ::/0 via 2001:db8:1::1"));
  EXPECT_THAT(NodeWiring(*topology, topology->nodes[1]).in_switch,
              ElementsAre("link add node2 mtu 1400 type veth peer name eth0 mtu 1400 netns "
                          "rl-demo-node2",
                          "link set node2 master br-rack2 up"));
}

TEST(Fabric, PodsOfDifferentNamespacesNeverShareANetworkNamespace) {
  EXPECT_NE(PodNetns("l", "a-b/c"), PodNetns("l", "a/b-c"));
}

TEST(Resources, NodeAddressesCarryTheSubnetsPrefixLength) {
  const auto topology = ParseTopology(kTwoRacks, "t.yaml", "/");
  ASSERT_TRUE(topology.ok()) << topology.status();
  EXPECT_EQ(NodeDocument(*topology, topology->nodes[0]),
            "---\n{\"apiVersion\":\"projectcalico.org/v3\",\"kind\":\"Node\",\"metadata\":"
            "{\"name\":\"node1\"},\"spec\":{\"bgp\":{\"asNumber\":64512,\"ipv4Address\":"
            "\"192.0.2.11/26\",\"ipv6Address\":\"2001:db8:1::11/64\"}}}\n");
  EXPECT_THAT(ResourceDocuments(*topology),
              HasSubstr("\"labels\":{\"kubernetes.io/metadata.name\":\"shop\"}"));
}

}  // namespace
}  // namespace ripstop::lab
