// SPDX-License-Identifier: Apache-2.0
//
// A ripstop-agent that a benchmark starts, looks at from outside, and ends.
#ifndef RIPSTOP_E2E_BENCH_AGENT_PROCESS_H_
#define RIPSTOP_E2E_BENCH_AGENT_PROCESS_H_

#include <sys/types.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "agent/base/testing/test_netns.h"

namespace ripstop::bench {

// Ended with this object, and with the process that started it.
class AgentProcess {
 public:
  // `program`, or ripstop-agent from beside this one where that is empty. In namespace `netns`; its
  // folders, sockets and log (agent.log) are below `folder`.
  static absl::StatusOr<std::unique_ptr<AgentProcess>> Start(const agent::TestNetns& netns,
                                                             const std::string& folder,
                                                             const std::string& store,
                                                             const std::string& bpffs,
                                                             const std::string& program);
  ~AgentProcess();

  static std::string SocketIn(const std::string& folder) { return folder + "/agent.sock"; }
  static std::string CniSocketIn(const std::string& folder) { return folder + "/cni.sock"; }

  bool running() const;
  // Of all its threads so far.
  double CpuMs() const;
  // Resident, in MiB: now, and the most it was; `anonymous` without mapped files and tables.
  struct Memory {
    double now = 0, anonymous = 0, peak = 0;
  };
  Memory memory() const;

 private:
  explicit AgentProcess(pid_t pid) : pid_(pid) {}
  const pid_t pid_;
};

}  // namespace ripstop::bench

#endif  // RIPSTOP_E2E_BENCH_AGENT_PROCESS_H_
