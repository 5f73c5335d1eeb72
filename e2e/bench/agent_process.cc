// SPDX-License-Identifier: Apache-2.0
#include "e2e/bench/agent_process.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "e2e/bench/agent_world.h"

namespace ripstop::bench {
namespace {

// Between fork and exec: nothing here allocates.
[[noreturn]] void Become(int netns, int log, const std::vector<char*>& argv) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (setns(netns, CLONE_NEWNET) != 0) _exit(126);
  dup2(log, STDOUT_FILENO);
  dup2(log, STDERR_FILENO);
  execv(argv[0], argv.data());
  _exit(127);
}

}  // namespace

absl::StatusOr<std::unique_ptr<AgentProcess>> AgentProcess::Start(const agent::TestNetns& netns,
                                                                  const std::string& folder,
                                                                  const std::string& store,
                                                                  const std::string& bpffs,
                                                                  const std::string& program) {
  const std::string bin = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  const std::vector<std::string> words = {program.empty() ? bin + "/ripstop-agent" : program,
                                          absl::StrCat("--node=", kMeasuredNode),
                                          "--store=" + store,
                                          "--socket=" + SocketIn(folder),
                                          "--cni-socket=" + CniSocketIn(folder),
                                          "--bpffs=" + bpffs,
                                          "--run-dir=" + folder + "/run",
                                          "--state-dir=" + folder + "/state",
                                          "--flow-table-entries=524288",
                                          "--bird",
                                          ""};
  std::vector<char*> argv;
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  const UniqueFd log(
      open((folder + "/agent.log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!log.ok()) return absl::ErrnoToStatus(errno, folder + "/agent.log");
  const pid_t child = fork();
  if (child < 0) return absl::ErrnoToStatus(errno, "fork");
  if (child == 0) Become(netns.fd(), log.get(), argv);
  return std::unique_ptr<AgentProcess>(new AgentProcess(child));
}

AgentProcess::~AgentProcess() {
  kill(pid_, SIGTERM);
  waitpid(pid_, nullptr, 0);
}

bool AgentProcess::running() const {
  siginfo_t ended = {};
  return waitid(P_PID, static_cast<id_t>(pid_), &ended, WEXITED | WNOHANG | WNOWAIT) == 0 &&
         ended.si_pid == 0;
}

double AgentProcess::CpuMs() const {
  clockid_t clock = 0;
  timespec used = {};
  if (clock_getcpuclockid(pid_, &clock) != 0 || clock_gettime(clock, &used) != 0) return 0;
  return static_cast<double>(used.tv_sec) * 1e3 + static_cast<double>(used.tv_nsec) / 1e6;
}

AgentProcess::Memory AgentProcess::memory() const {
  Memory memory;
  std::ifstream file(absl::StrCat("/proc/", pid_, "/status"));
  for (std::string word; file >> word;) {
    double* const wanted = word == "VmHWM:"     ? &memory.peak
                           : word == "VmRSS:"   ? &memory.now
                           : word == "RssAnon:" ? &memory.anonymous
                                                : nullptr;
    double kib = 0;
    if (wanted != nullptr && file >> kib) *wanted = kib / 1024;
  }
  return memory;
}

}  // namespace ripstop::bench
