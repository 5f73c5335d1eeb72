// SPDX-License-Identifier: Apache-2.0
#include "bgp-bridge/testing/fabric.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gtest/gtest.h"

namespace ripstop::bgp::testing {
namespace {

constexpr char kSelf[] = "/proc/thread-self/ns/net";

UniqueFd OpenNamespace() { return UniqueFd(open(kSelf, O_RDONLY | O_CLOEXEC)); }

}  // namespace

bool Privileged() { return geteuid() == 0 && getpid() == 1; }

Netns::Netns() {
  UniqueFd before = OpenNamespace();
  if (unshare(CLONE_NEWNET) != 0) ADD_FAILURE() << "unshare(CLONE_NEWNET): errno " << errno;
  fd_ = OpenNamespace();
  Shell(
      "ip link set lo up; sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1"
      " net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0");
  setns(before.get(), CLONE_NEWNET);
}

std::string Netns::path() const { return absl::StrCat("/proc/", getpid(), "/fd/", fd_.get()); }
void Netns::Enter() const {
  if (setns(fd_.get(), CLONE_NEWNET) != 0) ADD_FAILURE() << "setns: errno " << errno;
}

In::In(const Netns& netns) : before_(OpenNamespace()) { netns.Enter(); }
In::~In() { setns(before_.get(), CLONE_NEWNET); }

std::string Shell(const std::string& command) {
  absl::StatusOr<Finished> done =
      RunToEnd({"/bin/sh", "-c", absl::StrCat("set -e; PATH=$PATH:/usr/sbin:/sbin; ", command)},
               absl::Seconds(20));
  EXPECT_TRUE(done.ok()) << command << ": " << done.status();
  if (!done.ok()) return "";
  EXPECT_EQ(done->exit_code, 0) << command << ": " << done->output;
  return done->output;
}

bool Eventually(absl::Duration timeout, const std::function<bool()>& done) {
  for (const absl::Time deadline = absl::Now() + timeout; absl::Now() < deadline;) {
    if (done()) return true;
    poll(nullptr, 0, 20);
  }
  return done();
}

TestNode::TestNode() {
  std::string name = (std::filesystem::temp_directory_path() / "ripstop-bgp-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) ADD_FAILURE() << "mkdtemp " << name;
  run_dir = name;
  Restarted();
}

TestNode::~TestNode() {
  if (supervisor != nullptr && supervisor->pid() != 0) {
    absl::StatusOr<UniqueFd> pidfd = OpenPidfd(supervisor->pid());
    if (pidfd.ok()) {
      syscall(SYS_pidfd_send_signal, pidfd->get(), SIGKILL, nullptr, 0);
      pollfd gone{pidfd->get(), POLLIN, 0};
      poll(&gone, 1, 5000);
      Reap(*pidfd);
    }
  }
  std::error_code ignored;
  std::filesystem::remove_all(run_dir, ignored);
}

void TestNode::Restarted() {
  supervisor.reset();
  absl::StatusOr<std::unique_ptr<Supervisor>> made =
      Supervisor::Create({.run_dir = run_dir, .back_off_min = absl::Milliseconds(50)});
  ASSERT_TRUE(made.ok()) << made.status();
  supervisor = *std::move(made);
}

absl::Status TestNode::Apply(const std::string& config) {
  In in(netns);
  return supervisor->Apply(config);
}

absl::Status TestNode::HandleEvents() {
  In in(netns);
  return supervisor->HandleEvents();
}

BirdReport TestNode::Query() {
  absl::StatusOr<BirdReport> report = supervisor->Query();
  EXPECT_TRUE(report.ok()) << report.status();
  return report.ok() ? *std::move(report) : BirdReport{};
}

std::string TestNode::Routes(const std::string& family, const std::string& prefix) {
  In in(netns);
  return Shell(absl::StrCat("ip -", family, " route show ", prefix));
}

bool TestNode::Established(size_t sessions) {
  const BirdReport report = Query();
  return sessions == static_cast<size_t>(std::count_if(
                         report.protocols.begin(), report.protocols.end(),
                         [](const Protocol& one) { return one.bgp_state == "Established"; }));
}

}  // namespace ripstop::bgp::testing
