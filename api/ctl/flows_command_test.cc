// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "absl/strings/str_cat.h"
#include "api/ctl/testing_agent.h"
#include "api/proto/agent.grpc.pb.h"

namespace ripstop::ctl {
namespace {

using agent::v1::FlowEvent;
using agent::v1::FlowsReply;
using agent::v1::FlowsRequest;
using agent::v1::WatchFlowsReply;
using agent::v1::WatchFlowsRequest;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

struct FakeWatch : agent::v1::Agent::Service {
  std::vector<WatchFlowsReply> replies;
  WatchFlowsRequest asked;
  FlowsRequest listed;
  bool holds = false;  // the stream, until the client is gone
  grpc::Status error;

  grpc::Status WatchFlows(grpc::ServerContext* context, const WatchFlowsRequest* request,
                          grpc::ServerWriter<WatchFlowsReply>* writer) override {
    asked = *request;
    if (!error.ok()) return error;
    // Its own: the test changes them when its client is gone, which the server may learn later.
    const std::vector<WatchFlowsReply> told = replies;
    writer->Write({});
    for (const WatchFlowsReply& reply : told) writer->Write(reply);
    while (holds && !context->IsCancelled()) usleep(1000);
    return grpc::Status::OK;
  }
  grpc::Status Flows(grpc::ServerContext*, const FlowsRequest* request,
                     FlowsReply* reply) override {
    listed = *request;
    reply->add_flows()->set_state("established");
    return grpc::Status::OK;
  }
};

class FlowsCommandTest : public WithAgent<FakeWatch> {
 protected:
  FlowEvent& Add(const std::string& what) {
    FlowEvent& event = *agent_.replies.emplace_back().mutable_event();
    event.set_time("2026-01-02T03:04:05.678Z");
    event.set_event(what);
    event.set_protocol("TCP");
    event.set_source("192.0.2.7");
    event.set_source_name("shop/web");
    event.set_source_port(40000);
    event.set_destination("192.0.2.9");
    event.set_destination_port(80);
    event.set_verdict("Allow");
    event.set_egress_rule("profile kns.shop egress rule 0");
    return event;
  }
  int Ctl(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "flows");
    return WithAgent::Ctl(arguments);
  }
};

TEST_F(FlowsCommandTest, AnEventIsALineAndTheLinesAreAligned) {
  Add("new");
  FlowEvent& denied = Add("denied");
  denied.set_verdict("Deny");
  denied.set_reason("policy-ingress");
  denied.set_destination_name("shop/cart");
  denied.set_ingress_rule("NetworkPolicy shop/cart ingress rule 1 (web)");
  FlowEvent& closed = Add("closed");
  closed.set_closed_by("FIN");
  closed.set_packets_sent(4);
  closed.set_bytes_sent(512);
  closed.set_packets_received(3);
  closed.set_bytes_received(4096);
  EXPECT_EQ(Ctl({"--watch"}), kExitOk);
  const auto line = [](std::string flow, const std::string& start, const std::string& end) {
    return absl::StrCat(start, flow.append(81 - flow.size(), ' '), end, "\n");
  };
  const std::string to_address = "shop/web (192.0.2.7:40000) -> 192.0.2.9:80";
  EXPECT_EQ(out_,
            line("FLOW", "TIME (UTC)     EVENT       PROTOCOL   ", "VERDICT   BY") +
                line(to_address, "03:04:05.678   new         TCP        ",
                     "Allow     profile kns.shop egress rule 0") +
                line("shop/web (192.0.2.7:40000) -> shop/cart (192.0.2.9:80)",
                     "03:04:05.678   denied      TCP        ",
                     "Deny      policy-ingress: profile kns.shop egress rule 0; NetworkPolicy "
                     "shop/cart ingress rule 1 (web)") +
                line(to_address, "03:04:05.678   closed      TCP        ",
                     "Allow     FIN; profile kns.shop egress rule 0; sent 4 packets, 512 bytes, "
                     "received 3, 4096"));
}

TEST_F(FlowsCommandTest, WhatWasLostIsSaid) {
  agent_.replies.emplace_back().mutable_lost()->set_by_datapath(12);
  agent_.replies.back().mutable_lost()->set_by_watcher(3);
  Add("new");
  EXPECT_EQ(Ctl({"--watch"}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("lost                   12 of all flows: more than the datapath "
                              "tells of; 3 of these: read too slowly\n"));
  EXPECT_EQ(Ctl({"--watch", "-o", "json"}), kExitOk);
  std::istringstream lines(out_);
  std::string line;
  std::getline(lines, line);
  EXPECT_EQ(line, R"({"event":"lost","byDatapath":12,"byWatcher":3})");
  std::getline(lines, line);
  const auto event = nlohmann::json::parse(line);
  EXPECT_EQ(event["event"], "new");
  EXPECT_EQ(event["sourceName"], "shop/web");
  EXPECT_EQ(event["destinationPort"], 80);
  EXPECT_FALSE(std::getline(lines, line));
}

TEST_F(FlowsCommandTest, TheFilterIsTheAgentsToUnderstand) {
  EXPECT_EQ(Ctl({"-w", "--pod", "shop/web", "--from", "192.0.2.7", "--to", "shop/cart", "-p", "tcp",
                 "--port", "80", "--verdict", "deny", "--event", "new,denied"}),
            kExitOk);
  EXPECT_EQ(agent_.asked.filter().pod(), "shop/web");
  EXPECT_EQ(agent_.asked.filter().from(), "192.0.2.7");
  EXPECT_EQ(agent_.asked.filter().to(), "shop/cart");
  EXPECT_EQ(agent_.asked.filter().protocol(), "tcp");
  EXPECT_EQ(agent_.asked.filter().port(), 80u);
  EXPECT_EQ(agent_.asked.verdict(), "Deny");
  EXPECT_THAT(agent_.asked.events(), ElementsAre("new", "denied"));
  agent_.error = {grpc::StatusCode::RESOURCE_EXHAUSTED, "flows: 8 watch already"};
  EXPECT_EQ(Ctl({"-w"}), kExitError);
  EXPECT_THAT(err_, HasSubstr("8 watch already"));
}

TEST_F(FlowsCommandTest, AWatchEndsAfterSoManyEventsOrSoLong) {
  agent_.holds = true;
  for (int i = 0; i < 5; ++i) Add("new");
  EXPECT_EQ(Ctl({"--watch", "--count", "2", "-o", "json"}), kExitOk);
  EXPECT_EQ(std::count(out_.begin(), out_.end(), '\n'), 2);
  agent_.replies.clear();
  EXPECT_EQ(Ctl({"--watch", "--for", "500ms"}), kExitOk);
  EXPECT_THAT(out_, StartsWith("TIME (UTC)")) << "so that it is seen to be on";
  EXPECT_EQ(std::count(out_.begin(), out_.end(), '\n'), 1);
  EXPECT_EQ(err_, "");
}

TEST_F(FlowsCommandTest, WithoutWatchItListsTheFlowsThatStand) {
  EXPECT_EQ(Ctl({"--pod", "shop/web", "--state", "established"}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("PROTOCOL   SOURCE"));
  EXPECT_EQ(agent_.listed.filter().pod(), "shop/web");
  EXPECT_EQ(agent_.listed.filter().state(), "established");
  EXPECT_EQ(Ctl({"--for", "10s"}), kExitUsage);
  EXPECT_EQ(Ctl({"--event", "new"}), kExitUsage);
  EXPECT_EQ(Ctl({"--watch", "-o", "yaml"}), kExitUsage);
  EXPECT_EQ(Ctl({"--watch", "--state", "closed"}), kExitUsage);
}

TEST_F(FlowsCommandTest, AnAgentThatGoesEndsTheWatchWithAnError) {
  agent_.error = {grpc::StatusCode::UNAVAILABLE, "going"};
  EXPECT_EQ(Ctl({"--watch", "--for", "1m"}), kExitUnreachable);
  EXPECT_THAT(err_, HasSubstr("no agent answers"));
}

}  // namespace
}  // namespace ripstop::ctl
