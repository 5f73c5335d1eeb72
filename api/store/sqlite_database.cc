// SPDX-License-Identifier: Apache-2.0
#include "api/store/sqlite_database.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "api/store/store.h"
#include "policy/status_macros.h"

namespace ripstop::api {

absl::StatusOr<std::unique_ptr<SqliteDatabase>> SqliteDatabase::Open(const std::string& path,
                                                                     int flags,
                                                                     int busy_timeout_ms) {
  std::unique_ptr<SqliteDatabase> database(new SqliteDatabase(path));
  const int code = sqlite3_open_v2(path.c_str(), &database->handle_,
                                   flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
  if (code != SQLITE_OK) return database->Error(code);
  sqlite3_busy_timeout(database->handle_, busy_timeout_ms);
  return database;
}

SqliteDatabase::~SqliteDatabase() {
  for (const auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  sqlite3_close(handle_);
}

absl::Status SqliteDatabase::Error(int code) const {
  const std::string message = absl::StrCat(
      "store ", path_, ": ", handle_ != nullptr ? sqlite3_errmsg(handle_) : sqlite3_errstr(code));
  switch (code & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return absl::DataLossError(message);
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return StoreBusyError(message);
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_PROTOCOL: return absl::UnavailableError(message);
    default: return absl::InternalError(message);
  }
}

absl::StatusOr<bool> SqliteDatabase::HasMoved() {
  int moved = 0;
  const int code = sqlite3_file_control(handle_, "main", SQLITE_FCNTL_HAS_MOVED, &moved);
  if (code != SQLITE_OK) return Error(code);
  return moved != 0;
}

absl::StatusOr<std::string> SqliteDatabase::ReadFile(int64_t offset, int size) {
  sqlite3_file* file = nullptr;
  const int code = sqlite3_file_control(handle_, "main", SQLITE_FCNTL_FILE_POINTER, &file);
  if (code != SQLITE_OK) return Error(code);
  if (file == nullptr || file->pMethods == nullptr)
    return absl::UnavailableError(absl::StrCat("store ", path_, ": its file is not open"));
  sqlite3_int64 length = 0;
  if (const int sized = file->pMethods->xFileSize(file, &length); sized != SQLITE_OK)
    return Error(sized);
  std::string bytes(std::clamp<int64_t>(length - offset, 0, size), '\0');
  if (bytes.empty()) return bytes;
  const int read =
      file->pMethods->xRead(file, bytes.data(), static_cast<int>(bytes.size()), offset);
  if (read == SQLITE_IOERR_SHORT_READ) return std::string();  // it shrank meanwhile
  if (read != SQLITE_OK) return Error(read);
  return bytes;
}

void SqliteDatabase::KeepLogOnClose() {
  sqlite3_db_config(handle_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
}

absl::Status SqliteDatabase::Execute(const char* sql) {
  const int code = sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? absl::OkStatus() : Error(code);
}

absl::StatusOr<int64_t> SqliteDatabase::Integer(const char* sql) {
  SqliteQuery query(*this, sql);
  ASSIGN_OR_RETURN(const bool row, query.Step());
  if (!row) return absl::DataLossError(absl::StrCat("store ", path_, ": no answer to ", sql));
  return query.Integer(0);
}

int64_t SqliteDatabase::Changed() const { return sqlite3_changes(handle_); }

absl::StatusOr<sqlite3_stmt*> SqliteDatabase::Statement(const char* sql) {
  sqlite3_stmt*& statement = statements_[sql];
  if (statement == nullptr) {
    const int code =
        sqlite3_prepare_v3(handle_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
    if (code != SQLITE_OK) return Error(code);
  }
  return statement;
}

SqliteQuery::SqliteQuery(SqliteDatabase& database, const char* sql) : database_(database) {
  absl::StatusOr<sqlite3_stmt*> statement = database.Statement(sql);
  if (statement.ok()) {
    statement_ = *statement;
  } else {
    status_ = statement.status();
  }
}

SqliteQuery::~SqliteQuery() {
  if (statement_ == nullptr) return;
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

SqliteQuery& SqliteQuery::Bind(int parameter, std::string_view text) {
  // An empty view may have a null pointer, which SQLite would store as NULL.
  const char* bytes = text.empty() ? "" : text.data();
  if (statement_ != nullptr)
    sqlite3_bind_text64(statement_, parameter, bytes, text.size(), SQLITE_STATIC, SQLITE_UTF8);
  return *this;
}

SqliteQuery& SqliteQuery::BindBlob(int parameter, std::string_view bytes) {
  const char* data = bytes.empty() ? "" : bytes.data();
  if (statement_ != nullptr)
    sqlite3_bind_blob64(statement_, parameter, data, bytes.size(), SQLITE_STATIC);
  return *this;
}

SqliteQuery& SqliteQuery::Bind(int parameter, int64_t value) {
  if (statement_ != nullptr) sqlite3_bind_int64(statement_, parameter, value);
  return *this;
}

absl::StatusOr<bool> SqliteQuery::Step() {
  RETURN_IF_ERROR(status_);
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return database_.Error(code);
}

absl::Status SqliteQuery::Run() { return Step().status(); }

int64_t SqliteQuery::Integer(int column) const { return sqlite3_column_int64(statement_, column); }

std::string SqliteQuery::Bytes(int column) const {
  const void* data = sqlite3_column_blob(statement_, column);
  return std::string(static_cast<const char*>(data), sqlite3_column_bytes(statement_, column));
}

SqliteTransaction::~SqliteTransaction() {
  // A failure here leaves SQLite to roll back by itself; the first error was reported.
  if (open_) (void)database_.Execute("ROLLBACK");
}

absl::Status SqliteTransaction::Begin(const char* sql) {
  RETURN_IF_ERROR(database_.Execute(sql));
  open_ = true;
  return absl::OkStatus();
}

absl::Status SqliteTransaction::Commit() {
  RETURN_IF_ERROR(database_.Execute("COMMIT"));
  open_ = false;
  return absl::OkStatus();
}

}  // namespace ripstop::api
