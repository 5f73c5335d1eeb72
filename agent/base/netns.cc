// SPDX-License-Identifier: Apache-2.0
#include "agent/base/netns.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>
#include <thread>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace ripstop::agent {

absl::StatusOr<UniqueFd> OpenNetns(const std::string& path) {
  const std::string shown = absl::CHexEscape(path);
  // What it is comes first: to open a FIFO waits for a writer, to open a device starts it.
  const UniqueFd there(open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!there.ok()) return absl::ErrnoToStatus(errno, absl::StrCat("network namespace ", shown));
  struct statfs of{};
  const bool nsfs = fstatfs(there.get(), &of) == 0 && of.f_type == NSFS_MAGIC;
  const std::string opened = absl::StrCat("/proc/self/fd/", there.get());
  UniqueFd fd(nsfs ? open(opened.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1);
  if (nsfs && !fd.ok())
    return absl::ErrnoToStatus(errno, absl::StrCat("network namespace ", shown));
  if (!nsfs || ioctl(fd.get(), NS_GET_NSTYPE) != CLONE_NEWNET) {
    return absl::InvalidArgumentError(absl::StrCat(shown, " is not a network namespace"));
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
