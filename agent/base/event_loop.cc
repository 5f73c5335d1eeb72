// SPDX-License-Identifier: Apache-2.0
#include "agent/base/event_loop.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "policy/status_macros.h"

namespace ripstop::agent {
namespace {

constexpr int kEventsPerTurn = 64;

int64_t MonotonicNs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * int64_t{1'000'000'000} + now.tv_nsec;
}

absl::Status Failed(const char* what) { return absl::ErrnoToStatus(errno, what); }

}  // namespace

absl::StatusOr<std::unique_ptr<EventLoop>> EventLoop::Create() {
  std::unique_ptr<EventLoop> loop(new EventLoop());
  RETURN_IF_ERROR(loop->Init());
  return loop;
}

absl::Status EventLoop::Init() {
  epoll_.reset(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_.ok()) return Failed("epoll_create1");
  timer_fd_.reset(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!timer_fd_.ok()) return Failed("timerfd_create");
  if (!wake_.ok()) return Failed("eventfd");
  RETURN_IF_ERROR(AddFd(timer_fd_.get(), EPOLLIN, [this](uint32_t) { RunTimers(); }));
  return AddFd(wake_.get(), EPOLLIN, [this](uint32_t) { RunPosted(); });
}

EventLoop::~EventLoop() { DropPosted(); }

absl::Status EventLoop::AddFd(int fd, uint32_t events, FdCallback callback) {
  if (id_of_fd_.contains(fd)) {
    return absl::AlreadyExistsError(absl::StrCat("descriptor ", fd, " is in the loop already"));
  }
  const uint64_t id = next_id_++;
  epoll_event event{.events = events, .data = {.u64 = id}};
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("epoll_ctl add of descriptor ", fd));
  }
  id_of_fd_[fd] = id;
  watched_[id] = {fd, std::make_shared<FdCallback>(std::move(callback))};
  return absl::OkStatus();
}

absl::Status EventLoop::ModifyFd(int fd, uint32_t events) {
  const auto it = id_of_fd_.find(fd);
  if (it == id_of_fd_.end()) {
    return absl::NotFoundError(absl::StrCat("descriptor ", fd, " is not in the loop"));
  }
  epoll_event event{.events = events, .data = {.u64 = it->second}};
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("epoll_ctl modify of descriptor ", fd));
  }
  return absl::OkStatus();
}

void EventLoop::RemoveFd(int fd) {
  const auto it = id_of_fd_.find(fd);
  if (it == id_of_fd_.end()) return;
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  watched_.erase(it->second);
  id_of_fd_.erase(it);
}

EventLoop::TimerId EventLoop::AddTimer(absl::Duration delay, absl::Duration period,
                                       std::function<void()> callback) {
  const TimerId id = next_id_++;
  const int64_t due =
      MonotonicNs() + absl::ToInt64Nanoseconds(std::max(delay, absl::ZeroDuration()));
  timers_.emplace(due,
                  Timer{id, period, std::make_shared<std::function<void()>>(std::move(callback))});
  ArmTimerFd();
  return id;
}

void EventLoop::CancelTimer(TimerId id) {
  if (firing_ == id) firing_cancelled_ = true;
  std::erase_if(timers_, [id](const auto& item) { return item.second.id == id; });
}

void EventLoop::ArmTimerFd() {
  itimerspec spec{};
  if (!timers_.empty()) {
    const int64_t due = std::max<int64_t>(timers_.begin()->first, 1);  // zero would disarm
    spec.it_value = {.tv_sec = due / 1'000'000'000, .tv_nsec = due % 1'000'000'000};
  }
  timerfd_settime(timer_fd_.get(), TFD_TIMER_ABSTIME, &spec, nullptr);
}

void EventLoop::RunTimers() {
  uint64_t expirations = 0;
  [[maybe_unused]] ssize_t n = read(timer_fd_.get(), &expirations, sizeof(expirations));
  const int64_t now = MonotonicNs();
  while (true) {
    // Somebody may wait for each of these, and what a timer does may take its time.
    RunPosted();
    if (timers_.empty() || timers_.begin()->first > now) break;
    Timer timer = std::move(timers_.begin()->second);
    timers_.erase(timers_.begin());
    firing_ = timer.id;
    firing_cancelled_ = false;
    (*timer.callback)();
    firing_.reset();
    if (timer.period > absl::ZeroDuration() && !firing_cancelled_) {
      // From now, not from when it was due: a loop that was held up does not catch up
      // by firing in a burst.
      timers_.emplace(MonotonicNs() + absl::ToInt64Nanoseconds(timer.period), std::move(timer));
    }
  }
  ArmTimerFd();
}

absl::Status EventLoop::HandleSignals(const std::vector<int>& signals,
                                      std::function<void(int)> callback) {
  if (signal_fd_.ok()) return absl::AlreadyExistsError("signals are handled by the loop already");
  sigset_t set;
  sigemptyset(&set);
  for (int signal : signals) sigaddset(&set, signal);
  if (int error = pthread_sigmask(SIG_BLOCK, &set, nullptr); error != 0) {
    return absl::ErrnoToStatus(error, "pthread_sigmask");
  }
  signal_fd_.reset(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signal_fd_.ok()) return Failed("signalfd");
  on_signal_ = std::move(callback);
  return AddFd(signal_fd_.get(), EPOLLIN, [this](uint32_t) { ReadSignals(); });
}

void EventLoop::ReadSignals() {
  signalfd_siginfo info{};
  while (read(signal_fd_.get(), &info, sizeof(info)) == sizeof(info)) {
    on_signal_(static_cast<int>(info.ssi_signo));
  }
}

bool EventLoop::Post(std::function<void()> closure) {
  std::lock_guard lock(mutex_);
  if (stopped_) return false;
  posted_.push_back(std::move(closure));
  wake_.Signal();
  return true;
}

absl::Status EventLoop::CallStatus(std::function<absl::Status()> function) {
  absl::StatusOr<absl::Status> result = Call(std::move(function));
  return result.ok() ? *std::move(result) : result.status();
}

void EventLoop::RunPosted() {
  wake_.Drain();
  std::vector<std::function<void()>> batch;
  {
    std::lock_guard lock(mutex_);
    batch.swap(posted_);
  }
  for (auto& closure : batch) {
    closure();
    closure = nullptr;  // a waiting Call learns now, not at the end of the batch
  }
}

void EventLoop::DropPosted() {
  std::vector<std::function<void()>> batch;
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
    batch.swap(posted_);
  }
}

void EventLoop::Stop() {
  std::lock_guard lock(mutex_);
  stopped_ = true;
  wake_.Signal();
}

absl::Status EventLoop::RunOnce(absl::Duration max_wait) {
  {
    std::lock_guard lock(mutex_);
    thread_ = std::this_thread::get_id();
  }
  epoll_event events[kEventsPerTurn];
  const int timeout_ms = max_wait == absl::InfiniteDuration()
                             ? -1
                             : static_cast<int>(absl::ToInt64Milliseconds(max_wait));
  const int n = epoll_wait(epoll_.get(), events, kEventsPerTurn, timeout_ms);
  if (n < 0) return errno == EINTR ? absl::OkStatus() : Failed("epoll_wait");
  for (int i = 0; i < n; ++i) {
    const auto it = watched_.find(events[i].data.u64);
    if (it == watched_.end()) continue;
    // Held: the callback may remove itself.
    const std::shared_ptr<FdCallback> callback = it->second.callback;
    (*callback)(events[i].events);
  }
  return absl::OkStatus();
}

absl::Status EventLoop::RunUntilStopped() {
  while (true) {
    {
      std::lock_guard lock(mutex_);
      if (stopped_) break;
    }
    RETURN_IF_ERROR(RunOnce(absl::InfiniteDuration()));
  }
  DropPosted();
  return absl::OkStatus();
}

}  // namespace ripstop::agent
