// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_STORE_LAST_GOOD_H_
#define RIPSTOP_AGENT_STORE_LAST_GOOD_H_

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "api/store/sqlite_database.h"
#include "api/store/store.h"

namespace ripstop::agent {

// What was in force on this node last, on its own disk: the resources as the store held them when
// they were put in force, and of which store that was. For a start at which the store is away.
//
//   loop ──Put, Delete, Commit──▶ [queue] ──▶ writer thread ──▶ FILE (SQLite)
//
//   meta       one row: identity and revision of the store, when; how many rows, and the sum of
//              their checksums
//   resources  key, value, revisions, checksum (CRC-32 of all of it)
//
// What Commit ends is written in one transaction: a crash leaves the state before or after it,
// at most kDelay old. SQLite's pages have no checksums, so each row has one, and all rows
// together: a file that is damaged, or lacks a row, is as none.
//
// Put, Delete, Commit and the questions are for one thread; Load for another before it or for the
// same.
class LastGood {
 public:
  // Between two transactions, so that many changes share one.
  static constexpr absl::Duration kDelay = absl::Milliseconds(100);

  struct Origin {
    std::string identity;
    int64_t revision = 0;
    absl::Time at;
  };

  explicit LastGood(std::string path) : path_(std::move(path)) {}
  // Writes what was committed, then ends.
  ~LastGood();

  // Passes all resources on, in pieces, and says where they come from.
  //   kNotFound  there is no file, or nothing was committed
  //   kUnavailable  it cannot be read now; nothing was passed on, and the file stays
  //   kDataLoss  damaged; nothing was passed on, and the file is set beside as FILE.damaged
  absl::StatusOr<Origin> Load(
      const std::function<void(std::vector<api::StoredResource>)>& piece) const;

  void Put(const api::StoredResource& resource);
  // Of an object that cannot be read: what it was when it could stays.
  void PutIfAbsent(const api::StoredResource& resource);
  void Delete(const api::ResourceKey& key);
  // All that was put and deleted is in force.
  void Commit(const std::string& identity, int64_t revision);

  // Why the file is not what is in force; empty while it is, or soon will be.
  std::string problem() const;
  // Once after the file could not be written: everything is to be put again, and the next Commit
  // to come after that.
  bool TakeLost();

 private:
  struct Change {
    std::optional<api::StoredResource> resource;  // nullopt: deleted
    bool if_absent = false;
  };
  using Changes = std::map<api::ResourceKey, Change>;
  struct Step {
    Changes changes;
    std::optional<Origin> commit;
  };

  void Enqueue(std::optional<Origin> commit);
  void Run();
  absl::Status Write(const std::vector<Step>& steps);
  absl::Status WriteChanges(const Changes& changes);
  absl::StatusOr<bool> InsertIfAbsent(const api::StoredResource& resource);  // whether it did
  absl::Status Remove(const api::ResourceKey& key);
  absl::Status Open();

  const std::string path_;
  Changes changes_;   // of the loop, not yet with the writer
  Origin committed_;  // last

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable wake_;
  std::vector<Step> queue_;
  bool stop_ = false;
  bool lost_ = false;
  std::string problem_;

  // Of the writer, which runs from the first step on.
  std::unique_ptr<api::SqliteDatabase> database_;
  std::optional<api::SqliteTransaction> transaction_;
  int64_t rows_ = 0, total_ = 0;  // what the transaction adds to those of the file
  std::thread writer_;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_STORE_LAST_GOOD_H_
