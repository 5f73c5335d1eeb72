// SPDX-License-Identifier: Apache-2.0
//
// Runs the tests as process 1 of a new PID namespace: when it ends, for whatever reason,
// the kernel ends every process in there, the BIRDs of the tests included, which otherwise
// outlive their parent by design. Without privilege the tests run plainly, and skip.
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>

#include "gtest/gtest.h"

// LeakSanitizer asks for a process's threads by a thread that it traces; not as process 1, whose
// end takes that one along. Asked by nobody where there is no sanitizer.
extern "C" const char* __asan_default_options();
const char* __asan_default_options() { return "detect_leaks=0"; }

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  if (geteuid() != 0 || unshare(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET) != 0)
    return RUN_ALL_TESTS();
  const pid_t child = fork();
  if (child < 0) {
    std::perror("fork");
    return 1;
  }
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount("proc", "/proc", "proc", 0, nullptr) != 0) {
      std::perror("mount /proc");
      return 1;
    }
    return RUN_ALL_TESTS();
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
