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
// The log is never replaced while this connection is open: SQLite removes it only with
// the last connection, and starts it over in place.
#ifndef RIPSTOP_API_STORE_SQLITE_WATCH_H_
#define RIPSTOP_API_STORE_SQLITE_WATCH_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "api/store/sqlite_database.h"
#include "api/store/store.h"

namespace ripstop::api {

class UniqueFd {
 public:
  explicit UniqueFd(int fd = -1) : fd_(fd) {}
  ~UniqueFd();
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

// One thread at a time.
class SqliteWatch : public Watch {
 public:
  static absl::StatusOr<std::unique_ptr<SqliteWatch>> Open(const std::string& path,
                                                           const ResourceFilter& filter,
                                                           int64_t revision);
  int fd() const override { return poll_.get(); }
  absl::StatusOr<std::vector<WatchEvent>> Next() override;

 private:
  SqliteWatch(std::unique_ptr<SqliteDatabase> database, ResourceFilter filter, int64_t revision)
      : database_(std::move(database)), filter_(std::move(filter)), revision_(revision) {}
  absl::Status Arm();    // descriptors; once
  absl::Status Drain();  // what woke us
  absl::Status CheckFile() const;
  absl::Status Snapshot(std::vector<WatchEvent>* events);
  absl::Status Deltas(std::vector<WatchEvent>* events);
  void WakeAgain() const;  // there is more: keep fd readable

  const std::unique_ptr<SqliteDatabase> database_;
  const ResourceFilter filter_;
  int64_t revision_;  // everything up to it was delivered
  bool synced_ = false;
  ino_t inode_ = 0;
  UniqueFd poll_;  // epoll of the three below
  UniqueFd inotify_;
  UniqueFd second_look_;  // timerfd
  UniqueFd more_;         // eventfd
};

}  // namespace ripstop::api

#endif  // RIPSTOP_API_STORE_SQLITE_WATCH_H_
