// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_STORE_STORE_GATE_H_
#define RIPSTOP_AGENT_STORE_STORE_GATE_H_

#include <string>
#include <vector>

#include "api/store/store.h"

namespace ripstop::agent {

// The store, for what this node writes to it: addresses and endpoints. Nothing is written while
// what the store holds is not believed, nor to another store than the one that is.
//
// Reads pass. For one thread.
class StoreGate final : public api::Store {
 public:
  explicit StoreGate(api::Store* store) : store_(store) {}

  // Each write fails with this, kUnavailable: it may be repeated later.
  void Close(const std::string& why) { closed_ = absl::UnavailableError(why); }
  void Open(const std::string& identity) {
    if (closed_.ok() && identity == identity_) return;
    closed_ = absl::OkStatus();
    identity_ = identity;
    store_->WriteOnlyTo(identity);
  }

  absl::StatusOr<std::string> Identity() override { return store_->Identity(); }
  absl::StatusOr<api::StoredResource> Get(const api::ResourceKey& key) override {
    return store_->Get(key);
  }
  absl::StatusOr<api::Listing> List(const api::ResourceFilter& filter) override {
    return store_->List(filter);
  }
  absl::StatusOr<int64_t> Create(const api::ResourceKey& key, std::string_view value) override {
    if (!closed_.ok()) return closed_;
    return store_->Create(key, value);
  }
  absl::StatusOr<int64_t> Update(const api::ResourceKey& key, std::string_view value,
                                 int64_t expected_revision) override {
    if (!closed_.ok()) return closed_;
    return store_->Update(key, value, expected_revision);
  }
  absl::StatusOr<int64_t> Delete(const api::ResourceKey& key, int64_t expected_revision) override {
    if (!closed_.ok()) return closed_;
    return store_->Delete(key, expected_revision);
  }
  absl::StatusOr<std::vector<int64_t>> Txn(const std::vector<api::Mutation>& mutations) override {
    if (!closed_.ok()) return closed_;
    return store_->Txn(mutations);
  }
  absl::StatusOr<std::unique_ptr<api::Watch>> WatchFrom(const api::ResourceFilter& filter,
                                                        int64_t revision) override {
    return store_->WatchFrom(filter, revision);
  }

 private:
  api::Store* const store_;
  std::string identity_;
  absl::Status closed_ = absl::UnavailableError("the store has not been read yet");
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_STORE_STORE_GATE_H_
