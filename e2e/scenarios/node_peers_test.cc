// SPDX-License-Identifier: Apache-2.0
//
// `nodes` peers of a ClusterNetworkPolicy: connections of a pod to nodes, as these get and lose the
// label that the policy selects. Nobody listens at the nodes' port, so what arrives is refused.
#include "absl/strings/substitute.h"
#include "e2e/scenarios/demo_lab.h"

namespace ripstop::lab {
namespace {

constexpr uint16_t kPort = 9;
constexpr char kPod[] = "shop/frontend-1";  // on node1, isolated by the demo's policies

class NodePeers : public DemoLab {
 protected:
  void Label(const std::string& node, const std::string& labels) {
    const Node& known = *lab().topology().FindNode(node);
    const absl::Status applied = lab().Apply(absl::Substitute(
        "{apiVersion: projectcalico.org/v3, kind: Node, metadata: {name: $0, labels: {$1}}, spec: "
        "{bgp: {asNumber: $2, ipv4Address: $3/26, ipv6Address: \"$4/64\"}}}",
        node, labels, lab().topology().as_number, known.v4, known.v6));
    ASSERT_TRUE(applied.ok()) << applied;
  }
  // "refused" or "timeout", of each family, which must agree.
  std::string Answer(const std::string& node) {
    std::string answer;
    for (const int family : {4, 6}) {
      const auto address = lab().AddressOf(node, family);
      EXPECT_TRUE(address.ok()) << address.status();
      const auto results = Measure(lab(), {{kPod, *address, "TCP", kPort}});
      EXPECT_TRUE(results.ok()) << results.status();
      if (!results.ok()) return "";
      if (!answer.empty() && answer != (*results)[0].result) return "other in IPv6";
      answer = (*results)[0].result;
    }
    return answer;
  }
  bool Arrives(const std::string& node) {
    return Eventually([&] { return Answer(node) == "refused"; });
  }
  bool IsSilent(const std::string& node) {
    return Eventually([&] { return Answer(node) == "timeout"; });
  }
};

TEST_F(NodePeers, APodReachesTheNodesThatAPolicySelectsAsTheyAreRelabelled) {
  EXPECT_TRUE(IsSilent("node1"));
  EXPECT_TRUE(IsSilent("node2"));
  ASSERT_TRUE(lab()
                  .Apply("{apiVersion: policy.networking.k8s.io/v1alpha2, kind: "
                         "ClusterNetworkPolicy, metadata: {name: to-gates}, spec: {tier: Admin, "
                         "priority: 1, subject: {namespaces: {matchLabels: {team: web}}}, egress: "
                         "[{action: Accept, to: [{nodes: {matchLabels: {role: gate}}}]}]}}")
                  .ok());
  Label("node2", "role: gate");
  EXPECT_TRUE(Arrives("node2"));
  EXPECT_EQ(Answer("node1"), "timeout");
  // The pod's own node is one like others.
  Label("node1", "role: gate");
  EXPECT_TRUE(Arrives("node1"));
  EXPECT_EQ(Answer("node2"), "refused");
  Label("node2", "role: none");
  EXPECT_TRUE(IsSilent("node2"));
  EXPECT_EQ(Answer("node1"), "refused");
  // Between pods nothing has changed.
  ExpectMatrix();
}

}  // namespace
}  // namespace ripstop::lab
