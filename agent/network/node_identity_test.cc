// SPDX-License-Identifier: Apache-2.0
#include "agent/network/node_identity.h"

#include "agent/base/testing/from_yaml.h"
#include "gmock/gmock.h"

namespace ripstop::agent {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

std::string Refusal(const std::string& name) { return std::string(CheckNodeName(name).message()); }

TEST(NodeNameTest, NamesThatKubernetesHasAreTaken) {
  for (const std::string& name : {std::string("node1"), std::string("rack-1.node-7.example.net"),
                                  std::string("7"), std::string(253, 'a')}) {
    EXPECT_TRUE(CheckNodeName(name).ok()) << Refusal(name);
  }
}

TEST(NodeNameTest, NamesThatOnlyTheKernelHasAreRefusedWithOneThatWouldDo) {
  EXPECT_THAT(Refusal("Worker-1.Example"),
              AllOf(HasSubstr("node name \"Worker-1.Example\": no Node resource can have it"),
                    HasSubstr("start with --node worker-1.example and ")));
  EXPECT_THAT(Refusal("node1\n"), AllOf(HasSubstr("\"node1\\n\""), HasSubstr("--node node1 and"),
                                        Not(HasSubstr("\n"))));
  EXPECT_THAT(Refusal("a_b"), HasSubstr("--node a-b and"));
  EXPECT_THAT(Refusal(std::string(254, 'a')), HasSubstr("--node " + std::string(253, 'a') + " "));
  for (const char* name : {"", ".", "-", "a..b", "-a", "a-", "a.-b", "ä", "a/b"}) {
    EXPECT_FALSE(CheckNodeName(name).ok()) << name;
    const std::string refusal = Refusal(name);
    const size_t at = refusal.find("--node ") + 7;
    EXPECT_TRUE(CheckNodeName(refusal.substr(at, refusal.find(' ', at) - at)).ok()) << refusal;
  }
}

class NodeAddressTest : public testing::Test {
 protected:
  void AddNode(const std::string& name, const std::string& bgp) {
    cluster_.nodes[name] = MessageFromYaml<api::v1::Node>(
        "{apiVersion: projectcalico.org/v3, kind: Node, metadata: {name: " + name +
        "}, spec: {bgp: " + bgp + "}}");
  }
  void Have(const std::string& address) {
    InterfaceAddress one;
    one.address = *policy::Address::Parse(address);
    interfaces_.push_back(one);
  }
  NodeAddressProblems Check() { return CheckNodeAddresses(cluster_, "n1", interfaces_); }
  ClusterView cluster_;
  std::vector<InterfaceAddress> interfaces_;
};

TEST_F(NodeAddressTest, SoundNodesHaveNoProblems) {
  AddNode("n1", "{ipv4Address: 192.0.2.1/24, ipv6Address: '2001:db8::1/64'}");
  AddNode("n2", "{ipv4Address: 192.0.2.2/24}");
  Have("192.0.2.1");
  Have("2001:db8::1");
  EXPECT_THAT(Check().own, IsEmpty());
  EXPECT_THAT(Check().others, IsEmpty());
}

TEST_F(NodeAddressTest, AnAddressThatNoInterfaceHasIsNamedWithThoseThatAreThere) {
  AddNode("n1", "{ipv4Address: 192.0.2.9/24, ipv6Address: '2001:db8::9/64'}");
  Have("127.0.0.1");
  Have("192.0.2.1");
  Have("fe80::1");
  EXPECT_THAT(
      Check().own,
      ElementsAre("Node n1: spec.bgp.ipv4Address 192.0.2.9: no interface of this node has it; it "
                  "has 192.0.2.1; write one of its own",
                  "Node n1: spec.bgp.ipv6Address 2001:db8::9: no interface of this node has it; it "
                  "has no IPv6 address at all; write one of its own"));
}

TEST_F(NodeAddressTest, AnAddressOfTwoNodesIsNamedByWhoeverSeesIt) {
  AddNode("n1", "{ipv4Address: 192.0.2.1/24}");
  AddNode("n2", "{ipv4Address: 192.0.2.1/26}");
  AddNode("n3", "{ipv4Address: 192.0.2.3/24}");
  AddNode("n4", "{ipv4Address: 192.0.2.3/24}");
  Have("192.0.2.1");
  EXPECT_THAT(Check().own, ElementsAre("Node n1: spec.bgp.ipv4Address 192.0.2.1: Node n2 has it "
                                       "too; give each its own"));
  EXPECT_THAT(Check().others, ElementsAre("Node n3: spec.bgp.ipv4Address 192.0.2.3: Node n4 has it "
                                          "too; give each its own"));
}

}  // namespace
}  // namespace ripstop::agent
