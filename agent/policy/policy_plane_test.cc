// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/policy_plane.h"

#include "absl/strings/str_cat.h"
#include "agent/base/testing/from_yaml.h"
#include "agent/dataplane/fake_dataplane.h"
#include "gmock/gmock.h"
#include "policy/tables/table_image.h"

namespace ripstop::agent {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr char kServer[] = "192.0.2.10";
constexpr char kClient[] = "192.0.2.20";

class PolicyPlaneTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(plane_.Begin().ok());
    policy::Endpoint server;
    server.id = "c1/eth0";
    server.name = "shop/server";
    server.labels = {{"app", "server"},
                     {"projectcalico.org/namespace", "shop"},
                     {"projectcalico.org/orchestrator", "k8s"}};
    server.profiles = {"kns.shop"};
    server.addresses = {*policy::Address::Parse(kServer)};
    plane_.feed().Attach(server, {7, {2, 0, 0, 0, 0, 7}}, "shop/server", "");
    plane_.OnWhole();
  }

  void Put(const std::string& yaml) { plane_.feed().Put(FromYaml(yaml)); }

  // What the tables say that were written since the generation began.
  bool Allowed() {
    policy::TableImage image;
    image.Apply(dataplane_.written);
    image.set_l4_table(plane_.engine().l4_table());
    policy::Packet packet{*policy::Address::Parse(kClient),
                          *policy::Address::Parse(kServer),
                          policy::kProtocolTcp,
                          40000,
                          80,
                          0,
                          0};
    const auto verdict = image.Verdict(policy::Direction::kIngress, packet);
    return verdict.has_value() && verdict->allow();
  }

  static std::string Policy(const std::string& spec) {
    return "{apiVersion: projectcalico.org/v3, kind: NetworkPolicy, metadata: {name: p, "
           "namespace: shop}, spec: " +
           spec + "}";
  }
  static std::string Pod(const std::string& labels, const std::string& phase) {
    return "{apiVersion: v1, kind: Pod, metadata: {name: server, namespace: shop, labels: " +
           labels + "}, status: {podIP: 192.0.2.10, phase: " + phase + "}}";
  }

  FakeDataplane dataplane_;
  PolicyPlane plane_{"node1", &dataplane_};
};

TEST_F(PolicyPlaneTest, TheFirstFlushPutsAGenerationInForceLaterOnesOnlyWrite) {
  ASSERT_TRUE(plane_.Flush().ok());
  EXPECT_TRUE(plane_.committed());
  EXPECT_EQ(std::count(dataplane_.calls.begin(), dataplane_.calls.end(), "commit"), 1);
  Put(Policy("{selector: all(), types: [Ingress]}"));
  ASSERT_TRUE(plane_.Flush().ok());
  EXPECT_EQ(std::count(dataplane_.calls.begin(), dataplane_.calls.end(), "commit"), 1);
  EXPECT_EQ(std::count(dataplane_.calls.begin(), dataplane_.calls.end(), "begin"), 1);
}

TEST(WorldStateTest, OnlyAWholeMayBeWrittenAndNothingLeadsBackBeforeIt) {
  WorldState state;
  EXPECT_FALSE(state.whole().has_value());
  state.OnTablesLost();
  EXPECT_FALSE(state.whole().has_value());
  state.OnWhole();
  ASSERT_TRUE(state.whole().has_value());
  EXPECT_EQ(state.stage(), WorldState::Stage::kWhole);
  state.OnCommitted(*state.whole());
  EXPECT_EQ(state.stage(), WorldState::Stage::kInForce);
  state.OnWhole();
  EXPECT_EQ(state.stage(), WorldState::Stage::kInForce);
  state.OnTablesLost();
  EXPECT_EQ(state.stage(), WorldState::Stage::kWhole);
  EXPECT_TRUE(state.whole().has_value());
  static_assert(!std::is_default_constructible_v<WholeWorld>);
}

TEST(PolicyPlaneStateTest, BeforeAWholeNothingIsWrittenWhateverIsFedOrDetached) {
  FakeDataplane dataplane;
  PolicyPlane plane("node1", &dataplane);
  ASSERT_TRUE(plane.Begin().ok());
  policy::Endpoint pod;
  pod.id = "shop/pod";
  pod.addresses = {*policy::Address::Parse(kServer)};
  plane.feed().Attach(pod, {7, {2, 0, 0, 0, 0, 7}}, "shop/pod", "");
  EXPECT_TRUE(plane.Flush().ok());
  plane.feed().Detach("shop/pod");
  EXPECT_TRUE(plane.Flush().ok());
  EXPECT_THAT(dataplane.calls, ElementsAre("begin"));
  EXPECT_FALSE(plane.committed());
  plane.OnWhole();
  EXPECT_TRUE(plane.Flush().ok());
  EXPECT_THAT(dataplane.calls, ElementsAre("begin", testing::StartsWith("apply"), "commit"));
  EXPECT_TRUE(plane.committed());
}

TEST(PolicyPlaneStateTest, WhatIsWrittenAheadIsInForceOnlyOnceAWholeIs) {
  FakeDataplane dataplane;
  PolicyPlane plane("node1", &dataplane);
  ASSERT_TRUE(plane.Begin().ok());
  policy::Endpoint pod;
  pod.id = "shop/pod";
  pod.addresses = {*policy::Address::Parse(kServer)};
  plane.feed().Attach(pod, {7, {2, 0, 0, 0, 0, 7}}, "shop/pod", "");
  plane.FillAhead();
  EXPECT_THAT(dataplane.calls, ElementsAre("begin", testing::StartsWith("apply")));
  EXPECT_FALSE(plane.committed());
  plane.OnWhole();
  plane.FillAhead();
  EXPECT_EQ(dataplane.calls.size(), 2u) << "from now on Flush does it";
  EXPECT_TRUE(plane.Flush().ok());
  EXPECT_EQ(std::count(dataplane.calls.begin(), dataplane.calls.end(), "begin"), 1);
  EXPECT_EQ(dataplane.calls.back(), "commit");
}

TEST(PolicyPlaneStateTest, AFailureAheadIsMendedByTheWhole) {
  FakeDataplane dataplane;
  PolicyPlane plane("node1", &dataplane);
  ASSERT_TRUE(plane.Begin().ok());
  dataplane.next_error = absl::ResourceExhaustedError("no memory");
  plane.FillAhead();
  plane.FillAhead();
  EXPECT_FALSE(plane.broken()) << "nothing goes by what is not whole, a repair neither";
  plane.OnWhole();
  EXPECT_TRUE(plane.broken());
  EXPECT_TRUE(plane.Flush().ok());
  EXPECT_TRUE(plane.committed());
  EXPECT_EQ(std::count(dataplane.calls.begin(), dataplane.calls.end(), "begin"), 2);
}

TEST_F(PolicyPlaneTest, AFailedWriteIsAnsweredByAWholeNewGeneration) {
  ASSERT_TRUE(plane_.Flush().ok());
  EXPECT_TRUE(Allowed()) << "a namespace without a document allows";
  Put(Policy("{selector: all(), types: [Ingress]}"));
  dataplane_.next_error = absl::ResourceExhaustedError("no memory");
  EXPECT_TRUE(absl::IsResourceExhausted(plane_.Flush()));
  ASSERT_TRUE(plane_.Flush().ok());
  EXPECT_EQ(std::count(dataplane_.calls.begin(), dataplane_.calls.end(), "begin"), 2);
  EXPECT_EQ(std::count(dataplane_.calls.begin(), dataplane_.calls.end(), "commit"), 2);
  EXPECT_FALSE(Allowed());
}

TEST_F(PolicyPlaneTest, ABadObjectIsSetAsideByNameAndWhatItMeantStays) {
  Put(Policy("{selector: all(), types: [Ingress]}"));
  ASSERT_TRUE(plane_.Flush().ok());
  ASSERT_FALSE(Allowed());
  api::Resource bad =
      FromYaml(Policy("{selector: all(), types: [Ingress], ingress: [{action: Allow}]}"));
  bad.MutableAs<api::v1::NetworkPolicy>()->mutable_spec()->set_selector("app ==");
  plane_.feed().Put(bad);
  ASSERT_TRUE(plane_.Flush().ok());
  EXPECT_FALSE(Allowed());
  ASSERT_THAT(plane_.feed().set_aside(), ElementsAre(HasSubstr("shop/p")));

  Put(Policy("{selector: all(), types: [Ingress], ingress: [{action: Allow}]}"));
  ASSERT_TRUE(plane_.Flush().ok());
  EXPECT_TRUE(Allowed());
  EXPECT_THAT(plane_.feed().set_aside(), IsEmpty());
}

TEST_F(PolicyPlaneTest, ADeletedPolicyStopsCounting) {
  const api::Resource policy = FromYaml(Policy("{selector: all(), types: [Ingress]}"));
  plane_.feed().Put(policy);
  plane_.feed().Put(policy);
  EXPECT_EQ(plane_.feed().policies(), 1u);
  plane_.feed().Delete(policy.key());
  EXPECT_EQ(plane_.feed().policies(), 0u);
  ASSERT_TRUE(plane_.Flush().ok());
  EXPECT_TRUE(Allowed());
}

TEST_F(PolicyPlaneTest, LabelsOfAPodDocumentAreThoseThatPolicySees) {
  Put(Policy("{selector: locked == 'yes', types: [Ingress]}"));
  ASSERT_TRUE(plane_.Flush().ok());
  ASSERT_TRUE(Allowed());
  Put(Pod("{locked: 'yes'}", "Running"));
  ASSERT_TRUE(plane_.Flush().ok());
  EXPECT_FALSE(Allowed());
}

TEST_F(PolicyPlaneTest, AFinishedPodIsDenied) {
  ASSERT_TRUE(plane_.Flush().ok());
  Put(Pod("{}", "Succeeded"));
  ASSERT_TRUE(plane_.Flush().ok());
  EXPECT_FALSE(Allowed());
}

TEST_F(PolicyPlaneTest, AnAttachedEndpointOutlivesItsResources) {
  const api::Resource pod = FromYaml(Pod("{}", "Running"));
  plane_.feed().Put(pod);
  plane_.feed().Delete(pod.key());
  ASSERT_TRUE(plane_.Flush().ok());
  EXPECT_EQ(plane_.feed().local_endpoints(), 1u);
  EXPECT_TRUE(Allowed());
  plane_.feed().Detach("c1/eth0");
  EXPECT_EQ(plane_.feed().local_endpoints(), 0u);
  EXPECT_THAT(plane_.feed().Named("shop/server"), IsEmpty());
}

TEST_F(PolicyPlaneTest, AnAddressThatTwoClaimIsDeniedAndNamed) {
  const auto workload = [](const std::string& node, const std::string& app) {
    return absl::StrCat(
        "{apiVersion: projectcalico.org/v3, kind: WorkloadEndpoint, metadata: {name: ", node,
        ", namespace: shop, labels: {app: ", app, "}}, spec: {node: ", node,
        ", orchestrator: k8s, pod: ", app, "-0, endpoint: eth0, containerID: ", node,
        ", ipNetworks: [", kClient, "/32], profiles: [kns.shop]}}");
  };
  Put(workload("node2", "cart"));
  ASSERT_TRUE(plane_.Flush().ok());
  EXPECT_TRUE(Allowed());
  EXPECT_THAT(plane_.Alarms(), IsEmpty());
  const api::Resource other = FromYaml(workload("node3", "thief"));
  plane_.feed().Put(other);
  ASSERT_TRUE(plane_.Flush().ok());
  EXPECT_FALSE(Allowed()) << "though no policy selects anybody";
  EXPECT_THAT(plane_.Alarms(),
              ElementsAre("address 192.0.2.20 is claimed by shop/cart-0 and shop/thief-0: denied "
                          "until all but one are gone"));
  plane_.feed().Delete(other.key());
  ASSERT_TRUE(plane_.Flush().ok());
  EXPECT_TRUE(Allowed());
  EXPECT_THAT(plane_.Alarms(), IsEmpty());
}

TEST_F(PolicyPlaneTest, AnotherNodesClaimOfALocalAddressIsNamedAndChangesNothing) {
  Put(
      absl::StrCat("{apiVersion: projectcalico.org/v3, kind: WorkloadEndpoint, metadata: {name: w, "
                   "namespace: shop, labels: {app: thief}}, spec: {node: node3, pod: thief-0, "
                   "endpoint: eth0, containerID: c9, ipNetworks: [",
                   kServer, "/32], profiles: [kns.shop]}}"));
  Put(Policy("{selector: app == 'thief', types: [Ingress]}"));
  ASSERT_TRUE(plane_.Flush().ok());
  EXPECT_TRUE(Allowed()) << "no policy of the thief's";
  EXPECT_THAT(plane_.Alarms(),
              ElementsAre(HasSubstr("shop/server, which is here and the newest, has it")));
}

TEST_F(PolicyPlaneTest, AHostEndpointsAddressIsAPeerAsLongAsItIsThere) {
  Put(Policy(
      "{selector: app == 'server', ingress: [{action: Allow, source: {selector: role == 'node', "
      "namespaceSelector: global()}}]}"));
  const api::Resource host = FromYaml(absl::StrCat(
      "{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: h, labels: "
      "{role: node}}, spec: {node: node2, interfaceName: eth0, expectedIPs: [",
      kClient, "]}}"));
  ASSERT_TRUE(plane_.Flush().ok());
  EXPECT_FALSE(Allowed());
  plane_.feed().Put(host);
  ASSERT_TRUE(plane_.Flush().ok());
  EXPECT_TRUE(Allowed());
  plane_.feed().Delete(host.key());
  ASSERT_TRUE(plane_.Flush().ok());
  EXPECT_FALSE(Allowed());
}

TEST_F(PolicyPlaneTest, ADeletedNamespaceLeavesItsPodsAsOneWithoutADocument) {
  const api::Resource ns =
      FromYaml("{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {team: web}}}");
  plane_.feed().Put(ns);
  ASSERT_TRUE(plane_.Flush().ok());
  EXPECT_TRUE(Allowed());
  Put("{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: web}, "
      "spec: {namespaceSelector: team == 'web', types: [Ingress]}}");
  ASSERT_TRUE(plane_.Flush().ok());
  EXPECT_FALSE(Allowed());
  plane_.feed().Delete(ns.key());
  ASSERT_TRUE(plane_.Flush().ok());
  EXPECT_TRUE(Allowed()) << "its labels are gone, and no policy decides";
  Put(Policy("{selector: all(), types: [Ingress]}"));
  ASSERT_TRUE(plane_.Flush().ok());
  EXPECT_FALSE(Allowed()) << "its policies are not";
}

TEST_F(PolicyPlaneTest, PodsOfADeletedNamespaceStayDeniedByItsPolicies) {
  const api::Resource ns =
      FromYaml("{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {team: web}}}");
  plane_.feed().Put(ns);
  Put(Policy("{selector: all(), types: [Ingress]}"));
  ASSERT_TRUE(plane_.Flush().ok());
  EXPECT_FALSE(Allowed());
  plane_.feed().Delete(ns.key());
  ASSERT_TRUE(plane_.Flush().ok());
  EXPECT_FALSE(Allowed());
}

// ---- what was read beside the loop ----

TEST(ReadAheadTest, GivesEachObjectOfItsPieceItsOwnReadingOnce) {
  std::vector<api::StoredResource> piece;
  for (const char* name : {"a", "b", "c"}) {
    const api::Resource set = FromYaml(absl::StrCat(
        "{apiVersion: projectcalico.org/v3, kind: GlobalNetworkSet, metadata: {name: ", name,
        "}, spec: {nets: [192.0.2.0/24]}}"));
    piece.push_back({set.key(), api::Serialize(set), 7, 7});
  }
  piece[1].value = "\xff";
  piece.push_back({{"IPAMBlock", "", "192-0-2-0-24"}, "of no document", 7, 7});
  ReadAhead ahead({&piece[0], &piece[1], &piece[2], &piece[3]}, "node1");
  const api::StoredResource copy = piece[0];
  EXPECT_EQ(ahead.Take(copy), nullptr) << "it may be another by now";
  // The first is left out, as one that is known already is.
  const Reading* damaged = ahead.Take(piece[1]);
  ASSERT_NE(damaged, nullptr);
  EXPECT_TRUE(absl::IsDataLoss(damaged->resource.status())) << damaged->resource.status();
  const Reading* last = ahead.Take(piece[2]);
  ASSERT_TRUE(last != nullptr && last->resource.ok() && last->model.ok());
  EXPECT_EQ(last->resource->name(), "c");
  EXPECT_EQ(std::get<policy::NetworkSet>(last->model->at(0)).nets.size(), 1u);
  EXPECT_EQ(ahead.Take(piece[2]), nullptr);
  EXPECT_EQ(ahead.Take(piece[3]), nullptr);
}

TEST(ReadAheadTest, ADocumentUnderAnothersKeyIsDamaged) {
  const api::Resource set = FromYaml(
      "{apiVersion: projectcalico.org/v3, kind: GlobalNetworkSet, metadata: {name: a}, spec: {}}");
  api::ResourceKey key = set.key();
  key.name = "b";
  const Reading reading = ReadStored({key, api::Serialize(set), 7, 7}, "node1");
  EXPECT_TRUE(absl::IsDataLoss(reading.resource.status()));
  EXPECT_TRUE(absl::IsDataLoss(reading.model.status()));
}

}  // namespace
}  // namespace ripstop::agent
