// SPDX-License-Identifier: Apache-2.0
//
// The two files behind an open store, and what people do to them meanwhile.
//
// A connection keeps the files that it opened. Whoever renames, removes or replaces the store's
// file leaves it with the former one, and leaves the former one's write-ahead log beside the
// new file, where SQLite would take it for the new one's ("How To Corrupt An SQLite Database
// File", section 4). So each use of a connection asks whether the path still names its files;
// the first that finds they do not takes the orphaned log away, and all open the store anew.
//
//   path       as opened   ─▶ in use
//   path       another's   ─▶ Leave: the log is written into the file it belongs to if that has
//                             a name left, and removed from beside the new one
//   path-wal   another's   ─▶ Leave: somebody else did that; this connection's log is not
//                             written anywhere any more
#ifndef RIPSTOP_API_STORE_SQLITE_FILES_H_
#define RIPSTOP_API_STORE_SQLITE_FILES_H_

#include <sys/stat.h>

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "api/store/sqlite_database.h"
#include "policy/base/unique_fd.h"

namespace ripstop::api {

// The files of one connection. Not thread-safe.
class SqliteFiles {
 public:
  // After the connection's first read, which makes sure that the log exists.
  //   kUnavailable  they are not what `path` names any more: open again
  static absl::StatusOr<SqliteFiles> Of(SqliteDatabase& database);

  // kOutOfRange, saying which file, once the path no longer names these. Two calls of stat.
  absl::Status Check() const;

  // Before `database`, which is theirs, is closed because Check failed.
  void Leave(SqliteDatabase& database) const;
  // The file was written over in place: its log is no longer about it. Before the connection
  // is closed.
  void DiscardLog(SqliteDatabase& database) const;

 private:
  // O_PATH descriptors: they keep the inode from being given to another file, and closing one
  // does not drop the locks that SQLite holds on it, as closing any other would.
  struct File {
    std::string path;
    UniqueFd fd;
    static absl::StatusOr<File> At(const std::string& path);
    bool InPlace() const;
    bool HasName() const;  // somewhere
  };
  SqliteFiles(File main, File log) : main_(std::move(main)), log_(std::move(log)) {}
  void RemoveLog() const;

  File main_, log_;
};

// What the file alone says, its log left aside, by SQLite's file format (sqlite.org, "Database
// File Format", sections 1.6 and 2.1): a checkpoint by another process may be under way, at which
// a whole database cannot be read from it, but a page can. nullopt: no store, or one that was
// never checkpointed.
struct BareStore {
  std::string identity;
  int64_t revision = 0;
};
absl::StatusOr<std::optional<BareStore>> ReadBareStore(SqliteDatabase& database);

// Makes the file, and the folders above it, for their owner alone; takes from files that are
// there the rights of everybody else, where we may.
absl::Status MakePrivateFile(const std::string& path);
void MakePrivate(const std::string& path);

}  // namespace ripstop::api

#endif  // RIPSTOP_API_STORE_SQLITE_FILES_H_
