// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <atomic>
#include <nlohmann/json.hpp>

#include "api/ctl/testing_agent.h"
#include "api/proto/agent.grpc.pb.h"

namespace ripstop::ctl {
namespace {

using agent::v1::DropsReply;
using agent::v1::DropsRequest;
using testing::HasSubstr;
using testing::Not;

struct FakeDrops : agent::v1::Agent::Service {
  DropsReply drops;
  DropsRequest asked;
  grpc::Status error;
  std::function<void(DropsReply&)> between;  // what happens before the next time it is asked

  grpc::Status Drops(grpc::ServerContext*, const DropsRequest* request,
                     DropsReply* reply) override {
    asked = *request;
    *reply = drops;
    if (between) between(drops);
    return error;
  }
};

class DropsCommandTest : public WithAgent<FakeDrops> {
 protected:
  DropsReply::Reason* Reason(const std::string& name, uint64_t packets) {
    DropsReply::Reason* reason = agent_.drops.add_reasons();
    reason->set_name(name);
    reason->set_packets(packets);
    reason->set_bytes(packets * 100);
    reason->set_description("what to do about " + name);
    return reason;
  }
  DropsReply::Loss* Loss(const std::string& pod, const std::string& reason, uint64_t packets) {
    DropsReply::Loss* loss = agent_.drops.add_losses();
    loss->set_pod(pod);
    loss->set_reason(reason);
    loss->set_packets(packets);
    loss->set_bytes(packets * 100);
    return loss;
  }
  void Sample(uint32_t port) {
    DropsReply::Sample* sample = agent_.drops.add_last();
    sample->set_pod("shop/cart");
    sample->set_times(3);
    agent::v1::FlowEvent* event = sample->mutable_event();
    event->set_time("2026-01-02T03:04:05.678Z");
    event->set_reason("policy-ingress");
    event->set_protocol("TCP");
    event->set_source("192.0.2.7");
    event->set_source_name("shop/web");
    event->set_source_port(40000);
    event->set_destination("192.0.2.9");
    event->set_destination_name("shop/cart");
    event->set_destination_port(port);
    event->set_ingress_rule("NetworkPolicy shop/cart end of tier");
  }
};

TEST_F(DropsCommandTest, WhatOccurredIsShownUnlessAllIsAsked) {
  Reason("spoofed", 3);
  Reason("truncated", 0);
  EXPECT_EQ(Ctl({"drops"}), kExitOk);
  EXPECT_EQ(out_,
            "REASON    PACKETS   BYTES   DESCRIPTION\n"
            "spoofed   3         300     what to do about spoofed\n");
  EXPECT_EQ(Ctl({"drops", "--all"}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("truncated"));
  Reason("multicast-listener", 4)->set_expected(true);
  Loss("shop/web", "multicast-listener", 4)->set_expected(true);
  EXPECT_EQ(Ctl({"drops"}), kExitOk);
  EXPECT_THAT(out_, Not(HasSubstr("multicast-listener")));
  EXPECT_EQ(Ctl({"drops", "--all"}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("multicast-listener   4"));
  EXPECT_EQ(Ctl({"drops", "-o", "yaml"}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("packets: 3\n"));
}

TEST_F(DropsCommandTest, PodsAndRulesAreNamed) {
  Reason("policy-ingress", 12);
  Reason("no-flow", 1);
  Loss("shop/web", "policy-ingress", 3);
  Loss("", "policy-ingress", 2);
  Loss("shop/cart", "policy-ingress", 7);
  Loss("", "no-flow", 1)->set_interface("eth0");
  Sample(80);
  EXPECT_EQ(Ctl({"drops"}), kExitOk);
  EXPECT_THAT(
      out_,
      HasSubstr("\nPOD                    REASON           PACKETS   BYTES\n"
                "shop/cart              policy-ingress   7         700\n"
                "shop/web               policy-ingress   3         300\n"
                "(pods that are gone)   policy-ingress   2         200\n"
                "(interface eth0)       no-flow          1         100\n"
                "\n"
                "LAST (UTC)     TIMES   REASON           POD         PROTOCOL   PACKET            "
                "                                       DENIED BY\n"
                "03:04:05.678   3       policy-ingress   shop/cart   TCP        shop/web "
                "(192.0.2.7:40000) -> shop/cart (192.0.2.9:80)   NetworkPolicy shop/cart end of "
                "tier\n"
                "A sample: of a flood some are here, all are counted.\n"));
}

TEST_F(DropsCommandTest, TheTablesAreShortAndLastShowsAll) {
  Reason("policy-ingress", 1000);
  for (int i = 0; i < 30; ++i) Loss("shop/pod-" + std::to_string(i), "policy-ingress", 30 - i);
  for (uint32_t port = 1; port <= 9; ++port) Sample(port);
  EXPECT_EQ(Ctl({"drops"}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("shop/pod-19"));
  EXPECT_THAT(out_, Not(HasSubstr("shop/pod-20")));
  EXPECT_THAT(out_, HasSubstr("10 more: --all, or --pod NAMESPACE/POD\n"));
  EXPECT_THAT(out_, HasSubstr("4 more: --last. A sample"));
  EXPECT_THAT(out_, Not(HasSubstr("192.0.2.9:6)")));
  EXPECT_EQ(Ctl({"drops", "--last"}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("192.0.2.9:9)"));
  EXPECT_THAT(out_, Not(HasSubstr("shop/pod-1 ")));
  agent_.drops.clear_last();
  EXPECT_EQ(Ctl({"drops", "--last"}), kExitOk);
  EXPECT_EQ(out_, "Nothing was dropped since the agent began.\n");
}

TEST_F(DropsCommandTest, ThePodIsTheAgentsToFind) {
  EXPECT_EQ(Ctl({"drops", "--pod", "shop/web"}), kExitOk);
  EXPECT_EQ(agent_.asked.pod(), "shop/web");
  agent_.error = {grpc::StatusCode::NOT_FOUND, "pod 'shop/web': no such endpoint"};
  EXPECT_EQ(Ctl({"drops", "--pod", "shop/web"}), kExitNotFound);
  EXPECT_THAT(err_, HasSubstr("no such endpoint"));
}

TEST_F(DropsCommandTest, AWatchSaysWhatHasMovedAndWhatToDoTheFirstTime) {
  Reason("spoofed", 3);
  Loss("shop/web", "spoofed", 3);
  Loss("shop/cart", "spoofed", 9);
  agent_.between = [](DropsReply& drops) {
    drops.mutable_losses(0)->set_packets(drops.losses(0).packets() + 2);
    drops.mutable_losses(0)->set_bytes(drops.losses(0).bytes() + 200);
  };
  EXPECT_EQ(Ctl({"drops", "--watch", "--count", "2"}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("TIME (UTC)   POD"));
  EXPECT_THAT(out_, HasSubstr("   shop/web           spoofed          +2        +200       what to "
                              "do about spoofed\n"));
  EXPECT_THAT(out_, Not(HasSubstr("shop/cart")));
  EXPECT_EQ(out_.find("what to do"), out_.rfind("what to do"));
  EXPECT_EQ(Ctl({"drops", "--watch", "--count", "1", "-o", "json"}), kExitOk);
  const auto line = nlohmann::json::parse(out_);
  EXPECT_EQ(line["pod"], "shop/web");
  EXPECT_EQ(line["packets"], 2);
  // Nothing moves, and it ends all the same.
  agent_.between = nullptr;
  EXPECT_EQ(Ctl({"drops", "--watch", "--for", "10ms", "-o", "json"}), kExitOk);
  EXPECT_EQ(out_, "");
}

TEST_F(DropsCommandTest, WhatOnlyAWatchHasIsRefusedElsewhere) {
  EXPECT_EQ(Ctl({"drops", "--for", "10s"}), kExitUsage);
  EXPECT_EQ(Ctl({"drops", "--watch", "--for", "soon"}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("10s or 2m"));
  EXPECT_EQ(Ctl({"drops", "--watch", "-o", "yaml"}), kExitUsage);
  EXPECT_EQ(Ctl({"drops", "--watch", "--last"}), kExitUsage);
}

TEST_F(DropsCommandTest, TheKernelsOwnDropsStandBelow) {
  DropsReply::HostReason* reason = agent_.drops.add_host_reasons();
  reason->set_name("NO_SOCKET");
  reason->set_where("pod");
  reason->set_packets(3);
  reason->set_bytes(180);
  reason->set_description("Nobody listens at that port.");
  EXPECT_EQ(Ctl({"drops"}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("The programs dropped nothing."));
  EXPECT_THAT(out_, HasSubstr("NO_SOCKET   pod     3         180     Nobody listens"));
  agent_.drops.clear_host_reasons();
  agent_.drops.set_host_unavailable("this kernel names no reasons");
  EXPECT_EQ(Ctl({"drops"}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("Nothing was dropped."));
  EXPECT_THAT(out_, HasSubstr("is not counted: this kernel names no reasons"));
}

}  // namespace
}  // namespace ripstop::ctl
