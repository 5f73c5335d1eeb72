// SPDX-License-Identifier: Apache-2.0
//
// The plugin's socket against clients that are slow, broken, hostile or many.
#include "agent/cni/cni_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <filesystem>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "agent/cni/agent_call.h"
#include "agent/cni/wire.h"

namespace ripstop::agent {
namespace {

using ::testing::HasSubstr;

constexpr int kHangMs = 600'000;

class CniServerTest : public ::testing::Test {
 protected:
  void TearDown() override {
    if (loop_ != nullptr) Stop();
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  void Start(CniServerOptions options = {}) {
    char name[] = "/tmp/ripstop-cni-server-XXXXXX";
    folder_ = mkdtemp(name);
    options.path = path_ = folder_ + "/cni.sock";
    loop_ = *EventLoop::Create();
    auto server = CniServer::Start(options, loop_.get(), [this](const v1::CniCall& call) {
      calls_.push_back(call.add().container_id());
      if (during_call_) during_call_();
      v1::CniAnswer answer;
      answer.mutable_add()->set_host_interface(absl::StrCat("for ", call.add().container_id()));
      answer.set_message(std::string(answer_bytes_, 'x'));
      CniOutcome outcome(std::move(answer));
      outcome.not_now = call.add().container_id() == held_;
      return outcome;
    });
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    thread_ = std::thread([this] { EXPECT_TRUE(loop_->RunUntilStopped().ok()); });
  }
  void Stop() {
    loop_->Stop();
    if (thread_.joinable()) thread_.join();
    server_.reset();
  }

  static v1::CniCall Add(const std::string& id) {
    v1::CniCall call;
    call.mutable_add()->set_container_id(id);
    return call;
  }
  static std::string Bytes(const std::string& id) { return WireFrame(Add(id).SerializeAsString()); }
  // A whole call as the plugin makes it.
  void ExpectServed(const std::string& id) {
    v1::CniAnswer answer;
    ASSERT_EQ(CallAgent(path_, Add(id), kHangMs, kHangMs, &answer), CallOutcome::kAnswered);
    EXPECT_EQ(answer.add().host_interface(), "for " + id);
  }
  UniqueFd Connect() {
    UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
    memcpy(address.sun_path, path_.data(), path_.size());
    EXPECT_EQ(connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0)
        << strerror(errno);
    return fd;
  }
  static void Say(const UniqueFd& fd, std::string_view bytes) {
    (void)send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  // All that comes until the other side closes.
  static std::string ReadToEnd(const UniqueFd& fd) {
    std::string all;
    char part[4096];
    while (true) {
      pollfd ready = {fd.get(), POLLIN, 0};
      if (poll(&ready, 1, kHangMs) <= 0) return all + " and hangs";
      const ssize_t got = recv(fd.get(), part, sizeof(part), 0);
      if (got <= 0) return all;
      all.append(part, static_cast<size_t>(got));
    }
  }
  static v1::CniAnswer AnswerIn(const std::string& bytes) {
    v1::CniAnswer answer;
    EXPECT_EQ(ReadWire(bytes).kind, WireState::Kind::kWhole) << bytes.size();
    EXPECT_TRUE(bytes.size() >= kWireHeader && answer.ParseFromString(bytes.substr(kWireHeader)));
    return answer;
  }
  // What the loop's thread sees; also: all that was sent before has been looked at.
  template <typename F>
  auto OnLoop(F function) {
    return *loop_->Call(function);
  }
  size_t Connections() {
    return OnLoop([this] { return server_->connections(); });
  }

  std::string folder_, path_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<CniServer> server_;
  std::thread thread_;
  // Of the loop's thread.
  std::vector<std::string> calls_;
  std::function<void()> during_call_;
  size_t answer_bytes_ = 0;
  std::string held_;  // the call that cannot be served now
};

TEST_F(CniServerTest, ManyClientsAtOnceEachGetTheirOwnAnswer) {
  Start();
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([this, t] {
      for (int i = 0; i < 50; ++i) ExpectServed(absl::StrCat("c", t, "-", i));
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(OnLoop([this] { return calls_.size(); }), 400u);
}

TEST_F(CniServerTest, TheSocketIsForRootOnlyAndALeftOverOneIsReplaced) {
  Start();
  struct stat status{};
  ASSERT_EQ(stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  const auto second =
      OnLoop([this] { return CniServer::Start({.path = path_}, loop_.get(), nullptr).status(); });
  EXPECT_EQ(second.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(second.message(), HasSubstr(path_));
  ExpectServed("still the first");
  // An agent that is killed leaves its socket behind.
  Stop();
  const UniqueFd left(socket(AF_UNIX, SOCK_STREAM, 0));
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  memcpy(address.sun_path, path_.data(), path_.size());
  ASSERT_EQ(bind(left.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  auto loop = *EventLoop::Create();
  EXPECT_TRUE(CniServer::Start({.path = path_}, loop.get(), nullptr).ok());
  EXPECT_EQ(CniServer::Start({.path = std::string(200, 'x')}, loop.get(), nullptr).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(CniServerTest, ACallInPiecesIsPutTogether) {
  Start();
  const std::string bytes = Bytes("in pieces");
  const UniqueFd client = Connect();
  for (const char byte : bytes) {
    Say(client, {&byte, 1});
    (void)Connections();  // each arrives by itself
  }
  EXPECT_EQ(AnswerIn(ReadToEnd(client)).add().host_interface(), "for in pieces");
}

TEST_F(CniServerTest, WhatIsNotACallEndsTheConnectionAndNothingElse) {
  Start();
  const std::string call = Bytes("x");
  const std::string bad[] = {
      "GET / HTTP/1.1\r\n\r\n",
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
      std::string("\0", 1),
      "RSC2" + call.substr(4),
      "RSC1\xff\xff\xff\xff",  // four gigabytes are to follow
      call + call,             // two at once
      call + "x",
  };
  for (const std::string& bytes : bad) {
    const UniqueFd client = Connect();
    Say(client, bytes);
    EXPECT_EQ(ReadToEnd(client), "") << bytes.substr(0, 10);
  }
  EXPECT_EQ(OnLoop([this] { return calls_.size(); }), 0u);
  for (const std::string& message : {std::string("\xff\xff\xff"), std::string()}) {
    const UniqueFd client = Connect();  // framed well, and no message that means a call
    Say(client, WireFrame(message));
    EXPECT_EQ(AnswerIn(ReadToEnd(client)).code(),
              static_cast<int>(absl::StatusCode::kUnimplemented));
  }
  ExpectServed("after all that");
}

TEST_F(CniServerTest, WhatCannotBeServedNowIsAskedAgainBesideTheOthers) {
  held_ = "held";
  Start();
  const UniqueFd waits = Connect();
  Say(waits, Bytes("held"));
  ExpectServed("other");
  const auto asked = [this] {
    return OnLoop([this] { return std::count(calls_.begin(), calls_.end(), "held"); });
  };
  const auto before = asked();
  for (int i = 0; i < kHangMs && asked() == before; ++i) absl::SleepFor(absl::Milliseconds(1));
  EXPECT_GT(asked(), before);
  ExpectServed("another");
  OnLoop([this] { return std::exchange(held_, ""); });
  EXPECT_EQ(AnswerIn(ReadToEnd(waits)).add().host_interface(), "for held");
}

TEST_F(CniServerTest, WhatIsHeldForTooLongGetsItsAnswer) {
  held_ = "held";
  Start({.patience = absl::Milliseconds(50)});
  ExpectServed("held");
}

TEST_F(CniServerTest, RandomBytesNeverReachTheHandlerNorStopTheServer) {
  Start();
  std::mt19937 random(1);
  const std::string call = Bytes("a container id of some length");
  for (int i = 0; i < 2000; ++i) {
    std::string bytes = call;
    for (unsigned flips = 1 + random() % 4; flips > 0; --flips) {
      bytes[random() % 8] = static_cast<char>(random());  // the header
    }
    if (bytes == call) continue;
    const UniqueFd client = Connect();
    Say(client, bytes.substr(0, 1 + random() % bytes.size()));
    if (i % 2 == 0) shutdown(client.get(), SHUT_WR);
  }
  ExpectServed("after all that");
  EXPECT_EQ(OnLoop([this] { return calls_.size(); }), 1u);
}

TEST_F(CniServerTest, AThousandHalfOpenConnectionsKeepNoCallOut) {
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  Start({.connections_max = 64, .patience = absl::Hours(1)});
  const std::string half = Bytes("half").substr(0, 11);
  std::vector<UniqueFd> open;
  for (int i = 0; i < 1000; ++i) {
    open.push_back(Connect());
    if (i % 3 != 0) Say(open.back(), half);
    if (i % 100 == 0) ExpectServed(absl::StrCat("beside ", i));
  }
  ExpectServed("beside them all");
  EXPECT_LE(Connections(), 64u);
  // Who came last and goes on is still served.
  Say(open.back(), Bytes("half").substr(open.size() % 3 == 1 ? 0 : 11));
  EXPECT_EQ(AnswerIn(ReadToEnd(open.back())).add().host_interface(), "for half");
  EXPECT_EQ(ReadToEnd(open.front()), "") << "the oldest gave way";
}

// The control: without a limit on connections they pile up.
TEST_F(CniServerTest, WithoutALimitHalfOpenConnectionsStay) {
  Start({.connections_max = 10'000, .patience = absl::Hours(1)});
  std::vector<UniqueFd> open;
  for (int i = 0; i < 200; ++i) open.push_back(Connect());
  ExpectServed("x");
  EXPECT_EQ(Connections(), 200u);
}

TEST_F(CniServerTest, WhoDoesNotGoOnIsDroppedAfterAWhile) {
  Start({.patience = absl::Milliseconds(50)});
  const UniqueFd silent = Connect(), half = Connect();
  Say(half, Bytes("half").substr(0, 11));
  EXPECT_EQ(ReadToEnd(silent), "");
  EXPECT_EQ(ReadToEnd(half), "");
  EXPECT_EQ(OnLoop([this] { return calls_.size(); }), 0u);
}

TEST_F(CniServerTest, WhoDoesNotTakeItsAnswerHoldsNobodyUp) {
  const size_t large = size_t{4} << 20;  // more than the socket's buffers take
  answer_bytes_ = large;
  Start({.patience = absl::Milliseconds(200)});
  const UniqueFd deaf = Connect();
  Say(deaf, Bytes("deaf"));
  while (OnLoop([this] { return calls_.empty(); })) std::this_thread::yield();
  OnLoop([this] { return answer_bytes_ = 0; });
  ExpectServed("beside it");
  pollfd ready = {deaf.get(), POLLHUP, 0};  // dropped, with most of its answer unsent
  while (poll(&ready, 1, kHangMs) > 0 && (ready.revents & POLLHUP) == 0) {
  }
  EXPECT_LT(ReadToEnd(deaf).size(), large);
}

TEST_F(CniServerTest, ACallWhoseRuntimeGaveUpIsNotRun) {
  std::atomic<bool> go = false, held = false;
  during_call_ = [&] {
    held = true;
    while (!go) std::this_thread::yield();
    during_call_ = nullptr;
  };
  Start();
  std::thread first([this] { ExpectServed("first"); });
  while (!held) std::this_thread::yield();
  {
    const UniqueFd impatient = Connect();
    Say(impatient, Bytes("impatient"));
  }
  go = true;
  first.join();
  ExpectServed("last");
  EXPECT_THAT(OnLoop([this] { return calls_; }), ::testing::ElementsAre("first", "last"));
}

// The loop was held up for longer than clients may take; what they said meanwhile counts.
TEST_F(CniServerTest, ALoopThatWasHeldUpDropsNobodyWhoHasSaidAll) {
  Start({.patience = absl::Milliseconds(20)});
  const UniqueFd client = Connect();
  (void)Connections();
  std::atomic<bool> go = false, held = false;
  loop_->Post([&] {
    held = true;
    while (!go) std::this_thread::yield();
  });
  while (!held) std::this_thread::yield();
  Say(client, Bytes("patient"));
  std::this_thread::sleep_for(std::chrono::milliseconds(60));  // until its time is over
  go = true;
  EXPECT_EQ(AnswerIn(ReadToEnd(client)).add().host_interface(), "for patient");
}

// One call per turn of the loop, so all else has its turn, whichever comes first in it.
TEST_F(CniServerTest, TheLoopDoesOtherThingsBetweenCalls) {
  std::vector<std::string> order;
  std::atomic<bool> go = false;
  during_call_ = [&] {
    order.push_back("call");
    loop_->Post([&] { order.push_back("other"); });
  };
  Start();
  loop_->Post([&] {
    while (!go) std::this_thread::yield();
  });
  std::vector<UniqueFd> clients;
  for (int i = 0; i < 6; ++i) {
    clients.push_back(Connect());
    Say(clients.back(), Bytes("c"));
  }
  go = true;
  for (const UniqueFd& client : clients) (void)ReadToEnd(client);
  (void)Connections();
  ASSERT_EQ(order.size(), 12u);
  for (size_t i = 2; i < order.size(); ++i) {
    EXPECT_FALSE(order[i - 2] == "call" && order[i - 1] == "call" && order[i] == "call") << i;
  }
}

}  // namespace
}  // namespace ripstop::agent
