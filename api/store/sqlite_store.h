// SPDX-License-Identifier: Apache-2.0
//
// The store in one SQLite file, for one machine. Processes share it through SQLite's
// write-ahead log; a watch learns of the commits of others by inotify.
//
//   meta       one row: the store's revision, and the last revision compacted away
//   resources  what is there now
//   changes    the last `history_max` changes, one row per revision
//
// All three change in one transaction, so a reader that holds a revision knows that it
// has seen everything up to it.
#ifndef RIPSTOP_API_STORE_SQLITE_STORE_H_
#define RIPSTOP_API_STORE_SQLITE_STORE_H_

#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "api/store/sqlite_database.h"
#include "api/store/store.h"

namespace ripstop::api {

struct SqliteStoreOptions {
  // Make the file, and its folder, when they do not exist.
  bool create = true;
  // How many changes a watch may lag behind before it must start anew.
  int64_t history_max = 20'000;
  // How long a write waits for the writes of other processes.
  int busy_timeout_ms = 5'000;
};

// Thread-safe. Do not carry one across fork().
class SqliteStore : public Store {
 public:
  // Errors:
  //   kUnavailable         not there, not readable or writable, disk full, busy too long
  //   kFailedPrecondition  a newer version's file, or another program's
  //   kDataLoss            not a SQLite file, or a damaged one
  static absl::StatusOr<std::unique_ptr<SqliteStore>> Open(const std::string& path,
                                                           const SqliteStoreOptions& options = {});

  absl::StatusOr<StoredResource> Get(const ResourceKey& key) override;
  absl::StatusOr<Listing> List(const ResourceFilter& filter) override;
  absl::StatusOr<int64_t> Create(const ResourceKey& key, std::string_view value) override;
  absl::StatusOr<int64_t> Update(const ResourceKey& key, std::string_view value,
                                 int64_t expected_revision) override;
  absl::StatusOr<int64_t> Delete(const ResourceKey& key, int64_t expected_revision) override;
  absl::StatusOr<std::vector<int64_t>> Txn(const std::vector<Mutation>& mutations) override;
  absl::StatusOr<std::unique_ptr<Watch>> WatchFrom(const ResourceFilter& filter,
                                                   int64_t revision) override;

 private:
  SqliteStore(std::unique_ptr<SqliteDatabase> database, SqliteStoreOptions options)
      : database_(std::move(database)), options_(options) {}
  absl::StatusOr<int64_t> One(Mutation mutation);
  absl::Status Mutate(const Mutation& mutation, int64_t revision)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  absl::Mutex mutex_;
  const std::unique_ptr<SqliteDatabase> database_ ABSL_PT_GUARDED_BY(mutex_);
  const SqliteStoreOptions options_;
};

// The items of `filter`, by key, and the store's revision, of one moment.
absl::StatusOr<Listing> ListSqlite(SqliteDatabase& database, const ResourceFilter& filter);

}  // namespace ripstop::api

#endif  // RIPSTOP_API_STORE_SQLITE_STORE_H_
