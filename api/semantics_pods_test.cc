// SPDX-License-Identifier: Apache-2.0
//
// Named ports, the life of pods and their addresses, and what a later version may add.
#include "api/semantics_testing.h"

namespace ripstop::api {
namespace {

constexpr char kHttp[] = "{containers: [{ports: [{name: http, containerPort: $0, protocol: $1}]}]}";

TEST_F(SemanticsTest, ANamedPortIsTheDestinationPodsOwn) {
  Pod("shop", "cart", 100, absl::Substitute(kHttp, 8080, "TCP"));
  Pod("other", "web", 101, absl::Substitute(kHttp, 9090, "TCP"));
  Pod("shop", "db", 2, absl::Substitute(kHttp, 8080, "UDP"));
  Policy("p", "{podSelector: {matchLabels: {app: web}}, egress: [{ports: [{port: http}]}]}");
  Out(kAllowed, "shop/web", "shop/cart", kProtocolTcp, 8080);
  Out(kDenied, "shop/web", "shop/cart", kProtocolTcp, 9090);
  Out(kAllowed, "shop/web", "other/web", kProtocolTcp, 9090);
  Out(kDenied, "shop/web", "other/web", kProtocolTcp, 8080);
  Out(kDenied, "shop/web", "shop/db", kProtocolTcp, 8080);  // its http is UDP
  Out(kDenied, "shop/web", "shop/db", kProtocolUdp, 8080);  // and the rule's is TCP
  Out(kDenied, "shop/web", "203.0.113.1", kProtocolTcp, 8080);
  Policy(
      "p",
      "{podSelector: {matchLabels: {app: web}}, egress: [{ports: [{port: http, protocol: UDP}]}]}");
  Out(kAllowed, "shop/web", "shop/db", kProtocolUdp, 8080);
  Out(kDenied, "shop/web", "shop/cart", kProtocolTcp, 8080);
}

TEST_F(SemanticsTest, ANamedPortOnIngressIsTheSelectedPodsOwn) {
  Pod("shop", "web", 1, absl::Substitute(kHttp, 80, "TCP"));
  Pod("shop", "cart", 100, absl::Substitute(kHttp, 8080, "TCP"));
  Policy("p", "{podSelector: {}, ingress: [{ports: [{port: http}]}]}");
  In(kAllowed, "shop/web", "shop/cart", kProtocolTcp, 80);
  In(kDenied, "shop/web", "shop/cart", kProtocolTcp, 8080);
  In(kDenied, "shop/db", "shop/cart", kProtocolTcp, 80);  // declares none
}

TEST_F(SemanticsTest, ANameThatSeveralContainersDeclareIsAnyOfThem) {
  Pod("shop", "web", 1,
      "{initContainers: [{ports: [{name: http, containerPort: 7070}]}], containers: [{ports: "
      "[{name: http,"
      " containerPort: 80}]}, {ports: [{name: http, containerPort: 81}, {name: other, "
      "containerPort: 82}]}]}");
  Policy("p", "{podSelector: {}, ingress: [{ports: [{port: http}]}]}");
  for (const uint16_t port : {80, 81, 7070})
    In(kAllowed, "shop/web", "shop/cart", kProtocolTcp, port);
  In(kDenied, "shop/web", "shop/cart", kProtocolTcp, 82);
}

constexpr char kFromPods[] = "{podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}]}";

TEST_F(SemanticsTest, FinishedPodsAreNoPeers) {
  Policy("p", kFromPods);
  for (const char* phase : {"Succeeded", "Failed"}) {
    Pod("shop", "cart", 100, "{}", "Running");
    In(kAllowed, "shop/web", "shop/cart");
    Pod("shop", "cart", 100, "{}", phase);
    In(kDenied, "shop/web", "shop/cart");
  }
  Pod("shop", "web", 1, "{}", "Succeeded");
  In(kDenied, "shop/web", "shop/db");  // nor does it receive anything itself
}

TEST_F(SemanticsTest, AHostNetworkPodsAddressIsTheNodesAndNoPeer) {
  Policy("p", kFromPods);
  Put("{apiVersion: projectcalico.org/v3, kind: Node, metadata: {name: n2}, spec: {addresses:"
      " [{address: 192.0.2.200}, {address: \"2001:db8::c8\"}]}}");
  Pod("shop", "agent", 200, "{hostNetwork: true}");
  In(kDenied, "shop/web", "shop/agent");
  In(kDenied, "shop/web", "192.0.2.200");
  Policy("q", "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 192.0.2.200/32}}]}]}");
  In(kAllowed, "shop/web", "192.0.2.200");  // a block names addresses, not pods
  ClusterPolicy(
      "{tier: Admin, priority: 1, subject: {pods: {}}, ingress: [{action: Accept, from: [{pods: "
      "{}}]}]}");
  In(kDenied, "shop/web", "2001:db8::c8");
  In(kAllowed, "shop/web", "shop/cart");
}

TEST_F(SemanticsTest, AnAddressInReuseMeansItsNewOwnerOnceTheOldOneHasFinished) {
  Policy("p", "{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: cart}}}]}]}");
  Pod("shop", "cart", 100, "{}", "Succeeded");
  Pod("shop", "batch", 100);
  In(kDenied, "shop/web", "shop/batch");
  Pod("shop", "batch", 100, "{}", "Failed");
  Pod("shop", "cart", 100, "{}", "Running");
  In(kAllowed, "shop/web", "shop/cart");
}

TEST_F(SemanticsTest, AReusedLocalAddressHasItsLastPodsPolicy) {
  local_["shop/next"] = 13;
  Policy("p", "{podSelector: {matchLabels: {app: web}}}");
  In(kDenied, "shop/web", "shop/cart");
  Pod("shop", "web", 1, "{}", "Succeeded");
  Pod("shop", "next", 1);
  In(kAllowed, "shop/next", "shop/cart");
}

TEST_F(SemanticsTest, ANetworkSetIsNoPodPeer) {
  Put("{apiVersion: projectcalico.org/v3, kind: NetworkSet, metadata: {name: s, namespace: shop,"
      " labels: {app: cart}}, spec: {nets: [198.51.100.0/24]}}");
  Policy("p", "{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: cart}}}]}]}");
  In(kDenied, "shop/web", "198.51.100.1");
  In(kAllowed, "shop/web", "shop/cart");
}

TEST_F(SemanticsTest, APeerOfAFutureVersionAdmitsNothing) {
  Policy("p", "{podSelector: {}, ingress: [{from: [{}]}]}");  // what is left of it after pruning
  In(kDenied, "shop/web", "shop/cart");
  In(kDenied, "shop/web", "203.0.113.1");
  Policy("p",
         "{podSelector: {}, ingress: [{from: [{}, {podSelector: {matchLabels: {app: cart}}}]}]}");
  In(kAllowed, "shop/web", "shop/cart");
  In(kDenied, "shop/web", "shop/db");
}

TEST_F(SemanticsTest, AnOperatorOrProtocolOfAFutureVersionAdmitsNothing) {
  Policy("p",
         "{podSelector: {}, ingress: [{from: [{podSelector: {matchExpressions: [{key: app, "
         "operator: Like,"
         " values: [cart]}]}}]}, {ports: [{protocol: QUIC, port: 80}]}]}");
  In(kDenied, "shop/web", "shop/cart");
  In(kDenied, "shop/web", "shop/cart", kProtocolUdp, 80);
}

TEST_F(SemanticsTest, AFieldOfAFutureVersionIsRefusedByName) {
  const Decoded decoded = DecodeText(
      "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p},"
      " spec: {podSelector: {}, ingress: [{from: [{fqdn: x}]}]}}",
      "f.yaml");
  EXPECT_TRUE(decoded.resources.empty());
  ASSERT_EQ(decoded.problems.size(), 1u);
  EXPECT_NE(decoded.problems[0].path.find("ingress[0].from[0].fqdn"), std::string::npos)
      << decoded.problems[0].path;
}

TEST_F(SemanticsTest, AClusterPolicysUnknownPeerFailsClosedByItsAction) {
  const auto with = [&](const char* action) {
    ClusterPolicy(
        absl::Substitute("{tier: Admin, priority: 1, subject: {pods: {}}, ingress: [{action: $0,"
                         " from: [{}]}, {action: Accept, from: [{namespaces: {}}]}]}",
                         action));
  };
  Policy("p", "{podSelector: {}}");
  with("Accept");  // matches nothing
  In(kAllowed, "shop/web", "shop/cart");
  In(kDenied, "shop/web", "203.0.113.1");
  for (const char* action : {"Deny", "Pass"}) {
    with(action);  // denies all
    In(kDenied, "shop/web", "shop/cart");
    In(kDenied, "shop/web", "203.0.113.1");
  }
}

TEST_F(SemanticsTest, AdminThenNetworkPolicyThenBaselineThenAllow) {
  ClusterPolicy(
      "{tier: Baseline, priority: 1, subject: {pods: {}}, ingress: [{action: Deny, from:"
      " [{namespaces: {}}]}]}");
  In(kDenied, "shop/web", "shop/cart");
  In(kAllowed, "shop/web", "203.0.113.1");  // nothing isolates it from there
  Policy("p", "{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: cart}}}]}]}");
  In(kAllowed, "shop/web", "shop/cart");  // final for a pod that it selects
  In(kDenied, "shop/web", "203.0.113.1");
  Put("{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: "
      "{name: admin},"
      " spec: {tier: Admin, priority: 5, subject: {namespaces: {matchLabels: {team: shop}}}, "
      "ingress:"
      " [{action: Pass, from: [{pods: {podSelector: {matchLabels: {app: db}}}}]},"
      " {action: Deny, from: [{pods: {podSelector: {matchLabels: {app: cart}}}}], protocols: [{tcp:"
      " {destinationPort: {number: 22}}}]}]}}");
  In(kDenied, "shop/web", "shop/cart", kProtocolTcp, 22);
  In(kAllowed, "shop/web", "shop/cart", kProtocolTcp, 23);
  In(kDenied, "shop/web", "shop/db");
}

}  // namespace
}  // namespace ripstop::api
