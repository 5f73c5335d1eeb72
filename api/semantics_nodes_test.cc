// SPDX-License-Identifier: Apache-2.0
//
// `nodes` peers of ClusterNetworkPolicies: nodes by the labels of their documents, at all their
// addresses, and at nothing else; and nobody else's selector finds a node.
#include "api/semantics_testing.h"

namespace ripstop::api {
namespace {

constexpr char kWeb[] = "shop/web";
constexpr char kDb[] = "shop/db";
constexpr char kCart[] = "shop/cart";
constexpr char kStranger[] = "203.0.113.9";

class SemanticsNodesTest : public SemanticsTest {
 protected:
  // n1 is this node.
  void SetUp() override {
    SemanticsTest::SetUp();
    Node(1, "role: control, zone: a");
    Node(2, "role: worker, zone: a");
    Node(3, "role: worker, zone: b");
  }

  static std::string N4(int i) { return absl::StrCat("198.51.100.", i); }
  static std::string N6(int i) { return absl::StrCat("2001:db8:1::", i); }
  static std::string NodeText(int i, const std::string& labels, const std::string& more = "") {
    return absl::Substitute(
        "{apiVersion: projectcalico.org/v3, kind: Node, metadata: {name: n$0, labels: {$1}}, spec: "
        "{bgp: {ipv4Address: $2/24, ipv6Address: \"$3/64\"}$4}}",
        i, labels, N4(i), N6(i), more);
  }
  void Node(int i, const std::string& labels, const std::string& more = "") {
    Put(NodeText(i, labels, more));
  }
  void NodeGoes(int i) {
    engine_.RemoveHost(absl::StrCat("n", i));
    world_.hosts.erase(absl::StrCat("n", i));
  }

  void To(const std::string& nodes, const std::string& action = "Deny",
          const std::string& tier = "Admin") {
    ClusterPolicy(absl::Substitute(
        "{tier: $2, priority: 1, subject: {pods: {podSelector: {matchLabels: {app: web}}}},"
        " egress: [{action: $1, to: [{nodes: $0}]}]}",
        nodes, action, tier));
  }
  // Which of the three web may not talk to, in both families; nobody else is concerned.
  std::string Denied() {
    std::string denied;
    for (int i = 1; i <= 3; ++i) {
      const bool v4 = Ask(Direction::kEgress, kWeb, N4(i), kProtocolTcp, 80);
      EXPECT_EQ(Ask(Direction::kEgress, kWeb, N6(i), kProtocolTcp, 80), v4) << "n" << i;
      Out(kAllowed, kDb, N4(i));
      In(kAllowed, kWeb, N4(i));
      if (!v4) absl::StrAppend(&denied, denied.empty() ? "" : " ", "n", i);
    }
    Out(kAllowed, kWeb, kCart);
    Out(kAllowed, kWeb, kDb);
    Out(kAllowed, kWeb, kStranger);
    return denied;
  }
};

TEST_F(SemanticsNodesTest, AnEmptySelectorIsEveryNodeThisOneToo) {
  To("{}");
  EXPECT_EQ(Denied(), "n1 n2 n3");
  EXPECT_EQ(decided_by_, "profile kns.shop egress rule 0") << "the stranger is no node";
  Out(kDenied, kWeb, N4(3), kProtocolUdp, 53);
  EXPECT_EQ(decided_by_, "kube-admin/p egress rule 0 (egress[0].to[0])");
  Out(kDenied, kWeb, N6(1), kProtocolIcmp);
}

TEST_F(SemanticsNodesTest, LabelsAndExpressionsAreOfTheNodesDocuments) {
  To("{matchLabels: {role: worker}}");
  EXPECT_EQ(Denied(), "n2 n3");
  To("{matchLabels: {role: worker, zone: a}}");
  EXPECT_EQ(Denied(), "n2");
  To("{matchExpressions: [{key: zone, operator: In, values: [b, c]}]}");
  EXPECT_EQ(Denied(), "n3");
  To("{matchExpressions: [{key: role, operator: NotIn, values: [worker]}]}");
  EXPECT_EQ(Denied(), "n1");
  To("{matchExpressions: [{key: zone, operator: Exists}], matchLabels: {zone: a}}");
  EXPECT_EQ(Denied(), "n1 n2");
  To("{matchExpressions: [{key: gpu, operator: DoesNotExist}]}");
  EXPECT_EQ(Denied(), "n1 n2 n3") << "and no pod or stranger, of whom that is true as well";
  To("{matchLabels: {app: cart}}");
  EXPECT_EQ(Denied(), "") << "that is a pod";
}

// Whatever a node's label is called, it is that, and no converter's word.
TEST_F(SemanticsNodesTest, ReservedKeysAreLabelsOfNodesAsOthersAre) {
  for (const char* key : {"pcns.team", "projectcalico.org/namespace", "projectcalico.org/name",
                          "projectcalico.org/orchestrator", "node-role.kubernetes.io/worker"}) {
    Node(2, absl::StrCat(key, ": x"));
    To(absl::Substitute("{matchLabels: {$0: x}}", key));
    EXPECT_EQ(Denied(), "n2") << key;
    To(absl::Substitute("{matchExpressions: [{key: $0, operator: DoesNotExist}]}", key));
    EXPECT_EQ(Denied(), "n1 n3") << key;
  }
}

TEST_F(SemanticsNodesTest, AllAddressesOfANodeAreIts) {
  Node(2, "role: worker",
       ", addresses: [{address: 203.0.113.2, type: InternalIP}], ipv4VXLANTunnelAddr: 10.65.0.0, "
       "ipv6VXLANTunnelAddr: \"2001:db8:2::\"");
  To("{matchLabels: {role: worker}}");
  for (const char* address : {"203.0.113.2", "10.65.0.0", "2001:db8:2::"}) {
    Out(kDenied, kWeb, address);
  }
  Out(kAllowed, kWeb, "203.0.113.3");
  Out(kAllowed, kWeb, "10.65.0.1");
}

TEST_F(SemanticsNodesTest, AcceptAndPassMeanTheSameNodes) {
  Policy("none", "{podSelector: {}, policyTypes: [Egress]}");
  To("{matchLabels: {role: worker}}", "Accept");
  Out(kAllowed, kWeb, N4(2));
  Out(kAllowed, kWeb, N6(3));
  Out(kDenied, kWeb, N4(1));
  Out(kDenied, kWeb, kCart);
  To("{matchLabels: {role: worker}}", "Accept", "Baseline");
  Out(kDenied, kWeb, N4(2));
  ClusterPolicy(
      "{tier: Admin, priority: 1, subject: {pods: {}}, egress: [{action: Pass, to: [{nodes: "
      "{matchLabels: {zone: b}}}]}, {action: Accept, to: [{nodes: {}}], protocols: [{tcp: "
      "{destinationPort: {number: 80}}}]}]}");
  Out(kDenied, kWeb, N4(3));
  Out(kAllowed, kWeb, N4(2));
  Out(kAllowed, kWeb, N6(1));
  Out(kDenied, kWeb, N4(2), kProtocolTcp, 81);
}

TEST_F(SemanticsNodesTest, NodesComeGoAndChangeUnderAPolicy) {
  To("{matchLabels: {role: worker}}");
  EXPECT_EQ(Denied(), "n2 n3");
  Node(1, "role: worker");
  EXPECT_EQ(Denied(), "n1 n2 n3");
  Node(2, "role: control");
  EXPECT_EQ(Denied(), "n1 n3");
  NodeGoes(3);
  EXPECT_EQ(Denied(), "n1");
  Node(3, "role: worker");
  EXPECT_EQ(Denied(), "n1 n3");
  // Another address.
  Put("{apiVersion: projectcalico.org/v3, kind: Node, metadata: {name: n3, labels: {role: "
      "worker}}, spec: {bgp: {ipv4Address: 203.0.113.3/24}}}");
  EXPECT_EQ(Denied(), "n1");
  Out(kDenied, kWeb, "203.0.113.3");
  // A policy that comes when the nodes are there, and one that goes.
  To("{matchLabels: {zone: a}}");
  EXPECT_EQ(Denied(), "");
  Remove(
      "{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: "
      "{name: p}, spec: {tier: Admin, priority: 1, subject: {namespaces: {}}}}");
  Out(kAllowed, kWeb, "203.0.113.3");
}

// Two nodes that claim one address: it is of both, as an address is of all sets that hold it.
TEST_F(SemanticsNodesTest, AnAddressOfTwoNodesIsOfBoth) {
  Node(3, "role: gateway", absl::StrCat(", addresses: [{address: ", N4(2), "}]"));
  for (const char* role : {"worker", "gateway"}) {
    To(absl::Substitute("{matchLabels: {role: $0}}", role));
    Out(kDenied, kWeb, N4(2));
  }
  NodeGoes(3);
  Out(kAllowed, kWeb, N4(2));
}

TEST_F(SemanticsNodesTest, NoSelectorOfEndpointsFindsANode) {
  const auto global = [&](const std::string& destination) {
    Calico("GlobalNetworkPolicy", "g",
           absl::Substitute("{selector: \"app == 'web'\", types: [Egress], egress: [{action: Deny,"
                            " destination: $0}, {action: Allow}]}",
                            destination));
  };
  // With a policy in force that knows nodes, and without.
  for (const bool known : {false, true}) {
    SCOPED_TRACE(known);
    if (known) To("{matchLabels: {zone: b}}", "Accept");
    for (const char* selector :
         {"all()", "global()", "has(role)", "role == 'worker'", "role != 'nobody'", "!has(app)",
          "zone not in {'c'}", "zone in {'a', 'b'}"}) {
      global(absl::Substitute("{selector: \"$0\"}", selector));
      SCOPED_TRACE(selector);
      // Nodes that were there before the rule, and as they come after it.
      for (const char* since : {"before", "after"}) {
        Node(2, absl::StrCat("role: worker, zone: a, since: ", since));
        for (int i = 1; i <= 3; ++i) {
          Out(kAllowed, kWeb, N4(i));
          Out(kAllowed, kWeb, N6(i));
        }
      }
    }
    global("{notSelector: all()}");
    Out(kDenied, kWeb, N4(1));
    Out(kAllowed, kWeb, kCart);
    global("{notSelector: \"role == 'worker'\"}");
    Out(kDenied, kWeb, N6(2));
    global("{selector: has(app), namespaceSelector: all()}");
    Out(kDenied, kWeb, kCart);
    Out(kAllowed, kWeb, N4(2));
    Remove("{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: g}}");
    for (const char* peer : {"namespaces: {}", "pods: {podSelector: {}}",
                             "pods: {podSelector: {matchLabels: {role: worker}}}"}) {
      ClusterPolicy(absl::Substitute("{tier: Admin, priority: 2, subject: {pods: {}}, egress: "
                                     "[{action: Deny, to: [{$0}]}]}",
                                     peer),
                    "others");
      Out(kAllowed, kWeb, N4(2));
    }
    Remove(
        "{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: "
        "{name: others}, spec: {tier: Admin, priority: 1, subject: {namespaces: {}}}}");
  }
}

// Being a node's is a fact of an address beside whose it is: both kinds of selectors find it.
TEST_F(SemanticsNodesTest, ANodesAddressThatAnEndpointClaimsIsOfBoth) {
  const auto host_endpoint = [&](const std::string& address) {
    Calico("HostEndpoint", "h", absl::StrCat("{node: n2, expectedIPs: [", address, "]}"), "",
           "{app: gate}");
  };
  To("{matchLabels: {role: worker}}");
  host_endpoint(N4(2));
  Out(kDenied, kWeb, N4(2));
  To("{matchLabels: {role: nobody}}");
  Out(kAllowed, kWeb, N4(2));
  Calico("GlobalNetworkPolicy", "g",
         "{selector: \"app == 'web'\", types: [Egress], egress: [{action: Deny, destination: "
         "{selector: \"app == 'gate'\"}}, {action: Allow}]}");
  Out(kDenied, kWeb, N4(2));
  Out(kAllowed, kWeb, N4(3));

  // A pod of another node that has a node's address: the pod's own peers, and the node's.
  Node(3, "role: worker", absl::StrCat(", addresses: [{address: ", V4(100), "}]"));
  Out(kAllowed, kWeb, V4(100));
  To("{matchLabels: {role: worker}}");
  Out(kDenied, kWeb, V4(100));
  Out(kAllowed, kWeb, V6(100));
  ClusterPolicy(
      "{tier: Admin, priority: 0, subject: {pods: {}}, egress: [{action: Accept, to: [{pods: "
      "{podSelector: {matchLabels: {app: cart}}}}]}]}",
      "q");
  Out(kAllowed, kWeb, V4(100));
  // And a pod of this node keeps its policy.
  Node(3, "role: worker", absl::StrCat(", addresses: [{address: ", V4(1), "}]"));
  Out(kDenied, kWeb, N4(3));
  Out(kAllowed, kDb, N4(3));
  // Where several claim the address it is disputed, node or not.
  Node(3, "role: worker", absl::StrCat(", addresses: [{address: ", V4(101), "}]"));
  host_endpoint(V4(101));
  To("{matchLabels: {role: worker}}", "Accept");
  Out(kDenied, kWeb, V4(101));
  EXPECT_NE(decided_by_.find("claimed by several"), std::string::npos) << decided_by_;
}

TEST_F(SemanticsNodesTest, OnIngressAPeerOfNodesFailsClosed) {
  const auto from = [&](const char* action) {
    ClusterPolicy(
        absl::Substitute("{tier: Admin, priority: 1, subject: {pods: {}}, ingress: "
                         "[{action: $0, from: [{nodes: {}}]}]}",
                         action));
  };
  from("Deny");
  In(kDenied, kWeb, N4(2));
  In(kDenied, kWeb, kCart);
  Policy("none", "{podSelector: {}}");
  from("Accept");
  In(kDenied, kWeb, N4(2));
}

}  // namespace
}  // namespace ripstop::api
