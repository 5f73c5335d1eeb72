// SPDX-License-Identifier: Apache-2.0
#include "agent/network/network_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ripstop::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class IpamConfigTest : public ::testing::Test {
 protected:
  void SetUp() override {
    AddNode("n1", "192.0.2.11/24", "2001:db8::11/64");
    (*cluster_.nodes["n1"].mutable_metadata()->mutable_labels())["zone"] = "a";
  }
  void AddNode(const std::string& name, const std::string& v4, const std::string& v6) {
    api::v1::Node& node = cluster_.nodes[name];
    node.mutable_metadata()->set_name(name);
    node.mutable_spec()->mutable_bgp()->set_ipv4_address(v4);
    node.mutable_spec()->mutable_bgp()->set_ipv6_address(v6);
  }
  api::v1::IPPoolSpec& AddPool(const std::string& name, const std::string& cidr) {
    api::v1::IPPool& pool = cluster_.pools[name];
    pool.mutable_metadata()->set_name(name);
    pool.mutable_spec()->set_cidr(cidr);
    return *pool.mutable_spec();
  }
  PoolConfig Only() {
    const IpamConfig config = BuildIpamConfig(cluster_, "n1");
    EXPECT_EQ(config.pools.size(), 1u);
    return config.pools.at(0);
  }
  ClusterView cluster_;
};

TEST_F(IpamConfigTest, APoolIsForEveryPodUnlessItSaysOtherwise) {
  AddPool("p", "10.65.0.0/16").set_block_size(28);
  EXPECT_EQ(Only().use, PoolUse::kAny);
  EXPECT_EQ(Only().block_size, 28);
  EXPECT_FALSE(Only().namespaces.has_value());
  cluster_.pools["p"].mutable_spec()->set_namespace_selector("all()");
  EXPECT_FALSE(Only().namespaces.has_value());
  cluster_.pools["p"].mutable_spec()->set_namespace_selector("team == 'a'");
  ASSERT_TRUE(Only().namespaces.has_value());
  EXPECT_TRUE(Only().namespaces->Matches({{"team", "a"}}));
}

TEST_F(IpamConfigTest, ManualPoolsAndThoseOfOtherNodesAreForRequestsOnly) {
  api::v1::IPPoolSpec& pool = AddPool("p", "10.65.0.0/16");
  pool.set_assignment_mode("Manual");
  EXPECT_EQ(Only().use, PoolUse::kOnRequest);
  EXPECT_THAT(Only().why, HasSubstr("Manual"));
  pool.set_assignment_mode("Automatic");
  pool.set_node_selector("zone == 'b'");
  EXPECT_EQ(Only().use, PoolUse::kOnRequest);
  EXPECT_THAT(Only().why, HasSubstr("zone == 'b'"));
  pool.set_node_selector("zone == 'a'");
  EXPECT_EQ(Only().use, PoolUse::kAny);
}

TEST_F(IpamConfigTest, ClosedPoolsSayWhy) {
  api::v1::IPPoolSpec& pool = AddPool("p", "10.65.0.0/16");
  pool.set_disabled(true);
  EXPECT_EQ(Only().use, PoolUse::kNone);
  EXPECT_EQ(Only().why, "is disabled");
  pool.set_disabled(false);
  pool.add_allowed_uses("Tunnel");
  EXPECT_EQ(Only().use, PoolUse::kNone);
  pool.add_allowed_uses("Workload");
  EXPECT_EQ(Only().use, PoolUse::kAny);
  cluster_.pools["p"].mutable_metadata()->set_deletion_timestamp("2026-01-02T03:04:05Z");
  EXPECT_EQ(Only().use, PoolUse::kNone);
  EXPECT_EQ(Only().why, "is being deleted");
}

// Validation refuses such pools; here the store holds one all the same.
TEST_F(IpamConfigTest, FromAPoolInANodesSubnetNothingIsTakenAndItIsNamed) {
  AddNode("far", "198.51.100.1/24", "");
  for (const char* cidr : {"192.0.2.0/26", "192.0.0.0/16", "198.51.100.64/28", "2001:db8::/122"}) {
    cluster_.pools.clear();
    AddPool("p", cidr);
    EXPECT_EQ(Only().use, PoolUse::kNone) << cidr;
    EXPECT_THAT(Only().why, HasSubstr("the subnet of node")) << cidr;
    EXPECT_THAT(PoolProblems(cluster_), ElementsAre(HasSubstr("IPPool p overlaps"))) << cidr;
  }
  cluster_.pools.clear();
  AddPool("p", "203.0.113.0/24");
  EXPECT_THAT(PoolProblems(cluster_), IsEmpty());
  // Addresses of services are not given to hosts of the subnet, but a node's own is taken.
  cluster_.pools.clear();
  AddPool("p", "192.0.2.64/28").add_allowed_uses("LoadBalancer");
  EXPECT_THAT(PoolProblems(cluster_), IsEmpty());
  cluster_.pools["p"].mutable_spec()->set_cidr("192.0.2.0/28");
  EXPECT_THAT(PoolProblems(cluster_), ElementsAre(HasSubstr("node n1")));
}

TEST_F(IpamConfigTest, PoolsThatOverlapAreNamed) {
  AddPool("wide", "10.70.0.0/16");
  AddPool("inside", "10.70.4.0/24");
  AddPool("apart", "10.71.0.0/16");
  EXPECT_THAT(PoolProblems(cluster_), ElementsAre(HasSubstr("IPPool wide overlaps IPPool inside")));
  cluster_.pools.erase("inside");
  AddPool("same", "10.70.0.0/16");
  EXPECT_THAT(PoolProblems(cluster_), ElementsAre(HasSubstr("overlaps IPPool same")));
}

TEST_F(IpamConfigTest, ANamespaceIsLabelledWithItsNameWhateverItSays) {
  cluster_.namespaces["shop"] = {{"team", "a"}, {"kubernetes.io/metadata.name", "bank"}};
  EXPECT_EQ(cluster_.NamespaceLabels("shop").at("team"), "a");
  EXPECT_EQ(cluster_.NamespaceLabels("shop").at("kubernetes.io/metadata.name"), "shop");
  EXPECT_EQ(cluster_.NamespaceLabels("unknown").at("projectcalico.org/name"), "unknown");
}

}  // namespace
}  // namespace ripstop::agent
