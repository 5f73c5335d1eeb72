// SPDX-License-Identifier: Apache-2.0
#include "agent/daemon/bgp_model.h"

#include "agent/daemon/network_config.h"
#include "agent/daemon/testing.h"
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

TEST_F(ClusterTest, OnlyEnabledWorkloadPoolsThatSelectTheNodeGiveAddresses) {
  AddNode("node1", "{ipv4Address: 192.0.2.1/24}", "{rack: a}");
  AddPool("disabled", "{cidr: 10.1.0.0/16, disabled: true}");
  AddPool("elsewhere", "{cidr: 10.2.0.0/16, nodeSelector: rack == 'b'}");
  AddPool("here", "{cidr: 10.3.0.0/16, nodeSelector: rack == 'a', blockSize: 28}");
  AddPool("tunnels", "{cidr: 10.4.0.0/16, allowedUses: [Tunnel]}");
  const IpamConfig config = BuildIpamConfig(cluster_, "node1");
  ASSERT_THAT(config.pools, SizeIs(1));
  EXPECT_EQ(config.pools[0].name, "here");
  EXPECT_EQ(config.pools[0].block_size, 28);
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
