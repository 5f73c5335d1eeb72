// SPDX-License-Identifier: Apache-2.0
//
// Bad objects among good ones, from the store's bytes to the tables:
//
//   SqliteStore ─watch─▶ StoreSync ─▶ PolicyFeed ─▶ Engine ─▶ FakeDataplane ─▶ TableImage
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "agent/base/testing/from_yaml.h"
#include "agent/dataplane/fake_dataplane.h"
#include "agent/policy/policy_plane.h"
#include "agent/store/store_sync.h"
#include "api/store/sqlite_store.h"
#include "gmock/gmock.h"
#include "policy/tables/table_image.h"

namespace ripstop::agent {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

// An agent as far as policy goes, with pod shop/server.
class Node : public StoreSink {
 public:
  explicit Node(api::Store* store) : sync_("node1", this) {
    EXPECT_TRUE(plane_.Begin().ok());
    policy::Endpoint server;
    server.id = "c1/eth0";
    server.name = "shop/server";
    server.labels = {{"app", "server"},
                     {"projectcalico.org/namespace", "shop"},
                     {"projectcalico.org/orchestrator", "k8s"}};
    server.profiles = {"kns.shop"};
    server.addresses = {*policy::Address::Parse("192.0.2.10")};
    plane_.feed().Attach(server, {7, {2, 0, 0, 0, 0, 7}}, "shop/server", "");
    auto watch = store->WatchFrom({}, 0);
    EXPECT_TRUE(watch.ok()) << watch.status();
    watch_ = *std::move(watch);
    sync_.Opened(watch_->identity(), 0);
    Follow();
    plane_.OnWhole();
    EXPECT_TRUE(plane_.Flush().ok());
  }
  void OnPut(const api::StoredResource& stored) override {
    Reading reading = ReadStored(stored, "node1");
    plane_.feed().PutRead(stored.key, reading);
  }
  void OnDelete(const api::ResourceKey& key) override { plane_.feed().Delete(key); }

  void Follow() {
    const auto events = watch_->Next();
    ASSERT_TRUE(events.ok()) << events.status();
    sync_.Take(*events, absl::Now());
    ASSERT_TRUE(plane_.Flush().ok());
  }
  bool Allows(const char* client, uint16_t port = 80) {
    policy::TableImage image;
    image.Apply(dataplane_.written);
    image.set_l4_table(plane_.engine().l4_table());
    const policy::Packet packet{*policy::Address::Parse(client),
                                *policy::Address::Parse("192.0.2.10"),
                                policy::kProtocolTcp,
                                40000,
                                port,
                                0,
                                0};
    const auto verdict = image.Verdict(policy::Direction::kIngress, packet);
    return verdict.has_value() && verdict->allow();
  }
  std::vector<std::string> set_aside() const { return plane_.feed().set_aside(); }

 private:
  FakeDataplane dataplane_;
  PolicyPlane plane_{"node1", &dataplane_};
  StoreSync sync_;
  std::unique_ptr<api::Watch> watch_;
};

class SetAsideTest : public testing::Test {
 protected:
  void SetUp() override {
    auto opened = api::SqliteStore::Open(file_);
    ASSERT_TRUE(opened.ok()) << opened.status();
    store_ = *std::move(opened);
    Put(Pod("web", "192.0.2.20", "{role: web}"));
    Put(Pod("batch", "192.0.2.21", "{role: batch}"));
    Put(Policy(
        "good",
        "{selector: all(), ingress: [{action: Allow, protocol: TCP, source: {selector: \"role == "
        "'web'\"}, destination: {ports: [80]}}]}"));
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void PutBytes(const api::ResourceKey& key, const std::string& bytes) {
    ASSERT_TRUE(store_->Txn({{api::Mutation::Type::kPut, key, bytes, 0}}).ok());
  }
  void Put(const std::string& yaml) {
    const api::Resource resource = FromYaml(yaml);
    PutBytes(resource.key(), api::Serialize(resource));
  }
  static std::string Pod(const std::string& name, const std::string& ip,
                         const std::string& labels) {
    return "{apiVersion: v1, kind: Pod, metadata: {name: " + name +
           ", namespace: shop, labels: " + labels + "}, status: {phase: Running, podIP: " + ip +
           "}}";
  }
  static std::string Policy(const std::string& name, const std::string& spec) {
    return "{apiVersion: projectcalico.org/v3, kind: NetworkPolicy, metadata: {name: " + name +
           ", namespace: shop}, spec: " + spec + "}";
  }
  // The verdicts that the good policy gives.
  static void ExpectGood(Node& node) {
    EXPECT_TRUE(node.Allows("192.0.2.20"));
    EXPECT_FALSE(node.Allows("192.0.2.20", 81));
    EXPECT_FALSE(node.Allows("192.0.2.21"));
  }

  const std::string folder_ = testing::TempDir() + "/set_aside." + std::to_string(getpid());
  const std::string file_ = (std::filesystem::create_directories(folder_), folder_ + "/store.db");
  std::unique_ptr<api::SqliteStore> store_;
};

TEST_F(SetAsideTest, DamagedBytesOfEveryKindAreNamedAndThoseThatSelectNothingChangeNothing) {
  size_t closed = 0;
  for (const api::KindInfo& kind : api::AllKinds()) {
    PutBytes({kind.store_kind, kind.namespaced ? "shop" : "", "bad"}, "\xff\xff\xff not a message");
  }
  PutBytes({"QosPolicy", "shop", "bad"}, "of a later version");
  Node node(store_.get());
  ASSERT_THAT(node.set_aside(), SizeIs(api::AllKinds().size() + 1));
  for (const std::string& line : node.set_aside()) {
    EXPECT_THAT(line, HasSubstr("bad: ")) << line;
    closed += absl::StrContains(line, "is denied");
  }
  EXPECT_THAT(node.set_aside(),
              testing::Contains("NetworkPolicy shop/bad: the stored bytes are not a NetworkPolicy; "
                                "until it can be read, pods of namespace shop is denied"));
  EXPECT_THAT(node.set_aside(),
              testing::Contains("QosPolicy shop/bad: a kind this version does not know"));
  EXPECT_EQ(closed, 8u) << "four kinds of policy, tier, namespace, service account, pod";
  EXPECT_FALSE(node.Allows("192.0.2.20")) << "they may select the server";
  for (const char* kind : {"NetworkPolicy", "NetworkPolicy.networking.k8s.io"})
    ASSERT_TRUE(store_->Delete({kind, "shop", "bad"}, 0).ok());
  for (const char* kind : {"GlobalNetworkPolicy", "ClusterNetworkPolicy", "Tier"})
    ASSERT_TRUE(store_->Delete({kind, "", "bad"}, 0).ok());
  node.Follow();
  ExpectGood(node);
}

TEST_F(SetAsideTest, AnObjectThatNeverCouldBeReadDeniesWhatItMaySelectAndIsNamedWithPathAndValue) {
  for (const auto& [spec, why] :
       {std::pair("{order: 1, selector: \"role ==\"}",
                  "spec.selector: selector, position 8: found the end; expected a value in "
                  "quotes, such as 'web'"),
        std::pair("{order: 1, ingress: [{action: Deny, source: {nets: [192.0.2.0/33]}}]}",
                  "spec.ingress[0].source.nets[0]: \"192.0.2.0/33\" is not a CIDR"),
        std::pair("{order: 1, ingress: [{action: Permit}]}",
                  "spec.ingress[0].action: \"Permit\" is not Allow, Deny, Pass or Log")}) {
    Put(Policy("bad", spec));
    Node node(store_.get());
    EXPECT_FALSE(node.Allows("192.0.2.20")) << "it stands before the good one";
    EXPECT_THAT(node.set_aside(),
                ElementsAre(absl::StrCat("NetworkPolicy shop/bad: ", why,
                                         "; until it can be read, what it may select of pods of "
                                         "namespace shop is denied")));
  }
}

TEST_F(SetAsideTest, ABadObjectThatSelectsOthersOrStandsLaterCostsOnlyItself) {
  for (const char* spec :
       {"{order: 1, selector: \"role == 'batch'\", ingress: [{action: Permit}]}",
        "{order: 1, ingress: [{action: Allow, protocol: TCP, source: {selector: \"role == "
        "'web'\"}, destination: {ports: [80]}}, {action: Permit}]}",
        "{order: 1, types: [Egress], egress: [{action: Permit}]}"}) {
    Put(Policy("bad", spec));
    Node node(store_.get());
    ExpectGood(node);
    EXPECT_THAT(node.set_aside(), SizeIs(1));
  }
}

TEST_F(SetAsideTest, ANewBadObjectOnARunningAgentIsClosedTooAndOpensWhenItIsCorrectedOrDeleted) {
  Node node(store_.get());
  ExpectGood(node);
  for (const bool deleted : {false, true}) {
    PutBytes({"NetworkPolicy", "shop", "bad"}, "\xff");
    node.Follow();
    EXPECT_FALSE(node.Allows("192.0.2.20"));
    if (deleted) {
      ASSERT_TRUE(store_->Delete({"NetworkPolicy", "shop", "bad"}, 0).ok());
    } else {
      Put(Policy("bad", "{selector: \"role == 'batch'\"}"));
    }
    node.Follow();
    ExpectGood(node);
    EXPECT_THAT(node.set_aside(), IsEmpty());
    if (!deleted) ASSERT_TRUE(store_->Delete({"NetworkPolicy", "shop", "bad"}, 0).ok());
    node.Follow();
  }
}

TEST_F(SetAsideTest, ADocumentUnderTheNameOfAnotherDoesNotReplaceThatOne) {
  PutBytes(
      {"NetworkPolicy", "shop", "bad"},
      api::Serialize(FromYaml(Policy("good", "{selector: all(), ingress: [{action: Allow}]}"))));
  Node node(store_.get());
  EXPECT_FALSE(node.Allows("192.0.2.20")) << "what was meant is not known";
  EXPECT_THAT(node.set_aside(),
              ElementsAre("NetworkPolicy shop/bad: the stored document is that of NetworkPolicy "
                          "shop/good; until it can be read, pods of namespace shop is denied"));
  ASSERT_TRUE(store_->Delete({"NetworkPolicy", "shop", "bad"}, 0).ok());
  node.Follow();
  ExpectGood(node);
}

TEST_F(SetAsideTest, ACorrectedObjectTakesEffectAndIsNamedNoMore) {
  Put(Policy("bad", "{order: 1, ingress: [{action: Permit}]}"));
  Node node(store_.get());
  EXPECT_THAT(node.set_aside(), SizeIs(1));
  Put(Policy("bad", "{order: 1, ingress: [{action: Deny}]}"));
  node.Follow();
  EXPECT_FALSE(node.Allows("192.0.2.20"));
  EXPECT_THAT(node.set_aside(), IsEmpty());
}

TEST_F(SetAsideTest, WhatAGoodObjectMeantStaysWhenItBecomesBadUntilItIsDeleted) {
  Put(Policy("deny", "{order: 1, ingress: [{action: Deny}]}"));
  Node node(store_.get());
  EXPECT_FALSE(node.Allows("192.0.2.20"));
  for (const bool damaged : {false, true}) {
    if (damaged) {
      PutBytes({"NetworkPolicy", "shop", "deny"}, "\xff");
    } else {
      Put(Policy("deny", "{order: 1, ingress: [{action: Permit}]}"));
    }
    node.Follow();
    EXPECT_FALSE(node.Allows("192.0.2.20"));
    EXPECT_THAT(node.set_aside(), ElementsAre(HasSubstr("NetworkPolicy shop/deny: ")));
  }
  // One that remembers nothing: store_plane_test has one that does.
  Node restarted(store_.get());
  EXPECT_FALSE(restarted.Allows("192.0.2.20"));
  EXPECT_THAT(restarted.set_aside(), ElementsAre(HasSubstr("NetworkPolicy shop/deny: ")));
  ASSERT_TRUE(store_->Delete({"NetworkPolicy", "shop", "deny"}, 0).ok());
  node.Follow();
  ExpectGood(node);
  EXPECT_THAT(node.set_aside(), IsEmpty());
}

TEST_F(SetAsideTest, ABadPodKeepsItsLastLabelsAndABadTierItsPlace) {
  Node node(store_.get());
  PutBytes({"Pod", "shop", "web"}, "\xff");
  Put("{apiVersion: projectcalico.org/v3, kind: Tier, metadata: {name: default}, spec: "
      "{defaultAction: Pass}}");
  node.Follow();
  ExpectGood(node);
  EXPECT_THAT(
      node.set_aside(),
      ElementsAre(HasSubstr("Pod shop/web: "),
                  "Tier default: spec.defaultAction: \"Pass\" cannot change for a built-in tier"));
}

TEST_F(SetAsideTest, ARuleOfALaterVersionFailsClosedAloneAndIsNamed) {
  api::Resource later = FromYaml(Policy(
      "good",
      "{selector: all(), ingress: [{action: Allow, source: {selector: \"role == 'batch'\"}}, "
      "{action: Allow, "
      "protocol: TCP, source: {selector: \"role == 'web'\"}, destination: {ports: [80]}}]}"));
  auto* rule = later.MutableAs<api::v1::NetworkPolicy>()->mutable_spec()->mutable_ingress(0);
  rule->GetReflection()->MutableUnknownFields(rule)->AddVarint(19'000, 1);
  PutBytes(later.key(), api::Serialize(later));
  Node node(store_.get());
  ExpectGood(node);
  EXPECT_THAT(node.set_aside(), ElementsAre("NetworkPolicy shop/good: ingress rule 0 has a field "
                                            "or peer that this version does not know; "
                                            "it matches nothing"));
  Put(Policy("good", "{selector: all()}"));
  node.Follow();
  EXPECT_THAT(node.set_aside(), IsEmpty());
}

}  // namespace
}  // namespace ripstop::agent
