// SPDX-License-Identifier: Apache-2.0
#include "bgp-bridge/file_io.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <sstream>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "bgp-bridge/process.h"

namespace ripstop::bgp {

absl::Status WriteSecret(const std::string& path, absl::string_view text) {
  // Removed first: a file that someone created with a wider mode would keep that mode.
  unlink(path.c_str());
  UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd.ok()) return absl::ErrnoToStatus(errno, absl::StrCat("create ", path));
  while (!text.empty()) {
    const ssize_t wrote = write(fd.get(), text.data(), text.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return absl::ErrnoToStatus(errno, absl::StrCat("write ", path));
    text.remove_prefix(static_cast<size_t>(wrote));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadWhole(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::ErrnoToStatus(errno, absl::StrCat("open ", path));
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string Tail(const std::string& path, size_t bytes_max) {
  absl::StatusOr<std::string> text = ReadWhole(path);
  if (!text.ok()) return "";
  return text->size() <= bytes_max ? *text : text->substr(text->size() - bytes_max);
}

}  // namespace ripstop::bgp
