// SPDX-License-Identifier: Apache-2.0
//
// One node of agent_bench: what its agent is given, and how it is asked.
#ifndef RIPSTOP_E2E_BENCH_AGENT_SITE_H_
#define RIPSTOP_E2E_BENCH_AGENT_SITE_H_

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/base/testing/test_netns.h"
#include "api/proto/agent.grpc.pb.h"
#include "api/proto/cni.pb.h"
#include "bpf/loader/testing_bpffs.h"
#include "e2e/bench/agent_process.h"
#include "e2e/bench/agent_world.h"

namespace ripstop::bench {

using agent::TestNetns;
using Clock = std::chrono::steady_clock;

inline constexpr double kLimitSeconds = 600;  // for what hangs
inline constexpr int kAnswerMs = 60'000;

struct AgentBenchOptions {
  bool json = false, start_only = false;
  std::string program;  // empty: ripstop-agent from beside this one
  AgentWorld world;
  std::vector<int> local_pods = {10, 100, 200};
  std::vector<uint32_t> flow_counts = {1'000, 255'000};
  int pairs = 15;  // of ADD and DEL at each point
};

struct Site {
  AgentBenchOptions options;
  std::string folder, store;
  std::unique_ptr<loader::testing::TestBpffs> bpffs;
  TestNetns netns;
  std::string pins() const { return bpffs->dir() + "/ripstop"; }
  std::string cni() const { return AgentProcess::CniSocketIn(folder); }
};

inline double MsSince(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

std::unique_ptr<agent::v1::Agent::Stub> Connect(const Site& site);

// An ADD in that namespace; without one, a DEL.
agent::v1::CniCall Call(const agent::LocalEndpoint& pod, const TestNetns* netns);

// Starts the agent and prints what was seen of it from outside until all is in force and a first
// ADD, of a pod in `pod`, was done.
absl::StatusOr<std::unique_ptr<AgentProcess>> MeasureStart(const Site& site, const TestNetns& pod,
                                                           const std::string& what);

// Prints what ADD and DEL of a pod in `pod` cost the agent as local pods and flows grow.
absl::Status MeasureCosts(const Site& site, const AgentProcess& process, const TestNetns& pod);

}  // namespace ripstop::bench

#endif  // RIPSTOP_E2E_BENCH_AGENT_SITE_H_
