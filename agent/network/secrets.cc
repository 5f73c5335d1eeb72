// SPDX-License-Identifier: Apache-2.0
#include "agent/network/secrets.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace ripstop::agent {
namespace {

constexpr size_t kSecretBytesMax = 4096;

// Names come from resources; a store may hold what validation would have refused.
bool IsPlainName(const std::string& name) {
  return !name.empty() && name.size() <= 253 && name != "." && name != ".." &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
         });
}

// Below `folder` only, wherever links in it lead.
UniqueFd OpenBeneath(int folder, const std::string& path) {
  open_how how{};
  how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;  // a FIFO must not hold the loop
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  return UniqueFd(static_cast<int>(syscall(SYS_openat2, folder, path.c_str(), &how, sizeof(how))));
}

absl::Status CheckPrivate(int fd, const std::string& path) {
  struct stat info{};
  if (fstat(fd, &info) != 0) return absl::ErrnoToStatus(errno, path);
  if (!S_ISREG(info.st_mode)) {
    return absl::FailedPreconditionError(absl::StrCat(path, ": is not a regular file"));
  }
  if (info.st_uid != geteuid() && info.st_uid != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": belongs to user ", info.st_uid, "; chown it to root"));
  }
  if ((info.st_mode & 0077) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": others may read or write it; chmod 600 it"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadLine(int fd, const std::string& path) {
  std::string text(kSecretBytesMax + 1, '\0');
  size_t size = 0;
  while (size < text.size()) {
    const ssize_t got = read(fd, text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return absl::ErrnoToStatus(errno, path);
    if (got == 0) break;
    size += static_cast<size_t>(got);
  }
  if (size > kSecretBytesMax) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": is longer than ", kSecretBytesMax, " bytes"));
  }
  text.resize(size);
  // Editors and `echo` end a file with a line end; it is no part of a secret.
  if (text.ends_with('\n')) text.pop_back();
  if (text.ends_with('\r')) text.pop_back();
  if (text.empty()) return absl::FailedPreconditionError(absl::StrCat(path, ": is empty"));
  return text;
}

absl::StatusOr<std::string> ReadFile(const std::string& folder, const std::string& name,
                                     const std::string& key) {
  if (!IsPlainName(name) || !IsPlainName(key)) {
    return absl::InvalidArgumentError(
        "secretKeyRef: name and key are letters, digits, '-', '_' and '.'");
  }
  const std::string path = absl::StrCat(folder, "/", name, "/", key);
  const UniqueFd root(open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  const UniqueFd file =
      root.ok() ? OpenBeneath(root.get(), absl::StrCat(name, "/", key)) : UniqueFd();
  if (!file.ok() && errno == ENOENT) {
    return absl::NotFoundError(
        absl::StrCat(path, ": there is no such secret; write it there, mode 0600"));
  }
  if (!file.ok()) return absl::ErrnoToStatus(errno, path);
  if (absl::Status status = CheckPrivate(file.get(), path); !status.ok()) return status;
  return ReadLine(file.get(), path);
}

}  // namespace

SecretFiles::SecretFiles(std::string folder)
    : folder_(std::move(folder)), inotify_(inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {
  WatchFolder();
}

// And what it stands in, for a folder that is yet to come.
void SecretFiles::WatchFolder() {
  Watch(std::filesystem::path(folder_).parent_path().string());
  Watch(folder_);
}

void SecretFiles::Watch(const std::string& path) {
  if (!inotify_.ok()) return;
  // Once for all: the same path has the same watch.
  (void)inotify_add_watch(inotify_.get(), path.c_str(),
                          IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE |
                              IN_ATTRIB | IN_ONLYDIR);
}

void SecretFiles::WatchSecret(const std::string& name) {
  if (IsPlainName(name)) Watch(absl::StrCat(folder_, "/", name));
}

void SecretFiles::TakeEvents() {
  char events[4096];
  while (read(inotify_.get(), events, sizeof(events)) > 0) {
  }
  WatchFolder();
  for (const auto& [id, unused] : answers_) WatchSecret(id.first);
}

absl::StatusOr<std::string> SecretFiles::Read(const std::string& name, const std::string& key) {
  // Before reading: a change in between wakes the loop again.
  WatchSecret(name);
  absl::StatusOr<std::string> secret = ReadFile(folder_, name, key);
  const Id id(name, key);
  answers_.insert_or_assign(id, secret);
  if (secret.ok()) {
    last_[id] = *secret;
    return secret;
  }
  const auto known = last_.find(id);
  if (known == last_.end()) return secret;
  problems_.push_back(absl::StrCat("secret ", name, "/", key, ": its last value is used: ",
                                   std::string(secret.status().message())));
  return known->second;
}

bool SecretFiles::HaveChanged() const {
  return std::any_of(answers_.begin(), answers_.end(), [this](const auto& answer) {
    const auto& [id, before] = answer;
    const absl::StatusOr<std::string> now = ReadFile(folder_, id.first, id.second);
    return now.status() != before.status() || (now.ok() && *now != *before);
  });
}

}  // namespace ripstop::agent
