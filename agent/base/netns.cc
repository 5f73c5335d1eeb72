// SPDX-License-Identifier: Apache-2.0
#include "agent/base/netns.h"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <cerrno>
#include <thread>

#include "absl/strings/str_cat.h"

namespace ripstop::agent {

absl::StatusOr<UniqueFd> OpenNetns(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.ok()) return absl::ErrnoToStatus(errno, absl::StrCat("network namespace ", path));
  if (ioctl(fd.get(), NS_GET_NSTYPE) != CLONE_NEWNET) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is not a network namespace"));
  }
  return fd;
}

absl::StatusOr<UniqueFd> OpenCurrentNetns() { return OpenNetns("/proc/thread-self/ns/net"); }

absl::StatusOr<UniqueFd> CreateNetns() {
  absl::StatusOr<UniqueFd> made = absl::UnknownError("not run");
  std::thread([&made] {
    if (unshare(CLONE_NEWNET) != 0) {
      made = absl::ErrnoToStatus(errno, "unshare of the network namespace");
      return;
    }
    made = OpenCurrentNetns();
  }).join();
  return made;
}

bool SameNetns(int a, int b) {
  struct stat sa{}, sb{};
  return fstat(a, &sa) == 0 && fstat(b, &sb) == 0 && sa.st_dev == sb.st_dev &&
         sa.st_ino == sb.st_ino;
}

absl::Status RunInNetns(int netns_fd, const std::function<absl::Status()>& function) {
  absl::Status result;
  std::thread([&] {
    if (setns(netns_fd, CLONE_NEWNET) != 0) {
      result = absl::ErrnoToStatus(errno, absl::StrCat("setns to descriptor ", netns_fd));
      return;
    }
    result = function();
  }).join();
  return result;
}

}  // namespace ripstop::agent
