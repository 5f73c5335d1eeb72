// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/release_queue.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "policy/status_macros.h"

namespace ripstop::agent {
namespace {

constexpr absl::Duration kBackOffMin = absl::Milliseconds(100);
constexpr absl::Duration kBackOffMax = absl::Seconds(10);
// After a walk of all connections, so that many pods that come and go share one: this many times
// what it took, and no longer than an address may stay taken for it.
constexpr int kPauseFactor = 20;
constexpr absl::Duration kPauseMax = absl::Seconds(2);

}  // namespace

void ReleaseQueue::Put(LocalEndpoint endpoint) {
  endpoint.phase = LocalEndpoint::Phase::kReleasing;
  // Without the note a crash is not the end either: the next agent finds the interface gone.
  if (const absl::Status saved = files_->Save(endpoint); !saved.ok()) {
    spdlog::warn("{}", saved.ToString());
  }
  const std::string handle = endpoint.handle();
  waiting_.insert_or_assign(handle, Waiting{std::move(endpoint)});
  Schedule(pause_);
}

absl::Status ReleaseQueue::Take(const std::string& handle) {
  const auto it = waiting_.find(handle);
  if (it == waiting_.end()) return absl::OkStatus();
  // It has another interface from now on.
  if (!it->second.forgotten) RETURN_IF_ERROR(ForgetConnections());
  waiting_.erase(it);
  return absl::OkStatus();
}

// An ADD that failed or died in between may have addresses that it did not note.
std::vector<Allocation> ReleaseQueue::AllocationsOf(const LocalEndpoint& e) const {
  return e.allocations.empty() ? ipam_->AllocationsOf(e.handle()) : e.allocations;
}

absl::Status ReleaseQueue::ForgetConnections() {
  std::vector<policy::Address> addresses;
  std::vector<Waiting*> theirs;
  for (auto& [handle, waiting] : waiting_) {
    if (waiting.forgotten) continue;
    // None yet: they may be known later, when the store is read.
    const std::vector<Allocation> allocations = AllocationsOf(waiting.endpoint);
    if (!allocations.empty()) theirs.push_back(&waiting);
    for (const Allocation& a : allocations) addresses.push_back(a.address);
  }
  if (addresses.empty()) return absl::OkStatus();
  const auto start = std::chrono::steady_clock::now();
  RETURN_IF_ERROR(hooks_->Forget(addresses));
  pause_ = std::min(kPauseMax,
                    kPauseFactor * absl::FromChrono(std::chrono::steady_clock::now() - start));
  for (Waiting* waiting : theirs) waiting->forgotten = true;
  return absl::OkStatus();
}

absl::Status ReleaseQueue::Release(const LocalEndpoint& e) {
  RETURN_IF_ERROR(ipam_->Release(AllocationsOf(e), [&] { return hooks_->Withdrawal(e); }));
  return files_->Remove(e);
}

absl::Status ReleaseQueue::Run() {
  absl::Status first = ForgetConnections();
  const bool forgotten = first.ok();
  if (!forgotten)
    spdlog::warn("addresses of pods that went are not released yet: {}", first.ToString());
  for (auto it = waiting_.begin(); it != waiting_.end() && forgotten;) {
    const LocalEndpoint& e = it->second.endpoint;
    const absl::Status status = Release(e);
    if (status.ok()) {
      it = waiting_.erase(it);
      continue;
    }
    if (first.ok()) {
      first = status;
      spdlog::warn("addresses of {}/{} ({}) are not released yet: {}", e.pod_namespace, e.pod_name,
                   it->first, status.ToString());
    }
    if (absl::IsUnavailable(status)) break;
    ++it;
  }
  back_off_ =
      waiting_.empty() ? absl::ZeroDuration() : std::clamp(2 * back_off_, kBackOffMin, kBackOffMax);
  if (!waiting_.empty()) Schedule(back_off_);
  return first;
}

void ReleaseQueue::Schedule(absl::Duration delay) {
  if (scheduled_ || !later_) return;
  scheduled_ = true;
  later_(delay, [this, alive = std::weak_ptr<const bool>(alive_)] {
    if (alive.expired()) return;
    scheduled_ = false;
    Run().IgnoreError();  // it has said what there is to say
  });
}

}  // namespace ripstop::agent
