// SPDX-License-Identifier: Apache-2.0
//
// What conntrack asks, of flows that a datapath remembers.
#include "agent/policy/flow_queries.h"

#include <arpa/inet.h>

#include <cstring>

#include "agent/base/testing/from_yaml.h"
#include "agent/dataplane/fake_dataplane.h"
#include "bpf/abi/masquerade.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ripstop::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kServerPod[] = "192.0.2.10";
constexpr char kClientPod[] = "192.0.2.11";

class FlowQueriesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(plane_.Begin().ok());
    Attach("server", kServerPod, 1);
    Attach("client", kClientPod, 2);
    plane_.feed().Put(FromYaml(
        "{apiVersion: projectcalico.org/v3, kind: NetworkPolicy, metadata: {name: server, "
        "namespace: shop}, spec: {selector: app == 'server', ingress: [{action: Allow, protocol: "
        "TCP, destination: {ports: [80]}}]}}"));
    plane_.OnWhole();
    ASSERT_EQ(plane_.Flush(), absl::OkStatus());
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
  // Begun by the higher of the two, the client; `word`: of the server's ingress.
  flow_value& Add(uint16_t port, flow_state state, uint8_t protocol = policy::kProtocolTcp) {
    loader::FlowRecord record;
    const policy::Address server = *policy::Address::Parse(kServerPod);
    const policy::Address client = *policy::Address::Parse(kClientPod);
    std::memcpy(&record.key.address[0], server.bytes.data(), sizeof(ip_address));
    std::memcpy(&record.key.address[1], client.bytes.data(), sizeof(ip_address));
    record.key.port[0] = htons(80);
    record.key.port[1] = htons(port);
    record.key.protocol = protocol;
    record.current = true;
    record.value.initiator = FLOW_HIGH;
    record.value.life = FLOW_LIFE(state, 2, port);
    dataplane_.flows.push_back(record);
    return dataplane_.flows.back().value;
  }
  // All parts together.
  std::vector<v1::Flow> Flows(v1::FlowFilter filter = {}) {
    std::vector<v1::Flow> flows;
    v1::FlowsRequest request;
    *request.mutable_filter() = std::move(filter);
    do {
      const auto reply = queries_.Flows(request);
      EXPECT_TRUE(reply.ok()) << reply.status();
      if (!reply.ok()) return flows;
      flows.insert(flows.end(), reply->flows().begin(), reply->flows().end());
      request.set_part(reply->next());
    } while (request.part() != 0);
    return flows;
  }
  std::vector<uint32_t> Ports(const v1::FlowFilter& filter) {
    std::vector<uint32_t> ports;
    for (const v1::Flow& flow : Flows(filter)) ports.push_back(flow.source_port());
    return ports;
  }
  absl::Status Refused(const v1::FlowFilter& filter) {
    v1::FlowsRequest request;
    *request.mutable_filter() = filter;
    return queries_.Flows(request).status();
  }
  // The word of the one rule, as the tables have it.
  uint32_t Word() {
    for (uint32_t rule = 1; rule < 100; ++rule) {
      const auto identity = plane_.engine().Rule(rule);
      if (identity.has_value() && identity->policy.name == "server") return VERDICT_ALLOW | rule;
    }
    return 0;
  }

  FakeDataplane dataplane_;
  PolicyPlane plane_{"node1", &dataplane_};
  FlowQueries queries_{&plane_, &dataplane_};
};

TEST_F(FlowQueriesTest, AMasqueradedFlowSaysAsWhatItLeaves) {
  flow_value& flow = Add(40000, FLOW_OPEN);
  EXPECT_EQ(Flows().at(0).leaves_as(), "");
  const policy::Address ours = *policy::Address::Parse("203.0.113.1");
  std::memcpy(&flow.translation.address, ours.bytes.data(), sizeof(ip_address));
  flow.translation.port = htons(20001);
  flow.translation.kind = TRANSLATION_NONE;
  EXPECT_EQ(Flows().at(0).leaves_as(), "");
  flow.translation.kind = TRANSLATION_MASQUERADED;
  EXPECT_EQ(Flows().at(0).leaves_as(), "203.0.113.1");
  EXPECT_EQ(Flows().at(0).leaves_as_port(), 20001u);
}

TEST_F(FlowQueriesTest, AFlowNamesItsEndsAndTheRuleThatAdmittedIt) {
  flow_value& flow = Add(40000, FLOW_OPEN);
  flow.sent[FLOW_HIGH] = {.packets = 4, .bytes = 400};
  flow.sent[FLOW_LOW] = {.packets = 3, .bytes = 300};
  flow.side[FLOW_LOW].verdict = Word();
  ASSERT_NE(Word(), 0u);
  const v1::Flow got = Flows().at(0);
  EXPECT_EQ(got.source(), kClientPod);
  EXPECT_EQ(got.source_name(), "shop/client");
  EXPECT_EQ(got.source_port(), 40000u);
  EXPECT_EQ(got.destination_name(), "shop/server");
  EXPECT_EQ(got.destination_port(), 80u);
  EXPECT_EQ(got.protocol(), "TCP");
  EXPECT_EQ(got.state(), "established");
  EXPECT_EQ(got.packets_sent(), 4u);
  EXPECT_EQ(got.bytes_received(), 300u);
  EXPECT_EQ(got.egress_rule(), "");
  EXPECT_THAT(got.ingress_rule(), HasSubstr("shop/server ingress rule 0"));

  dataplane_.flows[0].current = false;
  EXPECT_EQ(Flows().at(0).ingress_rule(), "judged again at its next packet")
      << "its number may be another rule's";
}

TEST_F(FlowQueriesTest, StatesAreTheFlows) {
  Add(1, FLOW_HALF_OPEN);
  Add(2, FLOW_OPEN);
  Add(3, FLOW_OPEN).side[0].tcp_flags = 1;
  flow_value& closed = Add(4, FLOW_OPEN);
  closed.side[0].tcp_flags = closed.side[1].tcp_flags = 1;
  Add(5, FLOW_OPEN).flags = FLOW_RESET;
  const char* states[] = {"half-open", "established", "closing", "closed", "reset"};
  const std::vector<v1::Flow> flows = Flows();
  ASSERT_EQ(flows.size(), 5u) << "in three parts";
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(flows[i].state(), states[i]);
    v1::FlowFilter filter;
    filter.set_state(states[i]);
    EXPECT_THAT(Ports(filter), ElementsAre(i + 1));
  }
}

TEST_F(FlowQueriesTest, AllThatIsGivenMustFit) {
  Add(1, FLOW_OPEN);
  Add(2, FLOW_OPEN, policy::kProtocolUdp);
  v1::FlowFilter filter;
  filter.set_pod("shop/server");
  EXPECT_THAT(Ports(filter), ElementsAre(1, 2));
  filter.set_protocol("udp");
  EXPECT_THAT(Ports(filter), ElementsAre(2));
  filter.set_from("shop/server");
  EXPECT_THAT(Ports(filter), ElementsAre()) << "the client began it";
  filter.set_from(kClientPod);
  filter.set_to("shop/server");
  filter.set_port(80);
  EXPECT_THAT(Ports(filter), ElementsAre(2));
  filter.set_port(81);
  EXPECT_THAT(Ports(filter), ElementsAre());
}

TEST_F(FlowQueriesTest, AFilterThatCannotBeReadIsRefusedByField) {
  v1::FlowFilter filter;
  filter.set_pod("server");
  EXPECT_THAT(Refused(filter).message(), HasSubstr("pod 'server'"));
  filter.set_pod("shop/nobody");
  EXPECT_TRUE(absl::IsNotFound(Refused(filter)));
  filter.Clear();
  filter.set_protocol("tpc");
  EXPECT_THAT(Refused(filter).message(), HasSubstr("protocol 'tpc'"));
  filter.Clear();
  filter.set_state("open");
  EXPECT_THAT(Refused(filter).message(), HasSubstr("established"));
  filter.Clear();
  filter.set_port(65536);
  EXPECT_THAT(Refused(filter).message(), HasSubstr("port 65536"));
}

TEST_F(FlowQueriesTest, OnlyThoseThatFitAreEnded) {
  Add(1, FLOW_OPEN);
  Add(2, FLOW_OPEN, policy::kProtocolUdp);
  v1::FlowsRequest request;
  request.mutable_filter()->set_protocol("17");
  const auto reply = queries_.EndFlows(request);
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->ended(), 1u);
  ASSERT_EQ(dataplane_.ended.size(), 1u);
  EXPECT_EQ(ntohs(dataplane_.ended[0].port[1]), 2);
}

}  // namespace
}  // namespace ripstop::agent
