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
  // Asked before each write, for each of its keys. A status that is not OK fails the
  // write; with `lost` set the write is made all the same, as when only its answer is lost.
  std::function<absl::Status(const api::ResourceKey&, bool* ret_lost)> before_write;
  int writes = 0;  // transactions
  int lists = 0;

  absl::StatusOr<api::StoredResource> Get(const api::ResourceKey& key) override {
    std::lock_guard lock(mutex_);
    const auto it = items_.find(key);
    if (it == items_.end()) return absl::NotFoundError(key.name);
    return it->second;
  }
  absl::StatusOr<api::Listing> List(const api::ResourceFilter& filter) override {
    std::lock_guard lock(mutex_);
    ++lists;
    api::Listing listing;
    listing.revision = revision_;
    for (const auto& [key, item] : items_) {
      if (filter.kind.empty() || filter.kind == key.kind) listing.items.push_back(item);
    }
    return listing;
  }
  absl::StatusOr<int64_t> Create(const api::ResourceKey& key, std::string_view value) override {
    return One({api::Mutation::Type::kCreate, key, std::string(value), 0});
  }
  absl::StatusOr<int64_t> Update(const api::ResourceKey& key, std::string_view value,
                                 int64_t expected) override {
    return One({api::Mutation::Type::kUpdate, key, std::string(value), expected});
  }
  absl::StatusOr<int64_t> Delete(const api::ResourceKey& key, int64_t expected) override {
    return One({api::Mutation::Type::kDelete, key, "", expected});
  }
  absl::StatusOr<std::vector<int64_t>> Txn(const std::vector<api::Mutation>& mutations) override {
    bool lost = false;
    absl::Status injected;
    for (const api::Mutation& mutation : mutations) {
      if (injected.ok() && before_write) injected = before_write(mutation.key, &lost);
    }
    if (!injected.ok() && !lost) return injected;
    std::lock_guard lock(mutex_);
    Items before;  // one mutation is made or not
    if (mutations.size() > 1) before = items_;
    const int64_t revision = revision_;
    std::vector<int64_t> revisions;
    for (const api::Mutation& mutation : mutations) {
      if (absl::Status status = Mutate(mutation); !status.ok()) {
        if (mutations.size() > 1) items_.swap(before);
        revision_ = revision;
        return status;
      }
      revisions.push_back(revision_);
    }
    ++writes;
    if (!injected.ok()) return injected;
    return revisions;
  }
  absl::StatusOr<std::unique_ptr<api::Watch>> WatchFrom(const api::ResourceFilter&,
                                                        int64_t) override {
    return absl::UnimplementedError("nothing under test here watches");
  }

 private:
  using Items = std::map<api::ResourceKey, api::StoredResource>;

  absl::StatusOr<int64_t> One(api::Mutation mutation) {
    auto revisions = Txn({std::move(mutation)});
    if (!revisions.ok()) return revisions.status();
    return revisions->front();
  }
  absl::Status Mutate(const api::Mutation& mutation) {
    using Type = api::Mutation::Type;
    const api::ResourceKey& key = mutation.key;
    const int64_t expected = mutation.expected_revision;
    const auto it = items_.find(key);
    const bool there = it != items_.end();
    if (there && mutation.type == Type::kCreate) return absl::AlreadyExistsError(key.name);
    const bool wanted = mutation.type == Type::kUpdate || mutation.type == Type::kDelete;
    if (!there && (wanted || expected != 0)) return absl::NotFoundError(key.name);
    if (expected != 0 && expected != it->second.revision) return absl::AbortedError(key.name);
    ++revision_;
    if (mutation.type == Type::kDelete) {
      items_.erase(it);
    } else {
      const int64_t created = there ? it->second.create_revision : revision_;
      items_[key] = {key, mutation.value, revision_, created};
    }
    return absl::OkStatus();
  }

  std::mutex mutex_;
  Items items_;
  int64_t revision_ = 0;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_IPAM_TESTING_FAKE_STORE_H_
