// SPDX-License-Identifier: Apache-2.0
//
// A watch on a SQLite store, with its own connection.
//
// What wakes it: inotify on the write-ahead log (any commit of any process writes it) and
// on the database file (our writers touch it after each commit). The log is written a
// moment before the commit can be read, so a wake-up by it alone is followed by a second
// look some milliseconds later: that catches the commit of a writer that died before its
// touch, or of another tool. Nothing polls while nothing is written.
//
// SQLite removes the log only with the last connection, and starts it over in place. What
// people do to the files ends the watch with kOutOfRange: renaming, removing or replacing one
// (sqlite_files.h), a backup restored through SQLite (identity or revision go back), and one
// written over the file in place, which shows in the file itself: there identity stays and
// the revision only grows, checkpoint by checkpoint.
#ifndef RIPSTOP_API_STORE_SQLITE_WATCH_H_
#define RIPSTOP_API_STORE_SQLITE_WATCH_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/store/sqlite_database.h"
#include "api/store/sqlite_files.h"
#include "api/store/store.h"

namespace ripstop::api {

// One thread at a time.
class SqliteWatch : public Watch {
 public:
  // Of a store that has the current schema.
  static absl::StatusOr<std::unique_ptr<SqliteWatch>> Open(const std::string& path,
                                                           const ResourceFilter& filter,
                                                           int64_t revision);
  ~SqliteWatch() override;
  int fd() const override { return poll_.get(); }
  absl::StatusOr<std::vector<WatchEvent>> Next() override;
  std::string identity() const override { return identity_; }

 private:
  // Its moment ends before the connection.
  struct SnapshotUnderWay {
    explicit SnapshotUnderWay(SqliteDatabase& database) : moment(database) {}
    SqliteTransaction moment;
    int64_t revision = 0;
    ResourceKey last;  // of the pieces so far
  };

  SqliteWatch(std::unique_ptr<SqliteDatabase> database, ResourceFilter filter, int64_t revision)
      : database_(std::move(database)), filter_(std::move(filter)), revision_(revision) {}
  absl::Status Arm();    // descriptors; once
  absl::Status Drain();  // what woke us
  absl::Status LookAgainSoon() const;
  // Whether the file, its log left aside, still is a state of this store, and none from before.
  bool FileIsOurs();
  absl::Status Snapshot(std::vector<WatchEvent>* events);
  absl::Status Deltas(std::vector<WatchEvent>* events);
  void WakeAgain() const;  // there is more: keep fd readable

  const std::unique_ptr<SqliteDatabase> database_;
  const ResourceFilter filter_;
  std::optional<SqliteFiles> files_;
  std::string identity_;
  int64_t revision_;  // everything up to it was delivered
  bool synced_ = false;
  std::optional<SnapshotUnderWay> snapshot_;
  int64_t file_revision_ = 0;  // that of the file without its log, when last seen
  int strange_looks_ = 0;      // in a row at which the file was not ours
  int main_watch_ = -1;        // inotify's number of the file
  UniqueFd poll_;              // epoll of the three below
  UniqueFd inotify_;
  UniqueFd second_look_;  // timerfd
  UniqueFd more_;         // eventfd
};

}  // namespace ripstop::api

#endif  // RIPSTOP_API_STORE_SQLITE_WATCH_H_
