// SPDX-License-Identifier: Apache-2.0
//
// Who is asked, and in which order: tiers, policies of every kind, profiles.
#include "api/semantics_testing.h"

namespace ripstop::api {
namespace {

class SemanticsTiersTest : public SemanticsTest {
 protected:
  void Tier(const std::string& name, const std::string& spec) { Calico("Tier", name, spec); }
  // A GlobalNetworkPolicy for app web, of one ingress rule.
  void Global(const std::string& name, const std::string& place, const std::string& rule) {
    Calico("GlobalNetworkPolicy", name,
           absl::Substitute("{$0, selector: \"app == 'web'\", ingress: [$1]}", place, rule));
  }
};

const char kWeb[] = "shop/web", kCart[] = "shop/cart";
const char kAllow[] = "{action: Allow}", kDeny[] = "{action: Deny}", kPass[] = "{action: Pass}";

TEST_F(SemanticsTiersTest, TiersRunInAscendingOrderWithoutOrderLastAndTiesByName) {
  Tier("b", "{order: 10}");
  Tier("a", "{order: 20}");
  Global("p", "tier: a", kDeny);
  Global("q", "tier: b", kAllow);
  In(kAllowed, kWeb, kCart);
  Tier("b", "{order: 30}");
  In(kDenied, kWeb, kCart);
  Tier("b", "{order: 20}");  // a comes before b
  In(kDenied, kWeb, kCart);
  Tier("a", "{}");  // last
  In(kAllowed, kWeb, kCart);
  Tier("b", "{}");
  In(kDenied, kWeb, kCart);
  Tier("b", "{order: -1.5}");
  In(kAllowed, kWeb, kCart);
  Tier("b", "{order: 10000001}");  // beyond kube-baseline, before a
  In(kAllowed, kWeb, kCart);
}

TEST_F(SemanticsTiersTest, ATierConcernsAnEndpointAndDirectionThatAPolicyInItSelects) {
  Tier("first", "{order: 1}");
  In(kAllowed, kWeb, kCart);  // an empty tier concerns nobody
  Calico("GlobalNetworkPolicy", "p", "{tier: first, selector: \"app == 'db'\", types: [Ingress]}");
  In(kAllowed, kWeb, kCart);
  In(kDenied, "shop/db", kCart);
  Out(kAllowed, "shop/db", kCart);
  Calico("StagedGlobalNetworkPolicy", "q",
         "{tier: first, selector: \"app == 'web'\", types: [Ingress]}");
  In(kAllowed, kWeb, kCart);  // nor does a policy that is not enforced
}

TEST_F(SemanticsTiersTest, TheEndOfATierTakesItsDefaultAction) {
  Tier("first", "{order: 1}");
  Global("p", "tier: first", "{action: Allow, protocol: UDP}");
  In(kDenied, kWeb, kCart);
  EXPECT_NE(decided_by_.find("first/p ingress end of tier"), std::string::npos) << decided_by_;
  Tier("first", "{order: 1, defaultAction: Deny}");
  In(kDenied, kWeb, kCart);
  Tier("first", "{order: 1, defaultAction: Pass}");
  In(kAllowed, kWeb, kCart);  // by the namespace's profile
  Global("q", "tier: default", "{action: Allow, protocol: UDP}");
  In(kDenied, kWeb, kCart);  // at the end of tier default
  In(kAllowed, kWeb, kCart, kProtocolUdp);
}

TEST_F(SemanticsTiersTest, PassGoesToTheNextTierWhateverElseThisOneHolds) {
  Tier("first", "{order: 1}");
  Global("p", "tier: first, order: 1", "{action: Pass, protocol: TCP}");
  Global("q", "tier: first, order: 2", kDeny);
  In(kAllowed, kWeb, kCart);
  In(kDenied, kWeb, kCart, kProtocolUdp);
  Global("r", "tier: default", kPass);
  In(kAllowed, kWeb, kCart);  // from the last tier to the profiles
}

TEST_F(SemanticsTiersTest, BuiltInTiersAreThereAndTheirDocumentsMayLeaveFieldsOut) {
  for (const bool written : {false, true}) {
    if (written) {
      for (const char* name : {"kube-admin", "default", "kube-baseline"}) Tier(name, "{}");
    }
    Global("admin", "tier: kube-admin", "{action: Deny, protocol: UDP}");
    Global("base", "tier: kube-baseline", "{action: Deny, protocol: SCTP}");
    In(kAllowed, kWeb, kCart);
    In(kDenied, kWeb, kCart, kProtocolUdp);
    In(kDenied, kWeb, kCart, kProtocolSctp);
    Policy("np", "{podSelector: {}, ingress: [{ports: [{protocol: SCTP}, {protocol: UDP}]}]}");
    In(kAllowed, kWeb, kCart, kProtocolSctp);  // before the baseline
    In(kDenied, kWeb, kCart, kProtocolUdp);    // after the admin's
    In(kDenied, kWeb, kCart);
    Remove(
        "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: np, namespace: "
        "shop}}");
  }
}

TEST_F(SemanticsTiersTest, PoliciesOfATierRunByOrderThenNameThenNamespaceThenKind) {
  Global("b", "order: 1", kAllow);
  Global("a", "order: 2", kDeny);
  In(kAllowed, kWeb, kCart);
  Global("b", "order: 2", kAllow);  // by name
  In(kDenied, kWeb, kCart);
  Calico("GlobalNetworkPolicy", "a", "{selector: \"app == 'web'\", ingress: [{action: Deny}]}");
  In(kAllowed, kWeb, kCart);  // without order: last
  Calico("NetworkPolicy", "a", "{order: 2, selector: \"app == 'web'\", ingress: [{action: Deny}]}");
  Global("a", "order: 2", kAllow);
  In(kAllowed, kWeb, kCart);  // no namespace comes before shop
  Global("a", "order: 3", kAllow);
  In(kDenied, kWeb, kCart);
  // One name in one namespace, of two kinds: Calico's comes first.
  Calico("NetworkPolicy", "a",
         "{order: 1000, selector: \"app == 'web'\", ingress: [{action: Deny}]}");
  Global("a", "order: 2000", kAllow);
  Global("b", "order: 2000", kAllow);
  Policy("a", "{podSelector: {}, ingress: [{}]}");
  In(kDenied, kWeb, kCart);
}

TEST_F(SemanticsTiersTest, KubernetesPoliciesStandInTierDefaultAtOrder1000) {
  Policy("k", "{podSelector: {}, ingress: [{}]}");
  Global("p", "order: 1000.5", kDeny);
  In(kAllowed, kWeb, kCart);
  Global("p", "order: 999.5", kDeny);
  In(kDenied, kWeb, kCart);
}

TEST_F(SemanticsTiersTest, TypesOfACalicoPolicyFollowItsRules) {
  const auto policy = [&](const char* spec) { Calico("NetworkPolicy", "p", spec); };
  policy("{selector: \"app == 'web'\"}");
  In(kDenied, kWeb, kCart);
  Out(kAllowed, kWeb, kCart);
  policy("{selector: \"app == 'web'\", egress: [{action: Deny}]}");
  In(kAllowed, kWeb, kCart);
  Out(kDenied, kWeb, kCart);
  policy("{selector: \"app == 'web'\", ingress: [{action: Allow}], egress: [{action: Deny}]}");
  In(kAllowed, kWeb, kCart);
  Out(kDenied, kWeb, kCart);
  policy("{selector: \"app == 'web'\", types: [Egress], ingress: [{action: Deny}]}");
  In(kAllowed, kWeb, kCart);
  Out(kDenied, kWeb, kCart);  // at the end of the tier
}

TEST_F(SemanticsTiersTest, APolicyOfANamespaceSelectsThereAGlobalOneEverywhere) {
  local_["other/web"] = 12;
  Pod("other", "web", 101);
  Calico("NetworkPolicy", "p", "{}");
  In(kDenied, kWeb, kCart);
  In(kDenied, "shop/db", kCart);
  In(kAllowed, "other/web", kCart);
  Calico("NetworkPolicy", "p", "{selector: all(), ingress: [{action: Allow}]}");
  Calico("GlobalNetworkPolicy", "g",
         "{selector: \"app == 'web'\", order: 1, ingress: [{action: Deny}]}");
  In(kDenied, kWeb, kCart);
  In(kAllowed, "shop/db", kCart);
  In(kDenied, "other/web", kCart);
  Calico("GlobalNetworkPolicy", "g",
         "{namespaceSelector: \"team == 'other'\", order: 1, ingress: [{action: Deny}]}");
  In(kAllowed, kWeb, kCart);
  In(kDenied, "other/web", kCart);
  Calico("GlobalNetworkPolicy", "g",
         "{namespaceSelector: all(), order: 1, ingress: [{action: Deny}]}");
  In(kDenied, kWeb, kCart);
}

TEST_F(SemanticsTiersTest, PoliciesBeforeConnectionsOrTranslationAreForHostEndpointsOnly) {
  for (const char* when : {"doNotTrack", "preDNAT"}) {
    Calico(
        "GlobalNetworkPolicy", "p",
        absl::Substitute(
            "{selector: all(), $0: true, applyOnForward: true, ingress: [{action: Deny}]}", when));
    In(kAllowed, kWeb, kCart);
  }
  Calico("GlobalNetworkPolicy", "p",
         "{selector: all(), applyOnForward: true, ingress: [{action: Deny}]}");
  In(kDenied, kWeb, kCart);  // what is forwarded to a pod is also what the pod receives
}

TEST_F(SemanticsTiersTest, StagedPoliciesOfEveryKindAreNotEnforced) {
  for (const char* kind : {"StagedNetworkPolicy", "StagedGlobalNetworkPolicy"}) {
    Calico(kind, "p", "{order: 1, types: [Ingress, Egress]}");
  }
  Calico("StagedKubernetesNetworkPolicy", "p", "{podSelector: {}, policyTypes: [Ingress, Egress]}");
  In(kAllowed, kWeb, kCart);
  Out(kAllowed, kWeb, kCart);
  Calico("NetworkPolicy", "p", "{ingress: [{action: Allow, protocol: TCP}]}");
  Calico("StagedNetworkPolicy", "p", "{stagedAction: Delete}");
  In(kAllowed, kWeb, kCart);
  In(kDenied, kWeb, kCart, kProtocolUdp);
}

class SemanticsProfilesTest : public SemanticsTest {
 protected:
  // shop/web is a WorkloadEndpoint here and no Pod, which would say whose profiles count.
  void SetUp() override {
    SemanticsTest::SetUp();
    world_.endpoints.erase("Pod shop/web");
    engine_.RemoveEndpoint("Pod shop/web");
  }
  void Workload(const std::string& profiles, const std::string& labels = "{}") {
    Put(absl::Substitute(
        "{apiVersion: projectcalico.org/v3, kind: WorkloadEndpoint, metadata: {name: web, "
        "namespace:"
        " shop, labels: $1}, spec: {pod: web, profiles: $0, ipNetworks: [192.0.2.1/32,"
        " \"2001:db8::1/128\"]}}",
        profiles, labels));
  }
  void Profile(const std::string& name, const std::string& spec) { Calico("Profile", name, spec); }
};

TEST_F(SemanticsProfilesTest, ProfilesGovernInTheirOrderWhatNoPolicySelects) {
  Profile("a", "{ingress: [{action: Deny, protocol: UDP}, {action: Allow, protocol: TCP}]}");
  Profile("b",
          "{ingress: [{action: Allow}], egress: [{action: Deny, protocol: UDP}, {action: Allow}]}");
  Workload("[a, b]");
  In(kAllowed, kWeb, kCart);
  In(kDenied, kWeb, kCart, kProtocolUdp);
  In(kAllowed, kWeb, kCart, kProtocolSctp);  // b's
  Out(kAllowed, kWeb, kCart);
  Out(kDenied, kWeb, kCart, kProtocolUdp);
  Workload("[a]");
  In(kDenied, kWeb, kCart, kProtocolSctp);  // no match: deny
  Out(kDenied, kWeb, kCart);
  Workload("[]");
  In(kDenied, kWeb, kCart);
  Profile("a", "{ingress: [{action: Pass}, {action: Allow}]}");
  Workload("[a, b]");
  In(kDenied, kWeb, kCart);  // nothing follows profiles that Pass could go to
}

TEST_F(SemanticsProfilesTest, AMissingProfileDeniesWhereItStands) {
  Profile("a", "{ingress: [{action: Allow, protocol: UDP}]}");
  Profile("b", "{ingress: [{action: Allow}]}");
  Workload("[a, missing, b]");
  In(kAllowed, kWeb, kCart, kProtocolUdp);
  In(kDenied, kWeb, kCart);
  Profile("missing", "{}");
  In(kAllowed, kWeb, kCart);
  Remove("{apiVersion: projectcalico.org/v3, kind: Profile, metadata: {name: missing}}");
  In(kDenied, kWeb, kCart);
}

TEST_F(SemanticsProfilesTest, LabelsAreInheritedTheFirstProfileWinsAndTheOwnLabelOverAll) {
  Profile("a",
          "{labelsToApply: {colour: red}, ingress: [{action: Allow}], egress: [{action: Allow}]}");
  Profile("b", "{labelsToApply: {colour: blue, shape: round}}");
  Calico("GlobalNetworkPolicy", "p", "{selector: \"colour == 'blue'\", ingress: [{action: Deny}]}");
  Workload("[a, b]");
  In(kAllowed, kWeb, kCart);
  Calico("GlobalNetworkPolicy", "p", "{selector: \"shape == 'round'\", ingress: [{action: Deny}]}");
  In(kDenied, kWeb, kCart);
  Calico("GlobalNetworkPolicy", "p", "{selector: \"colour == 'red'\", ingress: [{action: Deny}]}");
  In(kDenied, kWeb, kCart);
  Workload("[a, b]", "{colour: green}");
  In(kAllowed, kWeb, kCart);
  // And as a peer.
  Calico("GlobalNetworkPolicy", "p",
         "{selector: \"app == 'db'\", ingress: [{action: Allow, source: {selector: \"shape == "
         "'round'\"}}]}");
  In(kAllowed, "shop/db", kWeb);
  Profile("b", "{labelsToApply: {shape: square}}");
  In(kDenied, "shop/db", kWeb);
}

TEST_F(SemanticsProfilesTest, APodInheritsTheLabelsOfItsNamespaceAndServiceAccount) {
  Put("{apiVersion: v1, kind: ServiceAccount, metadata: {name: builder, namespace: shop, labels: "
      "{role: ci}}}");
  Pod("shop", "cart", 100, "{serviceAccountName: builder}");
  Calico("GlobalNetworkPolicy", "p",
         "{selector: \"app == 'db'\", ingress: [{action: Allow, source: {selector:"
         " \"pcns.team == 'shop' && pcsa.role == 'ci'\"}}]}");
  In(kAllowed, "shop/db", kCart);
  In(kDenied, "shop/db", kWeb);
  Put("{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {team: sold}}}");
  In(kDenied, "shop/db", kCart);
}

TEST_F(SemanticsProfilesTest, NobodyPassesForAnotherNamespaceOrServiceAccountByALabelOfHisOwn) {
  Policy(
      "p",
      "{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{namespaceSelector: {matchLabels:"
      " {team: other}}}]}]}");
  for (const char* forged : {"pcns.team: other", "projectcalico.org/namespace: other",
                             "pcns.kubernetes.io/metadata.name: other"}) {
    Put(absl::Substitute(
        "{apiVersion: v1, kind: Pod, metadata: {name: cart, namespace: shop, labels: {$0}},"
        " status: {podIPs: [{ip: 192.0.2.100}, {ip: \"2001:db8::64\"}]}}",
        forged));
    In(kDenied, "shop/db", kCart);
    Calico("NetworkSet", "s", "{nets: [198.51.100.0/24]}", "shop",
           absl::Substitute("{$0}", forged));
    In(kDenied, "shop/db", "198.51.100.1");
  }
  Put("{apiVersion: v1, kind: Pod, metadata: {name: cart, namespace: shop, labels: {pcsa.role: ci,"
      " projectcalico.org/serviceaccount: builder}}, status: {podIPs: [{ip: 192.0.2.100}, {ip: "
      "\"2001:db8::64\"}]}}");
  for (const char* account : {"{selector: \"role == 'ci'\"}", "{names: [builder]}"}) {
    Calico("GlobalNetworkPolicy", "q",
           absl::Substitute("{order: 1, selector: \"app == 'db'\", ingress: [{action: Allow, "
                            "source: {serviceAccounts:"
                            " $0}}]}",
                            account));
    In(kDenied, "shop/db", kCart);
  }
}

}  // namespace
}  // namespace ripstop::api
