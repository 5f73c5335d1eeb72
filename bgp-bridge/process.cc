// SPDX-License-Identifier: Apache-2.0
#include "bgp-bridge/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "policy/status_macros.h"

#ifndef P_PIDFD
#define P_PIDFD 3  // linux/wait.h; glibc names it only in newer feature sets
#endif

namespace ripstop::bgp {
namespace {

constexpr size_t kOutputMax = 64 * 1024;

// The agent blocks signals for its event loop; a child that inherited that could not be
// ended. Its descriptors (maps, sockets, the store) are nobody else's business.
absl::StatusOr<pid_t> Spawn(const std::vector<std::string>& argv, int output_fd, bool own_session) {
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  absl::Cleanup release = [&] {
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
  };
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                            (own_session ? POSIX_SPAWN_SETSID : 0));
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, output_fd, 1);
  posix_spawn_file_actions_adddup2(&actions, output_fd, 2);
  posix_spawn_file_actions_addclosefrom_np(&actions, 3);

  std::vector<char*> pointers;
  for (const std::string& argument : argv) pointers.push_back(const_cast<char*>(argument.c_str()));
  pointers.push_back(nullptr);
  pid_t pid = 0;
  if (int error = posix_spawn(&pid, pointers[0], &actions, &attributes, pointers.data(), environ))
    return absl::ErrnoToStatus(error, absl::StrCat("start ", argv[0]));
  return pid;
}

int ExitCode(const siginfo_t& info) {
  return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

}  // namespace

absl::StatusOr<UniqueFd> OpenPidfd(pid_t pid) {
  UniqueFd fd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!fd.ok()) {
    const int error = errno;
    if (error == ESRCH) return absl::NotFoundError(absl::StrCat("process ", pid, " is gone"));
    return absl::ErrnoToStatus(error, absl::StrCat("pidfd_open of process ", pid));
  }
  fcntl(fd.get(), F_SETFD, FD_CLOEXEC);
  return fd;
}

int Reap(const UniqueFd& pidfd) {
  siginfo_t info{};
  if (waitid(static_cast<idtype_t>(P_PIDFD), pidfd.get(), &info, WEXITED | WNOHANG) != 0 ||
      info.si_pid == 0)
    return -1;
  return ExitCode(info);
}

absl::StatusOr<Finished> RunToEnd(const std::vector<std::string>& argv, absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "pipe2");
  UniqueFd reader(ends[0]), writer(ends[1]);
  fcntl(reader.get(), F_SETFL, O_NONBLOCK);
  ASSIGN_OR_RETURN(pid_t pid, Spawn(argv, writer.get(), false));
  writer.reset();
  ASSIGN_OR_RETURN(UniqueFd pidfd, OpenPidfd(pid));

  Finished finished;
  char buffer[4096];
  bool open = true;
  while (true) {
    pollfd events[2] = {{pidfd.get(), POLLIN, 0}, {open ? reader.get() : -1, POLLIN, 0}};
    const int wait_ms =
        static_cast<int>(std::max<int64_t>(0, absl::ToInt64Milliseconds(deadline - absl::Now())));
    const int ready = poll(events, 2, wait_ms);
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) {
      kill(pid, SIGKILL);
      siginfo_t info{};
      waitid(static_cast<idtype_t>(P_PIDFD), pidfd.get(), &info, WEXITED);
      return absl::DeadlineExceededError(
          absl::StrCat(argv[0], " did not end within ", absl::FormatDuration(timeout)));
    }
    ssize_t got = 0;
    while (open && (got = read(reader.get(), buffer, sizeof buffer)) > 0)
      if (finished.output.size() < kOutputMax) finished.output.append(buffer, got);
    if (got == 0) open = false;
    if (events[0].revents == 0) continue;
    finished.exit_code = Reap(pidfd);
    return finished;
  }
}

absl::StatusOr<Detached> StartDetached(const std::vector<std::string>& argv,
                                       const std::string& log_path) {
  UniqueFd log(open(log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!log.ok()) return absl::ErrnoToStatus(errno, absl::StrCat("open ", log_path));
  Detached detached;
  ASSIGN_OR_RETURN(detached.pid, Spawn(argv, log.get(), true));
  ASSIGN_OR_RETURN(detached.pidfd, OpenPidfd(detached.pid));
  return detached;
}

}  // namespace ripstop::bgp
