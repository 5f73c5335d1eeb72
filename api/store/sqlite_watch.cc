// SPDX-License-Identifier: Apache-2.0
#include "api/store/sqlite_watch.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "api/store/sqlite_store.h"
#include "policy/status_macros.h"

namespace ripstop::api {
namespace {

constexpr int64_t kBatch = 4096;                  // changes of one Next
constexpr long kSecondLookNs = 10 * 1000 * 1000;  // after a write to the log
constexpr int kBusyTimeoutMs = 1000;              // another process recovers the log

absl::StatusOr<ino_t> Inode(const std::string& path) {
  struct stat status;
  if (stat(path.c_str(), &status) != 0)
    return absl::ErrnoToStatus(errno, absl::StrCat("store ", path));
  return status.st_ino;
}

}  // namespace

UniqueFd::~UniqueFd() {
  if (fd_ >= 0) close(fd_);
}

absl::StatusOr<std::unique_ptr<SqliteWatch>> SqliteWatch::Open(const std::string& path,
                                                               const ResourceFilter& filter,
                                                               int64_t revision) {
  ASSIGN_OR_RETURN(auto database,
                   SqliteDatabase::Open(path, SQLITE_OPEN_READWRITE, kBusyTimeoutMs));
  std::unique_ptr<SqliteWatch> watch(new SqliteWatch(std::move(database), filter, revision));
  // The first read makes sure that the log exists; only then can it be watched.
  RETURN_IF_ERROR(watch->database_->Integer("SELECT revision FROM meta").status());
  RETURN_IF_ERROR(watch->Arm());
  watch->WakeAgain();
  return watch;
}

absl::Status SqliteWatch::Arm() {
  const std::string& path = database_->path();
  const std::string log = path + "-wal";
  ASSIGN_OR_RETURN(inode_, Inode(path));
  poll_ = UniqueFd(epoll_create1(EPOLL_CLOEXEC));
  inotify_ = UniqueFd(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  second_look_ = UniqueFd(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  more_ = UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (poll_.get() < 0 || inotify_.get() < 0 || second_look_.get() < 0 || more_.get() < 0)
    return absl::ErrnoToStatus(errno, absl::StrCat("watch of store ", path));
  if (inotify_add_watch(inotify_.get(), path.c_str(), IN_ATTRIB) < 0)
    return absl::ErrnoToStatus(errno, absl::StrCat("inotify on ", path));
  if (inotify_add_watch(inotify_.get(), log.c_str(), IN_MODIFY) < 0)
    return absl::ErrnoToStatus(errno, absl::StrCat("inotify on ", log));
  for (const int fd : {inotify_.get(), second_look_.get(), more_.get()}) {
    epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
    if (epoll_ctl(poll_.get(), EPOLL_CTL_ADD, fd, &event) != 0)
      return absl::ErrnoToStatus(errno, absl::StrCat("watch of store ", path));
  }
  return absl::OkStatus();
}

void SqliteWatch::WakeAgain() const {
  const uint64_t one = 1;
  (void)!write(more_.get(), &one, sizeof(one));
}

absl::Status SqliteWatch::Drain() {
  uint64_t count;
  (void)!read(more_.get(), &count, sizeof(count));
  (void)!read(second_look_.get(), &count, sizeof(count));
  alignas(inotify_event) char buffer[4096];
  bool written = false;
  while (read(inotify_.get(), buffer, sizeof(buffer)) > 0) written = true;
  if (!written) return absl::OkStatus();
  const itimerspec soon{.it_interval = {}, .it_value = {.tv_sec = 0, .tv_nsec = kSecondLookNs}};
  if (timerfd_settime(second_look_.get(), 0, &soon, nullptr) != 0)
    return absl::ErrnoToStatus(errno, absl::StrCat("watch of store ", database_->path()));
  return CheckFile();
}

absl::Status SqliteWatch::CheckFile() const {
  const absl::StatusOr<ino_t> inode = Inode(database_->path());
  if (inode.ok() && *inode == inode_) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat("store ", database_->path(), ": its file was removed or replaced while in use"));
}

absl::StatusOr<std::vector<WatchEvent>> SqliteWatch::Next() {
  RETURN_IF_ERROR(Drain());
  std::vector<WatchEvent> events;
  if (!synced_ && revision_ == 0) {
    RETURN_IF_ERROR(Snapshot(&events));
  } else {
    RETURN_IF_ERROR(Deltas(&events));
  }
  return events;
}

absl::Status SqliteWatch::Snapshot(std::vector<WatchEvent>* events) {
  ASSIGN_OR_RETURN(Listing listing, ListSqlite(*database_, filter_));
  for (StoredResource& item : listing.items) {
    const int64_t revision = item.revision;
    events->push_back({WatchEvent::Type::kPut, std::move(item), revision});
  }
  events->push_back({WatchEvent::Type::kSynced, {}, listing.revision});
  revision_ = listing.revision;
  synced_ = true;
  return absl::OkStatus();
}

absl::Status SqliteWatch::Deltas(std::vector<WatchEvent>* events) {
  SqliteTransaction moment(*database_);
  RETURN_IF_ERROR(moment.Begin("BEGIN"));
  int64_t now = 0, compacted = 0;
  {
    SqliteQuery meta(*database_, "SELECT revision, compacted FROM meta");
    RETURN_IF_ERROR(meta.Step().status());
    now = meta.Integer(0);
    compacted = meta.Integer(1);
  }
  if (revision_ < compacted)
    return absl::OutOfRangeError(absl::StrCat("store ", database_->path(), ": revision ", revision_,
                                              " is compacted, the oldest kept is ", compacted,
                                              "; watch anew from 0"));
  if (revision_ > now)
    return absl::OutOfRangeError(absl::StrCat("store ", database_->path(), " is at revision ", now,
                                              ", before ", revision_, "; watch anew from 0"));
  if (!synced_) {
    events->push_back({WatchEvent::Type::kSynced, {}, revision_});
    synced_ = true;
  }
  if (revision_ == now) return moment.Commit();
  int64_t count = 0;
  {
    SqliteQuery query(*database_,
                      "SELECT revision, deleted, kind, ns, name, value, create_revision"
                      " FROM changes WHERE revision > ?1 AND (?2 = '' OR kind = ?2)"
                      " AND (?3 = '' OR ns = ?3) ORDER BY revision LIMIT ?4");
    query.Bind(1, revision_).Bind(2, filter_.kind).Bind(3, filter_.ns).Bind(4, kBatch);
    while (true) {
      ASSIGN_OR_RETURN(const bool row, query.Step());
      if (!row) break;
      const int64_t revision = query.Integer(0);
      events->push_back({query.Integer(1) ? WatchEvent::Type::kDelete : WatchEvent::Type::kPut,
                         {{query.Bytes(2), query.Bytes(3), query.Bytes(4)},
                          query.Bytes(5),
                          revision,
                          query.Integer(6)},
                         revision});
      ++count;
    }
  }
  revision_ = count < kBatch ? now : events->back().revision;
  if (revision_ < now) WakeAgain();
  return moment.Commit();
}

}  // namespace ripstop::api
