// SPDX-License-Identifier: Apache-2.0
//
// Isolation, defaults, peers, ports and blocks of a Kubernetes NetworkPolicy.
#include "api/semantics_testing.h"

namespace ripstop::api {
namespace {

TEST_F(SemanticsTest, APodIsIsolatedPerDirection) {
  In(kAllowed, "shop/web", "other/web");
  Policy("p", "{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress]}");
  In(kDenied, "shop/web", "other/web");
  In(kDenied, "shop/web", "shop/db");
  Out(kAllowed, "shop/web", "other/web");
  In(kAllowed, "shop/db", "other/web");
  Policy("p", "{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress]}");
  In(kAllowed, "shop/web", "other/web");
  Out(kDenied, "shop/web", "other/web");
  Out(kDenied, "shop/web", "203.0.113.1");
}

TEST_F(SemanticsTest, PoliciesOnlyEverAllowMore) {
  Policy("a", "{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: cart}}}]}]}");
  Policy("b", "{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: db}}}]}]}");
  In(kAllowed, "shop/web", "shop/cart");
  In(kAllowed, "shop/web", "shop/db");
  In(kDenied, "shop/web", "other/web");
}

TEST_F(SemanticsTest, PolicyTypesDefaultToIngressAndToEgressWhereThereAreEgressRules) {
  Policy("p", "{podSelector: {}}");
  In(kDenied, "shop/web", "shop/cart");
  Out(kAllowed, "shop/web", "shop/cart");
  Policy("p", "{podSelector: {}, egress: []}");
  In(kDenied, "shop/web", "shop/cart");
  Out(kAllowed, "shop/web", "shop/cart");
  Policy("p", "{podSelector: {}, policyTypes: [], egress: [{ports: [{port: 80}]}]}");
  In(kDenied, "shop/web", "shop/cart");
  Out(kAllowed, "shop/web", "shop/cart");
  Out(kDenied, "shop/web", "shop/cart", kProtocolTcp, 81);
}

TEST_F(SemanticsTest, RulesOfADirectionThatIsNotATypeAreIgnored) {
  Policy("p", "{podSelector: {}, policyTypes: [Egress], ingress: [{from: [{podSelector: {}}]}]}");
  In(kAllowed, "shop/web", "other/web");
  Out(kDenied, "shop/web", "shop/cart");
}

TEST_F(SemanticsTest, NoRuleDeniesAndAnEmptyRuleAllowsEverything) {
  for (const char* none : {"", ", ingress: []", ", ingress: null"}) {
    Policy("p", absl::StrCat("{podSelector: {}", none, "}"));
    In(kDenied, "shop/web", "shop/cart");
  }
  for (const char* all : {"{}", "{from: []}", "{ports: []}", "{from: null, ports: null}"}) {
    Policy("p", absl::StrCat("{podSelector: {}, ingress: [", all, "]}"));
    In(kAllowed, "shop/web", "other/web");
    In(kAllowed, "shop/web", "203.0.113.1");
    In(kAllowed, "shop/web", "2001:db8:1::1", kProtocolUdp, 53);
    In(kAllowed, "shop/web", "shop/cart", kProtocolIcmp);
    In(kAllowed, "shop/web", "shop/cart", 47);
  }
}

TEST_F(SemanticsTest, NilAndEmptyPodSelectorSelectTheWholeNamespaceOnly) {
  local_["other/web"] = 12;
  Pod("other", "web", 101);
  for (const char* selector :
       {"podSelector: {}", "policyTypes: [Ingress]", "podSelector: {matchLabels: {}}"}) {
    Policy("p", absl::StrCat("{", selector, "}"));
    In(kDenied, "shop/web", "shop/cart");
    In(kDenied, "shop/db", "shop/cart");
    In(kAllowed, "other/web", "shop/cart");
  }
}

TEST_F(SemanticsTest, NilAndEmptyPeerSelectors) {
  struct Case {
    const char* peer;
    bool own, other;
  };
  for (const Case& c :
       {Case{"{podSelector: {}}", true, false}, Case{"{namespaceSelector: {}}", true, true},
        Case{"{namespaceSelector: {}, podSelector: {}}", true, true},
        Case{"{namespaceSelector: null, podSelector: {}}", true, false},
        Case{"{namespaceSelector: {matchLabels: {team: other}}, podSelector: null}", false,
             true}}) {
    Policy("p", absl::Substitute("{podSelector: {}, ingress: [{from: [$0]}]}", c.peer));
    In(c.own, "shop/web", "shop/cart");
    In(c.other, "shop/web", "other/web");
    In(kDenied, "shop/web", "203.0.113.1");  // every pod is not every address
    In(kDenied, "shop/web", "2001:db8:1::1");
  }
}

TEST_F(SemanticsTest, SelectorsInOnePeerAreBothNeededAndTwoPeersAreAlternatives) {
  Policy("p",
         "{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: other}},"
         " podSelector: {matchLabels: {app: cart}}}]}]}");
  In(kDenied, "shop/web", "shop/cart");
  In(kDenied, "shop/web", "other/web");
  Policy("p",
         "{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: other}}},"
         " {podSelector: {matchLabels: {app: cart}}}]}]}");
  In(kAllowed, "shop/web", "shop/cart");
  In(kAllowed, "shop/web", "other/web");
  In(kDenied, "shop/web", "shop/db");
}

TEST_F(SemanticsTest, NotInAndDoesNotExistMatchAnAbsentKey) {
  for (const char* expression :
       {"{key: env, operator: NotIn, values: [prod]}", "{key: env, operator: DoesNotExist}"}) {
    Policy("p",
           absl::Substitute(
               "{podSelector: {}, ingress: [{from: [{podSelector: {matchExpressions: [$0]}}]}]}",
               expression));
    In(kAllowed, "shop/web", "shop/cart");
  }
  Policy("p",
         "{podSelector: {}, ingress: [{from: [{podSelector: {matchExpressions: [{key: app, "
         "operator: NotIn,"
         " values: [cart]}]}}]}]}");
  In(kDenied, "shop/web", "shop/cart");
  In(kAllowed, "shop/web", "shop/db");
}

TEST_F(SemanticsTest, ARuleWithOnlyPortsMatchesNoIcmp) {
  Policy(
      "p",
      "{podSelector: {}, ingress: [{ports: [{port: 80}, {protocol: UDP}, {protocol: SCTP, port: 1,"
      " endPort: 65535}]}]}");
  In(kAllowed, "shop/web", "shop/cart");
  In(kAllowed, "shop/web", "shop/cart", kProtocolUdp, 9);
  In(kAllowed, "shop/web", "shop/cart", kProtocolSctp, 9);
  In(kDenied, "shop/web", "shop/cart", kProtocolIcmp);
  In(kDenied, "shop/web", "shop/cart", 47);
}

TEST_F(SemanticsTest, APortsProtocolDefaultsToTcpAndSctpNeverActsAsTcp) {
  Policy("p", "{podSelector: {}, ingress: [{ports: [{port: 80}]}]}");
  In(kAllowed, "shop/web", "shop/cart", kProtocolTcp, 80);
  In(kDenied, "shop/web", "shop/cart", kProtocolUdp, 80);
  In(kDenied, "shop/web", "shop/cart", kProtocolSctp, 80);
  Policy("p", "{podSelector: {}, ingress: [{ports: [{protocol: SCTP, port: 80}]}]}");
  In(kDenied, "shop/web", "shop/cart", kProtocolTcp, 80);
  In(kAllowed, "shop/web", "shop/cart", kProtocolSctp, 80);
}

TEST_F(SemanticsTest, EndPortIsInclusive) {
  Policy("p", "{podSelector: {}, egress: [{ports: [{port: 8000, endPort: 8002}]}]}");
  for (const uint16_t port : {8000, 8001, 8002})
    Out(kAllowed, "shop/web", "shop/cart", kProtocolTcp, port);
  for (const uint16_t port : {7999, 8003})
    Out(kDenied, "shop/web", "shop/cart", kProtocolTcp, port);
}

TEST_F(SemanticsTest, ABlockIsLessItsExceptions) {
  Policy("p",
         "{podSelector: {}, egress: [{to: [{ipBlock: {cidr: 192.0.2.0/24, except: [192.0.2.96/30,"
         " 192.0.2.200/32]}}, {ipBlock: {cidr: \"2001:db8::/64\", except: "
         "[\"2001:db8::64/126\"]}}]}]}");
  Out(kDenied, "shop/web", "192.0.2.97");
  Out(kDenied, "shop/web", "192.0.2.200");
  Out(kAllowed, "shop/web", "192.0.2.201");
  Out(kDenied, "shop/web", "203.0.113.1");
  Out(kDenied, "shop/web", V6(0x65));
  Out(kAllowed, "shop/web", V6(0x68));
  Out(kAllowed, "shop/web", V4(100));  // a pod's address is in the block too
  Out(kDenied, "shop/web", V6(100));
}

TEST_F(SemanticsTest, AnotherPolicyReallowsAnExceptedAddress) {
  Policy("a",
         "{podSelector: {}, egress: [{to: [{ipBlock: {cidr: 198.51.100.0/24, except: "
         "[198.51.100.128/25]}},"
         " {ipBlock: {cidr: \"2001:db8:1::/48\", except: [\"2001:db8:1:8000::/49\"]}}]}]}");
  Out(kDenied, "shop/web", "198.51.100.129");
  Out(kDenied, "shop/web", "2001:db8:1:8000::1");
  Policy("b",
         "{podSelector: {}, egress: [{to: [{ipBlock: {cidr: 198.51.100.129/32}},"
         " {ipBlock: {cidr: \"2001:db8:1:8000::1/128\"}}]}]}");
  Out(kAllowed, "shop/web", "198.51.100.129");
  Out(kDenied, "shop/web", "198.51.100.130");
  Out(kAllowed, "shop/web", "2001:db8:1:8000::1");
  Out(kDenied, "shop/web", "2001:db8:1:8000::2");
}

TEST_F(SemanticsTest, HostBitsOfACidrAreMasked) {
  Policy("p",
         "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 198.51.100.77/24, except: "
         "[198.51.100.130/25]}},"
         " {ipBlock: {cidr: \"2001:db8:1::77/48\"}}]}]}");
  In(kAllowed, "shop/web", "198.51.100.1");
  In(kDenied, "shop/web", "198.51.100.255");
  In(kDenied, "shop/web", "198.51.101.77");
  In(kAllowed, "shop/web", "2001:db8:1:ffff::1");
  In(kDenied, "shop/web", "2001:db8:2::77");
}

TEST_F(SemanticsTest, AnIpv4MappedCidrIsIpv4) {
  Policy("p",
         "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: \"::ffff:198.51.100.0/120\","
         " except: [\"::ffff:198.51.100.7/128\"]}}]}]}");
  In(kAllowed, "shop/web", "198.51.100.1");
  In(kDenied, "shop/web", "198.51.100.7");
  In(kDenied, "shop/web", "198.51.101.1");
  In(kDenied, "shop/web", "2001:db8:1::1");
}

TEST_F(SemanticsTest, AllOfOneFamilyIsNothingOfTheOther) {
  Policy("p",
         "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}],"
         " egress: [{to: [{ipBlock: {cidr: \"::/0\"}}]}]}");
  for (const char* v4 : {"203.0.113.1", "192.0.2.100", "255.255.255.255", "0.0.0.0"}) {
    In(kAllowed, "shop/web", v4);
    Out(kDenied, "shop/web", v4);
  }
  for (const char* v6 : {"2001:db8:1::1", "2001:db8::64", "::1", "::192.0.2.1"}) {
    In(kDenied, "shop/web", v6);
    Out(kAllowed, "shop/web", v6);
  }
}

}  // namespace
}  // namespace ripstop::api
