// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/release_queue.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <vector>

#include "policy/status_macros.h"

namespace ripstop::agent {
namespace {

constexpr absl::Duration kBackOffMin = absl::Milliseconds(100);
constexpr absl::Duration kBackOffMax = absl::Seconds(10);

}  // namespace

void ReleaseQueue::Put(LocalEndpoint endpoint) {
  endpoint.phase = LocalEndpoint::Phase::kReleasing;
  // Without the note a crash is not the end either: the next agent finds the interface gone.
  if (const absl::Status saved = files_->Save(endpoint); !saved.ok()) {
    spdlog::warn("{}", saved.ToString());
  }
  const std::string handle = endpoint.handle();
  waiting_.insert_or_assign(handle, std::move(endpoint));
  Schedule(absl::ZeroDuration());
}

bool ReleaseQueue::Take(const std::string& handle) { return waiting_.erase(handle) > 0; }

absl::Status ReleaseQueue::Release(const LocalEndpoint& e) {
  // An ADD that failed or died in between may have addresses that it did not note.
  const std::vector<Allocation> allocations =
      e.allocations.empty() ? ipam_->AllocationsOf(e.handle()) : e.allocations;
  RETURN_IF_ERROR(ipam_->Release(allocations, [&] { return hooks_->Withdrawal(e); }));
  return files_->Remove(e);
}

absl::Status ReleaseQueue::Run() {
  absl::Status first;
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    const absl::Status status = Release(it->second);
    if (status.ok()) {
      it = waiting_.erase(it);
      continue;
    }
    if (first.ok()) {
      first = status;
      spdlog::warn("addresses of {}/{} ({}) are not released yet: {}", it->second.pod_namespace,
                   it->second.pod_name, it->first, status.ToString());
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
