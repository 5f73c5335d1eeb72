// SPDX-License-Identifier: Apache-2.0
//
// Whose words a label is: selectors of Kubernetes mean the documents of pods and namespaces,
// selectors of projectcalico.org the joined labels, which no pod can forge.
#include <gmock/gmock.h>

#include "api/semantics_testing.h"

namespace ripstop::api {
namespace {

constexpr char kWeb[] = "shop/web";
constexpr char kDb[] = "shop/db";
constexpr char kCart[] = "shop/cart";
constexpr char kOther[] = "other/web";

const char* const kReservedKeys[] = {"pcns.team",
                                     "pcns.projectcalico.org/name",
                                     "pcsa.role",
                                     "projectcalico.org/namespace",
                                     "projectcalico.org/orchestrator",
                                     "projectcalico.org/serviceaccount",
                                     "projectcalico.org/name"};

class SemanticsLabelsTest : public SemanticsTest {
 protected:
  // `labels` besides app.
  void Labelled(const std::string& ns, const std::string& name, int low,
                const std::string& labels) {
    Put(absl::Substitute(
        "{apiVersion: v1, kind: Pod, metadata: {name: $1, namespace: $0, labels: {app: $1, $4}},"
        " status: {podIPs: [{ip: $2}, {ip: \"$3\"}]}}",
        ns, name, V4(low), V6(low), labels));
    low_[absl::StrCat(ns, "/", name)] = low;
  }
  void Namespace(const std::string& name, const std::string& labels) {
    Put(absl::Substitute("{apiVersion: v1, kind: Namespace, metadata: {name: $0, labels: {$1}}}",
                         name, labels));
  }
  void Admit(const std::string& peer) {
    Policy("p", absl::StrCat("{podSelector: {matchLabels: {app: db}}, ingress: [{from: [", peer,
                             "]}]}"));
  }
};

TEST_F(SemanticsLabelsTest, APodsOwnLabelCountsForKubernetesWhateverItsKey) {
  for (const std::string key : kReservedKeys) {
    SCOPED_TRACE(key);
    Labelled("shop", "web", 1, key + ": x");
    Labelled("shop", "cart", 100, key + ": x");
    // As the subject.
    Policy("p", absl::Substitute("{podSelector: {matchLabels: {$0: x}}}", key));
    In(kDenied, kWeb, kCart);
    In(kAllowed, kDb, kCart);
    ClusterPolicy(absl::Substitute(
        "{tier: Admin, priority: 1, subject: {pods: {podSelector: {matchLabels: {$0: x}}}},"
        " egress: [{action: Deny, to: [{namespaces: {}}]}]}",
        key));
    Out(kDenied, kWeb, kCart);
    Out(kAllowed, kDb, kCart);
    Remove(
        "{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: "
        "{name: p}, spec: {tier: Admin, priority: 1, subject: {namespaces: {}}}}");
    // As a peer.
    Admit(absl::Substitute("{podSelector: {matchLabels: {$0: x}}}", key));
    In(kAllowed, kDb, kCart);
    In(kDenied, kDb, kOther);
    Admit(absl::Substitute(
        "{namespaceSelector: {}, podSelector: {matchExpressions: [{key: $0, operator: "
        "DoesNotExist}]}}",
        key));
    In(kDenied, kDb, kCart);
    In(kAllowed, kDb, kOther);
    Admit(absl::Substitute(
        "{podSelector: {matchExpressions: [{key: $0, operator: NotIn, values: [x]}]}}", key));
    In(kDenied, kDb, kCart);
    Labelled("shop", "cart", 100, key + ": other");
    In(kAllowed, kDb, kCart);
  }
}

TEST_F(SemanticsLabelsTest, WhatConvertersSayIsNoLabelOfAPodForKubernetes) {
  Put("{apiVersion: v1, kind: ServiceAccount, metadata: {name: builder, namespace: shop, labels: "
      "{role: ci}}}");
  Pod("shop", "cart", 100, "{serviceAccountName: builder}");
  for (const char* label :
       {"pcns.team: shop", "pcns.kubernetes.io/metadata.name: shop", "pcsa.role: ci",
        "projectcalico.org/namespace: shop", "projectcalico.org/orchestrator: k8s",
        "projectcalico.org/serviceaccount: builder"}) {
    SCOPED_TRACE(label);
    Admit(absl::Substitute("{podSelector: {matchLabels: {$0}}}", label));
    In(kDenied, kDb, kCart);
    const std::string key(label, std::string_view(label).find(':'));
    Admit(absl::Substitute("{podSelector: {matchExpressions: [{key: $0, operator: DoesNotExist}]}}",
                           key));
    In(kAllowed, kDb, kCart);
  }
}

TEST_F(SemanticsLabelsTest, ANamespaceSelectorMeansTheNamespacesOwnLabels) {
  const auto admit = [&](const std::string& selector) {
    Admit(absl::Substitute("{namespaceSelector: {$0}}", selector));
  };
  Namespace("other", "team: other, projectcalico.org/name: elsewhere, pcns.team: both");
  admit("matchLabels: {projectcalico.org/name: elsewhere}");
  In(kAllowed, kDb, kOther);
  In(kDenied, kDb, kCart);
  admit("matchLabels: {projectcalico.org/name: other}");
  In(kDenied, kDb, kOther);
  admit("matchExpressions: [{key: projectcalico.org/name, operator: DoesNotExist}]");
  In(kDenied, kDb, kOther);
  In(kAllowed, kDb, kCart);
  admit("matchLabels: {pcns.team: both}");
  In(kAllowed, kDb, kOther);
  admit("matchLabels: {kubernetes.io/metadata.name: other}");
  In(kAllowed, kDb, kOther);
  In(kDenied, kDb, kCart);
  // The name is the API server's word, whatever the document says.
  Namespace("other", "kubernetes.io/metadata.name: shop");
  In(kAllowed, kDb, kOther);
  // A label of a pod is none of its namespace.
  Labelled("shop", "cart", 100, "team: other, pcns.team: other");
  admit("matchLabels: {team: other}");
  In(kDenied, kDb, kCart);
  // It follows its document.
  admit("matchLabels: {projectcalico.org/name: elsewhere}");
  In(kDenied, kDb, kOther);
  Namespace("other", "projectcalico.org/name: elsewhere");
  In(kAllowed, kDb, kOther);
}

TEST_F(SemanticsLabelsTest, WhatAProfileGivesIsNoLabelOfAPodOrItsNamespaceForKubernetes) {
  Calico("Profile", "custom",
         "{labelsToApply: {colour: red, pcns.team: other, pcns.zone: west}, ingress: [{action: "
         "Allow}], egress: [{action: Allow}]}");
  const auto workload = [&](const std::string& profiles) {
    Put(absl::Substitute(
        "{apiVersion: projectcalico.org/v3, kind: WorkloadEndpoint, metadata: {name: w, namespace: "
        "shop, labels: {app: kiosk}}, spec: {orchestrator: k8s, node: n2, pod: kiosk, endpoint: "
        "eth0, profiles: $0, ipNetworks: [$1/32, \"$2/128\"]}}",
        profiles, V4(103), V6(103)));
  };
  const char kKiosk[] = "shop/kiosk";
  low_[kKiosk] = 103;
  // Whether its namespace's profile is the first, a later one or none of its own.
  for (const char* profiles : {"[custom]", "[custom, kns.shop]", "[kns.shop, custom]"}) {
    SCOPED_TRACE(profiles);
    workload(profiles);
    Admit("{podSelector: {matchLabels: {colour: red}}}");
    In(kDenied, kDb, kKiosk);
    Admit("{podSelector: {matchExpressions: [{key: colour, operator: DoesNotExist}]}}");
    In(kAllowed, kDb, kKiosk);
    Admit("{namespaceSelector: {matchLabels: {team: shop}}}");
    In(kAllowed, kDb, kKiosk);
    Admit("{namespaceSelector: {matchLabels: {team: other}}}");
    In(kDenied, kDb, kKiosk);
    Admit("{namespaceSelector: {matchExpressions: [{key: zone, operator: Exists}]}}");
    In(kDenied, kDb, kKiosk);
    // For projectcalico.org it is inherited, the first profile winning.
    Admit("{podSelector: {matchLabels: {app: nobody}}}");
    const bool first = std::string_view(profiles).starts_with("[custom");
    Calico("GlobalNetworkPolicy", "q",
           "{order: 1, selector: \"app == 'db'\", ingress: [{action: Allow, source: {selector:"
           " \"colour == 'red' && pcns.zone == 'west' && pcns.team == 'other'\"}}]}");
    In(first, kDb, kKiosk);
    Remove("{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: q}}");
  }
}

TEST_F(SemanticsLabelsTest, NothingThatAPodWritesForgesWhatOurSelectorsSee) {
  // Also keys by which the model keeps views apart, which no API server takes.
  const char* const forged[] = {"pcns.team: other",
                                "pcns.projectcalico.org/name: other",
                                "pcns.kubernetes.io/metadata.name: other",
                                "projectcalico.org/namespace: other",
                                "\"ns:pcns.team\": other",
                                "\"ns:pcns.projectcalico.org/name\": other",
                                "\"pod:pcns.team\": other",
                                "\"inherited:pcns.team\": other"};
  const char* const sources[] = {"{namespaceSelector: \"team == 'other'\"}",
                                 "{namespaceSelector: \"projectcalico.org/name == 'other'\"}",
                                 "{selector: \"pcns.team == 'other'\"}",
                                 "{selector: \"projectcalico.org/namespace == 'other'\"}",
                                 "{namespaceSelector: \"team != 'shop'\"}"};
  for (const char* label : forged) {
    SCOPED_TRACE(label);
    Labelled("shop", "cart", 100, label);
    for (const char* source : sources) {
      Calico("GlobalNetworkPolicy", "q",
             absl::Substitute("{order: 1, selector: \"app == 'db'\", ingress: [{action: Allow,"
                              " source: $0}]}",
                              source));
      In(kDenied, kDb, kCart);
      In(kAllowed, kDb, kOther);
    }
    // Nor the labels of another document for Kubernetes.
    Calico("GlobalNetworkPolicy", "q", "{order: 2000, selector: all(), ingress: []}");
    Admit("{namespaceSelector: {matchLabels: {team: other}}}");
    In(kDenied, kDb, kCart);
    Admit("{namespaceSelector: {matchLabels: {team: shop}}}");
    In(kAllowed, kDb, kCart);
    Remove(
        "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p, namespace: "
        "shop}, spec: {podSelector: {}}}");
  }
  Labelled("shop", "cart", 100, "projectcalico.org/serviceaccount: builder, pcsa.role: ci");
  for (const char* account : {"{names: [builder]}", "{selector: \"role == 'ci'\"}"}) {
    Calico("GlobalNetworkPolicy", "q",
           absl::Substitute("{order: 1, selector: \"app == 'db'\", ingress: [{action: Allow,"
                            " source: {serviceAccounts: $0}}]}",
                            account));
    In(kDenied, kDb, kCart);
  }
}

TEST_F(SemanticsLabelsTest, ViewsAreNotForUsersToWrite) {
  for (const char* key : {"pod:app", "ns:pcns.team", "inherited:app"}) {
    const Decoded decoded = DecodeText(
        absl::Substitute("{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: "
                         "{name: p}, spec: {selector: \"has($0)\"}}",
                         key),
        "f.yaml");
    ASSERT_EQ(decoded.resources.size(), 1u);
    EXPECT_FALSE(ToModel(decoded.resources[0]).ok()) << key;
  }
}

}  // namespace
}  // namespace ripstop::api
