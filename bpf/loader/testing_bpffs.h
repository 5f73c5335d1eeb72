// SPDX-License-Identifier: Apache-2.0
//
// A bpffs of a test's own: machines differ in whether /sys/fs/bpf has one, and what a test
// pins must not meet what a running agent has pinned.
#ifndef RIPSTOP_BPF_LOADER_TESTING_BPFFS_H_
#define RIPSTOP_BPF_LOADER_TESTING_BPFFS_H_

#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace ripstop::loader::testing {

class TestBpffs {
 public:
  static absl::StatusOr<std::unique_ptr<TestBpffs>> Mount() {
    char dir[] = "/tmp/ripstop-bpffs-XXXXXX";
    if (mkdtemp(dir) == nullptr) return absl::ErrnoToStatus(errno, "make a folder in /tmp");
    auto made = std::unique_ptr<TestBpffs>(new TestBpffs(dir));
    if (mount("bpf", dir, "bpf", 0, "mode=0700") != 0) {
      return absl::ErrnoToStatus(errno, absl::StrCat("mount a bpffs at ", dir));
    }
    return made;
  }
  ~TestBpffs() {
    umount2(dir_.c_str(), MNT_DETACH);
    rmdir(dir_.c_str());
  }
  const std::string& dir() const { return dir_; }

 private:
  explicit TestBpffs(std::string dir) : dir_(std::move(dir)) {}
  const std::string dir_;
};

}  // namespace ripstop::loader::testing

#endif  // RIPSTOP_BPF_LOADER_TESTING_BPFFS_H_
