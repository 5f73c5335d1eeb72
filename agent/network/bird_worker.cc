// SPDX-License-Identifier: Apache-2.0
#include "agent/network/bird_worker.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "policy/status_macros.h"

namespace ripstop::agent {
namespace {

constexpr absl::Duration kGiveAgain = absl::Seconds(2);

}  // namespace

BirdWorker::BirdWorker(EventLoop* loop, std::function<void(const absl::Status&)> on_applied)
    : loop_(loop),
      on_applied_(
          std::make_shared<std::function<void(const absl::Status&)>>(std::move(on_applied))) {}

absl::StatusOr<std::unique_ptr<BirdWorker>> BirdWorker::Create(
    bgp::Supervisor::Options options, EventLoop* loop,
    std::function<void(const absl::Status&)> on_applied) {
  std::unique_ptr<BirdWorker> worker(new BirdWorker(loop, std::move(on_applied)));
  RETURN_IF_ERROR(worker->Init(std::move(options)));
  return worker;
}

absl::Status BirdWorker::Init(bgp::Supervisor::Options options) {
  options.interrupt_fd = stop_.get();
  ASSIGN_OR_RETURN(supervisor_, bgp::Supervisor::Create(std::move(options)));
  log_path_ = supervisor_->log_path();
  known_.silence = absl::UnavailableError("BIRD has not been asked yet");
  thread_ = std::thread([this] { Run(); });
  return absl::OkStatus();
}

BirdWorker::~BirdWorker() {
  *on_applied_ = nullptr;  // on the loop, as those that call it
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  answered_.notify_all();
  stop_.Signal();
  Wake();
  if (thread_.joinable()) thread_.join();
}

void BirdWorker::Wake() const { wake_.Signal(); }

void BirdWorker::Apply(std::string config) {
  {
    const std::lock_guard lock(mutex_);
    wanted_ = std::move(config);
    give_at_ = absl::InfinitePast();
  }
  Wake();
}

void BirdWorker::Refresh(absl::Duration patience) {
  std::unique_lock lock(mutex_);
  // An answer that is being waited for already may be about a moment ago; the next is not.
  const uint64_t enough = asked_ + (silent_since_ == absl::InfiniteFuture() ? 1 : 2);
  ask_ = true;
  Wake();
  answered_.wait_for(lock, absl::ToChronoMilliseconds(patience),
                     [&] { return stopping_ || asked_ >= enough; });
}

BirdKnowledge BirdWorker::Last() const {
  const std::lock_guard lock(mutex_);
  BirdKnowledge known = known_;
  if (known.silence.ok() && silent_since_ != absl::InfiniteFuture())
    known.silence = absl::DeadlineExceededError(absl::StrCat(
        "BIRD was asked ",
        absl::FormatDuration(absl::Trunc(absl::Now() - silent_since_, absl::Milliseconds(1))),
        " ago and is silent"));
  return known;
}

// ---- the thread ----

void BirdWorker::Tell(const absl::Status& status) {
  (void)loop_->Post([tell = on_applied_, status] {
    if (*tell) (*tell)(status);
  });
}

void BirdWorker::Ask() {
  {
    const std::lock_guard lock(mutex_);
    silent_since_ = absl::Now();
  }
  absl::StatusOr<bgp::BirdReport> report = supervisor_->Query();
  {
    const std::lock_guard lock(mutex_);
    silent_since_ = absl::InfiniteFuture();
    ++asked_;
    known_.silence = report.status();
    if (report.ok()) {
      known_.report = *std::move(report);
      known_.at = absl::Now();
    }
  }
  answered_.notify_all();
}

void BirdWorker::Give(const std::string& config) {
  const absl::Status status = supervisor_->Apply(config);
  if (absl::IsCancelled(status)) return;
  Tell(status);
  // Refused: the same text will be again. Down: it starts with this text by itself.
  if (status.ok() || absl::IsInvalidArgument(status) || absl::IsUnavailable(status)) return;
  const std::lock_guard lock(mutex_);
  if (wanted_.has_value()) return;
  wanted_ = config;
  give_at_ = absl::Now() + kGiveAgain;
}

void BirdWorker::Run() {
  while (true) {
    std::optional<std::string> config;
    bool ask = false;
    absl::Duration wait = absl::InfiniteDuration();
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) return;
      if (wanted_.has_value() && give_at_ <= absl::Now()) config = std::exchange(wanted_, {});
      if (wanted_.has_value()) wait = give_at_ - absl::Now();
      ask = std::exchange(ask_, false);
    }
    if (config.has_value()) Give(*config);
    if (ask) Ask();
    if (config.has_value() || ask) continue;
    const int timeout_ms =
        wait == absl::InfiniteDuration()
            ? -1
            : static_cast<int>(std::max<int64_t>(1, absl::ToInt64Milliseconds(wait)));
    pollfd fds[] = {{supervisor_->fd(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
    if (poll(fds, 2, timeout_ms) <= 0) continue;
    if (fds[1].revents != 0) wake_.Drain();
    if (fds[0].revents != 0) {
      const uint64_t restarts = supervisor_->restarts();
      const absl::Status status = supervisor_->HandleEvents();
      // Of a nudge there is nothing to tell, and what came of the last text still holds.
      if (absl::IsCancelled(status)) continue;
      if (!status.ok() || supervisor_->restarts() != restarts) Tell(status);
    }
  }
}

}  // namespace ripstop::agent
