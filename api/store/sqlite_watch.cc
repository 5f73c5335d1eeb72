// SPDX-License-Identifier: Apache-2.0
#include "api/store/sqlite_watch.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "api/store/sqlite_store.h"
#include "policy/status_macros.h"

namespace ripstop::api {
namespace {

constexpr int64_t kBatch = 4096;                  // changes of one Next
constexpr int64_t kBatchBytes = 4 << 20;          // of values, and one value more
constexpr long kSecondLookNs = 10 * 1000 * 1000;  // after a write to the log
constexpr int kBusyTimeoutMs = 1000;              // another process recovers the log

constexpr int kStrangeLooks = 3;  // at the file, before it counts as written over
constexpr uint32_t kFileEvents = IN_ATTRIB | IN_MODIFY | IN_MOVE_SELF | IN_DELETE_SELF;

// How much of what is there goes into one answer.
class Batch {
 public:
  void Count(const WatchEvent& event) {
    ++count_;
    bytes_ += static_cast<int64_t>(event.resource.value.size());
  }
  bool full() const { return count_ >= kBatch || bytes_ >= kBatchBytes; }

 private:
  int64_t count_ = 0, bytes_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<SqliteWatch>> SqliteWatch::Open(const std::string& path,
                                                               const ResourceFilter& filter,
                                                               int64_t revision) {
  ASSIGN_OR_RETURN(auto database,
                   SqliteDatabase::Open(path, SQLITE_OPEN_READWRITE, kBusyTimeoutMs));
  std::unique_ptr<SqliteWatch> watch(new SqliteWatch(std::move(database), filter, revision));
  {
    // The first read makes sure that the log exists; only then can it be watched.
    SqliteQuery meta(*watch->database_, "SELECT identity FROM meta");
    RETURN_IF_ERROR(meta.Step().status());
    watch->identity_ = meta.Bytes(0);
  }
  ASSIGN_OR_RETURN(watch->files_, SqliteFiles::Of(*watch->database_));
  RETURN_IF_ERROR(watch->Arm());
  RETURN_IF_ERROR(watch->files_->Check());
  ASSIGN_OR_RETURN(const std::optional<BareStore> bare, ReadBareStore(*watch->database_));
  if (bare.has_value()) watch->file_revision_ = bare->revision;
  watch->WakeAgain();
  return watch;
}

SqliteWatch::~SqliteWatch() {
  if (files_.has_value() && !files_->Check().ok()) files_->Leave(*database_);
}

absl::Status SqliteWatch::Arm() {
  const std::string& path = database_->path();
  const std::string log = path + "-wal";
  poll_ = UniqueFd(epoll_create1(EPOLL_CLOEXEC));
  inotify_ = UniqueFd(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  second_look_ = UniqueFd(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  more_ = UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (poll_.get() < 0 || inotify_.get() < 0 || second_look_.get() < 0 || more_.get() < 0)
    return absl::ErrnoToStatus(errno, absl::StrCat("watch of store ", path));
  main_watch_ = inotify_add_watch(inotify_.get(), path.c_str(), kFileEvents);
  if (main_watch_ < 0) return absl::ErrnoToStatus(errno, absl::StrCat("inotify on ", path));
  if (inotify_add_watch(inotify_.get(), log.c_str(), kFileEvents) < 0)
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

absl::Status SqliteWatch::LookAgainSoon() const {
  const itimerspec soon{.it_interval = {}, .it_value = {.tv_sec = 0, .tv_nsec = kSecondLookNs}};
  if (timerfd_settime(second_look_.get(), 0, &soon, nullptr) == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, absl::StrCat("watch of store ", database_->path()));
}

absl::Status SqliteWatch::Drain() {
  uint64_t count;
  (void)!read(more_.get(), &count, sizeof(count));
  (void)!read(second_look_.get(), &count, sizeof(count));
  alignas(inotify_event) char buffer[4096];
  bool written = false, file_written = strange_looks_ > 0;
  ssize_t size;
  while ((size = read(inotify_.get(), buffer, sizeof(buffer))) > 0) {
    written = true;
    for (ssize_t at = 0; at < size;) {
      const auto* event = reinterpret_cast<const inotify_event*>(buffer + at);
      // A lost event may have been any.
      file_written |= (event->mask & IN_Q_OVERFLOW) != 0 ||
                      (event->wd == main_watch_ && (event->mask & IN_MODIFY) != 0);
      at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
    }
  }
  if (written) RETURN_IF_ERROR(LookAgainSoon());
  RETURN_IF_ERROR(files_->Check());
  if (!file_written) return absl::OkStatus();
  if (FileIsOurs()) {
    strange_looks_ = 0;
    return absl::OkStatus();
  }
  // Perhaps the page was being written at this very moment.
  if (++strange_looks_ < kStrangeLooks) return LookAgainSoon();
  strange_looks_ = 0;
  files_->DiscardLog(*database_);
  return absl::OutOfRangeError(absl::StrCat("store ", database_->path(),
                                            ": its file was written over while in use; its log "
                                            "was removed"));
}

bool SqliteWatch::FileIsOurs() {
  const absl::StatusOr<std::optional<BareStore>> bare = ReadBareStore(*database_);
  if (!bare.ok()) return false;
  if (!bare->has_value()) return file_revision_ == 0;
  if ((*bare)->identity != identity_ || (*bare)->revision < file_revision_) return false;
  file_revision_ = (*bare)->revision;
  return true;
}

absl::StatusOr<std::vector<WatchEvent>> SqliteWatch::Next() {
  RETURN_IF_ERROR(Drain());
  std::vector<WatchEvent> events;
  if (strange_looks_ > 0) return events;
  if (!synced_ && revision_ == 0) {
    RETURN_IF_ERROR(Snapshot(&events));
  } else {
    RETURN_IF_ERROR(Deltas(&events));
  }
  return events;
}

// One piece. All of them are of one moment.
absl::Status SqliteWatch::Snapshot(std::vector<WatchEvent>* events) {
  if (!snapshot_.has_value()) {
    snapshot_.emplace(*database_);
    RETURN_IF_ERROR(snapshot_->moment.Begin("BEGIN"));
    ASSIGN_OR_RETURN(snapshot_->revision, database_->Integer("SELECT revision FROM meta"));
  }
  Batch batch;
  {
    SqliteQuery query(*database_,
                      "SELECT kind, ns, name, value, revision, create_revision FROM resources"
                      " WHERE (kind, ns, name) > (?1, ?2, ?3) AND (?4 = '' OR kind = ?4)"
                      " AND (?5 = '' OR ns = ?5) ORDER BY kind, ns, name LIMIT ?6");
    const ResourceKey last = snapshot_->last;
    query.Bind(1, last.kind).Bind(2, last.ns).Bind(3, last.name);
    query.Bind(4, filter_.kind).Bind(5, filter_.ns).Bind(6, kBatch);
    while (!batch.full()) {
      ASSIGN_OR_RETURN(const bool row, query.Step());
      if (!row) break;
      snapshot_->last = {query.Bytes(0), query.Bytes(1), query.Bytes(2)};
      const int64_t revision = query.Integer(4);
      events->push_back({WatchEvent::Type::kPut,
                         {snapshot_->last, query.Bytes(3), revision, query.Integer(5)},
                         revision});
      batch.Count(events->back());
    }
  }
  // Even after the last piece: what was written since the first has woken us already.
  WakeAgain();
  if (batch.full()) return absl::OkStatus();
  revision_ = snapshot_->revision;
  events->push_back({WatchEvent::Type::kSynced, {}, revision_});
  synced_ = true;
  const absl::Status ended = snapshot_->moment.Commit();
  snapshot_.reset();
  return ended;
}

absl::Status SqliteWatch::Deltas(std::vector<WatchEvent>* events) {
  SqliteTransaction moment(*database_);
  RETURN_IF_ERROR(moment.Begin("BEGIN"));
  int64_t now = 0, compacted = 0;
  {
    SqliteQuery meta(*database_, "SELECT revision, compacted, identity FROM meta");
    RETURN_IF_ERROR(meta.Step().status());
    now = meta.Integer(0);
    compacted = meta.Integer(1);
    if (meta.Bytes(2) != identity_)
      return absl::OutOfRangeError(absl::StrCat("store ", database_->path(),
                                                " is another one: its identity is ", meta.Bytes(2),
                                                ", not ", identity_, "; watch anew from 0"));
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
  Batch batch;
  {
    SqliteQuery query(*database_,
                      "SELECT revision, deleted, kind, ns, name, value, create_revision"
                      " FROM changes WHERE revision > ?1 AND (?2 = '' OR kind = ?2)"
                      " AND (?3 = '' OR ns = ?3) ORDER BY revision LIMIT ?4");
    query.Bind(1, revision_).Bind(2, filter_.kind).Bind(3, filter_.ns).Bind(4, kBatch);
    while (!batch.full()) {
      ASSIGN_OR_RETURN(const bool row, query.Step());
      if (!row) break;
      const int64_t revision = query.Integer(0);
      events->push_back({query.Integer(1) ? WatchEvent::Type::kDelete : WatchEvent::Type::kPut,
                         {{query.Bytes(2), query.Bytes(3), query.Bytes(4)},
                          query.Bytes(5),
                          revision,
                          query.Integer(6)},
                         revision});
      batch.Count(events->back());
    }
  }
  revision_ = batch.full() ? events->back().revision : now;
  if (revision_ < now) WakeAgain();
  return moment.Commit();
}

}  // namespace ripstop::api
