// SPDX-License-Identifier: Apache-2.0
#include "api/store/sqlite_store.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "api/store/sqlite_watch.h"
#include "policy/status_macros.h"

namespace ripstop::api {
namespace {

constexpr int64_t kApplicationId = 0x52705374;  // "RpSt", in SQLite's header
constexpr int64_t kSchemaVersion = 1;

constexpr char kSchema[] = R"sql(
CREATE TABLE meta (
  id        INTEGER PRIMARY KEY CHECK (id = 1),
  revision  INTEGER NOT NULL,
  compacted INTEGER NOT NULL);
INSERT INTO meta VALUES (1, 0, 0);
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
PRAGMA user_version = 1;
)sql";
static_assert(kApplicationId == 1383093108 && kSchemaVersion == 1, "as in kSchema");

absl::Status CheckVersion(SqliteDatabase& database, bool* empty) {
  *empty = false;
  ASSIGN_OR_RETURN(const int64_t application, database.Integer("PRAGMA application_id"));
  ASSIGN_OR_RETURN(const int64_t version, database.Integer("PRAGMA user_version"));
  if (application == kApplicationId) {
    if (version == kSchemaVersion) return absl::OkStatus();
    return absl::FailedPreconditionError(absl::StrCat(
        "store ", database.path(), " has schema version ", version, ", this program knows ",
        kSchemaVersion, ": use the version of Ripstop that wrote it, or a newer one"));
  }
  ASSIGN_OR_RETURN(const int64_t tables, database.Integer("SELECT count(*) FROM sqlite_schema"));
  if (application != 0 || version != 0 || tables != 0)
    return absl::FailedPreconditionError(
        absl::StrCat("store ", database.path(), " is another program's SQLite file"));
  *empty = true;
  return absl::OkStatus();
}

absl::Status Prepare(SqliteDatabase& database) {
  bool empty = false;
  {
    // One moment: another process may be writing the schema, and half of the answers
    // from before and half from after it look like another program's file.
    SqliteTransaction moment(database);
    RETURN_IF_ERROR(moment.Begin("BEGIN"));
    RETURN_IF_ERROR(CheckVersion(database, &empty));
    RETURN_IF_ERROR(moment.Commit());
  }
  if (empty) {
    // Out of any transaction, and once: the mode is kept in the file.
    RETURN_IF_ERROR(database.Execute("PRAGMA journal_mode = WAL"));
    SqliteTransaction transaction(database);
    RETURN_IF_ERROR(transaction.Begin("BEGIN IMMEDIATE"));
    // Another process may have been faster.
    RETURN_IF_ERROR(CheckVersion(database, &empty));
    if (empty) RETURN_IF_ERROR(database.Execute(kSchema));
    RETURN_IF_ERROR(transaction.Commit());
  }
  // NORMAL: a power cut may lose the last commits, never the consistency of the file.
  return database.Execute(
      "PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = 67108864;"
      "PRAGMA temp_store = MEMORY");
}

absl::Status RevisionConflict(const ResourceKey& key, int64_t expected, int64_t found) {
  return absl::AbortedError(absl::StrCat(key.ToString(), " was changed by someone else: revision ",
                                         found, ", not ", expected,
                                         "; read it again and repeat the change"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<SqliteStore>> SqliteStore::Open(const std::string& path,
                                                               const SqliteStoreOptions& options) {
  std::error_code error;
  if (options.create) {
    const std::filesystem::path folder = std::filesystem::path(path).parent_path();
    if (!folder.empty()) std::filesystem::create_directories(folder, error);
    if (error)
      return absl::UnavailableError(
          absl::StrCat("store ", path, ": cannot make its folder: ", error.message()));
  } else if (!std::filesystem::exists(path, error)) {
    return absl::UnavailableError(
        absl::StrCat("store ", path, ": ", error ? error.message() : "no such file"));
  }
  ASSIGN_OR_RETURN(
      auto database,
      SqliteDatabase::Open(path, SQLITE_OPEN_READWRITE | (options.create ? SQLITE_OPEN_CREATE : 0),
                           options.busy_timeout_ms));
  RETURN_IF_ERROR(Prepare(*database));
  return std::unique_ptr<SqliteStore>(new SqliteStore(std::move(database), options));
}

absl::StatusOr<StoredResource> SqliteStore::Get(const ResourceKey& key) {
  absl::MutexLock lock(&mutex_);
  SqliteQuery query(*database_,
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
  return ListSqlite(*database_, filter);
}

absl::Status SqliteStore::Mutate(const Mutation& mutation, int64_t revision) {
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
  SqliteQuery change(*database_, "INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?, ?)");
  change.Bind(1, revision).Bind(2, int64_t{deleted});
  change.Bind(3, key.kind).Bind(4, key.ns).Bind(5, key.name);
  change.BindBlob(6, deleted ? last_value : mutation.value).Bind(7, create_revision);
  return change.Run();
}

absl::StatusOr<std::vector<int64_t>> SqliteStore::Txn(const std::vector<Mutation>& mutations) {
  std::vector<int64_t> revisions;
  if (mutations.empty()) return revisions;
  absl::MutexLock lock(&mutex_);
  {
    SqliteTransaction transaction(*database_);
    RETURN_IF_ERROR(transaction.Begin("BEGIN IMMEDIATE"));
    ASSIGN_OR_RETURN(int64_t revision, database_->Integer("SELECT revision FROM meta"));
    for (const Mutation& mutation : mutations) {
      RETURN_IF_ERROR(Mutate(mutation, ++revision));
      revisions.push_back(revision);
    }
    const int64_t compacted = std::max<int64_t>(0, revision - options_.history_max);
    // As many as were added, once the history is full: no write pays for another's past.
    SqliteQuery compact(*database_, "DELETE FROM changes WHERE revision <= ?");
    RETURN_IF_ERROR(compact.Bind(1, compacted).Run());
    SqliteQuery meta(*database_, "UPDATE meta SET revision = ?, compacted = max(compacted, ?)");
    RETURN_IF_ERROR(meta.Bind(1, revision).Bind(2, compacted).Run());
    RETURN_IF_ERROR(transaction.Commit());
  }
  // The log's last write, which inotify shows, comes before the commit is visible to
  // readers. This touch comes after it, so a watch that wakes by it misses nothing.
  // By path: closing a descriptor of the file would drop SQLite's locks on it.
  (void)utimensat(AT_FDCWD, database_->path().c_str(), nullptr, 0);
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
  std::string path;
  {
    absl::MutexLock lock(&mutex_);
    path = database_->path();
  }
  ASSIGN_OR_RETURN(auto watch, SqliteWatch::Open(path, filter, revision));
  return std::unique_ptr<Watch>(std::move(watch));
}

}  // namespace ripstop::api
