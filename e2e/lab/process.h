// SPDX-License-Identifier: Apache-2.0
//
// Programs that the lab runs: to completion with captured output, or detached so that
// they outlive the lab, each optionally inside a network namespace.
//
// A process is known by pid *and* start time (field 22 of /proc/PID/stat, clock ticks
// since boot), so that a pid which the kernel has given to somebody else is never killed.
//
// Thread-safe. Errors name the program.
#ifndef RIPSTOP_E2E_LAB_PROCESS_H_
#define RIPSTOP_E2E_LAB_PROCESS_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace ripstop::lab {

struct Command {
  std::vector<std::string> argv;  // argv[0] is looked up in PATH unless it has a slash
  std::vector<std::string> env;   // "KEY=VALUE", added to the caller's; wins over it
  std::string netns;              // name under /run/netns; empty: the caller's
  std::string input;              // standard input
  absl::Duration timeout = absl::Seconds(30);
};

struct Output {
  int exit_code = 0;  // 128 + signal when killed by one
  std::string out;
  std::string err;
};

struct ProcessId {
  pid_t pid = 0;
  uint64_t start_ticks = 0;
};

// kDeadlineExceeded when it ran longer than the timeout (it is killed then). A non-zero
// exit is not an error here: see RunOk.
absl::StatusOr<Output> Run(const Command& command);

// As Run, and a non-zero exit is kInternal with the last lines of what it said.
absl::StatusOr<std::string> RunOk(const Command& command);

// Starts a program in a session of its own with output appended to `log_file`. The child
// waits until `record` has returned OK, so a process that runs is always a recorded one,
// even if this process dies in between.
absl::StatusOr<ProcessId> Spawn(const Command& command, const std::string& log_file,
                                const std::function<absl::Status(const ProcessId&)>& record);

// False also for a zombie and for a pid that now belongs to another process.
bool IsAlive(const ProcessId& id);

// The start time of a live pid; 0 if there is none.
uint64_t StartTicks(pid_t pid);

// Sends `signal`, waits up to `patience` for the end, then SIGKILLs. OK if it is gone
// already. kDeadlineExceeded if even SIGKILL did not end it within two seconds.
absl::Status Stop(const ProcessId& id, int signal, absl::Duration patience);

// Every live process whose network namespace is the one named. Empty if there is none.
std::vector<ProcessId> ProcessesInNetns(const std::string& netns);

// The end of a file, for messages; empty if it cannot be read.
std::string Tail(const std::string& path, size_t bytes = 1500);

}  // namespace ripstop::lab

#endif  // RIPSTOP_E2E_LAB_PROCESS_H_
