// SPDX-License-Identifier: Apache-2.0
#include "e2e/lab/netns.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "e2e/lab/process.h"
#include "policy/status_macros.h"

namespace ripstop::lab {

bool NetnsExists(const std::string& name) {
  struct stat info;
  return stat(absl::StrCat("/run/netns/", name).c_str(), &info) == 0;
}

absl::Status CreateNetns(const std::string& name) {
  if (NetnsExists(name)) {
    return absl::AlreadyExistsError(
        absl::StrCat("network namespace ", name, " exists and is not this lab's"));
  }
  return RunOk({.argv = {"ip", "netns", "add", name}}).status();
}

absl::Status DeleteNetns(const std::string& name) {
  if (!NetnsExists(name)) return absl::OkStatus();
  return RunOk({.argv = {"ip", "netns", "del", name}}).status();
}

absl::Status InNetns(const std::string& name, const std::function<absl::Status()>& work) {
  const std::string path = absl::StrCat("/run/netns/", name);
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat("open ", path));
  absl::Status result;
  std::thread([&] {
    if (setns(fd, CLONE_NEWNET) != 0) {
      result = absl::ErrnoToStatus(errno, absl::StrCat("setns ", path));
      return;
    }
    result = work();
  }).join();
  close(fd);
  return result;
}

absl::Status WriteSysctls(const std::string& netns,
                          const std::vector<std::pair<std::string, std::string>>& values) {
  return InNetns(netns, [&]() -> absl::Status {
    for (const auto& [key, value] : values) {
      const std::string path = absl::StrCat("/proc/sys/", key);
      const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
      if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat(netns, ": open ", path));
      const ssize_t n = write(fd, value.data(), value.size());
      const int error = errno;
      close(fd);
      if (n < 0) {
        return absl::ErrnoToStatus(error, absl::StrCat(netns, ": write ", value, " to ", path));
      }
    }
    return absl::OkStatus();
  });
}

absl::Status IpBatch(const std::string& netns, const std::vector<std::string>& lines) {
  if (lines.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(Output output, Run({.argv = {"ip", "-batch", "-"},
                                       .netns = netns,
                                       .input = absl::StrJoin(lines, "\n") + "\n"}));
  if (output.exit_code == 0) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("ip -batch in ", netns, ": ", output.err,
                                          "of these lines:\n", absl::StrJoin(lines, "\n")));
}

}  // namespace ripstop::lab
