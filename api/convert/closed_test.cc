// SPDX-License-Identifier: Apache-2.0
#include "api/convert/closed.h"

#include <functional>
#include <limits>

#include "api/convert/testing.h"

namespace ripstop::api {
namespace {

using policy::Policy;

// A document that its reader would refuse: made from one that it takes.
template <typename T>
Resource Broken(const std::string& text, const std::function<void(T*)>& damage) {
  Resource resource = Read(text).Clone();
  damage(resource.MutableAs<T>());
  EXPECT_FALSE(ToModel(resource).ok()) << "not broken";
  return resource;
}

Policy PolicyOf(const ClosedReading& closed) {
  for (const ModelObject& object : closed.objects) {
    if (const auto* policy = std::get_if<Policy>(&object)) return *policy;
  }
  ADD_FAILURE() << "no policy";
  return {};
}

std::vector<std::string> Actions(const std::vector<policy::Rule>& rules) {
  std::vector<std::string> actions;
  for (const policy::Rule& rule : rules)
    actions.push_back(rule.action == Action::kDeny ? "deny " + rule.name : "other");
  return actions;
}

constexpr char kDenied[] = "deny it cannot be read";

std::string Calico(const std::string& spec, const std::string& kind = "NetworkPolicy") {
  return absl::StrCat("{apiVersion: projectcalico.org/v3, kind: ", kind, ", metadata: {name: p",
                      kind == "NetworkPolicy" ? ", namespace: shop" : "", "}, spec: ", spec, "}");
}

TEST(ClosedTest, ABadRuleAndThoseAfterItDenyWhatTheOnesBeforeItLeave) {
  const Resource resource = Broken<v1::NetworkPolicy>(
      Calico("{order: 7, selector: app == 'a', ingress: [{action: Allow}, {action: Allow}, "
             "{action: Allow}], egress: [{action: Allow}]}"),
      [](auto* p) { p->mutable_spec()->mutable_ingress(1)->set_action("Permit"); });
  const ClosedReading closed = ReadClosed(resource.key(), &resource);
  const Policy policy = PolicyOf(closed);
  EXPECT_EQ(policy.order, 7);
  EXPECT_EQ(policy.tier, "default");
  EXPECT_EQ(policy.selector, Model<Policy>(Calico("{selector: app == 'a'}")).selector);
  EXPECT_THAT(Actions(policy.ingress_rules), ElementsAre("other", kDenied));
  EXPECT_THAT(Actions(policy.egress_rules), ElementsAre("other"));
  EXPECT_EQ(closed.denied, "what it may select of pods of namespace shop");
}

TEST(ClosedTest, OfABadSelectorNoRuleStandsForItMightAllowToOthers) {
  const Resource resource =
      Broken<v1::NetworkPolicy>(Calico("{order: 7, ingress: [{action: Allow}]}"),
                                [](auto* p) { p->mutable_spec()->set_selector("app =="); });
  const Policy policy = PolicyOf(ReadClosed(resource.key(), &resource));
  EXPECT_EQ(policy.selector, InNamespace("shop"));
  EXPECT_THAT(Actions(policy.ingress_rules), ElementsAre(kDenied));
  EXPECT_TRUE(policy.ingress);
  EXPECT_FALSE(policy.egress) << "it concerned ingress only";
}

TEST(ClosedTest, BadTypesConcernBothDirections) {
  const Resource resource =
      Broken<v1::NetworkPolicy>(Calico("{types: [Ingress], ingress: [{action: Allow}]}"),
                                [](auto* p) { p->mutable_spec()->set_types(0, "Sideways"); });
  const Policy policy = PolicyOf(ReadClosed(resource.key(), &resource));
  EXPECT_TRUE(policy.ingress && policy.egress);
  EXPECT_THAT(Actions(policy.ingress_rules), ElementsAre("other"));
  EXPECT_THAT(policy.egress_rules, IsEmpty()) << "the end of the tier denies";
}

TEST(ClosedTest, ABadOrderIsTheFirstOfItsTier) {
  const Resource resource = Broken<v1::GlobalNetworkPolicy>(
      Calico("{tier: security, order: 1}", "GlobalNetworkPolicy"),
      [](auto* p) { p->mutable_spec()->set_order(std::numeric_limits<double>::quiet_NaN()); });
  const Policy policy = PolicyOf(ReadClosed(resource.key(), &resource));
  EXPECT_EQ(policy.tier, "security");
  EXPECT_LT(*policy.order, -1e300);
}

TEST(ClosedTest, ABadSelectorOfAGlobalPolicyDeniesAllPodsAndNoHost) {
  const Resource resource = Broken<v1::GlobalNetworkPolicy>(
      Calico("{ingress: [{action: Allow}]}", "GlobalNetworkPolicy"),
      [](auto* p) { p->mutable_spec()->set_namespace_selector("((("); });
  const Policy policy = PolicyOf(ReadClosed(resource.key(), &resource));
  EXPECT_THAT(policy.selector, HasSubstr(kPodsOnly));
  EXPECT_THAT(Actions(policy.ingress_rules), ElementsAre(kDenied));
}

// It can only add isolation, so all that it may take away is what nobody else allows.
TEST(ClosedTest, AKubernetesPolicyIsolates) {
  const std::string text =
      "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p, namespace: "
      "shop}, spec: {podSelector: {matchExpressions: [{key: a, operator: Exists}]}, ingress: "
      "[{}]}}";
  const Resource resource = Broken<v1::KubernetesNetworkPolicy>(text, [](auto* p) {
    p->mutable_spec()->mutable_pod_selector()->mutable_match_expressions(0)->set_operator_("Is");
  });
  for (const Resource* decoded : {&resource, static_cast<const Resource*>(nullptr)}) {
    const Policy policy = PolicyOf(ReadClosed(resource.key(), decoded));
    EXPECT_EQ(policy.selector, InNamespace("shop"));
    EXPECT_EQ(policy.tier, "default");
    EXPECT_EQ(policy.order, 1000);
    EXPECT_THAT(policy.ingress_rules, IsEmpty());
    EXPECT_TRUE(policy.ingress);
    EXPECT_EQ(policy.egress, decoded == nullptr);
  }
}

constexpr char kCluster[] =
    "{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: {name: "
    "p}, spec: {tier: Baseline, priority: 3, subject: {namespaces: {}}, ingress: [{action: Accept, "
    "from: [{namespaces: {}}]}, {action: Deny, from: [{namespaces: {}}]}]}}";

TEST(ClosedTest, AClusterPolicyWithABadActionDeniesFromThereOn) {
  const Resource resource = Broken<v1::ClusterNetworkPolicy>(
      kCluster, [](auto* p) { p->mutable_spec()->mutable_ingress(1)->set_action("Refuse"); });
  const Policy policy = PolicyOf(ReadClosed(resource.key(), &resource));
  EXPECT_EQ(policy.tier, "kube-baseline");
  EXPECT_EQ(policy.order, 3);
  EXPECT_THAT(Actions(policy.ingress_rules), ElementsAre("other", kDenied));
  EXPECT_FALSE(policy.egress);
}

TEST(ClosedTest, AClusterPolicyWithABadSubjectOrTierDeniesAllPodsItsDirections) {
  for (const bool tier : {true, false}) {
    const Resource resource = Broken<v1::ClusterNetworkPolicy>(kCluster, [&](auto* p) {
      if (tier) {
        p->mutable_spec()->set_tier("Middle");
      } else {
        p->mutable_spec()->clear_subject();
      }
    });
    const Policy policy = PolicyOf(ReadClosed(resource.key(), &resource));
    EXPECT_EQ(policy.tier, tier ? "kube-admin" : "kube-baseline");
    EXPECT_THAT(Actions(policy.ingress_rules), ElementsAre(kDenied));
    EXPECT_FALSE(policy.egress);
  }
}

TEST(ClosedTest, OfWhatCannotBeDecodedThePodsItMaySelectAreDeniedFirst) {
  for (const auto& [key, selector] : {
           std::pair(ResourceKey{kKindNetworkPolicy, "shop", "p"}, InNamespace("shop")),
           std::pair(ResourceKey{kKindGlobalNetworkPolicy, "", "p"}, std::string(kPodsOnly)),
           std::pair(ResourceKey{kKindClusterNetworkPolicy, "", "p"}, std::string(kPodsOnly)),
           std::pair(ResourceKey{kKindTier, "", "security"}, std::string(kPodsOnly)),
           std::pair(ResourceKey{kKindNamespace, "", "shop"}, InNamespace("shop")),
           std::pair(ResourceKey{kKindNetworkPolicy, "sh'o\"p", "p"}, std::string(kPodsOnly)),
           std::pair(ResourceKey{kKindServiceAccount, "shop", "bot"},
                     AllOf({InNamespace("shop"), "projectcalico.org/serviceaccount == 'bot'"})),
       }) {
    const ClosedReading closed = ReadClosed(key, nullptr);
    ASSERT_THAT(closed.objects, SizeIs(2)) << key.kind;
    const auto& tier = std::get<policy::Tier>(closed.objects[0]);
    const Policy policy = PolicyOf(closed);
    EXPECT_EQ(policy.tier, tier.name);
    EXPECT_LT(*tier.order, -1e300);
    EXPECT_EQ(policy.selector, selector) << key.kind;
    EXPECT_THAT(Actions(policy.ingress_rules), ElementsAre(kDenied));
    EXPECT_THAT(Actions(policy.egress_rules), ElementsAre(kDenied));
    EXPECT_THAT(closed.denied, HasSubstr("pods"));
    EXPECT_TRUE(policy::Selector::Parse(policy.selector).ok()) << policy.selector;
  }
}

TEST(ClosedTest, APodHasEnded) {
  const ClosedReading closed = ReadClosed({kKindPod, "shop", "web"}, nullptr);
  ASSERT_TRUE(closed.document.has_value());
  const auto objects = ToModel(*closed.document);
  ASSERT_TRUE(objects.ok()) << objects.status();
  EXPECT_FALSE(std::get<policy::Endpoint>((*objects)[0]).active);
}

TEST(ClosedTest, WhatSelectsNothingClosesNothing) {
  for (const char* kind : {kKindNetworkSet, kKindGlobalNetworkSet, kKindWorkloadEndpoint,
                           kKindHostEndpoint, kKindProfile, kKindNode, kKindIPPool,
                           kKindStagedNetworkPolicy, kKindEndpointSlice, "QosPolicy"}) {
    const ClosedReading closed = ReadClosed({kind, "shop", "x"}, nullptr);
    EXPECT_THAT(closed.objects, IsEmpty()) << kind;
    EXPECT_FALSE(closed.document.has_value()) << kind;
    EXPECT_EQ(closed.denied, "") << kind;
  }
  EXPECT_THAT(ReadClosed({kKindTier, "", "default"}, nullptr).objects, IsEmpty())
      << "a built-in tier is where it is";
}

}  // namespace
}  // namespace ripstop::api
