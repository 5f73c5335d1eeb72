// SPDX-License-Identifier: Apache-2.0
//
// trace against a server that streams as the agent does.
#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <nlohmann/json.hpp>
#include <vector>

#include "absl/synchronization/notification.h"
#include "api/ctl/testing_agent.h"
#include "api/proto/agent.grpc.pb.h"

namespace ripstop::ctl {
namespace {

using agent::v1::TracedPacket;
using agent::v1::TraceReply;
using agent::v1::TraceRequest;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// The server's threads are here before the command is, and would take the signal.
const bool blocked = [] {
  sigset_t interrupt;
  sigemptyset(&interrupt);
  sigaddset(&interrupt, SIGINT);
  return pthread_sigmask(SIG_BLOCK, &interrupt, nullptr) == 0;
}();

struct FakeTracer : agent::v1::Agent::Service {
  std::vector<TraceReply> replies;
  std::vector<TraceRequest> asked;
  bool endless = false;             // goes on until the caller is gone
  std::function<void()> meanwhile;  // once all is told
  absl::Notification gone;

  grpc::Status Trace(grpc::ServerContext* context, const TraceRequest* request,
                     grpc::ServerWriter<TraceReply>* writer) override {
    asked.push_back(*request);
    if (request->reason() == "nonsense")
      return {grpc::StatusCode::INVALID_ARGUMENT, "reason 'nonsense': no drop has it"};
    writer->Write({});
    for (const TraceReply& reply : replies) writer->Write(reply);
    if (meanwhile) meanwhile();
    while (endless && !context->IsCancelled()) usleep(1000);
    if (endless) gone.Notify();
    return grpc::Status::OK;
  }
};

class TraceTest : public WithAgent<FakeTracer> {
 protected:
  TraceTest() {
    TraceReply& reply = agent_.replies.emplace_back();
    TracedPacket* packet = reply.add_packets();
    packet->set_time_ns(1'700'000'000'123'456'789);
    packet->set_hook("from_workload");
    packet->set_ifindex(7);
    packet->set_interface("cali1");
    packet->set_endpoint("shop/web");
    packet->set_packet(0xabcd);
    packet->set_ip_version(4);
    packet->set_protocol("TCP");
    packet->set_source("192.0.2.7");
    packet->set_source_name("shop/web");
    packet->set_source_port(40000);
    packet->set_destination("203.0.113.9");
    packet->set_destination_port(443);
    packet->set_details("SYN");
    packet->set_length(74);
    packet->set_verdict("Drop");
    packet->set_reason("policy-egress");
    packet->set_egress_rule("NetworkPolicy shop/web end of tier");
    packet->set_data("\xff\xfe\x80 not text");
    TracedPacket* other = reply.add_packets();
    other->set_hook("to_host");
    other->set_ifindex(2);
    other->set_verdict("Pass");
    other->set_next("out");
    other->set_length(60);
    reply.set_lost(3);
  }
};

TEST_F(TraceTest, ALineForEachPacketAndWhatWasLost) {
  EXPECT_EQ(Ctl({"trace", "--all"}), 0) << err_;
  EXPECT_THAT(out_, HasSubstr("0000abcd  from_workload shop/web (cali1)"));
  EXPECT_THAT(out_, HasSubstr("shop/web (192.0.2.7:40000)"));
  EXPECT_THAT(out_, HasSubstr("203.0.113.9:443"));
  EXPECT_THAT(out_, HasSubstr("Drop policy-egress"));
  EXPECT_THAT(out_, HasSubstr("NetworkPolicy shop/web end of tier\n"));
  EXPECT_THAT(out_, HasSubstr("to_host #2"));
  EXPECT_THAT(err_, HasSubstr("2 packets; 3 more were lost"));
}

TEST_F(TraceTest, TheFilterHasTheWordsOfConntrack) {
  EXPECT_EQ(
      Ctl({"trace", "--pod", "shop/web", "--from", "192.0.2.7", "--to", "shop/db", "-p", "udp",
           "--port", "53", "--verdict", "drop", "--reason", "policy-egress", "--for", "1.5s"}),
      0)
      << err_;
  const TraceRequest& asked = agent_.asked.at(0);
  EXPECT_EQ(asked.filter().pod(), "shop/web");
  EXPECT_EQ(asked.filter().from(), "192.0.2.7");
  EXPECT_EQ(asked.filter().to(), "shop/db");
  EXPECT_EQ(asked.filter().protocol(), "udp");
  EXPECT_EQ(asked.filter().port(), 53u);
  EXPECT_EQ(asked.verdict(), "drop");
  EXPECT_EQ(asked.reason(), "policy-egress");
  EXPECT_EQ(asked.for_ms(), 1500u);
  EXPECT_EQ(asked.snap_bytes(), 0u);
}

TEST_F(TraceTest, EverythingIsAskedForByName) {
  EXPECT_EQ(Ctl({"trace"}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("--all"));
  EXPECT_EQ(Ctl({"trace", "--all", "--for", "soon"}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("want a time such as 10s"));
  EXPECT_EQ(Ctl({"trace", "--verdict", "maybe"}), kExitUsage);
  EXPECT_TRUE(agent_.asked.empty());
}

TEST_F(TraceTest, WhatTheAgentRefusesIsSaid) {
  EXPECT_EQ(Ctl({"trace", "--reason", "nonsense"}), kExitError);
  EXPECT_THAT(err_, AllOf(HasSubstr("no drop has it"), Not(HasSubstr("packets"))));
  EXPECT_EQ(Ctl({"trace", "--all", "--count", "0"}), kExitUsage);
  // A trace that does not begin costs nobody his file.
  const std::string file = folder_ + "/precious";
  std::ofstream(file) << "precious";
  EXPECT_EQ(Ctl({"trace", "--reason", "nonsense", "-w", file}), kExitError);
  std::stringstream bytes;
  bytes << std::ifstream(file).rdbuf();
  EXPECT_EQ(bytes.str(), "precious");
}

TEST_F(TraceTest, JsonIsAnObjectALine) {
  EXPECT_EQ(Ctl({"trace", "--all", "-o", "json"}), 0) << err_;
  std::istringstream lines(out_);
  std::string line;
  ASSERT_TRUE(std::getline(lines, line));
  const auto packet = nlohmann::json::parse(line);
  EXPECT_EQ(packet["reason"], "policy-egress");
  EXPECT_EQ(packet["sourcePort"], 40000);
  EXPECT_FALSE(packet.contains("data"));
  ASSERT_TRUE(std::getline(lines, line));
  EXPECT_EQ(nlohmann::json::parse(line)["hook"], "to_host");
  EXPECT_FALSE(std::getline(lines, line));
}

TEST_F(TraceTest, CountEndsItAtTheAgentToo) {
  agent_.endless = true;
  EXPECT_EQ(Ctl({"trace", "--all", "--count", "1"}), 0) << err_;
  EXPECT_THAT(err_, HasSubstr("1 packet"));
  EXPECT_THAT(out_, Not(HasSubstr("to_host")));
  agent_.gone.WaitForNotification();
}

TEST_F(TraceTest, CtrlCEndsItWithWhatThereIs) {
  ASSERT_TRUE(blocked);
  agent_.endless = true;
  agent_.meanwhile = [] { kill(getpid(), SIGINT); };
  EXPECT_EQ(Ctl({"trace", "--all", "-w", folder_ + "/trace.pcapng"}), 0) << err_;
  agent_.gone.WaitForNotification();
  EXPECT_EQ(agent_.asked.at(0).snap_bytes(), 256u);
  std::ifstream file(folder_ + "/trace.pcapng", std::ios::binary);
  std::stringstream bytes;
  bytes << file.rdbuf();
  // Whether what was under way arrived is the transport's; the file is whole.
  EXPECT_THAT(err_, HasSubstr("/trace.pcapng, of each 256 bytes at most"));
  EXPECT_EQ(bytes.str().substr(0, 4), "\x0a\x0d\x0d\x0a");
}

TEST_F(TraceTest, TheFileHasTheBytesAndTheVerdictAsComment) {
  EXPECT_EQ(Ctl({"trace", "--all", "-w", folder_ + "/trace.pcapng", "-s", "64"}), 0) << err_;
  EXPECT_EQ(agent_.asked.at(0).snap_bytes(), 64u);
  EXPECT_EQ(out_, "");
  std::ifstream file(folder_ + "/trace.pcapng", std::ios::binary);
  std::stringstream bytes;
  bytes << file.rdbuf();
  EXPECT_THAT(bytes.str(), HasSubstr("\xff\xfe\x80 not text"));
  EXPECT_THAT(bytes.str(), HasSubstr("from_workload shop/web (cali1): Drop policy-egress; from "
                                     "shop/web; egress: NetworkPolicy shop/web end of tier"));
  EXPECT_THAT(bytes.str(), HasSubstr("cali1 from_workload"));
  EXPECT_EQ(Ctl({"trace", "--all", "-w", folder_ + "/none/trace.pcapng"}), kExitError);
  EXPECT_THAT(err_, HasSubstr("cannot be written"));
}

}  // namespace
}  // namespace ripstop::ctl
