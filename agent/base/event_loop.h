// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_BASE_EVENT_LOOP_H_
#define RIPSTOP_AGENT_BASE_EVENT_LOOP_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "agent/base/wake_fd.h"
#include "policy/base/unique_fd.h"

namespace ripstop::agent {

// The agent's one loop: descriptors, timers, signals and closures from other threads,
// one after the other on the thread that runs it.
//
//   fds ──────┐
//   timers ───┼─▶ [EventLoop] ─▶ callbacks
//   signals ──┤
//   Post() ───┘ (the only way in from other threads, with Call and Stop)
//
// A callback may add and remove anything, itself included; what was removed is not
// called again, not even for events that were already read.
class EventLoop {
 public:
  using FdCallback = std::function<void(uint32_t events)>;  // EPOLLIN and the like
  using TimerId = uint64_t;

  static absl::StatusOr<std::unique_ptr<EventLoop>> Create();
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Level triggered. The descriptor stays the caller's and must be removed before it
  // is closed.
  //   kAlreadyExists  the descriptor is in the loop already
  absl::Status AddFd(int fd, uint32_t events, FdCallback callback);
  absl::Status ModifyFd(int fd, uint32_t events);
  void RemoveFd(int fd);  // unknown: nothing

  // Calls after `delay`, and then each `period` unless that is zero. Monotonic clock.
  TimerId AddTimer(absl::Duration delay, absl::Duration period, std::function<void()> callback);
  void CancelTimer(TimerId id);  // unknown or fired: nothing

  // Delivers these signals to `callback` instead of their default. Blocks them in the
  // calling thread, so call before other threads start. Once per loop.
  absl::Status HandleSignals(const std::vector<int>& signals, std::function<void(int)> callback);

  // From any thread: runs `closure` on the loop's thread, in order of posting. False
  // when the loop has stopped; the closure is destroyed unrun then.
  bool Post(std::function<void()> closure);

  // From any other thread: runs `function` on the loop and waits for what it returns.
  // From the loop's own thread it just runs it.
  //   kUnavailable  the loop stopped before it ran
  template <typename F>
  auto Call(F function) -> absl::StatusOr<decltype(function())>;
  absl::Status CallStatus(std::function<absl::Status()> function);

  // Returns after Stop, which may come from any thread or callback. Cannot be run again.
  absl::Status RunUntilStopped();
  void Stop();

  // One turn: waits at most `max_wait` for something to do and does it. For tests.
  absl::Status RunOnce(absl::Duration max_wait);

 private:
  struct Watched {
    int fd;
    std::shared_ptr<FdCallback> callback;
  };
  struct Timer {
    TimerId id;
    absl::Duration period;
    std::shared_ptr<std::function<void()>> callback;
  };
  // Set when the closure that holds it runs or is destroyed.
  struct Finisher {
    explicit Finisher(absl::Notification* n) : notification(n) {}
    ~Finisher() { notification->Notify(); }
    absl::Notification* notification;
  };

  EventLoop() = default;
  absl::Status Init();
  void ArmTimerFd();
  void RunTimers();
  void RunPosted();
  void ReadSignals();
  void DropPosted();

  UniqueFd epoll_;
  UniqueFd timer_fd_;
  WakeFd wake_;
  UniqueFd signal_fd_;
  uint64_t next_id_ = 1;
  std::unordered_map<uint64_t, Watched> watched_;
  std::unordered_map<int, uint64_t> id_of_fd_;
  std::multimap<int64_t, Timer> timers_;  // by due time, monotonic nanoseconds
  std::optional<TimerId> firing_;         // a periodic timer while its callback runs
  bool firing_cancelled_ = false;
  std::function<void(int)> on_signal_;
  std::mutex mutex_;  // guards the three below
  std::vector<std::function<void()>> posted_;
  bool stopped_ = false;
  std::thread::id thread_;
};

template <typename F>
auto EventLoop::Call(F function) -> absl::StatusOr<decltype(function())> {
  {
    std::unique_lock lock(mutex_);
    if (thread_ == std::this_thread::get_id()) {
      lock.unlock();
      return function();
    }
  }
  std::optional<decltype(function())> result;
  absl::Notification done;
  auto finisher = std::make_shared<Finisher>(&done);
  Post([&result, &function, held = std::move(finisher)] { result.emplace(function()); });
  done.WaitForNotification();
  if (!result.has_value()) return absl::UnavailableError("the event loop has stopped");
  return *std::move(result);
}

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_BASE_EVENT_LOOP_H_
