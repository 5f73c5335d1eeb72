// SPDX-License-Identifier: Apache-2.0
//
// The store in one SQLite file, for one machine. Processes share it through SQLite's
// write-ahead log; a watch learns of the commits of others by inotify.
//
//   meta       one row: identity, revision, the last revision compacted away, how many bytes
//              the changes hold, and two revisions with the time of the later one
//   resources  what is there now
//   changes    the last changes, one row per revision
//
// All three change in one transaction, so a reader that holds a revision knows that it
// has seen everything up to it.
//
// The changes are bounded in number and in bytes, but what is younger than `history_grace`
// stays up to four times the bounds, so that one large transaction does not make every reader
// that had read all before it read the whole store again. Nor does a transaction remove its
// own, or many more of older ones than it adds: no write pays for another's past.
#ifndef RIPSTOP_API_STORE_SQLITE_STORE_H_
#define RIPSTOP_API_STORE_SQLITE_STORE_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "api/store/sqlite_database.h"
#include "api/store/sqlite_files.h"
#include "api/store/store.h"

namespace ripstop::api {

struct SqliteStoreOptions {
  // Make the file, and its folder, when they do not exist. Only when opened: a file that is
  // removed later is never made again.
  bool create = true;
  // How far a watch may lag behind before it must start anew.
  int64_t history_max = 100'000;                  // changes
  int64_t history_bytes_max = int64_t{64} << 20;  // of keys and values
  absl::Duration history_grace = absl::Seconds(30);
  // How long a write waits for the writes of other processes.
  int busy_timeout_ms = 5'000;
};

// Each call asks whether the path still names the files that are open, and opens what it names
// now if not (sqlite_files.h). Thread-safe. Do not carry one across fork().
class SqliteStore : public Store {
 public:
  // The store at `path`, opened by the first call that can; until then each fails as Open does.
  static std::unique_ptr<SqliteStore> At(const std::string& path,
                                         const SqliteStoreOptions& options = {});
  // The same, opened now. Errors:
  //   kUnavailable         not there, not readable or writable, disk full, busy too long
  //   kFailedPrecondition  a newer version's file, or another program's
  //   kDataLoss            not a SQLite file, or a damaged one
  static absl::StatusOr<std::unique_ptr<SqliteStore>> Open(const std::string& path,
                                                           const SqliteStoreOptions& options = {});

  absl::StatusOr<std::string> Identity() override;
  void WriteOnlyTo(std::string identity) override;
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
  struct History;
  SqliteStore(std::string path, SqliteStoreOptions options)
      : path_(std::move(path)), options_(options) {}
  // The open database, opened anew when the path names another file by now.
  absl::StatusOr<SqliteDatabase*> Connected() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Connect(bool create) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<int64_t> One(Mutation mutation);
  absl::StatusOr<std::vector<int64_t>> Write(const std::vector<Mutation>& mutations)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Both within a transaction. Mutate adds to `bytes` what its change holds.
  absl::Status Mutate(const Mutation& mutation, int64_t revision, int64_t* bytes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<History> ReadHistory() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Compact(int64_t first, int64_t revision, int64_t added_bytes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string path_;
  const SqliteStoreOptions options_;
  absl::Mutex mutex_;
  std::unique_ptr<SqliteDatabase> database_ ABSL_GUARDED_BY(mutex_);  // null: not open
  std::optional<SqliteFiles> files_ ABSL_GUARDED_BY(mutex_);
  std::string write_only_to_ ABSL_GUARDED_BY(mutex_);
};

// The items of `filter`, by key, and the store's revision, of one moment.
absl::StatusOr<Listing> ListSqlite(SqliteDatabase& database, const ResourceFilter& filter);

}  // namespace ripstop::api

#endif  // RIPSTOP_API_STORE_SQLITE_STORE_H_
