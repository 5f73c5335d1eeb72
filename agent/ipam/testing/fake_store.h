// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_IPAM_TESTING_FAKE_STORE_H_
#define RIPSTOP_AGENT_IPAM_TESTING_FAKE_STORE_H_

#include <functional>
#include <map>
#include <mutex>
#include <string>

#include "api/store/store.h"

namespace ripstop::agent {

// A store in memory, for several threads, that fails where a test wants it to.
class FakeStore final : public api::Store {
 public:
  // Asked before each write. A status that is not OK fails the write; with `lost` set
  // the write is made all the same, as when only its answer is lost.
  std::function<absl::Status(const api::ResourceKey&, bool* ret_lost)> before_write;
  int writes = 0;

  absl::StatusOr<api::StoredResource> Get(const api::ResourceKey& key) override {
    std::lock_guard lock(mutex_);
    const auto it = items_.find(key);
    if (it == items_.end()) return absl::NotFoundError(key.name);
    return it->second;
  }
  absl::StatusOr<api::Listing> List(const api::ResourceFilter& filter) override {
    std::lock_guard lock(mutex_);
    api::Listing listing;
    listing.revision = revision_;
    for (const auto& [key, item] : items_) {
      if (filter.kind.empty() || filter.kind == key.kind) listing.items.push_back(item);
    }
    return listing;
  }
  absl::StatusOr<int64_t> Create(const api::ResourceKey& key, std::string_view value) override {
    return Write(key, value, [&](const api::StoredResource* now) -> absl::Status {
      return now == nullptr ? absl::OkStatus() : absl::AlreadyExistsError(key.name);
    });
  }
  absl::StatusOr<int64_t> Update(const api::ResourceKey& key, std::string_view value,
                                 int64_t expected) override {
    return Write(key, value, [&](const api::StoredResource* now) -> absl::Status {
      if (now == nullptr) return absl::NotFoundError(key.name);
      if (expected == 0 || expected == now->revision) return absl::OkStatus();
      return absl::AbortedError(key.name);
    });
  }
  absl::StatusOr<int64_t> Delete(const api::ResourceKey& key, int64_t) override {
    std::lock_guard lock(mutex_);
    if (items_.erase(key) == 0) return absl::NotFoundError(key.name);
    return ++revision_;
  }
  absl::StatusOr<std::vector<int64_t>> Txn(const std::vector<api::Mutation>&) override {
    return absl::UnimplementedError("nothing under test here writes several keys at once");
  }
  absl::StatusOr<std::unique_ptr<api::Watch>> WatchFrom(const api::ResourceFilter&,
                                                        int64_t) override {
    return absl::UnimplementedError("nothing under test here watches");
  }

 private:
  absl::StatusOr<int64_t> Write(
      const api::ResourceKey& key, std::string_view value,
      const std::function<absl::Status(const api::StoredResource*)>& check) {
    bool lost = false;
    const absl::Status injected = before_write ? before_write(key, &lost) : absl::OkStatus();
    if (!injected.ok() && !lost) return injected;
    std::lock_guard lock(mutex_);
    const auto it = items_.find(key);
    const absl::Status allowed = check(it == items_.end() ? nullptr : &it->second);
    if (!allowed.ok()) return allowed;
    ++writes;
    const int64_t created = it == items_.end() ? revision_ + 1 : it->second.create_revision;
    items_[key] = {.key = key,
                   .value = std::string(value),
                   .revision = ++revision_,
                   .create_revision = created};
    if (!injected.ok()) return injected;
    return revision_;
  }

  std::mutex mutex_;
  std::map<api::ResourceKey, api::StoredResource> items_;
  int64_t revision_ = 0;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_IPAM_TESTING_FAKE_STORE_H_
