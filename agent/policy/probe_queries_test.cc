// SPDX-License-Identifier: Apache-2.0
//
// How what the programs did with a probe reads.
#include "agent/policy/probe_queries.h"

#include <linux/pkt_cls.h>

#include "agent/base/testing/from_yaml.h"
#include "agent/dataplane/fake_dataplane.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ripstop::agent {
namespace {

using ::testing::HasSubstr;

constexpr char kServerPod[] = "192.0.2.10";
constexpr char kClientPod[] = "192.0.2.11";

class ProbeQueriesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(plane_.Begin().ok());
    Attach("server", kServerPod, 4711);
    Attach("client", kClientPod, 4712);
    plane_.feed().Put(FromYaml(
        "{apiVersion: projectcalico.org/v3, kind: NetworkPolicy, metadata: {name: server, "
        "namespace: shop}, spec: {selector: app == 'server', ingress: [{action: Allow, protocol: "
        "TCP, destination: {ports: [80]}}]}}"));
    plane_.OnWhole();
    ASSERT_EQ(plane_.Flush(), absl::OkStatus());
    stage_.program = "from_workload";
    stage_.ifindex = 4712;
    stage_.parsed = true;
    stage_.length = 70;
    stage_.tcp_flags = 2;
    stage_.packet = {*policy::Address::Parse(kClientPod), *policy::Address::Parse(kServerPod),
                     policy::kProtocolTcp, 40000, 80};
    stage_.action = TC_ACT_REDIRECT;
    lookup_.destination.flags = ADDRESS_LOCAL_ENDPOINT;
  }
  void Attach(const std::string& app, const std::string& address, uint32_t ifindex) {
    policy::Endpoint pod;
    pod.id = app + "/eth0";
    pod.name = "shop/" + app;
    pod.labels = {{"app", app},
                  {"projectcalico.org/namespace", "shop"},
                  {"projectcalico.org/orchestrator", "k8s"}};
    pod.addresses = {*policy::Address::Parse(address)};
    plane_.feed().Attach(pod, {ifindex, {2, 0, 0, 0, 0, 7}}, pod.name, "");
  }
  uint32_t Word() {
    for (uint32_t rule = 1; rule < 100; ++rule) {
      const auto identity = plane_.engine().Rule(rule);
      if (identity.has_value() && identity->policy.name == "server") return VERDICT_ALLOW | rule;
    }
    return 0;
  }
  v1::ProbeStage Described() {
    v1::ProbeStage out;
    probe_.Describe(stage_, lookup_, &out);
    return out;
  }
  static std::string Fact(const v1::ProbeStage& stage, const std::string& name) {
    for (const auto& fact : stage.facts()) {
      if (fact.name() == name) return fact.value();
    }
    return "(none)";
  }

  FakeDataplane dataplane_;
  PolicyPlane plane_{"node1", &dataplane_};
  Queries queries_{&plane_, &dataplane_};
  RecentDrops drops_;
  ProbeQueries probe_{&plane_, &dataplane_, &queries_, &drops_, nullptr};
  loader::ProbeStage stage_;
  loader::PacketLookup lookup_;
};

TEST_F(ProbeQueriesTest, ANewFlowNamesAllThatWasRead) {
  stage_.begins_flow = true;
  stage_.source = address_value{.ifindex = 4712, .flags = ADDRESS_LOCAL_ENDPOINT};
  stage_.destination = address_value{.flags = ADDRESS_REMOTE_ENDPOINT};
  stage_.ingress_word = Word();
  lookup_.ingress = loader::SideLookup{.set_index = 5, .address_class = 3, .l4_class = 2};
  const v1::ProbeStage got = Described();
  EXPECT_EQ(got.hook(), "from_workload");
  EXPECT_EQ(got.interface(), "#4712");
  EXPECT_EQ(got.endpoint(), "shop/client");
  EXPECT_EQ(got.verdict(), "Allow");
  EXPECT_EQ(got.next(), "pod");
  EXPECT_EQ(Fact(got, "packet"), "TCP 192.0.2.11:40000 -> 192.0.2.10:80, SYN, 70 bytes");
  EXPECT_EQ(Fact(got, "flow"), "not known; it would begin one");
  EXPECT_EQ(Fact(got, "source"), "endpoint here, at #4712");
  EXPECT_EQ(Fact(got, "destination"), "endpoint of another node");
  EXPECT_EQ(Fact(got, "egress"), "not asked");
  EXPECT_EQ(Fact(got, "ingress classes"), "policy set 5: far address class 3, L4 class 2");
  EXPECT_THAT(Fact(got, "ingress"), HasSubstr("Allow by NetworkPolicy shop/server ingress rule 0"));
}

TEST_F(ProbeQueriesTest, AKnownFlowLooksNothingUp) {
  stage_.flow = flow_value{};
  stage_.flow->life = FLOW_LIFE(FLOW_OPEN, 2, 1);
  stage_.flow_current = true;
  stage_.tcp_flags = 0x10;
  v1::ProbeStage got = Described();
  EXPECT_EQ(Fact(got, "flow"), "known, open, its verdicts are in force");
  EXPECT_EQ(Fact(got, "source"), "not looked up");
  EXPECT_EQ(Fact(got, "ingress classes"), "(none)");
  stage_.flow_current = false;
  EXPECT_THAT(Fact(Described(), "flow"), HasSubstr("judged anew"));
}

TEST_F(ProbeQueriesTest, DropsHaveTheirReasonAndAnAnswerIsOne) {
  stage_.action = TC_ACT_SHOT;
  stage_.reason = DROP_SPOOFED;
  v1::ProbeStage got = Described();
  EXPECT_EQ(got.verdict(), "Drop");
  EXPECT_EQ(got.reason(), "spoofed");
  EXPECT_EQ(got.next(), "");
  stage_.action = TC_ACT_REDIRECT;
  EXPECT_EQ(Described().next(), "answer");
}

TEST_F(ProbeQueriesTest, WhereItWouldGo) {
  EXPECT_EQ(Described().next(), "pod");
  lookup_.destination.flags = 0;
  EXPECT_EQ(Described().next(), "route");
  stage_.action = TC_ACT_OK;
  EXPECT_EQ(Described().next(), "host stack");
  stage_.program = "to_workload";
  EXPECT_EQ(Described().next(), "pod");
}

}  // namespace
}  // namespace ripstop::agent
