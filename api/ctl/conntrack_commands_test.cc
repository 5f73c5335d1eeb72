// SPDX-License-Identifier: Apache-2.0
//
// conntrack against a server that answers in parts, as the agent does.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>
#include <vector>

#include "api/ctl/testing_agent.h"
#include "api/proto/agent.grpc.pb.h"

namespace ripstop::ctl {
namespace {

using agent::v1::EndFlowsReply;
using agent::v1::Flow;
using agent::v1::FlowsReply;
using agent::v1::FlowsRequest;
using testing::ElementsAre;
using testing::HasSubstr;

struct FakeConntrack : agent::v1::Agent::Service {
  std::vector<Flow> flows;  // a part each
  std::vector<FlowsRequest> asked;

  grpc::Status Flows(grpc::ServerContext*, const FlowsRequest* request,
                     FlowsReply* reply) override {
    asked.push_back(*request);
    if (flows.empty()) return grpc::Status::OK;
    *reply->add_flows() = flows[request->part()];
    reply->set_next(request->part() + 1 < flows.size() ? request->part() + 1 : 0);
    return grpc::Status::OK;
  }
  grpc::Status EndFlows(grpc::ServerContext*, const FlowsRequest* request,
                        EndFlowsReply* reply) override {
    asked.push_back(*request);
    if (request->part() == 2) return {grpc::StatusCode::INTERNAL, "run flow_end: boom"};
    reply->set_ended(1);
    reply->set_next(request->part() + 1 < flows.size() ? request->part() + 1 : 0);
    return grpc::Status::OK;
  }
};

class ConntrackTest : public WithAgent<FakeConntrack> {
 protected:
  ConntrackTest() {
    Flow flow;
    flow.set_protocol("TCP");
    flow.set_source("192.0.2.7");
    flow.set_source_name("shop/web");
    flow.set_source_port(40000);
    flow.set_destination("192.0.2.9");
    flow.set_destination_name("shop/cart");
    flow.set_destination_port(80);
    flow.set_state("established");
    flow.set_idle_ms(3200);
    flow.set_packets_sent(4);
    flow.set_bytes_sent(512);
    flow.set_packets_received(3);
    flow.set_bytes_received(4096);
    flow.set_egress_rule("profile kns.shop egress rule 0");
    flow.set_ingress_rule("NetworkPolicy shop/cart ingress rule 1 (web)");
    agent_.flows.push_back(flow);
    flow.set_protocol("UDP");
    flow.set_source("2001:db8::7");
    flow.set_destination("2001:db8:1::53");
    flow.clear_destination_name();
    flow.set_destination_port(53);
    flow.set_state("half-open");
    flow.set_idle_ms(3 * 3600 * 1000);
    flow.clear_ingress_rule();
    flow.add_notes("passes the host's stack, which may translate it");
    agent_.flows.push_back(flow);
  }
  int Ctl(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "conntrack");
    return WithAgent::Ctl(arguments);
  }
};

TEST_F(ConntrackTest, FlowsOfOneSenderStandTogetherInWhateverOrderTheyCome) {
  Flow other = agent_.flows[0];
  other.set_source_name("shop/api");
  agent_.flows.push_back(other);
  agent_.flows.push_back(agent_.flows[1]);
  agent_.flows.back().set_destination_port(7);
  ASSERT_EQ(Ctl({"list", "-o", "json"}), 0);
  std::vector<std::string> found;
  const auto json = nlohmann::json::parse(out_);
  for (const auto& flow : json["flows"])
    found.push_back(flow["sourceName"].get<std::string>() + " " + flow["destination"].dump() + " " +
                    flow["destinationPort"].dump());
  EXPECT_THAT(found,
              ElementsAre("shop/api \"192.0.2.9\" 80", "shop/web \"192.0.2.9\" 80",
                          "shop/web \"2001:db8:1::53\" 7", "shop/web \"2001:db8:1::53\" 53"));
}

TEST_F(ConntrackTest, AsWhatAFlowLeavesIsAColumnWhereOneIsMasqueraded) {
  agent_.flows[0].set_leaves_as("203.0.113.1");
  agent_.flows[0].set_leaves_as_port(20001);
  EXPECT_EQ(Ctl({"list"}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("SOURCE                           LEAVES AS           DESTINATION"));
  EXPECT_THAT(out_, HasSubstr("shop/web (192.0.2.7:40000)       203.0.113.1:20001   shop/cart"));
  EXPECT_THAT(out_, HasSubstr("shop/web ([2001:db8::7]:40000)   -                   [2001:"));
  EXPECT_EQ(Ctl({"show"}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("  leaves as   203.0.113.1:20001\n"));
}

TEST_F(ConntrackTest, ListReadsEveryPart) {
  EXPECT_EQ(Ctl({"list"}), kExitOk);
  EXPECT_EQ(out_,
            "PROTOCOL   SOURCE                           DESTINATION                STATE         "
            "IDLE    PACKETS SENT   RECEIVED\n"
            "TCP        shop/web (192.0.2.7:40000)       shop/cart (192.0.2.9:80)   established   "
            "3s      4              3\n"
            "UDP        shop/web ([2001:db8::7]:40000)   [2001:db8:1::53]:53        half-open     "
            "3h00m   4              3\n");
  EXPECT_EQ(agent_.asked.size(), 2u);
}

TEST_F(ConntrackTest, WideNamesTheRules) {
  EXPECT_EQ(Ctl({"list", "-o", "wide"}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("512          4096       profile kns.shop egress rule 0; "
                              "NetworkPolicy shop/cart ingress rule 1 (web)"));
}

TEST_F(ConntrackTest, ShowHasOneThingOnALine) {
  EXPECT_EQ(Ctl({"show"}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("TCP 192.0.2.7:40000 -> 192.0.2.9:80\n"
                              "  begun by   shop/web\n"
                              "  to         shop/cart\n"
                              "  state      established, idle for 3s\n"
                              "  sent       4 packets, 512 bytes\n"
                              "  received   3 packets, 4096 bytes\n"
                              "  egress     profile kns.shop egress rule 0\n"
                              "  ingress    NetworkPolicy shop/cart ingress rule 1 (web)\n"));
  EXPECT_THAT(out_, HasSubstr("  to         no endpoint's address\n"));
  EXPECT_THAT(out_, HasSubstr("  note       passes the host's stack"));
}

TEST_F(ConntrackTest, TheFilterIsTheAgentsToUnderstand) {
  EXPECT_EQ(Ctl({"list", "--pod", "shop/web", "--from", "192.0.2.7", "--to", "shop/cart", "-p",
                 "tcp", "--dport", "80", "--state", "established", "-o", "json"}),
            kExitOk);
  const agent::v1::FlowFilter& filter = agent_.asked[0].filter();
  EXPECT_EQ(filter.pod(), "shop/web");
  EXPECT_EQ(filter.from(), "192.0.2.7");
  EXPECT_EQ(filter.to(), "shop/cart");
  EXPECT_EQ(filter.protocol(), "tcp");
  EXPECT_EQ(filter.port(), 80u);
  EXPECT_EQ(filter.state(), "established");
  const auto json = nlohmann::json::parse(out_);
  EXPECT_EQ(json["flows"].size(), 2u);
  EXPECT_EQ(json["flows"][0]["bytesReceived"], 4096);
}

TEST_F(ConntrackTest, NothingFoundIsSaid) {
  agent_.flows.clear();
  EXPECT_EQ(Ctl({"list"}), kExitOk);
  EXPECT_EQ(out_, "No such flow on this node.\n");
}

TEST_F(ConntrackTest, FlushNeedsToKnowWhich) {
  EXPECT_EQ(Ctl({"flush"}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("--all"));
  EXPECT_TRUE(agent_.asked.empty());
  EXPECT_EQ(Ctl({"flush", "--pod", "shop/web"}), kExitOk);
  EXPECT_EQ(out_, "2 flows ended.\n");
  EXPECT_EQ(agent_.asked[1].filter().pod(), "shop/web");
}

TEST_F(ConntrackTest, AFlushThatFailsOnTheWaySaysHowFarItCame) {
  agent_.flows.push_back(agent_.flows[0]);
  EXPECT_EQ(Ctl({"flush", "--all"}), kExitError);
  EXPECT_EQ(out_, "2 flows ended before this failed.\n");
  EXPECT_THAT(err_, HasSubstr("boom"));
}

}  // namespace
}  // namespace ripstop::ctl
