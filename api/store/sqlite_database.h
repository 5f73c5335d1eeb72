// SPDX-License-Identifier: Apache-2.0
//
// A thin owner of one SQLite connection: statements are prepared once, every failure
// becomes a status that names the file. Not thread-safe.
#ifndef RIPSTOP_API_STORE_SQLITE_DATABASE_H_
#define RIPSTOP_API_STORE_SQLITE_DATABASE_H_

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace ripstop::api {

class SqliteDatabase {
 public:
  // `flags` of sqlite3_open_v2. A writer waits up to `busy_timeout_ms` for another.
  static absl::StatusOr<std::unique_ptr<SqliteDatabase>> Open(const std::string& path, int flags,
                                                              int busy_timeout_ms);
  ~SqliteDatabase();
  SqliteDatabase(const SqliteDatabase&) = delete;
  SqliteDatabase& operator=(const SqliteDatabase&) = delete;

  absl::Status Execute(const char* sql);
  // A query that answers one integer.
  absl::StatusOr<int64_t> Integer(const char* sql);
  // How many rows the last INSERT, UPDATE or DELETE that ended touched.
  int64_t Changed() const;

  // The status of a SQLite result code:
  //   kUnavailable  busy (IsStoreBusy), not to be opened, disk full, I/O error
  //   kDataLoss     corrupt, or no SQLite file
  //   kInternal     anything else
  absl::Status Error(int code) const;
  const std::string& path() const { return path_; }

  // Whether the path names another file by now than the one that is open, or none.
  absl::StatusOr<bool> HasMoved();
  // Bytes of the file itself, without its log; fewer where it ends. By SQLite's own descriptor:
  // closing another would drop the locks that this process has on the file.
  absl::StatusOr<std::string> ReadFile(int64_t offset, int size);
  // The last connection of a file writes the log into it and removes the log: not this one.
  void KeepLogOnClose();

 private:
  friend class SqliteQuery;
  explicit SqliteDatabase(std::string path) : path_(std::move(path)) {}
  // The prepared statement of `sql`, whose address is its name: pass literals.
  absl::StatusOr<sqlite3_stmt*> Statement(const char* sql);

  std::string path_;
  sqlite3* handle_ = nullptr;
  std::unordered_map<const char*, sqlite3_stmt*> statements_;
};

// One run of a statement. Parameters count from 1, columns from 0, as SQLite's do.
class SqliteQuery {
 public:
  SqliteQuery(SqliteDatabase& database, const char* sql);
  ~SqliteQuery();
  SqliteQuery(const SqliteQuery&) = delete;
  SqliteQuery& operator=(const SqliteQuery&) = delete;

  // The bytes must live until the query is gone.
  SqliteQuery& Bind(int parameter, std::string_view text);
  SqliteQuery& BindBlob(int parameter, std::string_view bytes);
  SqliteQuery& Bind(int parameter, int64_t value);

  absl::StatusOr<bool> Step();  // true: a row is there
  absl::Status Run();           // for statements without rows
  int64_t Integer(int column) const;
  std::string Bytes(int column) const;

 private:
  SqliteDatabase& database_;
  sqlite3_stmt* statement_ = nullptr;
  absl::Status status_;
};

// Rolls back unless committed.
class SqliteTransaction {
 public:
  explicit SqliteTransaction(SqliteDatabase& database) : database_(database) {}
  ~SqliteTransaction();
  // "BEGIN" sees one moment; "BEGIN IMMEDIATE" excludes other writers.
  absl::Status Begin(const char* sql);
  absl::Status Commit();

 private:
  SqliteDatabase& database_;
  bool open_ = false;
};

}  // namespace ripstop::api

#endif  // RIPSTOP_API_STORE_SQLITE_DATABASE_H_
