// SPDX-License-Identifier: Apache-2.0
//
// A few network namespaces on one machine, for tests only. They have no name: a namespace
// lives as long as a descriptor or a process in it, so nothing is left behind. The test
// program runs as process 1 of its own PID namespace (see main.cc), so that a BIRD started
// by it cannot outlive it either, however it ends. One thread.
#ifndef RIPSTOP_BGP_BRIDGE_TESTING_FABRIC_H_
#define RIPSTOP_BGP_BRIDGE_TESTING_FABRIC_H_

#include <functional>
#include <string>

#include "bgp-bridge/process.h"
#include "bgp-bridge/supervisor.h"

namespace ripstop::bgp::testing {

// True as root in the PID namespace that main.cc makes.
bool Privileged();

class Netns {
 public:
  Netns();
  std::string path() const;  // for `ip link … netns PATH`
  void Enter() const;

 private:
  UniqueFd fd_;
};

// Runs the rest of a scope inside a namespace.
class In {
 public:
  explicit In(const Netns& netns);
  ~In();

 private:
  UniqueFd before_;
};

// Runs a shell command, in the present namespace; fails the test when it fails.
std::string Shell(const std::string& command);

// Waits until `done`, trying it every 20 ms; false after `timeout`.
bool Eventually(absl::Duration timeout, const std::function<bool()>& done);

// A node: a namespace, a run directory, a supervisor.
struct TestNode {
  TestNode();
  ~TestNode();  // ends BIRD with SIGKILL, if any
  absl::Status Apply(const std::string& config);
  absl::Status HandleEvents();
  BirdReport Query();
  std::string Routes(const std::string& family, const std::string& prefix);  // `ip route show`
  bool Established(size_t sessions);
  void Restarted();  // forgets the supervisor and makes a new one, as a new agent would

  Netns netns;
  std::string run_dir;
  std::unique_ptr<Supervisor> supervisor;
};

}  // namespace ripstop::bgp::testing

#endif  // RIPSTOP_BGP_BRIDGE_TESTING_FABRIC_H_
