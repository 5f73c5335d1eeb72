// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_DAEMON_STORE_SYNC_H_
#define RIPSTOP_AGENT_DAEMON_STORE_SYNC_H_

#include <map>
#include <memory>
#include <set>

#include "absl/status/status.h"
#include "api/store/store.h"

namespace ripstop::agent {

// What a StoreSync tells: each change once, in order.
class StoreSink {
 public:
  virtual ~StoreSink() = default;
  virtual void OnPut(const api::StoredResource& resource) = 0;
  virtual void OnDelete(const api::ResourceKey& key) = 0;
  // Everything the store held at `revision` has been put, and what it no longer holds
  // has been deleted. Again after each time the watch had to be opened anew.
  virtual void OnSynced(int64_t revision) = 0;
};

// Follows the whole store through one watch and turns a lost watch into a difference:
//
//   Store ──Watch──▶ [StoreSync] ──OnPut/OnDelete/OnSynced──▶ StoreSink
//
// When the watch cannot resume (compacted, or the store was replaced), it lists again
// and deletes what vanished only once the new snapshot is complete, so a reader never
// sees a half-empty cluster. For the agent's loop; not thread-safe.
class StoreSync {
 public:
  // Inputs, then outputs. Both outlive this.
  StoreSync(api::Store* store, StoreSink* sink) : store_(store), sink_(sink) {}

  // Opens the watch, from the last revision seen or from the start.
  //   kUnavailable   the store cannot be reached; call again later
  absl::Status Open();
  // Whether a watch is open; -1 from fd() when not.
  int fd() const { return watch_ == nullptr ? -1 : watch_->fd(); }
  // Passes on what the watch has. On an error the watch is closed: call Open again.
  absl::Status Read();

  int64_t revision() const { return revision_; }

 private:
  void Synced(int64_t revision);

  api::Store* const store_;
  StoreSink* const sink_;
  std::unique_ptr<api::Watch> watch_;
  std::map<api::ResourceKey, int64_t> known_;  // every key put, with its revision
  std::set<api::ResourceKey> seen_;            // in the snapshot under way
  bool in_snapshot_ = false;
  int64_t revision_ = 0;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_DAEMON_STORE_SYNC_H_
