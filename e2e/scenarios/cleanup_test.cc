// SPDX-License-Identifier: Apache-2.0
//
// Nothing is left: no process, namespace, pin, mount or folder, also after a crash.
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <functional>

#include "absl/time/clock.h"
#include "e2e/scenarios/demo_lab.h"
#include "policy/base/unique_fd.h"

namespace ripstop::lab {
namespace {

class Cleanup : public DemoLab {
 protected:
  std::vector<ProcessId> Processes() {
    std::vector<ProcessId> all;
    for (const std::string& netns : lab().state().namespaces) {
      for (const ProcessId& id : ProcessesInNetns(netns)) all.push_back(id);
    }
    return all;
  }
  std::string Pins() const { return absl::StrCat(kBpffs, "/ripstop-", name()); }

  void ExpectNothingLeft(const std::vector<ProcessId>& processes) {
    for (const ProcessId& id : processes) EXPECT_FALSE(IsAlive(id)) << "pid " << id.pid;
    EXPECT_TRUE(NamespacesLeft().empty());
    EXPECT_FALSE(std::filesystem::exists(Pins()));
    EXPECT_FALSE(std::filesystem::exists(absl::StrCat(kRunRoot, "/", name())));
  }
};

TEST_F(Cleanup, DownRemovesAgentsBirdsPodsAndPins) {
  const std::vector<ProcessId> processes = Processes();
  ASSERT_GE(processes.size(), 3u + 3u + 9u);  // agents, BIRDs, servers
  ASSERT_TRUE(std::filesystem::exists(Pins()));
  const absl::Status down = Down();
  EXPECT_TRUE(down.ok()) << down;
  ExpectNothingLeft(processes);
}

TEST_F(Cleanup, DownWithoutAnyAgentAliveRemovesTheSame) {
  const std::vector<ProcessId> processes = Processes();
  for (const char* node : {"node1", "node2", "node3"}) {
    ASSERT_TRUE(lab().StopAgent(node, SIGKILL).ok());
  }
  const absl::Status down = Down();
  EXPECT_TRUE(down.ok()) << down;
  ExpectNothingLeft(processes);
}

// As an agent does with BIRD: of what goes, the last sees that the first has gone, and starts it
// again.
TEST_F(Cleanup, WhatIsStartedAgainMeanwhileGoesToo) {
  int held[2];
  ASSERT_EQ(pipe2(held, O_CLOEXEC), 0);
  const UniqueFd reading(held[0]);
  UniqueFd writing(held[1]);
  const UniqueFd netns(
      open(absl::StrCat("/run/netns/rl-", name(), "-node1").c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(netns.ok());
  const auto child = [&](const std::function<void()>& first) {
    const pid_t pid = fork();
    if (pid != 0) return pid;
    if (setns(netns.get(), CLONE_NEWNET) != 0) _exit(1);
    first();
    while (true) pause();
  };
  const pid_t started = child([&] { writing.reset(); });
  // Time for the last one, which is ended after them.
  for (int i = 0; i < 50; ++i) child([&] { writing.reset(); });
  const UniqueFd end(static_cast<int>(syscall(SYS_pidfd_open, started, 0)));
  ASSERT_TRUE(end.ok());
  child([&] {
    pollfd ended{.fd = end.get(), .events = POLLIN, .revents = 0};
    poll(&ended, 1, -1);
    if (fork() < 0) _exit(1);  // the new one holds the pipe as this one does
    alarm(60);                 // should nobody end it
  });
  writing.reset();
  const absl::Status down = Down();
  EXPECT_TRUE(down.ok()) << down;
  pollfd left{.fd = reading.get(), .events = 0, .revents = 0};
  EXPECT_EQ(poll(&left, 1, 0), 1) << "somebody lives";
}

TEST_F(Cleanup, RemovedPodLeavesNothingOnItsNode) {
  const auto links = [&] {
    const auto output = lab().Exec("node1", {"ip", "-o", "link"});
    return output.ok() ? std::count(output->out.begin(), output->out.end(), '\n') : -1;
  };
  const auto before = links();
  const std::string v4 = lab().AddressOf("shop/cart-1", 4).value();
  const std::string v6 = lab().AddressOf("shop/cart-1", 6).value();
  ASSERT_TRUE(lab().RemovePod("shop/cart-1").ok());
  EXPECT_EQ(links(), before - 1);
  EXPECT_FALSE(absl::StrContains(RoutesOf("node1"), v4 + " "));
  EXPECT_FALSE(absl::StrContains(RoutesOf("node1"), v6 + " "));
}

class CrashedUp : public LabTest {};

TEST_F(CrashedUp, DownAfterSigkillOfUpLeavesNothing) {
  std::string text = ReadText(absl::StrCat(RIPSTOP_DEMO_DIR, "/topology.yaml"));
  const std::string bin = FindBinDir("");
  const std::string topology = absl::StrCat(RIPSTOP_DEMO_DIR, "/topology.yaml");
  for (const char* at : {"node1", "shop_cart-1"}) {
    const auto up = Spawn({.argv = {bin + "/ripstop-lab", "--name", name(), "up", topology}},
                          "/dev/null", [](const ProcessId&) { return absl::OkStatus(); });
    ASSERT_TRUE(up.ok()) << up.status();
    const std::string netns = absl::StrCat("/run/netns/rl-", name(), "-", at);
    ASSERT_TRUE(Eventually([&] { return std::filesystem::exists(netns); }));
    ASSERT_TRUE(Stop(*up, SIGKILL, kHang).ok());
    std::vector<ProcessId> processes;
    const auto state = LoadState(name());
    ASSERT_TRUE(state.ok()) << state.status();
    for (const std::string& each : state->namespaces) {
      for (const ProcessId& id : ProcessesInNetns(each)) processes.push_back(id);
    }
    const absl::Status down = Down();
    EXPECT_TRUE(down.ok()) << down;
    for (const ProcessId& id : processes) EXPECT_FALSE(IsAlive(id)) << "pid " << id.pid;
    EXPECT_TRUE(NamespacesLeft().empty());
    EXPECT_FALSE(std::filesystem::exists(absl::StrCat(kBpffs, "/ripstop-", name())));
    EXPECT_FALSE(std::filesystem::exists(absl::StrCat(kRunRoot, "/", name())));
  }
}

}  // namespace
}  // namespace ripstop::lab
