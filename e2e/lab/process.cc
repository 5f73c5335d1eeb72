// SPDX-License-Identifier: Apache-2.0
#include "e2e/lab/process.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <tuple>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "e2e/lab/patience.h"
#include "policy/status_macros.h"

extern char** environ;

namespace ripstop::lab {
namespace {

// Closes on every way out.
class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }
  void reset(int fd = -1) {
    if (fd_ >= 0) close(fd_);
    fd_ = fd;
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

absl::Status MakePipe(Fd* read_end, Fd* write_end) {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "pipe2");
  read_end->reset(fds[0]);
  write_end->reset(fds[1]);
  return absl::OkStatus();
}

// What exec needs, laid out before fork: between fork and exec nothing may allocate,
// since another thread may hold the allocator's lock.
struct ExecImage {
  std::string path;
  std::vector<std::string> environment;
  std::vector<char*> argv, envp;

  explicit ExecImage(const Command& command) {
    path = command.argv[0];
    if (path.find('/') == std::string::npos) {
      const char* search = getenv("PATH");
      for (absl::string_view dir :
           absl::StrSplit(absl::StrCat(search ? search : "", ":/usr/sbin:/usr/bin:/sbin:/bin"), ':',
                          absl::SkipEmpty())) {
        const std::string candidate = absl::StrCat(dir, "/", path);
        if (access(candidate.c_str(), X_OK) == 0) {
          path = candidate;
          break;
        }
      }
    }
    for (char** entry = environ; *entry != nullptr; ++entry) {
      const std::string_view text = *entry;
      const std::string_view key = text.substr(0, text.find('=') + 1);
      bool replaced = false;
      for (const std::string& ours : command.env) replaced |= ours.starts_with(key);
      if (!replaced) environment.emplace_back(text);
    }
    for (const std::string& ours : command.env) environment.push_back(ours);
    for (const std::string& arg : command.argv) argv.push_back(const_cast<char*>(arg.c_str()));
    argv.push_back(nullptr);
    for (std::string& entry : environment) envp.push_back(entry.data());
    envp.push_back(nullptr);
  }
};

absl::Status OpenNetns(const std::string& netns, Fd* fd) {
  if (netns.empty()) return absl::OkStatus();
  const std::string path = absl::StrCat("/run/netns/", netns);
  fd->reset(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd->get() < 0) return absl::ErrnoToStatus(errno, absl::StrCat("open ", path));
  return absl::OkStatus();
}

// In the child. Exit code 127 and a line on standard error tell that exec never came.
[[noreturn]] void Become(const ExecImage& image, int netns_fd, int in, int out, int err) {
  if (netns_fd >= 0 && setns(netns_fd, CLONE_NEWNET) != 0) _exit(126);
  dup2(in, 0);
  dup2(out, 1);
  dup2(err, 2);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGPIPE, SIG_DFL);
  execve(image.path.c_str(), image.argv.data(), image.envp.data());
  [[maybe_unused]] ssize_t ignored = write(2, "cannot execute ", 15);
  ignored = write(2, image.path.data(), image.path.size());
  ignored = write(2, "\n", 1);
  _exit(127);
}

std::string LastLines(std::string_view text) {
  if (text.ends_with('\n')) text.remove_suffix(1);
  if (text.size() > 1500) text = text.substr(text.size() - 1500);
  return std::string(text);
}

// Fields of /proc/PID/stat after the command name, which may itself hold spaces.
std::vector<std::string> StatFields(pid_t pid) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/stat"));
  std::stringstream content;
  content << file.rdbuf();
  const std::string text = content.str();
  const size_t close = text.rfind(')');
  if (close == std::string::npos) return {};
  return absl::StrSplit(text.substr(close + 1), ' ', absl::SkipEmpty());
}

}  // namespace

absl::StatusOr<Output> Run(const Command& command) {
  // A program may end without reading its input; that is not our end.
  static const auto ignore_sigpipe = signal(SIGPIPE, SIG_IGN);
  static_cast<void>(ignore_sigpipe);
  const ExecImage image(command);
  Fd netns, in_read, in_write, out_read, out_write, err_read, err_write;
  RETURN_IF_ERROR(OpenNetns(command.netns, &netns));
  RETURN_IF_ERROR(MakePipe(&in_read, &in_write));
  RETURN_IF_ERROR(MakePipe(&out_read, &out_write));
  RETURN_IF_ERROR(MakePipe(&err_read, &err_write));
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) return absl::ErrnoToStatus(errno, absl::StrCat("fork for ", image.path));
  if (pid == 0) {
    // What a killed lab was doing must not go on behind the back of its `down`.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(125);
    Become(image, netns.get(), in_read.get(), out_write.get(), err_write.get());
  }
  in_read.reset();
  out_write.reset();
  err_write.reset();
  fcntl(in_write.get(), F_SETFL, O_NONBLOCK);

  Output output;
  size_t fed = 0;
  const absl::Duration timeout = Patient(command.timeout);
  const absl::Time deadline = absl::Now() + timeout;
  bool expired = false;
  while (out_read.get() >= 0 || err_read.get() >= 0) {
    if (fed >= command.input.size()) in_write.reset();
    pollfd polled[3] = {
        {out_read.get(), POLLIN, 0}, {err_read.get(), POLLIN, 0}, {in_write.get(), POLLOUT, 0}};
    const int64_t left = absl::ToInt64Milliseconds(deadline - absl::Now());
    if (left <= 0) {
      expired = true;
      break;
    }
    if (poll(polled, 3, static_cast<int>(std::min<int64_t>(left + 1, 60000))) < 0) continue;
    char buffer[65536];
    for (auto [entry, fd, sink] : {std::tuple{&polled[0], &out_read, &output.out},
                                   std::tuple{&polled[1], &err_read, &output.err}}) {
      if (entry->revents == 0) continue;
      const ssize_t n = read(fd->get(), buffer, sizeof(buffer));
      if (n > 0) sink->append(buffer, n);
      if (n == 0 || (n < 0 && errno != EINTR)) fd->reset();
    }
    if (polled[2].revents != 0) {
      const ssize_t n =
          write(in_write.get(), command.input.data() + fed, command.input.size() - fed);
      if (n > 0) fed += n;
      if (n < 0 && errno != EAGAIN) fed = command.input.size();  // it does not read: its choice
    }
  }
  // It may have closed its output and go on running.
  if (Fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0))); !expired && pidfd.get() >= 0) {
    pollfd ended{pidfd.get(), POLLIN, 0};
    const int64_t left = absl::ToInt64Milliseconds(deadline - absl::Now());
    expired = poll(&ended, 1, static_cast<int>(std::max<int64_t>(left, 0))) == 0;
  }
  if (expired) kill(pid, SIGKILL);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (expired) {
    return absl::DeadlineExceededError(
        absl::StrCat(absl::StrJoin(command.argv, " "), ": still running after ",
                     absl::FormatDuration(timeout), "; ", LastLines(output.err)));
  }
  output.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return output;
}

absl::StatusOr<std::string> RunOk(const Command& command) {
  ASSIGN_OR_RETURN(Output output, Run(command));
  if (output.exit_code != 0) {
    return absl::InternalError(
        absl::StrCat(absl::StrJoin(command.argv, " "), command.netns.empty() ? "" : " in ",
                     command.netns, ": exit ", output.exit_code, ": ",
                     LastLines(output.err.empty() ? output.out : output.err)));
  }
  return std::move(output.out);
}

absl::StatusOr<ProcessId> Spawn(const Command& command, const std::string& log_file,
                                const std::function<absl::Status(const ProcessId&)>& record) {
  const ExecImage image(command);
  Fd netns, gate_read, gate_write;
  RETURN_IF_ERROR(OpenNetns(command.netns, &netns));
  RETURN_IF_ERROR(MakePipe(&gate_read, &gate_write));
  Fd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
  Fd log(open(log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (log.get() < 0) return absl::ErrnoToStatus(errno, absl::StrCat("open ", log_file));
  const pid_t pid = fork();
  if (pid < 0) return absl::ErrnoToStatus(errno, absl::StrCat("fork for ", image.path));
  if (pid == 0) {
    setsid();
    close(gate_write.get());
    char go = 0;
    ssize_t n;
    while ((n = read(gate_read.get(), &go, 1)) < 0 && errno == EINTR) {
    }
    if (n != 1) _exit(125);  // the lab died before it could write us down
    Become(image, netns.get(), null.get(), log.get(), log.get());
  }
  gate_read.reset();
  const ProcessId id{pid, StartTicks(pid)};
  if (absl::Status status = record(id); !status.ok()) {
    gate_write.reset();
    waitpid(pid, nullptr, 0);
    return status;
  }
  if (write(gate_write.get(), "g", 1) != 1) return absl::ErrnoToStatus(errno, "gate");
  return id;
}

uint64_t StartTicks(pid_t pid) {
  const std::vector<std::string> fields = StatFields(pid);
  uint64_t ticks = 0;
  if (fields.size() < 20 || fields[0] == "Z" || fields[0] == "X") return 0;
  return absl::SimpleAtoi(fields[19], &ticks) ? ticks : 0;
}

bool IsAlive(const ProcessId& id) {
  return id.pid > 0 && id.start_ticks != 0 && StartTicks(id.pid) == id.start_ticks;
}

absl::Status Stop(const ProcessId& id, int signal, absl::Duration patience) {
  if (!IsAlive(id)) return absl::OkStatus();
  Fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, id.pid, 0)));
  // The pid may have changed hands between the check and the open; ask again.
  if (pidfd.get() < 0 || !IsAlive(id)) return absl::OkStatus();
  auto send_and_wait = [&](int number, absl::Duration wait) {
    syscall(SYS_pidfd_send_signal, pidfd.get(), number, nullptr, 0);
    pollfd polled{pidfd.get(), POLLIN, 0};
    return poll(&polled, 1, static_cast<int>(absl::ToInt64Milliseconds(Patient(wait)))) == 1;
  };
  bool ended = send_and_wait(signal, patience);
  if (!ended) ended = send_and_wait(SIGKILL, absl::Seconds(2));
  waitpid(id.pid, nullptr, WNOHANG);  // reaps it if it is our child
  if (!ended) {
    return absl::DeadlineExceededError(absl::StrCat("pid ", id.pid, " survives SIGKILL"));
  }
  return absl::OkStatus();
}

std::vector<ProcessId> ProcessesInNetns(const std::string& netns) {
  std::vector<ProcessId> found;
  struct stat wanted;
  if (stat(absl::StrCat("/run/netns/", netns).c_str(), &wanted) != 0) return found;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    pid_t pid = 0;
    struct stat actual;
    if (!absl::SimpleAtoi(entry.path().filename().string(), &pid)) continue;
    if (stat(absl::StrCat("/proc/", pid, "/ns/net").c_str(), &actual) != 0) continue;
    if (actual.st_ino != wanted.st_ino || actual.st_dev != wanted.st_dev) continue;
    const ProcessId id{pid, StartTicks(pid)};
    if (id.start_ticks != 0) found.push_back(id);
  }
  return found;
}

std::string Tail(const std::string& path, size_t bytes) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  const std::string all = text.str();
  return all.size() <= bytes ? all : all.substr(all.size() - bytes);
}

}  // namespace ripstop::lab
