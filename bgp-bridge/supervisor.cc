// SPDX-License-Identifier: Apache-2.0
#include "bgp-bridge/supervisor.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "bgp-bridge/file_io.h"
#include "policy/status_macros.h"

namespace ripstop::bgp {
namespace {

constexpr int kGreetingRetryMs = 5;
constexpr size_t kLogTailBytes = 400;
// BIRD 2.0's main loop (sysdep/unix/io.c) sleeps up to 3 s although an event is pending when
// that event was queued by a work item, as happens when a session comes up: updates leave
// 3 s late. Any activity on a descriptor wakes it, so we connect to its socket a few times
// after each change. Seen with 2.0.12; harmless with a BIRD that has no such flaw.
constexpr int kNudges = 40;
constexpr absl::Duration kNudgeInterval = absl::Milliseconds(250);

bool Readable(const UniqueFd& fd, absl::Duration timeout) {
  pollfd event{fd.get(), POLLIN, 0};
  return poll(&event, 1, static_cast<int>(absl::ToInt64Milliseconds(timeout))) > 0;
}

std::string NetworkNamespace(const std::string& process) {
  char target[64];
  const ssize_t size =
      readlink(absl::StrCat("/proc/", process, "/ns/net").c_str(), target, sizeof target);
  return size < 0 ? "" : std::string(target, static_cast<size_t>(size));
}

std::string BootId() { return ReadWhole("/proc/sys/kernel/random/boot_id").value_or(""); }

void Disarm(const UniqueFd& timer) {
  itimerspec never{};
  timerfd_settime(timer.get(), 0, &never, nullptr);
}

absl::Status AddToEpoll(const UniqueFd& epoll, const UniqueFd& fd) {
  epoll_event event{.events = EPOLLIN, .data = {.fd = fd.get()}};
  if (epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd.get(), &event) != 0)
    return absl::ErrnoToStatus(errno, "epoll_ctl for BIRD");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Supervisor>> Supervisor::Create(Options options) {
  std::unique_ptr<Supervisor> supervisor(new Supervisor(std::move(options)));
  RETURN_IF_ERROR(supervisor->Init());
  return supervisor;
}

absl::Status Supervisor::Init() {
  struct stat info;
  if (stat(options_.run_dir.c_str(), &info) != 0 || !S_ISDIR(info.st_mode))
    return absl::NotFoundError(absl::StrCat("run directory ", options_.run_dir, " is missing"));
  if (access(options_.bird_path.c_str(), X_OK) != 0)
    return absl::NotFoundError(
        absl::StrCat(options_.bird_path, " is missing; install the package bird2"));
  epoll_.reset(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_.ok()) return absl::ErrnoToStatus(errno, "epoll_create1");
  timer_.reset(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!timer_.ok()) return absl::ErrnoToStatus(errno, "timerfd_create");
  return AddToEpoll(epoll_, timer_);
}

absl::StatusOr<Control> Supervisor::Connect(absl::Duration timeout) const {
  return Control::Connect(socket_path(), timeout, options_.interrupt_fd);
}

absl::Status Supervisor::Check(const std::string& path) const {
  ASSIGN_OR_RETURN(Finished check,
                   RunToEnd({options_.bird_path, "-p", "-c", path}, options_.timeout));
  if (check.exit_code == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("BIRD does not accept its configuration: ",
                                                 absl::StripAsciiWhitespace(check.output)));
}

absl::Status Supervisor::Apply(const std::string& config) {
  RETURN_IF_ERROR(HandleEvents());
  wanted_ = true;
  if (pid_ != 0 && config == applied_) return absl::OkStatus();
  if (config != desired_) {
    const std::string candidate = config_path() + ".new";
    RETURN_IF_ERROR(WriteSecret(candidate, config));
    RETURN_IF_ERROR(Check(candidate));
    if (rename(candidate.c_str(), config_path().c_str()) != 0)
      return absl::ErrnoToStatus(errno, absl::StrCat("rename ", candidate));
    desired_ = config;
  }
  if (pid_ == 0) {
    absl::StatusOr<Control> control = Connect(options_.timeout);
    if (control.ok()) {
      RETURN_IF_ERROR(Adopt(*control));
    } else if (!absl::IsUnavailable(control.status())) {
      return control.status();
    } else if (failures_ > 0) {
      return absl::UnavailableError(absl::StrCat("BIRD is down: ", down_reason_));
    } else {
      absl::Status started = Start();
      if (!started.ok()) OnDeath(started.message());
      return started;
    }
  }
  RETURN_IF_ERROR(Command("configure").status());
  applied_ = desired_;
  return ScheduleNudges();
}

absl::Status Supervisor::Adopt(const Control& control) {
  const pid_t pid = control.Peer();
  if (pid <= 0)
    return absl::FailedPreconditionError(absl::StrCat(
        "the BIRD on ", socket_path(), " is in a PID namespace that this process cannot see"));
  ASSIGN_OR_RETURN(UniqueFd pidfd, OpenPidfd(pid));
  if (NetworkNamespace(absl::StrCat(pid)) != NetworkNamespace("thread-self"))
    return absl::FailedPreconditionError(absl::StrCat("the BIRD on ", socket_path(), ", process ",
                                                      pid, ", is in another network namespace"));
  return Watch(pid, std::move(pidfd));
}

absl::Status Supervisor::Watch(pid_t pid, UniqueFd pidfd) {
  RETURN_IF_ERROR(AddToEpoll(epoll_, pidfd));
  pidfd_ = std::move(pidfd);
  pid_ = pid;
  started_ = absl::Now();
  return absl::OkStatus();
}

absl::Status Supervisor::Start() {
  // Whoever edited the file meanwhile: what passed the check is what runs.
  RETURN_IF_ERROR(WriteSecret(config_path(), desired_));
  std::vector<std::string> argv = {options_.bird_path,
                                   "-f",
                                   "-c",
                                   config_path(),
                                   "-s",
                                   socket_path(),
                                   "-P",
                                   options_.run_dir + "/bird.pid"};
  // Routes of an earlier BIRD since this boot are in the kernel and at the peers; without -R
  // they would be withdrawn. A first start must not wait for peers that are not there.
  const std::string boot = BootId();
  if (ReadWhole(MarkerPath()).value_or("") == boot) argv.push_back("-R");
  ASSIGN_OR_RETURN(Detached bird, StartDetached(argv, log_path()));
  RETURN_IF_ERROR(Watch(bird.pid, std::move(bird.pidfd)));
  RETURN_IF_ERROR(WaitForGreeting());
  applied_ = desired_;
  RETURN_IF_ERROR(WriteSecret(MarkerPath(), boot));
  return ScheduleNudges();
}

absl::Status Supervisor::WaitForGreeting() {
  const absl::Time deadline = absl::Now() + options_.timeout;
  while (true) {
    absl::StatusOr<Control> control = Connect(deadline - absl::Now());
    if (control.ok() && control->Peer() == pid_) return absl::OkStatus();
    if (absl::IsCancelled(control.status())) return control.status();
    if (Readable(pidfd_, absl::Milliseconds(kGreetingRetryMs)))
      return absl::UnavailableError(
          absl::StrCat("BIRD ended at its start; its log: ", Tail(log_path(), kLogTailBytes)));
    if (absl::Now() > deadline)
      return absl::DeadlineExceededError(
          absl::StrCat("BIRD, process ", pid_, ", does not answer on ", socket_path()));
  }
}

void Supervisor::OnDeath(absl::string_view why) {
  if (pidfd_.ok() && !Readable(pidfd_, absl::ZeroDuration())) return;  // alive, only silent
  const int code = pidfd_.ok() ? Reap(pidfd_) : -1;
  if (pid_ != 0 && absl::Now() - started_ > options_.stable_after) failures_ = 0;
  down_reason_ = !why.empty() ? std::string(why)
                 : code < 0   ? absl::StrCat("process ", pid_, " ended")
                 : code > 128 ? absl::StrCat("process ", pid_, " died of signal ", code - 128)
                              : absl::StrCat("process ", pid_, " ended with code ", code);
  const std::string log = Tail(log_path(), kLogTailBytes);
  if (why.empty() && !log.empty()) absl::StrAppend(&down_reason_, "; its log: ", log);
  pidfd_.reset();  // leaves the epoll set with its last reference
  pid_ = 0;
  applied_.clear();
  if (!wanted_) return Disarm(timer_);
  ++failures_;
  if (absl::Status status = ScheduleStart(); !status.ok())
    absl::StrAppend(&down_reason_, "; ", status.ToString());
}

absl::Status Supervisor::ScheduleStart() {
  // At once after the first death, for peers wait; then ever later, because a second loss of
  // the session while they wait makes them drop our routes.
  absl::Duration delay = absl::Milliseconds(1);
  if (failures_ > 1)
    delay = std::min(options_.back_off_max,
                     options_.back_off_min * (1u << std::min(failures_ - 2, 16u)));
  absl::StrAppend(&down_reason_, "; next start in ", absl::FormatDuration(delay));
  itimerspec spec{.it_value = absl::ToTimespec(delay)};
  if (timerfd_settime(timer_.get(), 0, &spec, nullptr) != 0)
    return absl::ErrnoToStatus(errno, "timerfd_settime");
  return absl::OkStatus();
}

absl::Status Supervisor::ScheduleNudges() {
  nudges_left_ = kNudges;
  itimerspec spec{.it_interval = absl::ToTimespec(kNudgeInterval),
                  .it_value = absl::ToTimespec(kNudgeInterval)};
  if (timerfd_settime(timer_.get(), 0, &spec, nullptr) != 0)
    return absl::ErrnoToStatus(errno, "timerfd_settime");
  return absl::OkStatus();
}

void Supervisor::Nudge() {
  // The result does not matter: to be accepted is all it is for.
  Connect(absl::ZeroDuration()).IgnoreError();
  if (--nudges_left_ == 0) Disarm(timer_);
}

absl::Status Supervisor::HandleEvents() {
  if (pid_ != 0 && Readable(pidfd_, absl::ZeroDuration())) OnDeath("");
  uint64_t expired = 0;
  if (read(timer_.get(), &expired, sizeof expired) != sizeof expired) return absl::OkStatus();
  if (pid_ != 0) Nudge();
  if (!wanted_ || pid_ != 0) return absl::OkStatus();
  ++restarts_;
  absl::Status started = Start();
  if (!started.ok()) OnDeath(started.message());
  return started;
}

absl::StatusOr<Reply> Supervisor::Command(absl::string_view command) const {
  absl::StatusOr<Control> control = Connect(options_.timeout);
  if (control.ok()) return control->Command(command, options_.timeout);
  if (pid_ != 0) return control.status();
  return absl::UnavailableError(absl::StrCat("BIRD is down: ", down_reason_));
}

absl::StatusOr<BirdReport> Supervisor::Query() const {
  BirdReport report;
  ASSIGN_OR_RETURN(Reply status, Command("show status"));
  report.general = ParseStatus(status);
  ASSIGN_OR_RETURN(Reply protocols, Command("show protocols all"));
  report.protocols = ParseProtocols(protocols);
  ASSIGN_OR_RETURN(Reply routes, Command("show route count"));
  report.routes = ParseRouteCount(routes);
  return report;
}

absl::Status Supervisor::StopForRestart() {
  wanted_ = false;
  if (pid_ == 0) {
    absl::StatusOr<Control> control = Connect(options_.timeout);
    if (absl::IsUnavailable(control.status())) return absl::OkStatus();
    RETURN_IF_ERROR(control.status());
    RETURN_IF_ERROR(Adopt(*control));
  }
  constexpr char kCommand[] = "graceful restart";
  RETURN_IF_ERROR(Command(kCommand).status());
  if (!Readable(pidfd_, options_.timeout))
    return absl::DeadlineExceededError(
        absl::StrCat("BIRD, process ", pid_, ", did not end after \"", kCommand, "\""));
  OnDeath("");
  failures_ = 0;
  down_reason_ = absl::StrCat("stopped by \"", kCommand, "\"");
  return absl::OkStatus();
}

}  // namespace ripstop::bgp
