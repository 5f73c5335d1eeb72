// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/flow_watchers.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ripstop::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

v1::FlowEvent Event(const std::string& what, uint32_t port, const std::string& verdict = "Allow") {
  v1::FlowEvent event;
  event.set_event(what);
  event.set_verdict(verdict);
  event.set_source_name("shop/web");
  event.set_destination_port(port);
  return event;
}

FlowTraits Traits(const v1::FlowEvent& event) {
  return {.from = {*policy::Address::Parse("192.0.2.7"), event.source_name()},
          .to = {*policy::Address::Parse("192.0.2.9"), event.destination_name()},
          .port = static_cast<uint16_t>(event.destination_port()),
          .protocol = policy::kProtocolTcp,
          .state = ""};
}

std::vector<std::string> Read(FlowStream& stream) {
  std::vector<std::string> lines;
  while (const auto reply = stream.Pop()) {
    lines.push_back(
        reply->has_lost()
            ? absl::StrCat("lost ", reply->lost().by_datapath(), "+", reply->lost().by_watcher())
            : absl::StrCat(reply->event().event(), " ", reply->event().destination_port()));
  }
  return lines;
}

class FlowWatchersTest : public ::testing::Test {
 protected:
  std::shared_ptr<FlowStream> Add(const v1::WatchFlowsRequest& request = {}) {
    auto stream = watchers_.Add(request);
    EXPECT_TRUE(stream.ok()) << stream.status();
    return *stream;
  }
  void Tell(const v1::FlowEvent& event) { watchers_.Tell(event, Traits(event)); }

  FlowWatchers watchers_;
};

TEST_F(FlowWatchersTest, EachHearsWhatItsFilterLetsThrough) {
  v1::WatchFlowsRequest denied, port, pod, address, other;
  denied.set_verdict("Deny");
  port.mutable_filter()->set_port(80);
  port.add_events("new");
  port.add_events("closed");
  pod.mutable_filter()->set_pod("shop/web");
  address.mutable_filter()->set_to("192.0.2.9");
  address.mutable_filter()->set_protocol("tcp");
  other.mutable_filter()->set_from("shop/we");
  const auto all_stream = Add(), denied_stream = Add(denied), port_stream = Add(port),
             pod_stream = Add(pod), address_stream = Add(address), other_stream = Add(other);
  Tell(Event("new", 80));
  Tell(Event("denied", 80, "Deny"));
  Tell(Event("new", 81));
  Tell(Event("closed", 80));
  const std::vector<std::string> all = {"new 80", "denied 80", "new 81", "closed 80"};
  EXPECT_EQ(Read(*all_stream), all);
  EXPECT_THAT(Read(*denied_stream), ElementsAre("denied 80"));
  EXPECT_THAT(Read(*port_stream), ElementsAre("new 80", "closed 80"));
  EXPECT_EQ(Read(*pod_stream), all);
  EXPECT_EQ(Read(*address_stream), all);
  EXPECT_THAT(Read(*other_stream), IsEmpty());
}

TEST_F(FlowWatchersTest, ANameIsWhosesItIsWhenTheFlowIs) {
  v1::WatchFlowsRequest request;
  request.mutable_filter()->set_from("shop/new");
  const auto stream = Add(request);
  v1::FlowEvent event = Event("new", 80);
  Tell(event);
  event.set_source_name("shop/new");
  Tell(event);
  event.set_source_name("shop/new/net1");
  event.set_destination_port(81);
  Tell(event);
  EXPECT_THAT(Read(*stream), ElementsAre("new 80", "new 81"));
}

TEST_F(FlowWatchersTest, WhoReadsTooSlowlyMissesEventsAndIsToldHowMany) {
  const auto slow = Add(), quick = Add();
  for (uint32_t i = 0; i < FlowStream::kRoom + 5; ++i) {
    Tell(Event("new", i));
    EXPECT_THAT(Read(*quick), ElementsAre(absl::StrCat("new ", i)));
  }
  watchers_.LostByDatapath(7);
  std::vector<std::string> lines = Read(*slow);
  ASSERT_EQ(lines.size(), FlowStream::kRoom + 1);
  EXPECT_EQ(lines[0], "lost 7+5");
  EXPECT_EQ(lines[1], "new 0");
  EXPECT_THAT(Read(*quick), ElementsAre("lost 7+0"));
  Tell(Event("new", 1));
  EXPECT_THAT(Read(*slow), ElementsAre("new 1"));
}

TEST_F(FlowWatchersTest, SoManyAtOnceAndOneThatLeavesMakesRoom) {
  std::vector<std::shared_ptr<FlowStream>> streams;
  for (size_t i = 0; i < FlowWatchers::kMax; ++i) streams.push_back(Add());
  const auto refused = watchers_.Add({});
  EXPECT_TRUE(absl::IsResourceExhausted(refused.status())) << refused.status();
  streams[3]->Close();
  streams.push_back(Add());
  Tell(Event("new", 80));
  EXPECT_THAT(Read(*streams[3]), IsEmpty());
  EXPECT_THAT(Read(*streams.back()), ElementsAre("new 80"));
  for (const auto& stream : streams) stream->Close();
  EXPECT_FALSE(watchers_.any());
}

TEST_F(FlowWatchersTest, NewsComeUntilTheStreamIsClosed) {
  const auto stream = Add();
  int news = 0;
  stream->OnNews([&] { ++news; });
  Tell(Event("new", 80));
  EXPECT_EQ(news, 1);
  stream->Close();
  Tell(Event("new", 80));
  EXPECT_EQ(news, 1);
}

TEST_F(FlowWatchersTest, WhatCannotBeReadIsNamed) {
  v1::WatchFlowsRequest request;
  const auto message = [&] { return std::string(watchers_.Add(request).status().message()); };
  request.mutable_filter()->set_pod("web");
  EXPECT_THAT(message(), HasSubstr("namespace/pod"));
  request.mutable_filter()->set_pod("");
  request.mutable_filter()->set_state("closed");
  EXPECT_THAT(message(), HasSubstr("state 'closed'"));
  request.mutable_filter()->set_state("");
  request.set_verdict("allowed");
  EXPECT_THAT(message(), HasSubstr("Allow or Deny"));
  request.set_verdict("");
  request.add_events("opened");
  EXPECT_THAT(message(), HasSubstr("event 'opened'"));
  EXPECT_FALSE(watchers_.any());
}

}  // namespace
}  // namespace ripstop::agent
