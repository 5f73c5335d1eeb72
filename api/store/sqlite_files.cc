// SPDX-License-Identifier: Apache-2.0
#include "api/store/sqlite_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <vector>

#include "absl/strings/str_cat.h"
#include "policy/status_macros.h"

namespace ripstop::api {
namespace {

constexpr mode_t kOthers = 0077;

bool SameFile(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

std::string LogOf(const std::string& path) { return path + "-wal"; }
std::string IndexOf(const std::string& path) { return path + "-shm"; }

constexpr uint8_t kTableLeaf = 0x0d;
constexpr size_t kLeafHeader = 8;
constexpr size_t kColumnsRead = 4;  // of meta: id, revision, compacted, identity

// Reads big-endian numbers from a page and remembers whether it ever ran over its end.
class PageReader {
 public:
  explicit PageReader(std::string_view page) : page_(page) {}
  void Seek(size_t at) { at_ = at; }
  size_t at() const { return at_; }
  bool ok() const { return ok_; }
  int64_t Number(size_t bytes) {
    const std::string_view text = Text(bytes);
    uint64_t value = 0;
    for (size_t i = 0; i < text.size(); ++i) value = value << 8 | static_cast<uint8_t>(text[i]);
    return static_cast<int64_t>(value);
  }
  int64_t Varint() {
    int64_t value = 0;
    for (int i = 0; i < 8; ++i) {
      const int64_t byte = Number(1);
      value = value << 7 | (byte & 0x7f);
      if ((byte & 0x80) == 0) return value;
    }
    ok_ = false;  // nine bytes: no number of ours is so large
    return 0;
  }
  std::string_view Text(size_t bytes) {
    ok_ = ok_ && at_ <= page_.size() && bytes <= page_.size() - at_;
    if (!ok_) return {};
    at_ += bytes;
    return page_.substr(at_ - bytes, bytes);
  }

 private:
  std::string_view page_;
  size_t at_ = 0;
  bool ok_ = true;
};

// Bytes that a value of a serial type takes; integers are 0 to 9, text is odd from 13 on.
size_t SizeOf(int64_t type) {
  constexpr size_t kIntegers[] = {0, 1, 2, 3, 4, 6, 8, 8, 0, 0};
  return type < 10 ? kIntegers[type] : static_cast<size_t>((type - 12) / 2);
}

// The one row of `meta` in the page that it lies in.
std::optional<BareStore> ParseMeta(std::string_view page) {
  PageReader reader(page);
  if (reader.Number(1) != kTableLeaf) return std::nullopt;
  reader.Seek(3);
  if (reader.Number(2) != 1) return std::nullopt;
  reader.Seek(kLeafHeader);
  reader.Seek(static_cast<size_t>(reader.Number(2)));
  reader.Varint();  // of the payload: its size,
  reader.Varint();  // and its row
  const size_t record = reader.at();
  const size_t values = record + static_cast<size_t>(reader.Varint());
  int64_t types[kColumnsRead];
  for (int64_t& type : types) type = reader.Varint();
  reader.Seek(values);
  BareStore found;
  for (size_t column = 0; column < kColumnsRead && reader.ok(); ++column) {
    const int64_t type = types[column];
    if (column == 3) {
      if (type < 13 || type % 2 == 0) return std::nullopt;
      found.identity = std::string(reader.Text(SizeOf(type)));
    } else {
      if (type < 0 || type > 9) return std::nullopt;
      const int64_t value = type == 9 ? 1 : reader.Number(SizeOf(type));
      if (column == 1) found.revision = value;
    }
  }
  if (!reader.ok()) return std::nullopt;
  return found;
}

}  // namespace

absl::StatusOr<SqliteFiles::File> SqliteFiles::File::At(const std::string& path) {
  File file{path, UniqueFd(open(path.c_str(), O_PATH | O_CLOEXEC))};
  if (file.fd.get() < 0)
    return absl::UnavailableError(
        absl::StrCat("store file ", path, ": ", std::generic_category().message(errno)));
  return file;
}

bool SqliteFiles::File::InPlace() const {
  struct stat here, ours;
  return stat(path.c_str(), &here) == 0 && fstat(fd.get(), &ours) == 0 && SameFile(here, ours);
}

bool SqliteFiles::File::HasName() const {
  struct stat ours;
  return fstat(fd.get(), &ours) == 0 && ours.st_nlink > 0;
}

absl::StatusOr<SqliteFiles> SqliteFiles::Of(SqliteDatabase& database) {
  ASSIGN_OR_RETURN(File main, File::At(database.path()));
  ASSIGN_OR_RETURN(File log, File::At(LogOf(database.path())));
  // Now the path's file is held; if it is also the connection's, all three are one.
  ASSIGN_OR_RETURN(const bool moved, database.HasMoved());
  SqliteFiles files(std::move(main), std::move(log));
  if (moved || !files.Check().ok())
    return absl::UnavailableError(
        absl::StrCat("store ", database.path(), ": its file was replaced while it was opened"));
  return files;
}

absl::Status SqliteFiles::Check() const {
  for (const File* file : {&main_, &log_}) {
    if (file->InPlace()) continue;
    struct stat here;
    return absl::OutOfRangeError(absl::StrCat(
        "store file ", file->path, " was ",
        stat(file->path.c_str(), &here) == 0 ? "replaced" : "removed", " while in use"));
  }
  return absl::OkStatus();
}

void SqliteFiles::RemoveLog() const {
  unlink(log_.path.c_str());
  unlink(IndexOf(main_.path).c_str());
}

void SqliteFiles::Leave(SqliteDatabase& database) const {
  if (!main_.InPlace() && log_.InPlace()) {
    // What was committed belongs to the file that was moved, and not to the new one.
    if (main_.HasName()) (void)database.Execute("PRAGMA wal_checkpoint(FULL)");
    RemoveLog();
  }
  database.KeepLogOnClose();
}

void SqliteFiles::DiscardLog(SqliteDatabase& database) const {
  if (log_.InPlace()) RemoveLog();
  database.KeepLogOnClose();
}

absl::StatusOr<std::optional<BareStore>> ReadBareStore(SqliteDatabase& database) {
  ASSIGN_OR_RETURN(const int64_t size, database.Integer("PRAGMA page_size"));
  ASSIGN_OR_RETURN(const int64_t root, database.Integer("SELECT rootpage FROM sqlite_schema"
                                                        " WHERE name = 'meta'"));
  const absl::StatusOr<std::string> page =
      database.ReadFile((root - 1) * size, static_cast<int>(size));
  if (!page.ok()) return page.status();
  return ParseMeta(*page);
}

absl::Status MakePrivateFile(const std::string& path) {
  std::vector<std::filesystem::path> missing;
  std::error_code error;
  for (std::filesystem::path folder = std::filesystem::path(path).parent_path();
       !folder.empty() && !std::filesystem::exists(folder, error); folder = folder.parent_path())
    missing.push_back(folder);
  for (auto folder = missing.rbegin(); folder != missing.rend(); ++folder) {
    if (mkdir(folder->c_str(), 0700) != 0 && errno != EEXIST)
      return absl::UnavailableError(absl::StrCat("store ", path, ": cannot make its folder ",
                                                 folder->string(), ": ",
                                                 std::generic_category().message(errno)));
  }
  // Before SQLite does, which would ask the umask for the file's mode. Only a new file is
  // closed here: closing another would drop the locks that this process has on it.
  const UniqueFd made(open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (made.get() >= 0 || errno == EEXIST) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("store ", path, ": ", std::generic_category().message(errno)));
}

void MakePrivate(const std::string& path) {
  for (const std::string& file : {path, LogOf(path), IndexOf(path)}) {
    struct stat status;
    if (stat(file.c_str(), &status) != 0 || (status.st_mode & kOthers) == 0) continue;
    // Not ours to change: then it is not ours to worry about either.
    (void)!chmod(file.c_str(), status.st_mode & 07777 & ~kOthers);
  }
}

}  // namespace ripstop::api
