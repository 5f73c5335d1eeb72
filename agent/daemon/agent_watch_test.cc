// SPDX-License-Identifier: Apache-2.0
//
// Watching flows through the agent's socket.
#include <arpa/inet.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "agent/daemon/testing_agent.h"
#include "agent/policy/flow_watchers.h"

namespace ripstop::agent {
namespace {

class AgentWatchTest : public AgentTest {
 protected:
  void SetUp() override {
    AgentTest::SetUp();
    if (IsSkipped()) return;
    MakeStore();
  }
  // `events` of new flows, by destination ports that count on from `first`.
  static void Tell(RunningAgent& agent, uint16_t first, int events) {
    Push(agent, first, events);
    agent.StagedPolicies();
  }
  static void Push(RunningAgent& agent, uint16_t first, int events) {
    agent.Datapath([&](FakeDataplane& dataplane) {
      for (int i = 0; i < events; ++i) {
        flow_event event = {};
        event.type = FLOW_EVENT_NEW;
        event.protocol = policy::kProtocolTcp;
        event.source.words[3] = 1;
        event.destination_port = htons(static_cast<uint16_t>(first + i));
        dataplane.events.push_back(event);
      }
      return 0;
    });
  }
  static std::pair<bool, bool> Watched(RunningAgent& agent) {
    return agent.Datapath([](FakeDataplane& dataplane) {
      return std::pair(dataplane.settings.watch_flows, dataplane.settings.watch_closed);
    });
  }
  static constexpr std::pair<bool, bool> kAll = {true, true}, kNone = {false, false};
};

TEST_F(AgentWatchTest, TheDatapathTellsOfEveryFlowWhileSomebodyWatches) {
  RunningAgent agent(options_, false);
  ASSERT_TRUE(agent.UntilReady());
  EXPECT_EQ(Watched(agent), kNone);
  Tell(agent, 79, 1);
  grpc::ClientContext context;
  v1::WatchFlowsReply reply;
  const auto watch = agent.Watch(&context);
  ASSERT_TRUE(watch->Read(&reply));
  EXPECT_FALSE(reply.has_event()) << "it says only that it has begun";
  EXPECT_EQ(Watched(agent), kAll);
  Tell(agent, 80, 2);
  for (const uint32_t port : {80u, 81u}) {
    ASSERT_TRUE(watch->Read(&reply));
    EXPECT_EQ(reply.event().destination_port(), port);
    EXPECT_EQ(reply.event().event(), "new");
  }
  {
    grpc::ClientContext second;
    const auto other = agent.Watch(&second);
    ASSERT_TRUE(other->Read(&reply));
    Tell(agent, 82, 1);
    ASSERT_TRUE(other->Read(&reply));
    EXPECT_EQ(reply.event().destination_port(), 82u) << "what came before is not its own";
    second.TryCancel();
    EXPECT_EQ(other->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  ASSERT_TRUE(watch->Read(&reply));
  EXPECT_EQ(reply.event().destination_port(), 82u);
  EXPECT_EQ(Watched(agent), kAll) << "one still watches";
  context.TryCancel();
  watch->Finish();
  EXPECT_TRUE(agent.Until([&](const auto&) { return Watched(agent) == kNone; }));
}

// The kernel tells at most once in EVENT_WAKE_NS that there are events.
TEST_F(AgentWatchTest, AnEventOfWhichNobodyIsToldIsReadAllTheSame) {
  RunningAgent agent(options_, false);
  ASSERT_TRUE(agent.UntilReady());
  grpc::ClientContext context;
  v1::WatchFlowsReply reply;
  const auto watch = agent.Watch(&context);
  ASSERT_TRUE(watch->Read(&reply));
  Tell(agent, 80, 1);
  ASSERT_TRUE(watch->Read(&reply));
  agent.StagedPolicies();  // looks, and finds nothing
  Push(agent, 81, 1);
  ASSERT_TRUE(watch->Read(&reply));
  EXPECT_EQ(reply.event().destination_port(), 81u);
  context.TryCancel();
  watch->Finish();
}

TEST_F(AgentWatchTest, ASlowReaderMissesEventsOfWhichItIsToldAndHoldsUpNobody) {
  RunningAgent agent(options_, false);
  ASSERT_TRUE(agent.UntilReady());
  grpc::ClientContext slow_context, quick_context;
  v1::WatchFlowsReply reply;
  const auto slow = agent.Watch(&slow_context);
  const auto quick = agent.Watch(&quick_context);
  ASSERT_TRUE(slow->Read(&reply));
  ASSERT_TRUE(quick->Read(&reply));
  constexpr uint64_t kPart = 500, kParts = 60;
  for (uint64_t part = 0; part < kParts; ++part) {
    Tell(agent, 1, kPart);
    for (uint64_t i = 1; i <= kPart; ++i) {
      ASSERT_TRUE(quick->Read(&reply));
      ASSERT_EQ(reply.event().destination_port(), i);
    }
  }
  uint64_t read = 0, lost = 0;
  while (read + lost < kPart * kParts) {
    ASSERT_TRUE(slow->Read(&reply));
    read += reply.has_event() ? 1 : 0;
    lost += reply.lost().by_watcher();
  }
  EXPECT_EQ(read + lost, kPart * kParts);
  EXPECT_GT(lost, 0u);
  EXPECT_GE(read, FlowStream::kRoom);
  slow_context.TryCancel();
  quick_context.TryCancel();
  slow->Finish();
  quick->Finish();
}

// Those that wait for gRPC's callbacks sleep a tenth of a second at a time, and all sockets of the
// server are theirs.
TEST_F(AgentWatchTest, NoThreadOfGrpcKeepsAnswersBack) {
  RunningAgent agent(options_, false);
  ASSERT_TRUE(agent.UntilReady());
  grpc::ClientContext context;
  v1::WatchFlowsReply reply;
  const auto watch = agent.Watch(&context);
  ASSERT_TRUE(watch->Read(&reply));
  int threads = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string name;
    std::getline(std::ifstream(task.path() / "comm"), name);
    EXPECT_NE(name, "nexting_thread");
    ++threads;
  }
  EXPECT_GT(threads, 1);
  context.TryCancel();
  watch->Finish();
}

TEST_F(AgentWatchTest, SoManyMayWatchAndTheAgentEndsThoughTheyDo) {
  auto agent = std::make_unique<RunningAgent>(options_, false);
  ASSERT_TRUE(agent->UntilReady());
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReader<v1::WatchFlowsReply>>> watches;
  v1::WatchFlowsReply reply;
  for (size_t i = 0; i < FlowWatchers::kMax; ++i) {
    contexts.push_back(std::make_unique<grpc::ClientContext>());
    watches.push_back(agent->Watch(contexts.back().get()));
    ASSERT_TRUE(watches.back()->Read(&reply));
  }
  grpc::ClientContext refused;
  const grpc::Status status = agent->Watch(&refused)->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << status.error_message();
  // Some have more to read than they do.
  Tell(*agent, 1, 5000);
  agent.reset();
  for (const auto& watch : watches) {
    while (watch->Read(&reply)) continue;
    EXPECT_FALSE(watch->Finish().ok());
  }
}

}  // namespace
}  // namespace ripstop::agent
