// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/flow_watch.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "agent/base/testing/from_yaml.h"
#include "agent/dataplane/fake_dataplane.h"
#include "agent/policy/queries.h"
#include "gmock/gmock.h"
#include "policy/tables/table_image.h"

namespace ripstop::agent {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

constexpr char kServer[] = "192.0.2.10";
constexpr char kClient[] = "192.0.2.20";

// A pod of this node and one far away; the fake datapath tells of flows what the tables
// that were written say of them.
class FlowWatchTest : public testing::Test {
 protected:
  FlowWatchTest() {
    char name[] = "/tmp/ripstop-flow-watch-XXXXXX";
    folder_ = mkdtemp(name);
  }
  ~FlowWatchTest() override { std::filesystem::remove_all(folder_); }
  void SetUp() override {
    ASSERT_TRUE(plane_.Begin().ok());
    plane_.OnWhole();
    policy::Endpoint server{.id = "c1/eth0", .profiles = {"kns.shop"}, .name = "shop/server"};
    server.labels = {{"app", "server"},
                     {"projectcalico.org/namespace", "shop"},
                     {"projectcalico.org/orchestrator", "k8s"}};
    server.addresses = {*policy::Address::Parse(kServer)};
    plane_.feed().Attach(server, {7, {2, 0, 0, 0, 0, 7}}, "shop/server", "");
    auto log = FlowLog::Open({.file = folder_ + "/flows.log"});
    ASSERT_TRUE(log.ok());
    log_ = *std::move(log);
    watch_ = std::make_unique<FlowWatch>(&plane_, &dataplane_, log_.get());
    plane_.BeforeFlush([this] { watch_->Read(now_); });
    Flush();
  }

  void Flush() {
    ASSERT_TRUE(plane_.Flush().ok());
    watch_->Changed(plane_.feed().TakeStagedChanges());
  }
  static api::Resource Doc(const std::string& kind, const std::string& spec,
                           const std::string& name = "p") {
    return FromYaml(absl::StrCat("{apiVersion: projectcalico.org/v3, kind: ", kind,
                                 ", metadata: {name: ", name, ", namespace: shop}, spec: ", spec,
                                 "}"));
  }
  void Put(const std::string& kind, const std::string& spec, const std::string& name = "p") {
    plane_.feed().Put(Doc(kind, spec, name));
    Flush();
  }
  void Delete(const std::string& kind, const std::string& name = "p") {
    plane_.feed().Delete(Doc(kind, "{}", name).key());
    Flush();
  }

  // A flow to the server's port, as the datapath would tell of it. Whether it passes.
  bool Flow(uint16_t port, uint16_t source_port = 40000) {
    policy::TableImage image;
    image.Apply(dataplane_.written);
    image.set_l4_table(plane_.engine().l4_table());
    const policy::Packet packet{*policy::Address::Parse(kClient), *policy::Address::Parse(kServer),
                                policy::kProtocolTcp, source_port, port};
    const auto verdict = image.Verdict(policy::Direction::kIngress, packet);
    flow_event event = {};
    std::memcpy(&event.source, packet.source.bytes.data(), 16);
    std::memcpy(&event.destination, packet.destination.bytes.data(), 16);
    event.source_port = htons(source_port);
    event.destination_port = htons(port);
    event.protocol = packet.protocol;
    event.ingress_verdict = verdict->word;
    event.type = verdict->allow() ? FLOW_EVENT_NEW : FLOW_EVENT_DENIED;
    event.reason = verdict->allow() ? DROP_NONE : DROP_POLICY_INGRESS;
    event.ifindex = verdict->allow() ? 0 : 7;
    event.time_ns = uint64_t{1} << 62;  // now: none is later
    dataplane_.events.push_back(event);
    return verdict->allow();
  }
  v1::StagedPoliciesReply Report() {
    watch_->Read(now_);
    return watch_->Report(now_);
  }
  // The rows as text: "POLICY, RULE: would deny/would allow/unchanged".
  std::vector<std::string> Rows() {
    std::vector<std::string> rows;
    const v1::StagedPoliciesReply reply = Report();
    for (const auto& rule : reply.rules()) {
      rows.push_back(absl::StrCat(rule.policy_kind(), " ", rule.policy(), ", ", rule.rule(), ": ",
                                  rule.would_deny(), "/", rule.would_allow(), "/",
                                  rule.unchanged()));
    }
    return rows;
  }
  std::vector<nlohmann::json> LogLines() {
    std::vector<nlohmann::json> lines;
    std::ifstream in(folder_ + "/flows.log");
    for (std::string line; std::getline(in, line);) lines.push_back(nlohmann::json::parse(line));
    return lines;
  }

  std::string folder_;
  absl::Time now_ = absl::FromUnixSeconds(1'700'000'000);
  FakeDataplane dataplane_;
  PolicyPlane plane_{"node1", &dataplane_};
  std::unique_ptr<FlowLog> log_;
  std::unique_ptr<FlowWatch> watch_;
};

constexpr char kDeny80[] =
    "{types: [Ingress], ingress: [{action: Deny, protocol: TCP, destination: {ports: [80]}}, "
    "{action: Allow}]}";

TEST_F(FlowWatchTest, AStagedDenyIsCountedAndTheFlowStillPasses) {
  EXPECT_FALSE(plane_.staged().active());
  Put("StagedNetworkPolicy", kDeny80);
  EXPECT_TRUE(plane_.staged().active());
  EXPECT_TRUE(Flow(80));
  EXPECT_TRUE(Flow(80, 40001));
  EXPECT_TRUE(Flow(81));
  EXPECT_THAT(Rows(), testing::ElementsAre("StagedNetworkPolicy shop/p, ingress rule 0: 2/0/0",
                                           "StagedNetworkPolicy shop/p, ingress rule 1: 0/0/1"));
  now_ += absl::Seconds(5);
  const auto reply = Report();
  EXPECT_EQ(reply.rules(0).example(), "TCP 192.0.2.20:40001 -> 192.0.2.10:80");
  EXPECT_EQ(reply.rules(0).instead_of(), "profile kns.shop ingress rule 0");
  EXPECT_EQ(reply.rules(0).last_seen_ago_ms(), 5000);
  EXPECT_EQ(reply.rules(1).last_seen_ago_ms(), -1);
  EXPECT_EQ(reply.flows_judged(), 3u);
  ASSERT_EQ(reply.policies_size(), 1);
  EXPECT_EQ(reply.policies(0).action(), "Set");
}

TEST_F(FlowWatchTest, AStagedAllowIsCountedOncePerFlowHoweverOftenItTries) {
  Put("NetworkPolicy", "{types: [Ingress]}");
  Put("StagedNetworkPolicy", kDeny80);
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(Flow(443));
  EXPECT_FALSE(Flow(80));
  EXPECT_THAT(Rows(), testing::ElementsAre("StagedNetworkPolicy shop/p, ingress rule 1: 0/1/0",
                                           "StagedNetworkPolicy shop/p, ingress rule 0: 0/0/1"));
  EXPECT_EQ(Report().rules(0).instead_of(), "NetworkPolicy shop/p end of tier");
  now_ += absl::Minutes(2);
  EXPECT_FALSE(Flow(443));
  EXPECT_EQ(Report().rules(0).would_allow(), 2u) << "long after, another flow";
}

TEST_F(FlowWatchTest, AStagedDeleteIsLaidToWhatWouldDecideInItsStead) {
  Put("NetworkPolicy", "{types: [Ingress]}");
  Put("StagedNetworkPolicy", "{stagedAction: Delete}");
  EXPECT_FALSE(Flow(80));
  EXPECT_THAT(Rows(), testing::ElementsAre("Profile kns.shop, ingress rule 0: 0/1/0"));
  EXPECT_FALSE(Report().rules(0).staged());
  EXPECT_EQ(Report().policies(0).action(), "Delete");
}

TEST_F(FlowWatchTest, TheStagedWorldFollowsTheEnforcedOne) {
  Put("StagedNetworkPolicy", "{order: 10, ingress: [{action: Deny}]}", "staged");
  EXPECT_TRUE(Flow(80));
  EXPECT_THAT(Rows(), SizeIs(1));
  // An enforced policy that comes first allows in both worlds.
  Put("NetworkPolicy", "{order: 1, ingress: [{action: Allow}]}", "first");
  EXPECT_TRUE(Flow(80, 40001));
  EXPECT_EQ(Report().rules(0).would_deny(), 1u);
  Delete("NetworkPolicy", "first");
  EXPECT_TRUE(Flow(80, 40002));
  EXPECT_EQ(Report().rules(0).would_deny(), 2u);
  // A ClusterNetworkPolicy has no staged kind and takes part all the same.
  plane_.feed().Put(
      FromYaml("{apiVersion: v1, kind: Pod, metadata: {name: client, namespace: "
               "shop}, status: {podIP: 192.0.2.20, phase: Running}}"));
  plane_.feed().Put(FromYaml(
      "{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: "
      "{name: "
      "c}, spec: {tier: Admin, priority: 1, subject: {pods: {}}, ingress: [{action: Accept, from: "
      "[{namespaces: {}}]}]}}"));
  Flush();
  EXPECT_TRUE(Flow(80, 40003));
  EXPECT_EQ(Report().rules(0).would_deny(), 2u);
}

TEST_F(FlowWatchTest, AChangedStagedPolicyCountsAnewAndTheLastOneToGoTakesTheTablesAlong) {
  Put("StagedNetworkPolicy", kDeny80);
  Put("StagedNetworkPolicy", "{order: 9, ingress: [{action: Log}]}", "other");
  EXPECT_TRUE(Flow(80));
  EXPECT_EQ(Report().rules(0).would_deny(), 1u);
  Put("StagedNetworkPolicy", "{ingress: [{action: Deny, protocol: UDP}, {action: Allow}]}");
  const v1::StagedPoliciesReply anew = Report();
  for (const auto& rule : anew.rules()) EXPECT_EQ(rule.would_deny(), 0u);
  Delete("StagedNetworkPolicy");
  EXPECT_TRUE(plane_.staged().active());
  Delete("StagedNetworkPolicy", "other");
  EXPECT_FALSE(plane_.staged().active());
  EXPECT_TRUE(Flow(80));
  EXPECT_THAT(Rows(), IsEmpty());
  EXPECT_EQ(Report().flows_judged(), 0u);
}

TEST_F(FlowWatchTest, EventsThatWaitAreReadBeforeTheirRulesAreGivenAway) {
  Put("NetworkPolicy",
      "{ingress: [{action: Log}, {action: Deny, metadata: {annotations: {name: "
      "audit}}}]}");
  EXPECT_FALSE(Flow(80));
  Delete("NetworkPolicy");
  const auto lines = LogLines();
  ASSERT_THAT(lines, SizeIs(1));
  EXPECT_EQ(lines[0]["endpoint"], "shop/server");
  EXPECT_EQ(lines[0]["verdict"], "Deny");
  EXPECT_EQ(lines[0]["policy"], "shop/p");
  EXPECT_EQ(lines[0]["rule"], "ingress rule 1 (audit)");
  EXPECT_EQ(lines[0]["tier"], "default");
  EXPECT_TRUE(Flow(80));
  watch_->Read(now_);
  EXPECT_THAT(LogLines(), SizeIs(1)) << "no Log rule, no line";
}

TEST_F(FlowWatchTest, WhatTheDatapathCouldNotTellIsSaid) {
  dataplane_.events_lost = 3;
  watch_->Tick(now_);
  ASSERT_THAT(LogLines(), SizeIs(1));
  EXPECT_EQ(LogLines()[0]["leftOut"], 3);
  Put("StagedNetworkPolicy", kDeny80);
  dataplane_.events_lost = 10;
  watch_->Tick(now_);
  EXPECT_EQ(Report().flows_not_judged(), 7u);
  EXPECT_EQ(LogLines()[1]["notTold"], 7);
}

TEST(StagedCountsTest, RowsAreBoundedAndTheRestIsCounted) {
  const auto counts = std::make_unique<StagedCounts>();
  policy::RuleIdentity rule{.kind = policy::RuleIdentity::Kind::kRule};
  for (int i = 0; i < 5000; ++i) {
    rule.rule_index = i;
    counts->Count(rule, true, true, false, "f", "r", absl::UnixEpoch());
  }
  EXPECT_EQ(counts->rows().size(), StagedCounts::kRowsMax);
  EXPECT_EQ(counts->unlisted(), 5000 - StagedCounts::kRowsMax);
}

// As the datapath tells of it: a live flow that policy denies from now on, once as changed.
TEST_F(FlowWatchTest, WatchersHearOfFlowsByNameAndRuleAndTheLastDropsAreKept) {
  Put("NetworkPolicy", kDeny80);
  auto stream = *watch_->watchers().Add({});
  EXPECT_FALSE(Flow(80));
  EXPECT_TRUE(Flow(81));
  dataplane_.events.push_back(dataplane_.events[0]);
  dataplane_.events.back().type = FLOW_EVENT_CHANGED;
  dataplane_.events.push_back(dataplane_.events[1]);
  flow_event& closed = dataplane_.events.back();
  closed.type = FLOW_EVENT_CLOSED;
  closed.closed_by = FLOW_CLOSED_RST;
  closed.sent[0] = {.packets = 3, .bytes = 300};
  closed.sent[1] = {.packets = 2, .bytes = 2000};
  flow_event spoofed = dataplane_.events[1];
  spoofed.type = FLOW_EVENT_DROPPED;
  spoofed.reason = DROP_SPOOFED;
  dataplane_.events.push_back(spoofed);
  watch_->Read(now_);

  std::vector<v1::FlowEvent> events;
  while (const auto reply = stream->Pop()) events.push_back(reply->event());
  ASSERT_THAT(events, SizeIs(4)) << "a drop is no event of a flow";
  EXPECT_EQ(events[0].event(), "denied");
  EXPECT_EQ(events[0].verdict(), "Deny");
  EXPECT_EQ(events[0].reason(), "policy-ingress");
  EXPECT_EQ(events[0].source(), kClient);
  EXPECT_EQ(events[0].source_name(), "");
  EXPECT_EQ(events[0].destination_name(), "shop/server");
  EXPECT_EQ(events[0].ingress_rule(), "NetworkPolicy shop/p ingress rule 0");
  EXPECT_EQ(events[0].egress_rule(), "");
  EXPECT_EQ(events[0].time(), "2023-11-14T22:13:20.000Z");
  EXPECT_EQ(events[1].event(), "new");
  EXPECT_EQ(events[1].verdict(), "Allow");
  EXPECT_EQ(events[1].ingress_rule(), "NetworkPolicy shop/p ingress rule 1");
  EXPECT_EQ(events[2].event(), "changed");
  EXPECT_EQ(events[2].verdict(), "Deny");
  EXPECT_EQ(events[3].closed_by(), "RST");
  EXPECT_EQ(events[3].packets_sent(), 3u);
  EXPECT_EQ(events[3].bytes_received(), 2000u);

  const auto drops = watch_->drops().Newest();
  ASSERT_THAT(drops, SizeIs(2));
  EXPECT_EQ(drops[0].event().reason(), "spoofed");
  EXPECT_EQ(drops[0].event().event(), "dropped");
  EXPECT_EQ(drops[1].pod(), "shop/server");
  EXPECT_EQ(drops[1].times(), 2u);
  EXPECT_EQ(drops[1].event().ingress_rule(), "NetworkPolicy shop/p ingress rule 0");
}

TEST_F(FlowWatchTest, WatchersAreToldWhatTheDatapathCouldNotTell) {
  auto stream = *watch_->watchers().Add({});
  dataplane_.events_lost = 12;
  watch_->Tick(now_);
  auto reply = stream->Pop();
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->lost().by_datapath(), 12u);
  watch_->Tick(now_);
  EXPECT_FALSE(stream->Pop().has_value());
}

TEST_F(FlowWatchTest, OnlyFlowsThatBeginOrAreDeniedAreLoggedAndCounted) {
  Put("NetworkPolicy",
      "{types: [Ingress], ingress: [{action: Log}, {action: Allow, protocol: TCP}]}");
  Put("StagedNetworkPolicy", kDeny80, "q");
  EXPECT_TRUE(Flow(80));
  for (const uint8_t type : {FLOW_EVENT_CHANGED, FLOW_EVENT_HEARTBEAT, FLOW_EVENT_CLOSED}) {
    dataplane_.events.push_back(dataplane_.events[0]);
    dataplane_.events.back().type = type;
  }
  EXPECT_EQ(Report().flows_judged(), 1u);
  EXPECT_THAT(LogLines(), SizeIs(1));
}

}  // namespace
}  // namespace ripstop::agent
