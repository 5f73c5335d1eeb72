// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <signal.h>
#include <spdlog/sinks/ostream_sink.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>
#include <vector>

#include "agent/base/event_loop.h"
#include "agent/base/logging.h"
#include "agent/base/netns.h"
#include "agent/base/testing/test_netns.h"

namespace ripstop::agent {
namespace {

std::unique_ptr<EventLoop> NewLoop() {
  auto loop = EventLoop::Create();
  EXPECT_TRUE(loop.ok()) << loop.status();
  return *std::move(loop);
}

TEST(EventLoop, PostedClosuresRunInOrderOnTheLoopThread) {
  auto loop = NewLoop();
  std::vector<int> seen;
  std::thread other([&] {
    for (int i = 0; i < 100; ++i) loop->Post([&seen, i] { seen.push_back(i); });
    loop->Post([&] { loop->Stop(); });
  });
  ASSERT_TRUE(loop->RunUntilStopped().ok());
  other.join();
  ASSERT_EQ(seen.size(), 100u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(seen[i], i);
}

TEST(EventLoop, CallReturnsTheValueAndFailsOnceStopped) {
  auto loop = NewLoop();
  std::thread runner([&] { EXPECT_TRUE(loop->RunUntilStopped().ok()); });
  const auto runner_id = runner.get_id();
  auto got = loop->Call([&] { return std::this_thread::get_id() == runner_id ? 42 : 0; });
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(*got, 42);
  loop->Stop();
  runner.join();
  EXPECT_EQ(loop->Call([] { return 1; }).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(loop->Post([] {}));
}

TEST(EventLoop, CallPendingWhenTheLoopStopsIsReleased) {
  auto loop = NewLoop();
  absl::Status status;
  std::thread caller([&] { status = loop->CallStatus([] { return absl::OkStatus(); }); });
  loop->Stop();
  ASSERT_TRUE(loop->RunUntilStopped().ok());
  caller.join();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
}

TEST(EventLoop, TimersFireInOrderOfDueTimeAndPeriodicOnesRepeatUntilCancelled) {
  auto loop = NewLoop();
  std::string order;
  loop->AddTimer(absl::Milliseconds(8), absl::ZeroDuration(), [&] { order += 'b'; });
  loop->AddTimer(absl::Milliseconds(1), absl::ZeroDuration(), [&] { order += 'a'; });
  const auto cancelled =
      loop->AddTimer(absl::Milliseconds(4), absl::ZeroDuration(), [&] { order += 'x'; });
  int ticks = 0;
  EventLoop::TimerId periodic = 0;
  periodic = loop->AddTimer(absl::Milliseconds(10), absl::Milliseconds(1), [&] {
    if (++ticks == 3) {
      loop->CancelTimer(periodic);  // from its own callback
      loop->AddTimer(absl::Milliseconds(5), absl::ZeroDuration(), [&] { loop->Stop(); });
    }
  });
  loop->CancelTimer(cancelled);
  ASSERT_TRUE(loop->RunUntilStopped().ok());
  EXPECT_EQ(order, "ab");
  EXPECT_EQ(ticks, 3);
}

TEST(EventLoop, WhatIsPostedWhileATimerRunsComesBeforeTheNextTimer) {
  auto loop = NewLoop();
  std::string order;
  loop->AddTimer(absl::ZeroDuration(), absl::ZeroDuration(), [&] {
    order += 'a';
    loop->Post([&] { order += 'p'; });
  });
  loop->AddTimer(absl::ZeroDuration(), absl::ZeroDuration(), [&] {  // due in the same turn
    order += 'b';
    loop->Stop();
  });
  ASSERT_TRUE(loop->RunUntilStopped().ok());
  EXPECT_EQ(order, "apb");
}

TEST(EventLoop, ADescriptorRemovedInTheSameTurnIsNotCalled) {
  auto loop = NewLoop();
  int a[2], b[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, a), 0);
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, b), 0);
  UniqueFd fds[] = {UniqueFd(a[0]), UniqueFd(a[1]), UniqueFd(b[0]), UniqueFd(b[1])};
  int calls = 0;
  const auto once = [&](uint32_t) {
    ++calls;
    loop->RemoveFd(a[0]);
    loop->RemoveFd(b[0]);
  };
  ASSERT_TRUE(loop->AddFd(a[0], EPOLLIN, once).ok());
  ASSERT_TRUE(loop->AddFd(b[0], EPOLLIN, once).ok());
  EXPECT_EQ(loop->AddFd(b[0], EPOLLIN, once).code(), absl::StatusCode::kAlreadyExists);
  ASSERT_EQ(write(a[1], "x", 1), 1);
  ASSERT_EQ(write(b[1], "x", 1), 1);
  ASSERT_TRUE(loop->RunOnce(absl::Seconds(5)).ok());
  EXPECT_EQ(calls, 1);
}

TEST(EventLoop, SignalsArriveAsCallbacks) {
  auto loop = NewLoop();
  int got = 0;
  ASSERT_TRUE(loop->HandleSignals({SIGUSR1},
                                  [&](int signal) {
                                    got = signal;
                                    loop->Stop();
                                  })
                  .ok());
  ASSERT_EQ(raise(SIGUSR1), 0);
  ASSERT_TRUE(loop->RunUntilStopped().ok());
  EXPECT_EQ(got, SIGUSR1);
}

TEST(Logging, JsonLinesSurviveQuotesNewlinesAndBytesThatAreNotText) {
  std::ostringstream out;
  spdlog::logger logger("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(out));
  logger.set_formatter(std::make_unique<JsonFormatter>());
  const std::string odd = "a\"b\nc\xff";
  logger.warn("{}", odd);
  const std::string text = out.str();
  ASSERT_EQ(std::count(text.begin(), text.end(), '\n'), 1) << text;
  const auto line = nlohmann::json::parse(text);
  EXPECT_EQ(line["level"], "warning");
  EXPECT_EQ(line["message"], "a\"b\nc\xEF\xBF\xBD");
}

TEST(Logging, UnknownLevelIsRefused) {
  EXPECT_EQ(InitLogging("t", "loud").code(), absl::StatusCode::kInvalidArgument);
}

TEST(Netns, RunsInsideAndLeavesTheCallerWhereItWas) {
  auto ns = TestNetns::Create();
  if (!ns.ok()) GTEST_SKIP() << "needs CAP_SYS_ADMIN: " << ns.status();
  auto before = OpenCurrentNetns();
  ASSERT_TRUE(before.ok());
  bool inside = false;
  EXPECT_EQ(ns->Run([&] {
                auto now = OpenCurrentNetns();
                inside = now.ok() && SameNetns(now->get(), ns->fd());
                return absl::AbortedError("as returned");
              }).message(),
            "as returned");
  EXPECT_TRUE(inside);
  auto after = OpenCurrentNetns();
  ASSERT_TRUE(after.ok());
  EXPECT_TRUE(SameNetns(before->get(), after->get()));
  EXPECT_TRUE(OpenNetns(ns->path()).ok());
}

TEST(Netns, WhatIsNotANamespaceIsRefusedByName) {
  EXPECT_EQ(OpenNetns("/nonexistent/ns").status().code(), absl::StatusCode::kNotFound);
  const absl::Status status = OpenNetns("/proc/self/status").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("/proc/self/status"), std::string::npos);
}

}  // namespace
}  // namespace ripstop::agent
