// SPDX-License-Identifier: Apache-2.0
//
// The peers of a projectcalico.org/v3 rule: selectors and namespaces, network sets, service
// accounts, services; and those of a ClusterNetworkPolicy.
#include "api/semantics_testing.h"

namespace ripstop::api {
namespace {

const char kWeb[] = "shop/web", kDb[] = "shop/db", kCart[] = "shop/cart", kOther[] = "other/web";

class SemanticsPeersTest : public SemanticsTest {
 protected:
  // What shop/db may receive from and send to: one rule with this entity, each way.
  void Peer(const std::string& kind, const std::string& entity) {
    Calico(kind, "p",
           absl::Substitute("{selector: \"app == 'db'\", ingress: [{action: Allow, source: $0}],"
                            " egress: [{action: Allow, destination: $0}]}",
                            entity));
  }
  void Both(bool allowed, const std::string& far) {
    In(allowed, kDb, far);
    Out(allowed, kDb, far);
  }
  void Slice(const std::string& name, const std::string& service, const std::string& rest,
             const std::string& ns = "shop") {
    Put(absl::Substitute(
        "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: $0, namespace: $1,"
        " labels: {kubernetes.io/service-name: $2}}, $3}",
        name, ns, service, rest));
  }
};

TEST_F(SemanticsPeersTest,
       ASelectorInANamespacedPolicyMeansItsNamespaceUnlessNamespacesAreSelected) {
  struct Case {
    const char* entity;
    bool own, other;
  };
  for (const Case& c :
       {Case{"{selector: \"app == 'web'\"}", true, false},
        Case{"{selector: \"app == 'web'\", namespaceSelector: all()}", true, true},
        Case{"{selector: \"app == 'web'\", namespaceSelector: \"team == 'other'\"}", false, true},
        Case{"{namespaceSelector: \"team == 'other'\"}", false, true},
        Case{"{namespaceSelector: \"projectcalico.org/name == 'other'\"}", false, true},
        Case{"{namespaceSelector: \"kubernetes.io/metadata.name != 'other'\"}", true, false},
        Case{"{selector: all()}", true, false},
        Case{"{selector: \"app == 'web'\", namespaceSelector: global()}", false, false},
        Case{"{notSelector: \"app == 'cart'\"}", true, false},
        Case{"{notSelector: \"app == 'cart'\", namespaceSelector: all()}", true, true}}) {
    SCOPED_TRACE(c.entity);
    Peer("NetworkPolicy", c.entity);
    Both(c.own, kWeb);
    Both(c.other, kOther);
    Both(kDenied, "203.0.113.1");
    if (std::string(c.entity).find("cart") != std::string::npos) Both(kDenied, kCart);
  }
}

TEST_F(SemanticsPeersTest, ASelectorInAGlobalPolicyMeansEveryNamespace) {
  Peer("GlobalNetworkPolicy", "{selector: \"app == 'web'\"}");
  Both(kAllowed, kWeb);
  Both(kAllowed, kOther);
  Both(kDenied, kCart);
  Peer("GlobalNetworkPolicy", "{namespaceSelector: \"team in {'other'}\"}");
  Both(kDenied, kWeb);
  Both(kAllowed, kOther);
}

TEST_F(SemanticsPeersTest, NetworkSetsAreSelectedAsEndpointsAre) {
  Calico("NetworkSet", "own", "{nets: [198.51.100.0/25, \"2001:db8:1::/48\"]}", "shop",
         "{role: office}");
  Calico("NetworkSet", "theirs", "{nets: [198.51.100.128/26]}", "other", "{role: office}");
  Calico("GlobalNetworkSet", "all", "{nets: [198.51.100.192/26]}", "", "{role: office}");
  const auto peers = [&](const char* kind, const char* more, bool own, bool theirs, bool all) {
    Peer(kind, absl::Substitute("{selector: \"role == 'office'\"$0}", more));
    Both(own, "198.51.100.127");
    Both(own, "2001:db8:1::1");
    Both(theirs, "198.51.100.128");
    Both(all, "198.51.100.192");
    Both(kDenied, "203.0.113.1");
    Both(kDenied, kCart);
  };
  peers("NetworkPolicy", "", true, false, false);
  peers("NetworkPolicy", ", namespaceSelector: all()", true, true, false);
  peers("NetworkPolicy", ", namespaceSelector: \"team == 'other'\"", false, true, false);
  peers("NetworkPolicy", ", namespaceSelector: global()", false, false, true);
  peers("GlobalNetworkPolicy", "", true, true, true);
}

TEST_F(SemanticsPeersTest, NetworkSetsOverlapPodsAndEachOtherAndHaveTheirHostBitsMasked) {
  Calico("GlobalNetworkSet", "a", "{nets: [192.0.2.100/25, \"::ffff:198.51.100.7/120\"]}", "",
         "{role: lab}");
  Calico("GlobalNetworkSet", "b", "{nets: [192.0.2.101]}", "", "{role: quiet}");
  Peer("GlobalNetworkPolicy", "{selector: \"role == 'lab'\"}");
  Both(kAllowed, V4(100));  // a pod's address, but only of this family
  Both(kDenied, V6(100));
  Both(kAllowed, V4(101));
  Both(kAllowed, "198.51.100.1");
  Peer("GlobalNetworkPolicy",
       "{selector: \"role == 'lab'\", notSelector: \"role == 'quiet' || app == 'web'\"}");
  Both(kAllowed, V4(100));
  Both(kDenied, V4(101));
  Calico("GlobalNetworkSet", "a", "{}", "", "{role: lab}");
  Both(kDenied, V4(100));  // an empty set matches nothing
}

TEST_F(SemanticsPeersTest, ServiceAccountsByNameBySelectorAndAsTheSubject) {
  Put("{apiVersion: v1, kind: ServiceAccount, metadata: {name: builder, namespace: shop, labels: "
      "{role: ci}}}");
  Put("{apiVersion: v1, kind: ServiceAccount, metadata: {name: builder, namespace: other, labels: "
      "{role: cd}}}");
  Pod("shop", "cart", 100, "{serviceAccountName: builder}");
  Put("{apiVersion: v1, kind: ServiceAccount, metadata: {name: plain, namespace: shop}}");
  Pod("shop", "web", 1, "{serviceAccountName: plain}");
  Pod("other", "web", 101, "{serviceAccountName: builder}");
  struct Case {
    const char *kind, *entity;
    bool cart, web, other;
  };
  for (const Case& c :
       {Case{"NetworkPolicy", "{serviceAccounts: {names: [builder]}}", true, false, false},
        Case{"GlobalNetworkPolicy", "{serviceAccounts: {names: [builder]}}", true, false, true},
        Case{"GlobalNetworkPolicy", "{serviceAccounts: {names: [builder, plain]}}", true, true,
             true},
        Case{"GlobalNetworkPolicy", "{serviceAccounts: {selector: \"role == 'ci'\"}}", true, false,
             false},
        Case{"GlobalNetworkPolicy",
             "{serviceAccounts: {selector: \"role != 'ci'\"}, selector: has(app)}", false, true,
             true},
        Case{"GlobalNetworkPolicy",
             "{serviceAccounts: {names: [builder], selector: \"role == 'cd'\"}}", false, false,
             true},
        Case{"NetworkPolicy",
             "{serviceAccounts: {names: [builder]}, namespaceSelector: \"team == 'other'\"}", false,
             false, true},
        Case{"GlobalNetworkPolicy",
             "{serviceAccounts: {selector: \"projectcalico.org/name == 'plain'\"}}", false, true,
             false},
        Case{"GlobalNetworkPolicy", "{serviceAccounts: {}}", true, true, true}}) {
    SCOPED_TRACE(c.entity);
    Calico(c.kind == std::string("NetworkPolicy") ? "GlobalNetworkPolicy" : "NetworkPolicy", "p",
           "{selector: \"app == 'nobody'\"}");
    Peer(c.kind, c.entity);
    Both(c.cart, kCart);
    Both(c.web, kWeb);
    Both(c.other, kOther);
  }
  Calico("GlobalNetworkPolicy", "p", "{selector: \"app == 'nobody'\"}");
  Calico("NetworkPolicy", "p", "{serviceAccountSelector: \"projectcalico.org/name == 'plain'\"}");
  In(kDenied, kWeb, kCart);
  In(kAllowed, kDb, kCart);
}

TEST_F(SemanticsPeersTest, AServiceAsDestinationIsItsEndpointsAndPortsAsSourceItsEndpoints) {
  Put("{apiVersion: v1, kind: Service, metadata: {name: cart, namespace: shop}, spec: {clusterIP: "
      "198.51.100.10,"
      " selector: {app: cart}, ports: [{port: 80, targetPort: 8080}]}}");
  Slice("cart-4", "cart",
        "addressType: IPv4, endpoints: [{addresses: [192.0.2.100]}, {addresses: [203.0.113.7],"
        " conditions: {ready: false}}], ports: [{port: 8080}, {port: 53, protocol: UDP}]");
  Slice("cart-6", "cart",
        "addressType: IPv6, endpoints: [{addresses: [\"2001:db8::64\"]}], ports: [{port: 8080},"
        " {port: 53, protocol: UDP}]");
  Slice("cart-x", "cart",
        "addressType: IPv4, endpoints: [{addresses: [192.0.2.1]}], ports: [{port: 9090}]");
  Calico("NetworkPolicy", "p",
         "{selector: \"app == 'db'\", ingress: [{action: Allow, source: {services: {name: cart}}}],"
         " egress: [{action: Allow, destination: {services: {name: cart, namespace: shop}}}]}");
  Out(kAllowed, kDb, kCart, kProtocolTcp, 8080);
  Out(kAllowed, kDb, kCart, kProtocolUdp, 53);
  Out(kDenied, kDb, kCart, kProtocolTcp, 53);
  Out(kDenied, kDb, kCart, kProtocolTcp, 80);    // the service's own port is not the endpoints'
  Out(kDenied, kDb, kCart, kProtocolTcp, 9090);  // another slice's port is for its own addresses
  Out(kAllowed, kDb, V4(1), kProtocolTcp, 9090);
  Out(kDenied, kDb, V4(1), kProtocolTcp, 8080);
  Out(kAllowed, kDb, "203.0.113.7", kProtocolTcp, 8080);
  Out(kDenied, kDb, "198.51.100.10", kProtocolTcp, 80);
  Out(kDenied, kDb, kCart, kProtocolIcmp);
  for (const uint16_t port : {1, 8080}) In(kAllowed, kDb, kCart, kProtocolTcp, port);
  In(kAllowed, kDb, kCart, kProtocolIcmp);
  In(kAllowed, kDb, V4(1));
  In(kDenied, kDb, V6(1));
  In(kDenied, kDb, kOther);
  Slice("cart-4", "cart",
        "addressType: IPv4, endpoints: [{addresses: [192.0.2.101]}], ports: [{port: 8081}]");
  Out(kDenied, kDb, V4(100), kProtocolTcp, 8080);
  Out(kAllowed, kDb, V4(101), kProtocolTcp, 8081);
  Remove(
      "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: cart-4, namespace: "
      "shop, labels:"
      " {kubernetes.io/service-name: cart}}, addressType: IPv4}");
  Out(kDenied, kDb, V4(101), kProtocolTcp, 8081);
  Out(kAllowed, kDb, V6(100), kProtocolTcp, 8080);
}

TEST_F(SemanticsPeersTest, AServiceIsOfThePolicysNamespaceUnlessItNamesOne) {
  const char kEndpoint[] = "addressType: IPv4, endpoints: [{addresses: [$0]}], ports: [{port: 80}]";
  Slice("a", "cart", absl::Substitute(kEndpoint, V4(100)));
  Slice("a", "cart", absl::Substitute(kEndpoint, V4(101)), "other");
  for (const auto& [ns, own] : {std::pair("", true), std::pair(", namespace: other", false)}) {
    Calico("NetworkPolicy", "p",
           absl::Substitute("{selector: \"app == 'db'\", egress: [{action: Allow, destination:"
                            " {services: {name: cart$0}}}]}",
                            ns));
    Out(own, kDb, V4(100));
    Out(!own, kDb, V4(101));
  }
  Calico("NetworkPolicy", "p",
         "{selector: \"app == 'db'\", egress: [{action: Allow, destination: {services: {name:"
         " nobody}}}]}");
  Out(kDenied, kDb, V4(100));  // a service that is not there is nobody, not everybody
}

class SemanticsClusterTest : public SemanticsTest {};

TEST_F(SemanticsClusterTest, TheSubjectIsAllPodsOfNamespacesOrSomeOfThem) {
  local_["other/web"] = 12;
  Pod("other", "web", 101);
  struct Case {
    const char* subject;
    bool web, db, other;
  };
  for (const Case& c :
       {Case{"namespaces: {}", true, true, true},
        Case{"namespaces: {matchLabels: {team: shop}}", true, true, false},
        Case{"namespaces: {matchExpressions: [{key: team, operator: NotIn, values: [shop]}]}",
             false, false, true},
        Case{"pods: {}", true, true, true},
        Case{"pods: {podSelector: {matchLabels: {app: web}}}", true, false, true},
        Case{"pods: {namespaceSelector: {matchLabels: {team: other}}, podSelector: {matchLabels:"
             " {app: web}}}",
             false, false, true}}) {
    ClusterPolicy(absl::Substitute(
        "{tier: Admin, priority: 1, subject: {$0}, ingress: [{action: Deny, from: [{pods:"
        " {}}]}]}",
        c.subject));
    SCOPED_TRACE(c.subject);
    In(!c.web, kWeb, kCart);
    In(!c.db, kDb, kCart);
    In(!c.other, kOther, kCart);
  }
}

TEST_F(SemanticsClusterTest, NetworksMatchPodsIcmpAndBothFamilies) {
  ClusterPolicy(
      "{tier: Admin, priority: 1, subject: {pods: {}}, egress: [{action: Accept, to: [{networks:"
      " [192.0.2.101/32]}]}, {action: Deny, to: [{networks: [192.0.2.77/25, 198.51.100.0/24]},"
      " {networks: [\"2001:db8::/64\"]}]}]}");
  Out(kDenied, kWeb, kCart);
  Out(kDenied, kWeb, kCart, kProtocolIcmp);
  Out(kDenied, kWeb, "198.51.100.9", kProtocolUdp, 53);
  Out(kAllowed, kWeb, V4(101));
  Out(kDenied, kWeb, V6(101));
  Out(kAllowed, kWeb, "203.0.113.1");
  Out(kAllowed, kWeb, "2001:db8:1::1");
  In(kAllowed, kWeb, kCart);
}

TEST_F(SemanticsClusterTest, ProtocolsAndPorts) {
  ClusterPolicy(
      "{tier: Admin, priority: 1, subject: {pods: {}}, ingress: [{action: Deny, from: "
      "[{namespaces: {}}],"
      " protocols: [{tcp: {destinationPort: {number: 80}}}, {udp: {destinationPort: {range: "
      "{start: 100, end:"
      " 102}}}}, {sctp: {}}]}]}");
  In(kDenied, kWeb, kCart);
  In(kAllowed, kWeb, kCart, kProtocolTcp, 81);
  for (const uint16_t port : {100, 101, 102}) In(kDenied, kWeb, kCart, kProtocolUdp, port);
  for (const uint16_t port : {99, 103}) In(kAllowed, kWeb, kCart, kProtocolUdp, port);
  In(kDenied, kWeb, kCart, kProtocolSctp, 9);
  In(kAllowed, kWeb, kCart, kProtocolIcmp);
  In(kAllowed, kWeb, "203.0.113.1");
}

TEST_F(SemanticsClusterTest, ANamedPortIsOfTheDestinationAndSaysTheProtocol) {
  const char kPorts[] = "{containers: [{ports: [{name: dns, containerPort: $0, protocol: $1}]}]}";
  Pod("shop", "cart", 100, absl::Substitute(kPorts, 53, "UDP"));
  Pod("other", "web", 101, absl::Substitute(kPorts, 5353, "TCP"));
  ClusterPolicy(
      "{tier: Admin, priority: 1, subject: {pods: {}}, egress: [{action: Accept, to: [{pods: {}}], "
      "protocols:"
      " [{destinationNamedPort: dns}]}, {action: Deny, to: [{namespaces: {}}]}]}");
  Out(kAllowed, kWeb, kCart, kProtocolUdp, 53);
  Out(kDenied, kWeb, kCart, kProtocolTcp, 53);
  Out(kAllowed, kWeb, kOther, kProtocolTcp, 5353);
  Out(kDenied, kWeb, kOther, kProtocolUdp, 5353);
  Out(kDenied, kWeb, kDb, kProtocolUdp, 53);  // declares none
}

TEST_F(SemanticsClusterTest, PriorityThenNameDecidesWithinATierAndRulesInTheirOrder) {
  const auto put = [&](const char* name, int priority, const char* action) {
    ClusterPolicy(
        absl::Substitute(
            "{tier: Admin, priority: $0, subject: {pods: {}}, ingress: [{action: $1, from:"
            " [{pods: {}}]}]}",
            priority, action),
        name);
  };
  put("a", 2, "Deny");
  put("b", 1, "Accept");
  In(kAllowed, kWeb, kCart);
  put("b", 3, "Accept");
  In(kDenied, kWeb, kCart);
  put("b", 2, "Accept");
  In(kDenied, kWeb, kCart);
  put("a", 2, "Pass");
  In(kAllowed, kWeb, kCart);  // Pass leaves the tier, b is not asked
  EXPECT_NE(decided_by_.find("kns.shop"), std::string::npos) << decided_by_;
  ClusterPolicy(
      "{tier: Admin, priority: 0, subject: {pods: {}}, ingress: [{action: Deny, from: [{pods: "
      "{podSelector:"
      " {matchLabels: {app: cart}}}}]}, {action: Accept, from: [{namespaces: {}}]}]}",
      "c");
  In(kDenied, kWeb, kCart);
  In(kAllowed, kWeb, kDb);
}

TEST_F(SemanticsClusterTest, ItIsolatesNobodyByItself) {
  ClusterPolicy(
      "{tier: Admin, priority: 1, subject: {pods: {}}, ingress: [{action: Accept, from: [{pods: "
      "{podSelector:"
      " {matchLabels: {app: cart}}}}]}]}");
  In(kAllowed, kWeb, kCart);
  In(kAllowed, kWeb, kDb);
  In(kAllowed, kWeb, "203.0.113.1");
  Policy("p", "{podSelector: {}}");
  In(kAllowed, kWeb, kCart);
  In(kDenied, kWeb, kDb);
}

}  // namespace
}  // namespace ripstop::api
