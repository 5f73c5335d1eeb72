// SPDX-License-Identifier: Apache-2.0
//
// What ripstopctl asks about policy, with tables that were written to a datapath that only
// remembers.
#include "agent/policy/queries.h"

#include <time.h>

#include <functional>

#include "absl/strings/str_cat.h"
#include "agent/base/testing/from_yaml.h"
#include "agent/dataplane/fake_dataplane.h"
#include "agent/policy/drop_queries.h"
#include "agent/policy/rule_words.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ripstop::agent {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kServer[] = "192.0.2.10";
constexpr char kClient[] = "192.0.2.11";
constexpr char kFar[] = "198.51.100.7";
constexpr char kNobody[] = "203.0.113.9";

// shop/server takes TCP 80 from app: client, of which shop/client is here and shop/far
// elsewhere.
class QueriesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(plane_.Begin().ok());
    Attach("c1", "server", {kServer, "2001:db8::10"});
    Attach("c2", "client", {kClient});
    Put(Remote("node2", "far", kFar));
    Put(kPolicy);
  }
  void Enforce() {
    plane_.OnWhole();
    ASSERT_EQ(plane_.Flush(), absl::OkStatus());
  }
  void Put(const std::string& yaml) { plane_.feed().Put(FromYaml(yaml)); }
  void Attach(const std::string& container, const std::string& app,
              const std::vector<std::string>& addresses) {
    policy::Endpoint pod;
    pod.id = container + "/eth0";
    pod.name = "shop/" + app;
    pod.labels = {{"app", app},
                  {"projectcalico.org/namespace", "shop"},
                  {"projectcalico.org/orchestrator", "k8s"}};
    pod.profiles = {"kns.shop"};
    for (const std::string& address : addresses) {
      pod.addresses.push_back(*policy::Address::Parse(address));
    }
    const auto ifindex = ++ifindex_;
    plane_.feed().Attach(pod, {ifindex, {2, 0, 0, 0, 0, 7}}, pod.name, "");
  }
  static std::string Remote(const std::string& node, const std::string& pod,
                            const std::string& address, const std::string& app = "client") {
    return absl::StrCat(
        "{apiVersion: projectcalico.org/v3, kind: WorkloadEndpoint, metadata: {name: ", node, "-",
        pod, ", namespace: shop, labels: {app: ", app, "}}, spec: {node: ", node,
        ", orchestrator: k8s, pod: ", pod, ", endpoint: eth0, containerID: ", node, pod,
        ", ipNetworks: [", address, "/32], profiles: [kns.shop]}}");
  }

  absl::StatusOr<v1::WhyReply> Ask(const std::string& from, const std::string& to,
                                   uint32_t port = 80) {
    v1::WhyRequest request;
    request.set_from(from);
    request.set_to(to);
    request.set_port(port);
    request.set_icmp_type(-1);
    request.set_icmp_code(-1);
    return queries_.Why(request);
  }
  v1::WhyReply Why(const std::string& from, const std::string& to, uint32_t port = 80) {
    const auto reply = Ask(from, to, port);
    EXPECT_TRUE(reply.ok()) << reply.status();
    return reply.ok() ? *reply : v1::WhyReply();
  }
  // "Deny NetworkPolicy shop/server end of tier", or "-".
  static std::string Said(const v1::WhyDirection& side) {
    if (!side.present()) return "-";
    return absl::StrCat(side.verdict(), " ", side.policy_kind(), " ", side.policy(), " ",
                        side.rule());
  }
  uint32_t RuleId(const std::string& policy, const std::string& rule) {
    for (const auto& [id, identity] : plane_.engine().Rules()) {
      if (PolicyName(identity) == policy && RuleName(identity) == rule) return id;
    }
    ADD_FAILURE() << "no rule " << policy << " " << rule;
    return 0;
  }
  // "shop/server ingress rule 0: 7", of all rules of policies.
  std::vector<std::string> Hits() {
    std::vector<std::string> lines;
    const auto reply = queries_.RuleHits();
    EXPECT_TRUE(reply.ok()) << reply.status();
    if (!reply.ok()) return lines;
    for (const v1::RuleHitsReply::Rule& rule : reply->rules()) {
      if (rule.policy_kind() != "NetworkPolicy") continue;
      const char* when = rule.last_hit_ago_ms() < 0 ? " never" : "";
      lines.push_back(absl::StrCat(rule.policy(), " ", rule.rule(), ": ", rule.packets(), when));
    }
    return lines;
  }

  static constexpr char kPolicy[] =
      "{apiVersion: projectcalico.org/v3, kind: NetworkPolicy, metadata: {name: server, namespace: "
      "shop}, spec: {selector: app == 'server', ingress: [{action: Allow, protocol: TCP, source: "
      "{selector: app == 'client'}, destination: {ports: [80]}}]}}";

  uint32_t ifindex_ = 10;
  FakeDataplane dataplane_;
  PolicyPlane plane_{"node1", &dataplane_};
  Queries queries_{&plane_, &dataplane_};
};

// ---- why ----

TEST_F(QueriesTest, BetweenLocalPodsBothSidesNameTheirRule) {
  Enforce();
  dataplane_.hits[RuleId("shop/server", "ingress rule 0")] = {.packets = 7};
  const v1::WhyReply allowed = Why("shop/client", "shop/server");
  EXPECT_EQ(allowed.verdict(), "Allow");
  EXPECT_EQ(allowed.source_address(), kClient);
  EXPECT_EQ(allowed.destination_address(), kServer);
  EXPECT_EQ(Said(allowed.egress()), "Allow Profile kns.shop egress rule 0");
  EXPECT_EQ(Said(allowed.ingress()), "Allow NetworkPolicy shop/server ingress rule 0");
  EXPECT_EQ(allowed.ingress().tier(), "default");
  EXPECT_EQ(allowed.ingress().packets(), 7u);
  EXPECT_EQ(allowed.note(), "");
  EXPECT_FALSE(allowed.staged().present());

  const v1::WhyReply denied = Why("shop/client", "shop/server", 81);
  EXPECT_EQ(denied.verdict(), "Deny");
  EXPECT_EQ(denied.egress().verdict(), "Allow");
  EXPECT_EQ(Said(denied.ingress()), "Deny NetworkPolicy shop/server end of tier");
  EXPECT_EQ(denied.ingress().packets(), 0u);
}

TEST_F(QueriesTest, WhereOneEndIsElsewhereItSaysWhomToAsk) {
  Enforce();
  const v1::WhyReply from = Why("shop/far", "shop/server");
  EXPECT_EQ(from.verdict(), "Allow here") << "which is half of an answer";
  EXPECT_EQ(Said(from.egress()), "-");
  EXPECT_THAT(from.note(), HasSubstr("shop/far is on another node, whose agent judges its egress"));
  const v1::WhyReply to = Why("shop/server", kFar);
  EXPECT_EQ(Said(to.ingress()), "-");
  EXPECT_THAT(to.note(), HasSubstr("shop/far is on another node, whose agent judges its ingress"));
  const v1::WhyReply outside = Why(kNobody, "shop/server");
  EXPECT_EQ(outside.verdict(), "Deny");
  EXPECT_EQ(outside.note(), "") << "nobody's agent judges it";
  const v1::WhyReply neither = Why(kNobody, "shop/far");
  EXPECT_EQ(neither.verdict(), "Unknown");
  EXPECT_THAT(neither.note(), HasSubstr("neither end is an endpoint of this node"));
}

TEST_F(QueriesTest, WhatCannotBeReadIsNamedWithItsField) {
  Enforce();
  EXPECT_TRUE(absl::IsNotFound(Ask("shop/nobody", kServer).status()));
  EXPECT_THAT(Ask("shop/nobody", kServer).status().message(),
              AllOf(HasSubstr("from 'shop/nobody'"), HasSubstr("get workloadendpoints")));
  EXPECT_TRUE(absl::IsInvalidArgument(Ask(kServer, "server").status()));
  EXPECT_THAT(Ask(kServer, "server").status().message(), HasSubstr("to 'server'"));
  EXPECT_THAT(Ask(kClient, "2001:db8::10").status().message(),
              HasSubstr("shop/client and shop/server have no addresses of one family in common"));

  const auto refused = [&](const std::function<void(v1::WhyRequest&)>& change) {
    v1::WhyRequest request;
    request.set_from(kClient);
    request.set_to(kServer);
    request.set_port(80);
    change(request);
    const absl::Status status = queries_.Why(request).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    return std::string(status.message());
  };
  EXPECT_THAT(refused([](auto& r) { r.set_port(0); }), HasSubstr("port: is missing"));
  EXPECT_THAT(refused([](auto& r) { r.set_protocol("tpc"); }), HasSubstr("protocol 'tpc'"));
  EXPECT_THAT(refused([](auto& r) { r.set_protocol("256"); }), HasSubstr("protocol '256'"));
  EXPECT_THAT(refused([](auto& r) { r.set_ip_version(6); }), HasSubstr("of IPv6 in common"));
  // Cut to the field's bits, they would be an answer about another packet.
  EXPECT_THAT(refused([](auto& r) { r.set_port(65536 + 80); }), HasSubstr("port 65616"));
  EXPECT_THAT(refused([](auto& r) { r.set_source_port(65536); }), HasSubstr("source port 65536"));
  EXPECT_THAT(refused([](auto& r) { r.set_icmp_type(256 + 8); }), HasSubstr("ICMP type 264"));
  EXPECT_THAT(refused([](auto& r) { r.set_icmp_code(256); }), HasSubstr("ICMP code 256"));
}

// A pod's old sandbox may stand for long beside the new one.
TEST_F(QueriesTest, OfTwoEndpointsOfOneNameItIsAboutTheNewestAndSaysSo) {
  Attach("c3", "server", {"192.0.2.12"});
  Enforce();
  const v1::WhyReply reply = Why(kClient, "shop/server");
  EXPECT_EQ(reply.destination_address(), "192.0.2.12");
  EXPECT_EQ(reply.note(),
            "shop/server is 2 endpoints: 192.0.2.12 here, 192.0.2.10 2001:db8::10 here; this is "
            "about the first, ask by address about another");
  EXPECT_EQ(Why(kClient, kServer).note(), "") << "by address there is no doubt";
  // Beside what else there is to say.
  EXPECT_THAT(Why("shop/far", "shop/server").note(),
              AllOf(HasSubstr("another node"), HasSubstr("\nshop/server is 2 endpoints")));
}

TEST_F(QueriesTest, AnAddressThatTwoClaimIsSaidToBeDenied) {
  Put(Remote("node3", "twin", kFar));
  Enforce();
  EXPECT_EQ(Why(kFar, "shop/server").verdict(), "Allow here") << "no policy can tell them apart";
  Put(Remote("node4", "thief", kFar, "thief"));
  Enforce();
  for (const char* from : {kFar, "shop/far", "shop/thief"}) {
    const v1::WhyReply reply = Why(from, "shop/server");
    EXPECT_EQ(reply.verdict(), "Deny") << from;
    EXPECT_EQ(Said(reply.ingress()), "Deny   address claimed by several endpoints") << from;
  }
  EXPECT_EQ(Why("shop/client", "shop/server").verdict(), "Allow");
}

TEST_F(QueriesTest, WhatAStagedPolicyWouldDecideStandsBesideIt) {
  Put("{apiVersion: projectcalico.org/v3, kind: StagedNetworkPolicy, metadata: {name: closed, "
      "namespace: shop}, spec: {order: 1, selector: app == 'server', types: [Ingress], ingress: "
      "[{action: Deny}]}}");
  Enforce();
  const v1::WhyReply reply = Why("shop/client", "shop/server");
  EXPECT_EQ(reply.verdict(), "Allow");
  ASSERT_TRUE(reply.staged().present());
  EXPECT_EQ(reply.staged().verdict(), "Deny");
  EXPECT_EQ(Said(reply.staged().ingress()), "Deny StagedNetworkPolicy shop/closed ingress rule 0");
  EXPECT_EQ(Why(kNobody, kFar).staged().verdict(), "Unknown");
}

// ---- before, and after a failed write ----

TEST_F(QueriesTest, BeforePolicyIsInForceNobodysRulesAreNamed) {
  // An earlier agent's tables are, and what was counted by the numbers of its rules.
  dataplane_.in_force = true;
  for (uint32_t id = 1; id < 20; ++id) dataplane_.hits[id] = {.packets = 100};
  EXPECT_TRUE(absl::IsUnavailable(Ask(kClient, kServer).status()));
  EXPECT_TRUE(absl::IsUnavailable(queries_.RuleHits().status()));
  EXPECT_TRUE(Drops({}, plane_, dataplane_, RecentDrops()).ok());
  EXPECT_THAT(queries_.PolicyTables()->sets(), IsEmpty());
}

TEST_F(QueriesTest, WhileAFailedWriteKeepsAnotherGenerationInForceNoNumberIsGivenToANewRule) {
  Enforce();
  dataplane_.hits[RuleId("shop/server", "ingress rule 0")] = {.packets = 7};
  Put("{apiVersion: projectcalico.org/v3, kind: NetworkPolicy, metadata: {name: a, namespace: "
      "shop}, spec: {selector: all(), types: [Egress], egress: [{action: Deny}]}}");
  dataplane_.next_error = absl::ResourceExhaustedError("rs_arena_v1: no memory");
  ASSERT_FALSE(plane_.Flush().ok());
  dataplane_.refuse_commit = absl::ResourceExhaustedError("rs_arena_v1: no memory");
  ASSERT_FALSE(plane_.Flush().ok()) << "the new generation either";
  EXPECT_TRUE(absl::IsUnavailable(queries_.RuleHits().status()))
      << "what the generation in force counted is not its";
  EXPECT_TRUE(absl::IsUnavailable(Ask(kClient, kServer).status()));
  dataplane_.refuse_commit = absl::OkStatus();
  dataplane_.hits.clear();
  ASSERT_TRUE(plane_.Flush().ok());
  EXPECT_EQ(Why(kClient, kServer).verdict(), "Deny");
  EXPECT_TRUE(queries_.RuleHits().ok());
}

// ---- counters ----

TEST_F(QueriesTest, HitsAreOfTheRulesThatThereAre) {
  Enforce();
  EXPECT_THAT(Hits(), ElementsAre("shop/server ingress rule 0: 0 never",
                                  "shop/server end of tier: 0 never"));
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  const uint64_t now_ns = uint64_t(now.tv_sec) * 1'000'000'000 + uint64_t(now.tv_nsec);
  const uint32_t id = RuleId("shop/server", "ingress rule 0");
  dataplane_.hits[id] = {.packets = 7, .bytes = 700, .last_hit_ns = now_ns};
  dataplane_.hits[12345] = {.packets = 9};  // of a rule that is gone
  EXPECT_THAT(Hits(),
              ElementsAre("shop/server ingress rule 0: 7", "shop/server end of tier: 0 never"));
  const auto all = queries_.RuleHits();
  for (const v1::RuleHitsReply::Rule& rule : all->rules()) EXPECT_NE(rule.packets(), 9u);
  plane_.feed().Delete(FromYaml(kPolicy).key());
  ASSERT_TRUE(plane_.Flush().ok());
  EXPECT_THAT(Hits(), IsEmpty()) << "though its counter still stands";
}

TEST_F(QueriesTest, TablesAreThoseOfEndpointsByName) {
  Enforce();
  const auto reply = queries_.PolicyTables();
  ASSERT_TRUE(reply.ok()) << reply.status();
  std::vector<std::string> lines;
  for (const v1::PolicyTablesReply::Set& set : reply->sets()) {
    std::string line = set.direction();
    for (const std::string& endpoint : set.endpoints()) absl::StrAppend(&line, " ", endpoint);
    for (const auto& largest : set.largest_policies()) {
      absl::StrAppend(&line, "; ", largest.kind(), " ", largest.policy(), " ", largest.rules());
    }
    lines.push_back(line);
  }
  EXPECT_THAT(lines,
              Contains("ingress shop/server; NetworkPolicy shop/server 1; Profile kns.shop 1"));
  EXPECT_GT(reply->address_classes(), 0u);
}

}  // namespace
}  // namespace ripstop::agent
