// SPDX-License-Identifier: Apache-2.0
#include "api/store/sqlite_store.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "api/store/sqlite_watch.h"
#include "policy/status_macros.h"

namespace ripstop::api {
namespace {

constexpr int64_t kApplicationId = 0x52705374;  // "RpSt", in SQLite's header
constexpr int64_t kSchemaVersion = 2;
// What a change costs beside its key and value, near enough.
constexpr int64_t kChangeOverhead = 64;
// How many more old changes than it adds a transaction may remove.
constexpr int64_t kCompactBeyond = 1000;
// By how much young changes may exceed the bounds.
constexpr int64_t kYoungFactor = 4;

constexpr char kSchema[] = R"sql(
CREATE TABLE meta (
  id        INTEGER PRIMARY KEY CHECK (id = 1),
  revision  INTEGER NOT NULL,
  compacted INTEGER NOT NULL,
  identity  TEXT    NOT NULL,
  history_bytes INTEGER NOT NULL,
  aged      INTEGER NOT NULL DEFAULT 0,
  ageing    INTEGER NOT NULL DEFAULT 0,
  aged_at   INTEGER NOT NULL DEFAULT 0);
INSERT INTO meta (id, revision, compacted, identity, history_bytes) VALUES (1, 0, 0, '', 0);
CREATE TABLE resources (
  kind            TEXT NOT NULL,
  ns              TEXT NOT NULL,
  name            TEXT NOT NULL,
  value           BLOB NOT NULL,
  revision        INTEGER NOT NULL,
  create_revision INTEGER NOT NULL,
  PRIMARY KEY (kind, ns, name));
CREATE TABLE changes (
  revision        INTEGER PRIMARY KEY,
  deleted         INTEGER NOT NULL,
  kind            TEXT NOT NULL,
  ns              TEXT NOT NULL,
  name            TEXT NOT NULL,
  value           BLOB NOT NULL,
  create_revision INTEGER NOT NULL);
PRAGMA application_id = 1383093108;
PRAGMA user_version = 2;
)sql";
// Version 1 had no identity, and bounded its changes by their number alone.
constexpr char kUpgradeFrom1[] = R"sql(
ALTER TABLE meta ADD COLUMN identity TEXT NOT NULL DEFAULT '';
ALTER TABLE meta ADD COLUMN history_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN aged INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN ageing INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN aged_at INTEGER NOT NULL DEFAULT 0;
DELETE FROM changes;
UPDATE meta SET compacted = revision;
PRAGMA user_version = 2;
)sql";
static_assert(kApplicationId == 1383093108 && kSchemaVersion == 2, "as in the two above");

// A random UUID (RFC 9562, version 4).
absl::StatusOr<std::string> NewIdentity() {
  std::ifstream file("/proc/sys/kernel/random/uuid");
  std::string identity;
  if (!std::getline(file, identity) || identity.empty())
    return absl::UnavailableError("/proc/sys/kernel/random/uuid cannot be read");
  return identity;
}

enum class Schema { kCurrent, kOlder, kEmpty };

absl::StatusOr<Schema> SchemaOf(SqliteDatabase& database) {
  ASSIGN_OR_RETURN(const int64_t application, database.Integer("PRAGMA application_id"));
  ASSIGN_OR_RETURN(const int64_t version, database.Integer("PRAGMA user_version"));
  if (application == kApplicationId) {
    if (version == kSchemaVersion) return Schema::kCurrent;
    if (version >= 1 && version < kSchemaVersion) return Schema::kOlder;
    return absl::FailedPreconditionError(absl::StrCat(
        "store ", database.path(), " has schema version ", version, ", this program knows ",
        kSchemaVersion, ": use the version of Ripstop that wrote it, or a newer one"));
  }
  ASSIGN_OR_RETURN(const int64_t tables, database.Integer("SELECT count(*) FROM sqlite_schema"));
  if (application != 0 || version != 0 || tables != 0)
    return absl::FailedPreconditionError(
        absl::StrCat("store ", database.path(), " is another program's SQLite file"));
  return Schema::kEmpty;
}

// Brings the schema to the current one, in one transaction.
absl::Status MakeCurrent(SqliteDatabase& database) {
  ASSIGN_OR_RETURN(const std::string identity, NewIdentity());
  SqliteTransaction transaction(database);
  RETURN_IF_ERROR(transaction.Begin("BEGIN IMMEDIATE"));
  // Another process may have been faster.
  ASSIGN_OR_RETURN(const Schema schema, SchemaOf(database));
  if (schema == Schema::kCurrent) return transaction.Commit();
  RETURN_IF_ERROR(database.Execute(schema == Schema::kEmpty ? kSchema : kUpgradeFrom1));
  SqliteQuery meta(database, "UPDATE meta SET identity = ?");
  RETURN_IF_ERROR(meta.Bind(1, identity).Run());
  return transaction.Commit();
}

absl::Status Prepare(SqliteDatabase& database, bool create) {
  Schema schema = Schema::kCurrent;
  {
    // One moment: another process may be writing the schema, and half of the answers
    // from before and half from after it look like another program's file.
    SqliteTransaction moment(database);
    RETURN_IF_ERROR(moment.Begin("BEGIN"));
    ASSIGN_OR_RETURN(schema, SchemaOf(database));
    RETURN_IF_ERROR(moment.Commit());
  }
  if (schema == Schema::kEmpty && !create)
    return absl::UnavailableError(absl::StrCat(
        "store ", database.path(), ": the file is empty; `ripstopctl apply` makes a store of it"));
  // Out of any transaction. The file keeps it, but a backup may have another.
  std::string journal;
  {
    SqliteQuery mode(database, "PRAGMA journal_mode");
    RETURN_IF_ERROR(mode.Step().status());
    journal = mode.Bytes(0);
  }
  if (journal != "wal") RETURN_IF_ERROR(database.Execute("PRAGMA journal_mode = WAL"));
  if (schema != Schema::kCurrent) RETURN_IF_ERROR(MakeCurrent(database));
  // NORMAL: a power cut may lose the last commits, never the consistency of the file.
  return database.Execute(
      "PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = 67108864;"
      "PRAGMA temp_store = MEMORY");
}

// A log left beside a file that is not its own would be taken for it.
absl::Status CheckLog(SqliteDatabase& database) {
  ASSIGN_OR_RETURN(const std::optional<BareStore> bare, ReadBareStore(database));
  if (!bare.has_value()) return absl::OkStatus();
  SqliteQuery meta(database, "SELECT identity, revision FROM meta");
  RETURN_IF_ERROR(meta.Step().status());
  if (meta.Bytes(0) == bare->identity && meta.Integer(1) >= bare->revision) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(
      "store ", database.path(), ": its write-ahead log ", database.path(),
      "-wal is another file's; if the file alone is what you want, stop what uses it and remove ",
      database.path(), "-wal and ", database.path(), "-shm"));
}

absl::Status RevisionConflict(const ResourceKey& key, int64_t expected, int64_t found) {
  return absl::AbortedError(absl::StrCat(key.ToString(), " was changed by someone else: revision ",
                                         found, ", not ", expected,
                                         "; read it again and repeat the change"));
}

}  // namespace

std::unique_ptr<SqliteStore> SqliteStore::At(const std::string& path,
                                             const SqliteStoreOptions& options) {
  return std::unique_ptr<SqliteStore>(new SqliteStore(path, options));
}

absl::StatusOr<std::unique_ptr<SqliteStore>> SqliteStore::Open(const std::string& path,
                                                               const SqliteStoreOptions& options) {
  std::unique_ptr<SqliteStore> store = At(path, options);
  absl::MutexLock lock(&store->mutex_);
  RETURN_IF_ERROR(store->Connect(options.create));
  return store;
}

absl::Status SqliteStore::Connect(bool create) {
  struct stat status;
  if (create) {
    RETURN_IF_ERROR(MakePrivateFile(path_));
  } else if (stat(path_.c_str(), &status) != 0) {
    return absl::UnavailableError(
        absl::StrCat("store ", path_, ": ", std::generic_category().message(errno)));
  }
  MakePrivate(path_);
  ASSIGN_OR_RETURN(auto database,
                   SqliteDatabase::Open(path_, SQLITE_OPEN_READWRITE, options_.busy_timeout_ms));
  RETURN_IF_ERROR(Prepare(*database, create));
  RETURN_IF_ERROR(CheckLog(*database));
  ASSIGN_OR_RETURN(files_, SqliteFiles::Of(*database));
  database_ = std::move(database);
  return absl::OkStatus();
}

absl::StatusOr<SqliteDatabase*> SqliteStore::Connected() {
  if (database_ != nullptr && !files_->Check().ok()) {
    files_->Leave(*database_);
    database_.reset();
    files_.reset();
  }
  if (database_ == nullptr) RETURN_IF_ERROR(Connect(false));
  return database_.get();
}

absl::StatusOr<std::string> SqliteStore::Identity() {
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(SqliteDatabase * database, Connected());
  SqliteQuery meta(*database, "SELECT identity FROM meta");
  RETURN_IF_ERROR(meta.Step().status());
  return meta.Bytes(0);
}

void SqliteStore::WriteOnlyTo(std::string identity) {
  absl::MutexLock lock(&mutex_);
  write_only_to_ = std::move(identity);
}

absl::StatusOr<StoredResource> SqliteStore::Get(const ResourceKey& key) {
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(SqliteDatabase * database, Connected());
  SqliteQuery query(*database,
                    "SELECT value, revision, create_revision FROM resources"
                    " WHERE kind = ? AND ns = ? AND name = ?");
  query.Bind(1, key.kind).Bind(2, key.ns).Bind(3, key.name);
  ASSIGN_OR_RETURN(const bool found, query.Step());
  if (!found) return absl::NotFoundError(absl::StrCat(key.ToString(), " not found"));
  return StoredResource{key, query.Bytes(0), query.Integer(1), query.Integer(2)};
}

absl::StatusOr<Listing> ListSqlite(SqliteDatabase& database, const ResourceFilter& filter) {
  SqliteTransaction moment(database);
  RETURN_IF_ERROR(moment.Begin("BEGIN"));
  Listing listing;
  ASSIGN_OR_RETURN(listing.revision, database.Integer("SELECT revision FROM meta"));
  {
    SqliteQuery query(database, filter.kind.empty()
                                    ? "SELECT kind, ns, name, value, revision, create_revision"
                                      " FROM resources WHERE (?1 = '' OR kind = ?1)"
                                      " AND (?2 = '' OR ns = ?2) ORDER BY kind, ns, name"
                                    : "SELECT kind, ns, name, value, revision, create_revision"
                                      " FROM resources WHERE kind = ?1"
                                      " AND (?2 = '' OR ns = ?2) ORDER BY kind, ns, name");
    query.Bind(1, filter.kind).Bind(2, filter.ns);
    while (true) {
      ASSIGN_OR_RETURN(const bool row, query.Step());
      if (!row) break;
      listing.items.push_back({{query.Bytes(0), query.Bytes(1), query.Bytes(2)},
                               query.Bytes(3),
                               query.Integer(4),
                               query.Integer(5)});
    }
  }
  RETURN_IF_ERROR(moment.Commit());
  return listing;
}

absl::StatusOr<Listing> SqliteStore::List(const ResourceFilter& filter) {
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(SqliteDatabase * database, Connected());
  return ListSqlite(*database, filter);
}

absl::Status SqliteStore::Mutate(const Mutation& mutation, int64_t revision, int64_t* bytes) {
  const ResourceKey& key = mutation.key;
  using Type = Mutation::Type;
  std::string last_value;
  int64_t create_revision = revision;
  {
    SqliteQuery query(*database_,
                      "SELECT revision, create_revision, CASE WHEN ? THEN value ELSE x'' END"
                      " FROM resources WHERE kind = ? AND ns = ? AND name = ?");
    query.Bind(1, int64_t{mutation.type == Type::kDelete});
    query.Bind(2, key.kind).Bind(3, key.ns).Bind(4, key.name);
    ASSIGN_OR_RETURN(const bool found, query.Step());
    if (found && mutation.type == Type::kCreate)
      return absl::AlreadyExistsError(absl::StrCat(key.ToString(), " already exists"));
    if (!found && (mutation.type == Type::kUpdate || mutation.type == Type::kDelete ||
                   mutation.expected_revision != 0))
      return absl::NotFoundError(absl::StrCat(key.ToString(), " not found"));
    if (found) {
      const int64_t now = query.Integer(0);
      if (mutation.expected_revision != 0 && mutation.expected_revision != now)
        return RevisionConflict(key, mutation.expected_revision, now);
      create_revision = query.Integer(1);
      last_value = query.Bytes(2);
    }
  }
  const bool deleted = mutation.type == Type::kDelete;
  if (deleted) {
    SqliteQuery remove(*database_, "DELETE FROM resources WHERE kind = ? AND ns = ? AND name = ?");
    RETURN_IF_ERROR(remove.Bind(1, key.kind).Bind(2, key.ns).Bind(3, key.name).Run());
  } else {
    SqliteQuery put(*database_, "INSERT OR REPLACE INTO resources VALUES (?, ?, ?, ?, ?, ?)");
    put.Bind(1, key.kind).Bind(2, key.ns).Bind(3, key.name).BindBlob(4, mutation.value);
    RETURN_IF_ERROR(put.Bind(5, revision).Bind(6, create_revision).Run());
  }
  const std::string& value = deleted ? last_value : mutation.value;
  *bytes += static_cast<int64_t>(key.kind.size() + key.ns.size() + key.name.size() + value.size()) +
            kChangeOverhead;
  SqliteQuery change(*database_, "INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?, ?)");
  change.Bind(1, revision).Bind(2, int64_t{deleted});
  change.Bind(3, key.kind).Bind(4, key.ns).Bind(5, key.name);
  change.BindBlob(6, value).Bind(7, create_revision);
  return change.Run();
}

// Changes up to `aged` were there when the last grace began, or the one before it.
struct SqliteStore::History {
  int64_t compacted = 0, bytes = 0;
  int64_t aged = 0, ageing = 0, aged_at = 0;  // the last in seconds since 1970

  void Age(int64_t first, absl::Duration grace) {
    const int64_t now = absl::ToUnixSeconds(absl::Now());
    const int64_t seconds = absl::ToInt64Seconds(grace);
    if (seconds == 0) {
      aged = first - 1;
    } else if (now >= aged_at + seconds || now < aged_at) {
      aged = ageing;
      ageing = first - 1;
      aged_at = now;
    }
  }
};

absl::StatusOr<SqliteStore::History> SqliteStore::ReadHistory() {
  SqliteQuery meta(*database_, "SELECT compacted, history_bytes, aged, ageing, aged_at FROM meta");
  RETURN_IF_ERROR(meta.Step().status());
  return History{meta.Integer(0), meta.Integer(1), meta.Integer(2), meta.Integer(3),
                 meta.Integer(4)};
}

// Removes the oldest changes beyond the bounds, as far as one transaction may.
absl::Status SqliteStore::Compact(int64_t first, int64_t revision, int64_t added_bytes) {
  ASSIGN_OR_RETURN(History history, ReadHistory());
  history.bytes += added_bytes;
  history.Age(first, options_.history_grace);
  const auto over = [&](int64_t factor) {
    return revision - history.compacted > options_.history_max * factor ||
           history.bytes > options_.history_bytes_max * factor;
  };
  if (over(1)) {
    SqliteQuery oldest(*database_,
                       "SELECT revision, length(CAST(kind AS BLOB)) + length(CAST(ns AS BLOB))"
                       " + length(CAST(name AS BLOB)) + length(value) FROM changes"
                       " WHERE revision < ? ORDER BY revision LIMIT ?");
    oldest.Bind(1, first).Bind(2, revision - first + 1 + kCompactBeyond);
    while (over(1)) {
      ASSIGN_OR_RETURN(const bool row, oldest.Step());
      if (!row || (oldest.Integer(0) > history.aged && !over(kYoungFactor))) break;
      history.compacted = oldest.Integer(0);
      history.bytes = std::max<int64_t>(0, history.bytes - oldest.Integer(1) - kChangeOverhead);
    }
  }
  SqliteQuery remove(*database_, "DELETE FROM changes WHERE revision <= ?");
  RETURN_IF_ERROR(remove.Bind(1, history.compacted).Run());
  SqliteQuery meta(*database_,
                   "UPDATE meta SET revision = ?, compacted = ?, history_bytes = ?, aged = ?,"
                   " ageing = ?, aged_at = ?");
  meta.Bind(1, revision).Bind(2, history.compacted).Bind(3, history.bytes);
  return meta.Bind(4, history.aged).Bind(5, history.ageing).Bind(6, history.aged_at).Run();
}

absl::StatusOr<std::vector<int64_t>> SqliteStore::Write(const std::vector<Mutation>& mutations) {
  std::vector<int64_t> revisions;
  SqliteTransaction transaction(*database_);
  RETURN_IF_ERROR(transaction.Begin("BEGIN IMMEDIATE"));
  // Asked once more: waiting for other writers may have taken a while.
  RETURN_IF_ERROR(files_->Check());
  int64_t revision = 0, bytes = 0;
  {
    SqliteQuery meta(*database_, "SELECT revision, identity FROM meta");
    RETURN_IF_ERROR(meta.Step().status());
    revision = meta.Integer(0);
    if (!write_only_to_.empty() && meta.Bytes(1) != write_only_to_)
      return absl::FailedPreconditionError(
          absl::StrCat("store ", path_, " is another one: its identity is ", meta.Bytes(1),
                       ", not ", write_only_to_, "; nothing is written to it"));
  }
  const int64_t first = revision + 1;
  for (const Mutation& mutation : mutations) {
    RETURN_IF_ERROR(Mutate(mutation, ++revision, &bytes));
    revisions.push_back(revision);
  }
  RETURN_IF_ERROR(Compact(first, revision, bytes));
  RETURN_IF_ERROR(transaction.Commit());
  return revisions;
}

absl::StatusOr<std::vector<int64_t>> SqliteStore::Txn(const std::vector<Mutation>& mutations) {
  if (mutations.empty()) return std::vector<int64_t>();
  absl::MutexLock lock(&mutex_);
  absl::StatusOr<std::vector<int64_t>> revisions;
  // The file may be replaced between Connected and the lock; a second time is somebody's game.
  for (int attempt = 0; attempt < 2; ++attempt) {
    RETURN_IF_ERROR(Connected().status());
    revisions = Write(mutations);
    if (!absl::IsOutOfRange(revisions.status())) break;
  }
  if (absl::IsOutOfRange(revisions.status()))
    return absl::UnavailableError(revisions.status().message());
  RETURN_IF_ERROR(revisions.status());
  if (const absl::Status still = files_->Check(); !still.ok())
    return absl::UnavailableError(absl::StrCat(
        still.message(), ", while this was written; whether the new one has it is not known"));
  // The log's last write, which inotify shows, comes before the commit is visible to
  // readers. This touch comes after it, so a watch that wakes by it misses nothing.
  // By path: closing a descriptor of the file would drop SQLite's locks on it.
  (void)utimensat(AT_FDCWD, path_.c_str(), nullptr, 0);
  return revisions;
}

absl::StatusOr<int64_t> SqliteStore::One(Mutation mutation) {
  ASSIGN_OR_RETURN(const std::vector<int64_t> revisions, Txn({std::move(mutation)}));
  return revisions.front();
}

absl::StatusOr<int64_t> SqliteStore::Create(const ResourceKey& key, std::string_view value) {
  return One({Mutation::Type::kCreate, key, std::string(value), 0});
}

absl::StatusOr<int64_t> SqliteStore::Update(const ResourceKey& key, std::string_view value,
                                            int64_t expected_revision) {
  return One({Mutation::Type::kUpdate, key, std::string(value), expected_revision});
}

absl::StatusOr<int64_t> SqliteStore::Delete(const ResourceKey& key, int64_t expected_revision) {
  return One({Mutation::Type::kDelete, key, "", expected_revision});
}

absl::StatusOr<std::unique_ptr<Watch>> SqliteStore::WatchFrom(const ResourceFilter& filter,
                                                              int64_t revision) {
  {
    // Brings the file to the current schema, which the watch reads.
    absl::MutexLock lock(&mutex_);
    RETURN_IF_ERROR(Connected().status());
  }
  ASSIGN_OR_RETURN(auto watch, SqliteWatch::Open(path_, filter, revision));
  return std::unique_ptr<Watch>(std::move(watch));
}

}  // namespace ripstop::api
