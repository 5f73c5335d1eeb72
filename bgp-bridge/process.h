// SPDX-License-Identifier: Apache-2.0
//
// Child processes: a short one that is waited for, and one that outlives us. Both start in
// the caller's network namespace with no signal blocked or ignored and no descriptor above
// 2. Callable from a process with threads (posix_spawn); each call from any thread. The
// process must neither ignore SIGCHLD nor collect children that it does not know.
#ifndef RIPSTOP_BGP_BRIDGE_PROCESS_H_
#define RIPSTOP_BGP_BRIDGE_PROCESS_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "policy/base/unique_fd.h"

namespace ripstop::bgp {

struct Finished {
  int exit_code = 0;   // 128 + n after signal n
  std::string output;  // standard output and error, the first 64 KiB
};

// Runs argv[0] (a path) to its end. kDeadlineExceeded after `timeout`, the child killed;
// kNotFound when the program is missing.
absl::StatusOr<Finished> RunToEnd(const std::vector<std::string>& argv, absl::Duration timeout);

struct Detached {
  pid_t pid = 0;
  UniqueFd pidfd;  // readable once it has died
};

// Starts argv[0] in a session of its own, standard output and error appended to `log_path`.
absl::StatusOr<Detached> StartDetached(const std::vector<std::string>& argv,
                                       const std::string& log_path);

// A descriptor for a process that need not be our child. kNotFound when it is gone.
absl::StatusOr<UniqueFd> OpenPidfd(pid_t pid);

// Collects the exit status if the process is our child and has ended: its exit code, 128 + n
// after signal n, or -1 when there is nothing to collect.
int Reap(const UniqueFd& pidfd);

}  // namespace ripstop::bgp

#endif  // RIPSTOP_BGP_BRIDGE_PROCESS_H_
