// SPDX-License-Identifier: Apache-2.0
#include "agent/store/last_good.h"

#include <zlib.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "api/store/sqlite_files.h"
#include "policy/status_macros.h"
#include "spdlog/spdlog.h"

namespace ripstop::agent {
namespace {

using api::SqliteDatabase;
using api::SqliteQuery;
using api::SqliteTransaction;
using api::StoredResource;

constexpr int64_t kVersion = 1;
constexpr size_t kPiece = 128;
constexpr int kBusyTimeoutMs = 5000;  // nobody else uses the file
constexpr absl::Duration kRetry = absl::Seconds(10);

constexpr char kSchema[] = R"sql(
CREATE TABLE meta (
  id       INTEGER PRIMARY KEY CHECK (id = 1),
  identity TEXT    NOT NULL,
  revision INTEGER NOT NULL,
  at       INTEGER NOT NULL,
  rows     INTEGER NOT NULL,
  total    INTEGER NOT NULL);
INSERT INTO meta VALUES (1, '', 0, 0, 0, 0);
CREATE TABLE resources (
  kind            TEXT NOT NULL,
  ns              TEXT NOT NULL,
  name            TEXT NOT NULL,
  value           BLOB NOT NULL,
  revision        INTEGER NOT NULL,
  create_revision INTEGER NOT NULL,
  checksum        INTEGER NOT NULL,
  PRIMARY KEY (kind, ns, name));
PRAGMA user_version = 1;
)sql";

int64_t Checksum(const StoredResource& resource) {
  uLong sum = crc32(0, nullptr, 0);
  const auto add = [&sum](const std::string& bytes) {
    sum = crc32_z(sum, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size());
    sum = crc32(sum, reinterpret_cast<const Bytef*>(""), 1);  // so that parts do not run together
  };
  add(resource.key.kind);
  add(resource.key.ns);
  add(resource.key.name);
  add(resource.value);
  add(absl::StrCat(resource.revision, " ", resource.create_revision));
  return static_cast<int64_t>(sum);
}

absl::Status Damaged(const std::string& path, const std::string& how) {
  return absl::DataLossError(absl::StrCat("last good state ", path, ": ", how));
}

// How many rows there should be, and the sum of their checksums.
struct Totals {
  int64_t rows = 0, sum = 0;
  bool operator==(const Totals&) const = default;
};

absl::StatusOr<Totals> LoadRows(SqliteDatabase& database,
                                const std::function<void(std::vector<StoredResource>)>& piece) {
  Totals found;
  std::vector<StoredResource> rows;
  SqliteQuery query(database,
                    "SELECT kind, ns, name, value, revision, create_revision, checksum"
                    " FROM resources ORDER BY kind, ns, name");
  while (true) {
    ASSIGN_OR_RETURN(const bool row, query.Step());
    if (!row) break;
    StoredResource resource{{query.Bytes(0), query.Bytes(1), query.Bytes(2)},
                            query.Bytes(3),
                            query.Integer(4),
                            query.Integer(5)};
    if (Checksum(resource) != query.Integer(6))
      return Damaged(database.path(),
                     absl::StrCat("the checksum of ", resource.key.ToString(), " is wrong"));
    ++found.rows;
    found.sum += query.Integer(6);
    rows.push_back(std::move(resource));
    if (rows.size() == kPiece) piece(std::exchange(rows, {}));
  }
  if (!rows.empty()) piece(std::move(rows));
  return found;
}

absl::StatusOr<LastGood::Origin> LoadAll(
    SqliteDatabase& database, const std::function<void(std::vector<StoredResource>)>& piece) {
  ASSIGN_OR_RETURN(const int64_t version, database.Integer("PRAGMA user_version"));
  if (version == 0) return absl::NotFoundError("nothing was ever written");
  if (version != kVersion)
    return Damaged(database.path(), absl::StrCat("it is of version ", version, ", not ", kVersion));
  SqliteTransaction moment(database);
  RETURN_IF_ERROR(moment.Begin("BEGIN"));
  LastGood::Origin origin;
  Totals wanted;
  {
    SqliteQuery meta(database, "SELECT identity, revision, at, rows, total FROM meta");
    ASSIGN_OR_RETURN(const bool row, meta.Step());
    if (!row) return Damaged(database.path(), "its table meta is empty");
    origin = {meta.Bytes(0), meta.Integer(1), absl::FromUnixMicros(meta.Integer(2))};
    wanted = {meta.Integer(3), meta.Integer(4)};
  }
  if (origin.at == absl::UnixEpoch()) return absl::NotFoundError("nothing was ever committed");
  // Twice, for what is passed on cannot be taken back.
  ASSIGN_OR_RETURN(const Totals found, LoadRows(database, [](std::vector<StoredResource>) {}));
  if (!(found == wanted))
    return Damaged(database.path(), absl::StrCat("it has ", found.rows, " resources of ",
                                                 wanted.rows, ", or other ones"));
  RETURN_IF_ERROR(LoadRows(database, piece).status());
  RETURN_IF_ERROR(moment.Commit());
  return origin;
}

void RemoveFile(const std::string& path) {
  std::error_code ignored;
  for (const char* suffix : {"", "-wal", "-shm", "-journal"})
    std::filesystem::remove(path + suffix, ignored);
}

// A URI (sqlite.org/uri.html) that opens the file as one which nobody can write.
std::string ImmutableName(const std::string& path) {
  return absl::StrCat(
      "file:", absl::StrReplaceAll(path, {{"%", "%25"}, {"?", "%3f"}, {"#", "%23"}}),
      "?immutable=1");
}

}  // namespace

absl::StatusOr<LastGood::Origin> LastGood::Load(
    const std::function<void(std::vector<StoredResource>)>& piece) const {
  std::error_code error;
  if (!std::filesystem::exists(path_, error))
    return absl::NotFoundError(absl::StrCat("last good state ", path_, " is not there"));
  const auto load = [&](const std::string& name, int flags) -> absl::StatusOr<Origin> {
    ASSIGN_OR_RETURN(auto database, SqliteDatabase::Open(name, flags, kBusyTimeoutMs));
    return LoadAll(*database, piece);
  };
  absl::StatusOr<Origin> loaded = load(path_, SQLITE_OPEN_READWRITE);
  if (loaded.ok() || absl::IsNotFound(loaded.status())) return loaded;
  // A disk that is full, or takes no writes, has damaged nothing: as the last checkpoint has it.
  loaded = load(ImmutableName(path_), SQLITE_OPEN_READONLY | SQLITE_OPEN_URI);
  if (loaded.ok() || absl::IsUnavailable(loaded.status())) return loaded;
  RemoveFile(path_ + ".damaged");
  std::filesystem::rename(path_, path_ + ".damaged", error);
  RemoveFile(path_);
  return Damaged(path_, absl::StrCat(loaded.status().message(), "; it is now ", path_,
                                     ".damaged and counts as none"));
}

// ---- the loop's side ----

void LastGood::Put(const StoredResource& resource) {
  changes_[resource.key] = {resource, false};
  // Not kept here until all is in force: the first snapshot is the whole store.
  if (changes_.size() >= kPiece) Enqueue(std::nullopt);
}

void LastGood::PutIfAbsent(const StoredResource& resource) {
  Change& change = changes_.try_emplace(resource.key, Change{resource, true}).first->second;
  // Deleted a moment ago: then it is new, and nothing is known of it.
  if (!change.resource.has_value()) change = {resource, false};
}

void LastGood::Delete(const api::ResourceKey& key) { changes_[key] = {std::nullopt, false}; }

void LastGood::Commit(const std::string& identity, int64_t revision) {
  if (changes_.empty() && identity == committed_.identity && revision == committed_.revision)
    return;
  committed_ = {identity, revision, absl::Now()};
  Enqueue(committed_);
}

void LastGood::Enqueue(std::optional<Origin> commit) {
  Step step{std::exchange(changes_, {}), std::move(commit)};
  const std::lock_guard lock(mutex_);
  if (lost_) return;
  queue_.push_back(std::move(step));
  if (!writer_.joinable()) writer_ = std::thread([this] { Run(); });
  wake_.notify_one();
}

std::string LastGood::problem() const {
  const std::lock_guard lock(mutex_);
  return problem_;
}

bool LastGood::TakeLost() {
  const std::lock_guard lock(mutex_);
  if (!lost_) return false;
  changes_.clear();
  committed_ = {};
  lost_ = false;
  return true;
}

LastGood::~LastGood() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    wake_.notify_one();
  }
  if (writer_.joinable()) writer_.join();
}

// ---- the writer's side ----

absl::Status LastGood::Open() {
  if (database_ != nullptr) return absl::OkStatus();
  RETURN_IF_ERROR(api::MakePrivateFile(path_));
  api::MakePrivate(path_);
  ASSIGN_OR_RETURN(auto database,
                   SqliteDatabase::Open(path_, SQLITE_OPEN_READWRITE, kBusyTimeoutMs));
  RETURN_IF_ERROR(
      database->Execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
                        "PRAGMA journal_size_limit = 16777216"));
  ASSIGN_OR_RETURN(const int64_t version, database->Integer("PRAGMA user_version"));
  if (version == 0) {
    SqliteTransaction transaction(*database);
    RETURN_IF_ERROR(transaction.Begin("BEGIN IMMEDIATE"));
    RETURN_IF_ERROR(database->Execute(kSchema));
    RETURN_IF_ERROR(transaction.Commit());
  }
  database_ = std::move(database);
  return absl::OkStatus();
}

absl::Status LastGood::WriteChanges(const Changes& changes) {
  for (const auto& [key, change] : changes) {
    // Most are new, above all when all are; whether one is there then costs no search of its own.
    if (change.resource.has_value()) {
      ASSIGN_OR_RETURN(const bool is_new, InsertIfAbsent(*change.resource));
      if (is_new || change.if_absent) continue;
    }
    RETURN_IF_ERROR(Remove(key));
    if (change.resource.has_value()) RETURN_IF_ERROR(InsertIfAbsent(*change.resource).status());
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> LastGood::InsertIfAbsent(const StoredResource& resource) {
  const int64_t checksum = Checksum(resource);
  SqliteQuery put(*database_, "INSERT OR IGNORE INTO resources VALUES (?, ?, ?, ?, ?, ?, ?)");
  put.Bind(1, resource.key.kind).Bind(2, resource.key.ns).Bind(3, resource.key.name);
  put.BindBlob(4, resource.value).Bind(5, resource.revision);
  put.Bind(6, resource.create_revision).Bind(7, checksum);
  RETURN_IF_ERROR(put.Run());
  if (database_->Changed() == 0) return false;
  ++rows_;
  total_ += checksum;
  return true;
}

absl::Status LastGood::Remove(const api::ResourceKey& key) {
  {
    SqliteQuery before(*database_,
                       "SELECT checksum FROM resources WHERE kind = ? AND ns = ? AND name = ?");
    before.Bind(1, key.kind).Bind(2, key.ns).Bind(3, key.name);
    ASSIGN_OR_RETURN(const bool there, before.Step());
    if (!there) return absl::OkStatus();
    --rows_;
    total_ -= before.Integer(0);
  }
  SqliteQuery remove(*database_, "DELETE FROM resources WHERE kind = ? AND ns = ? AND name = ?");
  return remove.Bind(1, key.kind).Bind(2, key.ns).Bind(3, key.name).Run();
}

// One transaction up to the last commit among the steps; what comes after it waits in the next.
absl::Status LastGood::Write(const std::vector<Step>& steps) {
  RETURN_IF_ERROR(Open());
  const auto last = std::find_if(steps.rbegin(), steps.rend(),
                                 [](const Step& step) { return step.commit.has_value(); });
  for (const Step& step : steps) {
    if (!transaction_.has_value()) {
      transaction_.emplace(*database_);
      RETURN_IF_ERROR(transaction_->Begin("BEGIN IMMEDIATE"));
      rows_ = total_ = 0;
    }
    RETURN_IF_ERROR(WriteChanges(step.changes));
    if (last == steps.rend() || &step != &*last) continue;
    {
      SqliteQuery meta(*database_,
                       "UPDATE meta SET identity = ?, revision = ?, at = ?, rows = rows + ?,"
                       " total = total + ?");
      meta.Bind(1, step.commit->identity).Bind(2, step.commit->revision);
      meta.Bind(3, absl::ToUnixMicros(step.commit->at)).Bind(4, rows_).Bind(5, total_);
      RETURN_IF_ERROR(meta.Run());
    }
    RETURN_IF_ERROR(transaction_->Commit());
    transaction_.reset();
  }
  return absl::OkStatus();
}

void LastGood::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [&] { return stop_ || !queue_.empty(); });
    if (queue_.empty()) break;
    const std::vector<Step> steps = std::exchange(queue_, {});
    lock.unlock();
    const absl::Status status = Write(steps);
    lock.lock();
    if (status.ok()) {
      problem_.clear();
      if (steps.back().commit.has_value())
        wake_.wait_for(lock, absl::ToChronoMilliseconds(kDelay), [&] { return stop_; });
      continue;
    }
    if (problem_.empty()) spdlog::error("last good state: {}", std::string(status.message()));
    problem_ = absl::StrCat("what is in force cannot be kept in ", path_,
                            " for the next start: ", status.message());
    // Part of it would be worse than none; the rest comes when everything is put again.
    queue_.clear();
    lost_ = true;
    transaction_.reset();
    database_.reset();
    RemoveFile(path_);
  }
  transaction_.reset();
  database_.reset();
}

}  // namespace ripstop::agent
