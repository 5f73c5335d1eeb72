// SPDX-License-Identifier: Apache-2.0
#include "agent/daemon/store_sync.h"

#include <utility>
#include <vector>

namespace ripstop::agent {

absl::Status StoreSync::Open() {
  auto watch = store_->WatchFrom({}, revision_);
  if (absl::IsOutOfRange(watch.status())) {
    revision_ = 0;
    watch = store_->WatchFrom({}, 0);
  }
  if (!watch.ok()) return watch.status();
  watch_ = *std::move(watch);
  in_snapshot_ = revision_ == 0;
  seen_.clear();
  return absl::OkStatus();
}

absl::Status StoreSync::Read() {
  if (watch_ == nullptr) return absl::FailedPreconditionError("store watch: not open");
  auto events = watch_->Next();
  if (!events.ok()) {
    watch_.reset();
    if (absl::IsOutOfRange(events.status())) revision_ = 0;
    return events.status();
  }
  for (const api::WatchEvent& event : *events) {
    switch (event.type) {
      case api::WatchEvent::Type::kPut: {
        if (in_snapshot_) seen_.insert(event.resource.key);
        int64_t& revision = known_[event.resource.key];
        // A snapshot after a lost watch repeats what is known; only changes go on.
        if (revision != event.resource.revision) {
          revision = event.resource.revision;
          sink_->OnPut(event.resource);
        }
        break;
      }
      case api::WatchEvent::Type::kDelete:
        if (known_.erase(event.resource.key) > 0) sink_->OnDelete(event.resource.key);
        break;
      case api::WatchEvent::Type::kSynced: Synced(event.revision); break;
    }
    if (!in_snapshot_ && event.revision > revision_) revision_ = event.revision;
  }
  return absl::OkStatus();
}

void StoreSync::Synced(int64_t revision) {
  if (in_snapshot_) {
    std::vector<api::ResourceKey> gone;
    for (const auto& [key, unused] : known_) {
      if (!seen_.contains(key)) gone.push_back(key);
    }
    for (const api::ResourceKey& key : gone) {
      known_.erase(key);
      sink_->OnDelete(key);
    }
    seen_.clear();
    in_snapshot_ = false;
  }
  revision_ = revision;
  sink_->OnSynced(revision);
}

}  // namespace ripstop::agent
