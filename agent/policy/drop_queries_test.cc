// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/drop_queries.h"

#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agent/dataplane/fake_dataplane.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ripstop::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Pods at interfaces that no machine has: their names are numbers.
class DropQueriesTest : public ::testing::Test {
 protected:
  static constexpr uint32_t kWeb = 2'000'000'001, kCart = 2'000'000'002, kUplink = 2'000'000'003;

  void SetUp() override {
    ASSERT_TRUE(plane_.Begin().ok());
    Attach("web", "192.0.2.10", kWeb);
    Attach("cart", "192.0.2.11", kCart);
    dataplane_.drops = {Count(DROP_POLICY_INGRESS, "policy-ingress", 9),
                        Count(DROP_SPOOFED, "spoofed", 0), Count(DROP_NO_FLOW, "no-flow", 4),
                        Count(DROP_MULTICAST_LISTENER, "multicast-listener", 3)};
    dataplane_.interface_drops = {{kWeb, DROP_POLICY_INGRESS, 2, 200},
                                  {kWeb, DROP_MULTICAST_LISTENER, 3, 300},
                                  {kCart, DROP_POLICY_INGRESS, 5, 500},
                                  {kUplink, DROP_NO_FLOW, 4, 400}};
  }
  void Attach(const std::string& app, const std::string& address, uint32_t ifindex) {
    policy::Endpoint pod;
    pod.id = app + "/eth0";
    pod.name = "shop/" + app;
    pod.addresses = {*policy::Address::Parse(address)};
    plane_.feed().Attach(pod, {ifindex, {2, 0, 0, 0, 0, 7}}, pod.name, "");
  }
  static loader::DropCount Count(drop_reason reason, const char* name, uint64_t packets) {
    return {reason, name, absl::StrCat("what ", name, " means"), packets, packets * 100};
  }
  v1::DropsReply Ask(const std::string& pod = "") {
    v1::DropsRequest request;
    request.set_pod(pod);
    auto reply = Drops(request, plane_, dataplane_, recent_);
    EXPECT_TRUE(reply.ok()) << reply.status();
    return reply.value_or(v1::DropsReply());
  }
  static std::vector<std::string> Reasons(const v1::DropsReply& reply) {
    std::vector<std::string> lines;
    for (const v1::DropsReply::Reason& reason : reply.reasons()) {
      lines.push_back(absl::StrCat(reason.name(), " ", reason.packets(), " ", reason.bytes(), " ",
                                   reason.description(), reason.expected() ? " (expected)" : ""));
    }
    return lines;
  }
  static std::vector<std::string> Losses(const v1::DropsReply& reply) {
    std::vector<std::string> lines;
    for (const v1::DropsReply::Loss& loss : reply.losses()) {
      lines.push_back(absl::StrCat(loss.pod(), " ", loss.interface(), " ", loss.reason(), " ",
                                   loss.packets(), " ", loss.bytes(),
                                   loss.expected() ? " (expected)" : ""));
    }
    return lines;
  }
  void Sample(const std::string& pod, const std::string& source, uint32_t port) {
    v1::FlowEvent event;
    event.set_reason("policy-ingress");
    event.set_source_name(source);
    event.set_destination_port(port);
    recent_.Add(event, pod);
  }

  FakeDataplane dataplane_;
  PolicyPlane plane_{"node1", &dataplane_};
  RecentDrops recent_;
};

TEST_F(DropQueriesTest, ReasonsAreWordedAndLossesNamedAndWhatPodsLostThatAreGoneIsLeft) {
  const v1::DropsReply reply = Ask();
  EXPECT_THAT(Reasons(reply),
              ElementsAre("policy-ingress 9 900 what policy-ingress means",
                          "spoofed 0 0 what spoofed means", "no-flow 4 400 what no-flow means",
                          "multicast-listener 3 300 what multicast-listener means (expected)"));
  EXPECT_THAT(Losses(reply),
              ElementsAre("shop/web #2000000001 policy-ingress 2 200",
                          "shop/cart #2000000002 policy-ingress 5 500", "  policy-ingress 2 200",
                          " #2000000003 no-flow 4 400",
                          "shop/web #2000000001 multicast-listener 3 300 (expected)"));
}

TEST_F(DropQueriesTest, OfOnePodTheReasonsAreItsOwn) {
  Sample("shop/cart", "shop/web", 80);
  Sample("shop/cart", "", 81);
  Sample("", "", 82);
  const v1::DropsReply reply = Ask("shop/web");
  EXPECT_THAT(Losses(reply), ElementsAre("shop/web #2000000001 policy-ingress 2 200",
                                         "shop/web #2000000001 multicast-listener 3 300 "
                                         "(expected)"));
  EXPECT_EQ(reply.reasons(0).packets(), 2u);
  EXPECT_EQ(reply.reasons(2).packets(), 0u);
  ASSERT_EQ(reply.last_size(), 1) << "it is the other end of one";
  EXPECT_EQ(reply.last(0).event().destination_port(), 80u);
  EXPECT_EQ(Ask().last_size(), 3);
}

TEST_F(DropQueriesTest, AnUnknownPodIsNamed) {
  v1::DropsRequest request;
  request.set_pod("shop/nobody");
  auto reply = Drops(request, plane_, dataplane_, recent_);
  EXPECT_TRUE(absl::IsNotFound(reply.status()));
  EXPECT_THAT(reply.status().message(), HasSubstr("shop/nobody"));
  request.set_pod("192.0.2.1");
  reply = Drops(request, plane_, dataplane_, recent_);
  EXPECT_TRUE(absl::IsInvalidArgument(reply.status()));
}

TEST_F(DropQueriesTest, APodThatLeavesTakesItsNameWithIt) {
  plane_.feed().Detach("web/eth0");
  EXPECT_EQ(plane_.feed().NameAt(kWeb), "");
  Attach("other", "192.0.2.12", kWeb);
  EXPECT_EQ(plane_.feed().NameAt(kWeb), "shop/other");
}

TEST(RecentDropsTest, TheSameAgainIsOneAndTheNewestComesFirst) {
  RecentDrops drops;
  v1::FlowEvent event;
  event.set_reason("spoofed");
  event.set_destination_port(80);
  event.set_source_port(1);
  drops.Add(event, "shop/web");
  event.set_destination_port(81);
  drops.Add(event, "shop/web");
  event.set_destination_port(80);
  event.set_source_port(2);
  drops.Add(event, "shop/web");
  const auto newest = drops.Newest();
  ASSERT_EQ(newest.size(), 2u);
  EXPECT_EQ(newest[0].times(), 2u);
  EXPECT_EQ(newest[0].event().destination_port(), 80u);
  EXPECT_EQ(newest[0].event().source_port(), 2u);
  EXPECT_EQ(newest[1].times(), 1u);
}

TEST(RecentDropsTest, ThoseLikeAPacketAreOfItsEndsAndItsPortBothWays) {
  const policy::Packet packet = {*policy::Address::Parse("192.0.2.11"),
                                 *policy::Address::Parse("192.0.2.10"), policy::kProtocolTcp, 40000,
                                 80};
  v1::FlowEvent event;
  event.set_protocol("TCP");
  event.set_source("192.0.2.11");
  event.set_destination("192.0.2.10");
  event.set_source_port(1);
  event.set_destination_port(80);
  v1::FlowEvent answer = event;
  answer.set_source(event.destination());
  answer.set_destination(event.source());
  answer.set_source_port(80);
  answer.set_destination_port(5);
  RecentDrops drops;
  drops.Add(event, "shop/web");
  drops.Add(answer, "shop/web");
  for (const auto& change : std::vector<std::function<void(v1::FlowEvent*)>>{
           [](auto* e) { e->set_protocol("UDP"); }, [](auto* e) { e->set_source("192.0.2.12"); },
           [](auto* e) { e->set_destination("192.0.2.12"); },
           [](auto* e) { e->set_destination_port(81); }}) {
    v1::FlowEvent other = event;
    change(&other);
    drops.Add(other, "shop/web");
  }
  const auto like = drops.Like(packet);
  ASSERT_EQ(like.size(), 2u);
  EXPECT_EQ(like[0].event().source(), "192.0.2.10");
  EXPECT_EQ(like[1].event().source(), "192.0.2.11");
  for (uint32_t i = 0; i < 2 * RecentDrops::kAnswered; ++i) {
    event.set_reason(std::to_string(i));
    drops.Add(event, "shop/web");
  }
  EXPECT_EQ(drops.Like(packet).size(), RecentDrops::kAnswered);
  EXPECT_EQ(drops.Like(packet).front().event().reason(), "9") << "the newest first";
}

TEST(RecentDropsTest, AFloodOfOnePodLeavesTheOthersTheirs) {
  RecentDrops drops;
  v1::FlowEvent event;
  event.set_reason("policy-egress");
  drops.Add(event, "shop/quiet");
  for (uint32_t port = 1; port < 20 * RecentDrops::kRoom; ++port) {
    event.set_destination_port(port);
    drops.Add(event, "shop/loud");
  }
  const auto newest = drops.Newest();
  ASSERT_EQ(newest.size(), RecentDrops::kRoom);
  EXPECT_EQ(newest.front().event().destination_port(), 20 * RecentDrops::kRoom - 1);
  EXPECT_EQ(newest.back().pod(), "shop/quiet");
}

}  // namespace
}  // namespace ripstop::agent
