// SPDX-License-Identifier: Apache-2.0
//
// `nodes` peers of ClusterNetworkPolicies through the agent's feed: what a change of a Node's
// document writes, and what it does not.
#include "absl/strings/str_cat.h"
#include "absl/strings/substitute.h"
#include "agent/base/testing/from_yaml.h"
#include "agent/dataplane/fake_dataplane.h"
#include "agent/policy/policy_plane.h"
#include "gmock/gmock.h"
#include "policy/tables/table_image.h"

namespace ripstop::agent {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

constexpr char kPod[] = "192.0.2.10", kPod6[] = "2001:db8::10";
constexpr char kWorker[] = "198.51.100.2", kWorker6[] = "2001:db8:1::2";
constexpr char kControl[] = "198.51.100.3", kControl6[] = "2001:db8:1::3";

class NodePeersTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(plane_.Begin().ok());
    policy::Endpoint pod;
    pod.id = "c1/eth0";
    pod.name = "shop/pod";
    pod.labels = {{"projectcalico.org/namespace", "shop"},
                  {"projectcalico.org/orchestrator", "k8s"}};
    pod.profiles = {"kns.shop"};
    pod.addresses = {*policy::Address::Parse(kPod), *policy::Address::Parse(kPod6)};
    plane_.feed().Attach(pod, {7, {2, 0, 0, 0, 0, 7}}, "shop/pod", "");
    Put("{apiVersion: v1, kind: Namespace, metadata: {name: shop}}");
    Node("n2", "role: worker", kWorker, kWorker6);
    Node("n3", "role: control", kControl, kControl6);
    plane_.OnWhole();
    ASSERT_TRUE(plane_.Flush().ok());
    seen_ = dataplane_.written.size();
  }

  void Put(const std::string& yaml) { plane_.feed().Put(FromYaml(yaml)); }
  void Node(const std::string& name, const std::string& labels, const std::string& v4,
            const std::string& v6) {
    Put(absl::Substitute(
        "{apiVersion: projectcalico.org/v3, kind: Node, metadata: {name: $0, labels: "
        "{kubernetes.io/hostname: $0, $1}}, spec: "
        "{bgp: {ipv4Address: $2/24, ipv6Address: \"$3/64\"}}}",
        name, labels, v4, v6));
  }
  void Deny(const std::string& nodes) {
    Put(absl::Substitute(
        "{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: "
        "{name: p}, spec: {tier: Admin, priority: 1, subject: {namespaces: {}}, egress: [{action: "
        "Deny, to: [{nodes: $0}]}]}}",
        nodes));
  }

  // What a Flush writes, in words: the addresses whose entry changed, and how many others.
  struct Written {
    std::vector<std::string> addresses;
    int tables = 0;  // of policy sets
  };
  Written Flush() {
    EXPECT_TRUE(plane_.Flush().ok());
    Written written;
    for (; seen_ < dataplane_.written.size(); ++seen_) {
      const policy::TableWrite& write = dataplane_.written[seen_];
      if (const auto* set = std::get_if<policy::SetAddress>(&write)) {
        written.addresses.push_back(set->address.ToString());
      } else if (const auto* gone = std::get_if<policy::RemoveAddress>(&write)) {
        written.addresses.push_back(absl::StrCat("no ", gone->address.ToString()));
      } else if (std::holds_alternative<policy::WriteWords>(write)) {
        ++written.tables;
      }
    }
    return written;
  }
  // Whether the tables let the pod send to it.
  bool MaySend(const std::string& to) {
    policy::TableImage image;
    image.Apply(dataplane_.written);
    image.set_l4_table(plane_.engine().l4_table());
    const policy::Address far = *policy::Address::Parse(to);
    const policy::Packet packet{*policy::Address::Parse(far.is_v4() ? kPod : kPod6),
                                far,
                                policy::kProtocolTcp,
                                40000,
                                80,
                                0,
                                0};
    const auto verdict = image.Verdict(policy::Direction::kEgress, packet);
    return verdict.has_value() && verdict->allow();
  }
  // Of the addresses of both nodes.
  std::vector<bool> MaySendToBoth() {
    return {MaySend(kWorker), MaySend(kWorker6), MaySend(kControl), MaySend(kControl6)};
  }

  FakeDataplane dataplane_;
  PolicyPlane plane_{"n1", &dataplane_};
  size_t seen_ = 0;
};

TEST_F(NodePeersTest, LabelsOfNodesWriteNothingWhileNobodyAsks) {
  Node("n2", "role: gateway, zone: a", kWorker, kWorker6);
  const Written written = Flush();
  EXPECT_THAT(written.addresses, IsEmpty());
  EXPECT_EQ(written.tables, 0);
  Deny("{matchLabels: {role: gateway}}");
  Flush();
  EXPECT_THAT(MaySendToBoth(), ElementsAre(false, false, true, true));
}

TEST_F(NodePeersTest, ANodesAddressesAloneMoveWhenItIsRelabelled) {
  Deny("{matchLabels: {role: worker}}");
  Flush();
  EXPECT_THAT(MaySendToBoth(), ElementsAre(false, false, true, true));
  Node("n3", "role: worker", kControl, kControl6);
  Written written = Flush();
  EXPECT_THAT(written.addresses, UnorderedElementsAre(kControl, kControl6));
  EXPECT_EQ(written.tables, 0) << "its addresses go to the class of the other node's";
  EXPECT_THAT(MaySendToBoth(), ElementsAre(false, false, false, false));
  Node("n2", "role: control", kWorker, kWorker6);
  written = Flush();
  EXPECT_THAT(written.addresses, UnorderedElementsAre(kWorker, kWorker6));
  EXPECT_EQ(written.tables, 0);
  EXPECT_THAT(MaySendToBoth(), ElementsAre(true, true, false, false));
  // A label that no policy asks for.
  Node("n2", "role: control, zone: a", kWorker, kWorker6);
  EXPECT_THAT(Flush().addresses, IsEmpty());
}

TEST_F(NodePeersTest, NodesThatComeGoAndMoveAreFollowed) {
  Deny("{matchLabels: {role: worker}}");
  Flush();
  Node("n4", "role: worker", "203.0.113.4", "2001:db8:1::4");
  EXPECT_THAT(Flush().addresses, UnorderedElementsAre("203.0.113.4", "2001:db8:1::4"));
  EXPECT_FALSE(MaySend("203.0.113.4"));
  EXPECT_FALSE(MaySend("2001:db8:1::4"));
  Node("n4", "role: worker", "203.0.113.5", "2001:db8:1::4");
  EXPECT_THAT(Flush().addresses, UnorderedElementsAre("203.0.113.5", "no 203.0.113.4"));
  EXPECT_TRUE(MaySend("203.0.113.4"));
  EXPECT_FALSE(MaySend("203.0.113.5"));
  plane_.feed().Delete({api::kKindNode, "", "n4"});
  EXPECT_THAT(Flush().addresses, UnorderedElementsAre("no 203.0.113.5", "no 2001:db8:1::4"));
  EXPECT_TRUE(MaySend("203.0.113.5"));
  EXPECT_THAT(MaySendToBoth(), ElementsAre(false, false, true, true));
}

TEST_F(NodePeersTest, ThisNodeIsANodeToo) {
  Deny("{}");
  Node("n1", "role: worker", "198.51.100.1", "2001:db8:1::1");
  Flush();
  EXPECT_FALSE(MaySend("198.51.100.1"));
  EXPECT_FALSE(MaySend("2001:db8:1::1"));
  EXPECT_THAT(MaySendToBoth(), ElementsAre(false, false, false, false));
  EXPECT_TRUE(MaySend("198.51.100.77"));
}

TEST_F(NodePeersTest, ANodeIsNoNetworkSetOrEndpointOfOtherPolicies) {
  Put("{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: g}, spec: "
      "{order: 1, types: [Egress], egress: [{action: Deny, destination: {selector: all()}}, "
      "{action: Allow}]}}");
  Flush();
  EXPECT_THAT(MaySendToBoth(), ElementsAre(true, true, true, true));
  Deny("{matchLabels: {role: worker}}");
  Flush();
  EXPECT_THAT(MaySendToBoth(), ElementsAre(false, false, true, true));
}

// A Node that cannot be read keeps what it was, as every other document does.
TEST_F(NodePeersTest, ANodeWhoseDocumentIsDamagedStaysWhatItWas) {
  Deny("{matchLabels: {role: worker}}");
  Flush();
  Node("n2", "role: control", "not an address", kWorker6);
  EXPECT_THAT(Flush().addresses, IsEmpty());
  EXPECT_THAT(MaySendToBoth(), ElementsAre(false, false, true, true));
  EXPECT_THAT(plane_.feed().set_aside(), testing::SizeIs(1));
}

}  // namespace
}  // namespace ripstop::agent
