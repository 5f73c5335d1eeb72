// SPDX-License-Identifier: Apache-2.0
#include "agent/network/bgp_model.h"

#include "agent/base/testing/from_yaml.h"
#include "agent/network/network_config.h"
#include "gmock/gmock.h"

namespace ripstop::agent {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class ClusterTest : public testing::Test {
 protected:
  void AddNode(const std::string& name, const std::string& bgp, const std::string& labels = "{}") {
    cluster_.nodes[name] = MessageFromYaml<api::v1::Node>(
        "{apiVersion: projectcalico.org/v3, kind: Node, metadata: {name: " + name +
        ", labels: " + labels + "}, spec: {bgp: " + bgp + "}}");
  }
  void AddPool(const std::string& name, const std::string& spec) {
    cluster_.pools[name] = MessageFromYaml<api::v1::IPPool>(
        "{apiVersion: projectcalico.org/v3, kind: IPPool, metadata: {name: " + name +
        "}, spec: " + spec + "}");
  }
  void AddPeer(const std::string& name, const std::string& spec) {
    cluster_.bgp_peers[name] = MessageFromYaml<api::v1::BGPPeer>(
        "{apiVersion: projectcalico.org/v3, kind: BGPPeer, metadata: {name: " + name +
        "}, spec: " + spec + "}");
  }
  void AddBlock(const std::string& cidr, const std::string& node) {
    cluster_.blocks[cidr] = {*policy::Cidr::Parse(cidr), node, {}};
  }
  SecretReader Secrets() const {
    return [this](const std::string& name, const std::string& key) -> absl::StatusOr<std::string> {
      const auto it = secrets_.find(name + "/" + key);
      if (it == secrets_.end()) return absl::NotFoundError("no such secret");
      return it->second;
    };
  }
  bgp::Model Build(const std::string& node) {
    auto model = BuildBgpModel(cluster_, node, Secrets());
    EXPECT_TRUE(model.ok()) << model.status();
    return model.ok() ? *model : bgp::Model{};
  }
  std::map<std::string, std::string> secrets_;
  ClusterView cluster_;
};

TEST_F(ClusterTest, ANodeThatIsNotInTheStoreIsNamedWithTheRemedy) {
  auto model = BuildBgpModel(cluster_, "node1", Secrets());
  EXPECT_TRUE(absl::IsFailedPrecondition(model.status()));
  EXPECT_THAT(std::string(model.status().message()), HasSubstr("Node node1"));
  AddNode("node1", "{}");
  EXPECT_THAT(std::string(BuildBgpModel(cluster_, "node1", Secrets()).status().message()),
              HasSubstr("ipv4Address"));
}

TEST_F(ClusterTest, OwnBlocksAndBorrowedAddressesAreAnnouncedOthersAreNot) {
  AddNode("node1", "{ipv4Address: 192.0.2.1/24}");
  AddBlock("10.65.0.0/26", "node1");
  AddBlock("10.65.0.64/26", "node2");
  cluster_.blocks["10.65.0.64/26"].borrowed = {{*policy::Address::Parse("10.65.0.70"), "node1"},
                                               {*policy::Address::Parse("10.65.0.71"), "node3"}};
  const bgp::Model model = Build("node1");
  EXPECT_THAT(model.blocks, ElementsAre("10.65.0.0/26"));
  EXPECT_THAT(model.borrowed, ElementsAre("10.65.0.70"));
}

TEST_F(ClusterTest, PoolsSayWhoWritesTheirRoutes) {
  AddNode("node1", "{ipv4Address: 192.0.2.1/24}");
  AddPool("a", "{cidr: 10.1.0.0/16}");
  AddPool("b", "{cidr: 10.2.0.0/16, vxlanMode: CrossSubnet}");
  AddPool("c", "{cidr: 10.3.0.0/16, vxlanMode: Always, disableBGPExport: true}");
  const bgp::Model model = Build("node1");
  ASSERT_THAT(model.pools, SizeIs(3));
  EXPECT_EQ(model.pools[0].owner, bgp::RouteOwner::kBird);
  EXPECT_EQ(model.pools[1].owner, bgp::RouteOwner::kBirdWithinSubnet);
  EXPECT_EQ(model.pools[2].owner, bgp::RouteOwner::kAgent);
  EXPECT_TRUE(model.pools[2].disable_bgp_export);
}

TEST_F(ClusterTest, PeersApplyToTheNodesTheySelect) {
  AddNode("node1", "{ipv4Address: 192.0.2.1/24}", "{rack: a}");
  AddNode("node2", "{ipv4Address: 192.0.2.2/24, ipv6Address: '2001:db8::2/64', asNumber: 64500}",
          "{role: reflector}");
  AddPeer("everywhere", "{peerIP: 192.0.2.250, asNumber: 64501}");
  AddPeer("one-node", "{node: node2, peerIP: 192.0.2.251, asNumber: 64502}");
  AddPeer("rack", "{nodeSelector: rack == 'a', peerIP: '[2001:db8::fe]:1790', asNumber: 64503}");
  AddPeer("reflectors", "{nodeSelector: rack == 'a', peerSelector: role == 'reflector'}");
  const bgp::Model model = Build("node1");
  ASSERT_THAT(model.peers, SizeIs(4));
  EXPECT_EQ(model.peers[0].name, "everywhere");
  EXPECT_EQ(model.peers[0].type, bgp::PeerType::kGlobal);
  EXPECT_EQ(model.peers[1].name, "rack");
  EXPECT_EQ(model.peers[1].address, "2001:db8::fe");
  EXPECT_EQ(model.peers[1].port, 1790);
  EXPECT_EQ(model.peers[2].address, "192.0.2.2");
  EXPECT_EQ(model.peers[2].as_number, 64500u);
  EXPECT_EQ(model.peers[3].address, "2001:db8::2");
}

TEST_F(ClusterTest, TheDefaultConfigurationSetsAsNumberAndMesh) {
  AddNode("node1", "{ipv4Address: 192.0.2.1/24}");
  EXPECT_EQ(Build("node1").as_number, 64512u);
  EXPECT_TRUE(Build("node1").node_mesh);
  cluster_.bgp_configurations["default"] = MessageFromYaml<api::v1::BGPConfiguration>(
      "{apiVersion: projectcalico.org/v3, kind: BGPConfiguration, metadata: {name: default},"
      " spec: {asNumber: 64999, nodeToNodeMeshEnabled: false}}");
  EXPECT_EQ(Build("node1").as_number, 64999u);
  EXPECT_FALSE(Build("node1").node_mesh);
}

bgp::Peer OnlyPeer(const bgp::Model& model) {
  EXPECT_THAT(model.peers, SizeIs(1));
  return model.peers.empty() ? bgp::Peer{} : model.peers[0];
}

TEST_F(ClusterTest, APeerSelectorMakesTheSessionsOfBothSides) {
  AddNode("node1", "{ipv4Address: 192.0.2.1/24}");
  AddNode("node2", "{ipv4Address: 192.0.2.2/24}");
  AddNode("rr", "{ipv4Address: 192.0.2.3/24, routeReflectorClusterID: 192.0.2.250}", "{rr: a}");
  AddPeer("to-rr", "{nodeSelector: '!has(rr)', peerSelector: has(rr)}");
  EXPECT_EQ(OnlyPeer(Build("node1")).address, "192.0.2.3");
  EXPECT_FALSE(Build("node1").peers[0].route_reflector_client);
  const bgp::Model reflector = Build("rr");
  ASSERT_THAT(reflector.peers, SizeIs(2));
  EXPECT_EQ(reflector.peers[0].address, "192.0.2.1");
  EXPECT_EQ(reflector.peers[1].address, "192.0.2.2");
  EXPECT_TRUE(reflector.peers[0].route_reflector_client);
  EXPECT_EQ(reflector.peers[0].type, bgp::PeerType::kNodeSpecific);
  EXPECT_TRUE(reflector.peers[0].pairs_nodes);
  EXPECT_TRUE(OnlyPeer(Build("node1")).pairs_nodes);
}

TEST_F(ClusterTest, ManualReversePeeringLeavesTheOtherSideToItsUser) {
  AddNode("node1", "{ipv4Address: 192.0.2.1/24}");
  AddNode("rr", "{ipv4Address: 192.0.2.3/24}", "{rr: a}");
  AddPeer("to-rr", "{nodeSelector: '!has(rr)', peerSelector: has(rr), reversePeering: Manual}");
  EXPECT_FALSE(OnlyPeer(Build("node1")).pairs_nodes);
  EXPECT_THAT(Build("rr").peers, IsEmpty());
}

TEST_F(ClusterTest, AGlobalPeerSelectorMakesAHubOfWhatItPicksWithEachPairOnce) {
  AddNode("hub1", "{ipv4Address: 192.0.2.1/24}", "{hub: a}");
  AddNode("hub2", "{ipv4Address: 192.0.2.2/24}", "{hub: a}");
  AddNode("leaf", "{ipv4Address: 192.0.2.3/24, ipv6Address: '2001:db8::3/64'}");
  AddPeer("hubs", "{peerSelector: has(hub)}");
  EXPECT_THAT(Build("leaf").peers, SizeIs(2));
  EXPECT_THAT(Build("hub1").peers, SizeIs(3)) << "hub2 once, leaf in both families";
}

TEST_F(ClusterTest, TheReverseSessionExpectsTheAsNumberThatTheOtherSideShows) {
  AddNode("node1", "{ipv4Address: 192.0.2.1/24, asNumber: 64501}");
  AddNode("tor", "{ipv4Address: 192.0.2.3/24}", "{tor: a}");
  AddPeer("up", "{nodeSelector: '!has(tor)', peerSelector: has(tor), localASNumber: 64999}");
  EXPECT_EQ(OnlyPeer(Build("node1")).as_number, 64512u) << "the cluster's, not node1's";
  EXPECT_EQ(OnlyPeer(Build("node1")).local_as_number, 64999u);
  EXPECT_EQ(OnlyPeer(Build("tor")).as_number, 64999u);
  EXPECT_EQ(OnlyPeer(Build("tor")).local_as_number, 0u);
}

TEST_F(ClusterTest, SettingsOfASessionAreThoseOfItsPeerResource) {
  AddNode("node1", "{ipv4Address: 192.0.2.1/24}");
  AddPeer("p",
          "{peerIP: 192.0.2.9, asNumber: 64513, keepaliveTime: 20s, maxRestartTime: 2m,"
          " numAllowedLocalASNumbers: 255, ttlSecurity: 3, sourceAddress: None}");
  const bgp::Peer peer = OnlyPeer(Build("node1"));
  EXPECT_EQ(peer.keepalive_s, 20u);
  EXPECT_EQ(peer.max_restart_time_s, 120u);
  EXPECT_EQ(peer.allowed_local_as, 255);
  EXPECT_EQ(peer.ttl_security_hops, 3);
  EXPECT_FALSE(peer.use_node_address);
  EXPECT_EQ(peer.unusable, "");
}

TEST_F(ClusterTest, WhatCannotBeHadAsItIsWrittenIsUnusableAndSaysWhy) {
  AddNode("node1", "{ipv4Address: 192.0.2.1/24}");
  for (const auto& [more, why] :
       {std::pair("numAllowedLocalASNumbers: 256", "numAllowedLocalASNumbers: 256 is not 0 to 255"),
        std::pair("ttlSecurity: 256", "ttlSecurity: 256 is not"),
        std::pair("filters: [f]", "spec.filters is refused"),
        std::pair("password: {secretKeyRef: {name: s, key: k}}",
                  "spec.password: no such secret")}) {
    AddPeer("p", std::string("{peerIP: 192.0.2.9, asNumber: 64513, ") + more + "}");
    EXPECT_THAT(OnlyPeer(Build("node1")).unusable, HasSubstr(why));
  }
}

TEST_F(ClusterTest, PasswordsComeFromSecretsAndNeverLeaveASessionOpenWithoutThem) {
  AddNode("node1", "{ipv4Address: 192.0.2.1/24}");
  AddPeer("p", "{peerIP: 192.0.2.9, asNumber: 1, password: {secretKeyRef: {name: s, key: k}}}");
  cluster_.bgp_configurations["default"] = MessageFromYaml<api::v1::BGPConfiguration>(
      "{apiVersion: projectcalico.org/v3, kind: BGPConfiguration, metadata: {name: default},"
      " spec: {nodeMeshPassword: {secretKeyRef: {name: s, key: mesh}}}}");
  bgp::Model model = Build("node1");
  EXPECT_EQ(model.node_mesh_unusable, "spec.nodeMeshPassword: no such secret");
  EXPECT_EQ(model.node_mesh_password, "");
  secrets_ = {{"s/k", "one"}, {"s/mesh", "two"}};
  model = Build("node1");
  EXPECT_EQ(model.node_mesh_unusable, "");
  EXPECT_EQ(model.node_mesh_password, "two");
  EXPECT_EQ(OnlyPeer(model).password, "one");
  EXPECT_EQ(OnlyPeer(model).unusable, "");
}

TEST_F(ClusterTest, AnOptionalSecretThatIsNotThereIsNoPassword) {
  AddNode("node1", "{ipv4Address: 192.0.2.1/24}");
  AddPeer("p",
          "{peerIP: 192.0.2.9, asNumber: 1,"
          " password: {secretKeyRef: {name: s, key: k, optional: true}}}");
  EXPECT_EQ(OnlyPeer(Build("node1")).unusable, "");
  EXPECT_EQ(OnlyPeer(Build("node1")).password, "");
  secrets_ = {{"s/k", "one"}};
  EXPECT_EQ(OnlyPeer(Build("node1")).password, "one");
}

TEST_F(ClusterTest, ANodesConfigurationGoesOverTheDefaultFieldByField) {
  AddNode("node1", "{ipv4Address: 192.0.2.1/24}");
  AddNode("node2", "{ipv4Address: 192.0.2.2/24}");
  const auto configure = [&](const std::string& name, const std::string& spec) {
    cluster_.bgp_configurations[name] = MessageFromYaml<api::v1::BGPConfiguration>(
        "{apiVersion: projectcalico.org/v3, kind: BGPConfiguration, metadata: {name: " + name +
        "}, spec: " + spec + "}");
  };
  configure("default",
            "{listenPort: 1179, logSeverityScreen: warning, nodeMeshMaxRestartTime: 90s,"
            " ignoredInterfaces: [a*, b*], communities: [{name: c, value: '64500:7'}],"
            " prefixAdvertisements: [{cidr: 10.65.0.0/16, communities: [c, '1:2:3']}]}");
  configure("node.node2",
            "{listenPort: 2179, bindMode: NodeIP, ignoredInterfaces: [d*], asNumber: 1,"
            " nodeToNodeMeshEnabled: false}");
  const bgp::Model one = Build("node1"), two = Build("node2");
  EXPECT_EQ(one.listen_port, 1179);
  EXPECT_EQ(one.nodes[1].listen_port, 2179) << "node1 must know where node2 listens";
  EXPECT_FALSE(one.bind_node_address);
  EXPECT_EQ(one.log_severity, bgp::LogSeverity::kWarning);
  EXPECT_EQ(one.node_mesh_restart_s, 90u);
  EXPECT_THAT(one.ignored_interfaces, ElementsAre("a*", "b*"));
  ASSERT_THAT(one.advertisements, SizeIs(1));
  ASSERT_THAT(one.advertisements[0].communities, SizeIs(2));
  EXPECT_EQ(one.advertisements[0].communities[0].parts[1], 7u);
  EXPECT_TRUE(one.advertisements[0].communities[1].large);
  EXPECT_EQ(two.listen_port, 2179);
  EXPECT_TRUE(two.bind_node_address);
  EXPECT_THAT(two.ignored_interfaces, ElementsAre("d*"));
  EXPECT_EQ(two.log_severity, bgp::LogSeverity::kWarning);
  EXPECT_EQ(two.as_number, 64512u) << "for the whole cluster";
  EXPECT_TRUE(two.node_mesh);
}

TEST_F(ClusterTest, APeerThatIsANodeIsSpokenToWhereItListens) {
  AddNode("node1", "{ipv4Address: 192.0.2.1/24}");
  AddNode("node2", "{ipv4Address: 192.0.2.2/24}");
  cluster_.bgp_configurations["default"] = MessageFromYaml<api::v1::BGPConfiguration>(
      "{apiVersion: projectcalico.org/v3, kind: BGPConfiguration, metadata: {name: default},"
      " spec: {listenPort: 1179}}");
  AddPeer("a", "{node: node1, peerIP: 192.0.2.2, asNumber: 1}");
  AddPeer("b", "{node: node1, peerIP: '192.0.2.2:5000', asNumber: 1}");
  AddPeer("c", "{node: node1, peerIP: 192.0.2.99, asNumber: 1}");
  AddPeer("d", "{node: node1, peerSelector: all()}");
  const bgp::Model model = Build("node1");
  ASSERT_THAT(model.peers, SizeIs(4));
  EXPECT_EQ(model.peers[0].port, 1179);
  EXPECT_EQ(model.peers[1].port, 5000);
  EXPECT_EQ(model.peers[2].port, 179);
  EXPECT_EQ(model.peers[3].port, 1179);
}

TEST_F(ClusterTest, NodesShareASubnetWhenEachIsInTheOthersPrefix) {
  AddNode("node1", "{ipv4Address: 192.0.2.1/26}");
  AddNode("node2", "{ipv4Address: 192.0.2.2/26}");
  AddNode("node3", "{ipv4Address: 198.51.100.3/24}");
  AddNode("wide", "{ipv4Address: 192.0.2.130/24}");  // sees node1 on link, not the other way
  AddBlock("10.65.0.0/26", "node3");
  const VxlanConfig config = BuildVxlanConfig(cluster_, "node1", 1500);
  ASSERT_THAT(config.remotes, SizeIs(3));
  EXPECT_TRUE(config.remotes[0].same_subnet);
  EXPECT_FALSE(config.remotes[1].same_subnet);
  EXPECT_THAT(config.remotes[1].blocks, SizeIs(1));
  EXPECT_FALSE(config.remotes[2].same_subnet);
  EXPECT_THAT(config.remotes[0].blocks, IsEmpty());
}

}  // namespace
}  // namespace ripstop::agent
