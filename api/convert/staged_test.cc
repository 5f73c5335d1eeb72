// SPDX-License-Identifier: Apache-2.0
#include "api/convert/staged.h"

#include "absl/strings/str_cat.h"
#include "api/codec/reader.h"
#include "api/convert/convert.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "policy/reference.h"

namespace ripstop::api {
namespace {

using policy::PolicyKind;
using testing::HasSubstr;
using testing::IsEmpty;

absl::StatusOr<std::vector<ModelObject>> Convert(const std::string& text) {
  Decoded decoded = DecodeText(text, "f.yaml");
  EXPECT_THAT(decoded.problems, IsEmpty()) << ToString(decoded.problems) << "\n" << text;
  return ToModel(decoded.resources.at(0));
}

std::string Doc(const std::string& kind, const std::string& spec, const std::string& name = "p",
                const std::string& api = "projectcalico.org/v3") {
  return absl::StrCat("{apiVersion: ", api, ", kind: ", kind, ", metadata: {name: ", name,
                      ", namespace: shop}, spec: ", spec, "}");
}

// One pod, and policies put by document.
class StagedTest : public testing::Test {
 protected:
  StagedTest() {
    policy::Endpoint pod{.id = "shop/web", .profiles = {"kns.shop"}};
    pod.labels = {{"projectcalico.org/namespace", "shop"},
                  {"projectcalico.org/orchestrator", "k8s"}};
    pod.addresses = {*policy::Address::Parse("192.0.2.1")};
    world_.Put(pod);
    world_.Put(NamespaceProfile("shop", {}));
  }
  void Put(const std::string& text) {
    const auto objects = Convert(text);
    ASSERT_TRUE(objects.ok()) << objects.status();
    for (ModelObject object : *objects) std::visit([&](auto& o) { world_.Put(o); }, object);
  }
  policy::Verdict Ask(const policy::World& world, uint16_t port = 80) {
    policy::Packet packet{*policy::Address::Parse("203.0.113.1"),
                          *policy::Address::Parse("192.0.2.1"), policy::kProtocolTcp, 40000, port};
    return *policy::Reference().Evaluate(world, world.endpoints.at("shop/web"),
                                         policy::Direction::kIngress, packet);
  }
  bool Staged(uint16_t port = 80) { return Ask(StagedWorld(world_), port).allow; }

  policy::World world_;
};

constexpr char kDenyAll[] = "{ingress: [{action: Deny}]}";
constexpr char kAllowAll[] = "{ingress: [{action: Allow}]}";

TEST_F(StagedTest, NothingStagedIsTheEnforcedWorld) {
  Put(Doc("NetworkPolicy", kDenyAll));
  EXPECT_FALSE(HasStaged(world_));
  EXPECT_EQ(StagedWorld(world_).policies, world_.policies);
}

TEST_F(StagedTest, EachKindIsAddedAsItsEnforcedTwinAndTheEnforcedWorldKeepsItsVerdict) {
  for (const auto& [kind, spec, twin] :
       {std::tuple("StagedNetworkPolicy", kDenyAll, PolicyKind::kNetworkPolicy),
        std::tuple("StagedGlobalNetworkPolicy", kDenyAll, PolicyKind::kGlobalNetworkPolicy),
        std::tuple("StagedKubernetesNetworkPolicy", "{podSelector: {}}",
                   PolicyKind::kKubernetesNetworkPolicy)}) {
    world_.policies.clear();
    Put(Doc(kind, spec));
    EXPECT_TRUE(HasStaged(world_)) << kind;
    EXPECT_TRUE(Ask(world_).allow) << kind;
    const policy::Verdict staged = Ask(StagedWorld(world_));
    EXPECT_FALSE(staged.allow) << kind;
    EXPECT_EQ(staged.by.policy.kind, twin);
    EXPECT_STREQ(policy::ToString(AsStaged(staged.by, true).policy.kind), kind);
    EXPECT_EQ(AsStaged(staged.by, false).policy.kind, twin);
  }
}

TEST_F(StagedTest, SetReplacesTheEnforcedPolicyOfItsNameInWhateverTier) {
  Put(Doc("NetworkPolicy", kDenyAll));
  Put(Doc("StagedNetworkPolicy", kAllowAll, "q"));
  EXPECT_FALSE(Ask(world_).allow);
  EXPECT_FALSE(Staged()) << "p comes before q and denies";
  Put(Doc("StagedNetworkPolicy", "{stagedAction: Set, tier: net, ingress: [{action: Allow}]}"));
  EXPECT_TRUE(Staged());
  EXPECT_EQ(StagedWorld(world_).policies.size(), 2u);
}

TEST_F(StagedTest, DeleteTakesTheEnforcedPolicyOfItsNameAndTierAway) {
  Put(Doc("NetworkPolicy", kDenyAll));
  Put(Doc("StagedNetworkPolicy", "{stagedAction: Delete, tier: net}"));
  EXPECT_FALSE(Staged()) << "the enforced one is in another tier";
  Put(Doc("StagedNetworkPolicy", "{stagedAction: Delete}"));
  EXPECT_FALSE(Ask(world_).allow);
  EXPECT_TRUE(Staged());
  EXPECT_EQ(Ask(StagedWorld(world_)).by.profile, "kns.shop");
  Put(Doc("StagedNetworkPolicy", "{stagedAction: Delete}", "nobody"));
  EXPECT_TRUE(Staged());
}

TEST_F(StagedTest, TheKubernetesKindMeansNotCalicosPolicyOfTheSameName) {
  Put(Doc("NetworkPolicy", kDenyAll));
  Put(Doc("StagedKubernetesNetworkPolicy", "{stagedAction: Delete}"));
  EXPECT_FALSE(Staged());
  Put(Doc("NetworkPolicy", "{podSelector: {}}", "k", "networking.k8s.io/v1"));
  Put(Doc("StagedKubernetesNetworkPolicy", "{podSelector: {}, ingress: [{}]}", "k"));
  Put(Doc("StagedNetworkPolicy", "{stagedAction: Delete}"));
  EXPECT_TRUE(Staged());
}

TEST_F(StagedTest, LearnAndIgnoreProposeNothing) {
  for (const char* action : {"Learn", "Ignore"}) {
    const auto none =
        Convert(Doc("StagedNetworkPolicy", absl::StrCat("{stagedAction: ", action, "}")));
    ASSERT_TRUE(none.ok());
    EXPECT_THAT(*none, IsEmpty()) << action;
  }
  const auto bad = Convert(Doc("StagedNetworkPolicy", "{stagedAction: Remove}"));
  EXPECT_THAT(std::string(bad.status().message()),
              HasSubstr("spec.stagedAction: \"Remove\" is not Set, Delete, Learn or Ignore"));
}

TEST_F(StagedTest, StagedPoliciesJudgeTogether) {
  Put(Doc("StagedNetworkPolicy",
          "{order: 1, ingress: [{action: Allow, protocol: TCP, "
          "destination: {ports: [80]}}]}",
          "allow-web"));
  Put(Doc("StagedNetworkPolicy", "{order: 2, ingress: [{action: Deny}]}", "deny-rest"));
  EXPECT_TRUE(Staged(80));
  EXPECT_FALSE(Staged(81));
  EXPECT_TRUE(Ask(world_, 81).allow);
}

}  // namespace
}  // namespace ripstop::api
