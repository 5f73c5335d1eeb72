// SPDX-License-Identifier: Apache-2.0
//
// A network namespace for one test: nameless, so that nothing is left behind however
// the test ends.
#ifndef RIPSTOP_AGENT_BASE_TESTING_TEST_NETNS_H_
#define RIPSTOP_AGENT_BASE_TESTING_TEST_NETNS_H_

#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "agent/base/netns.h"

namespace ripstop::agent {

class TestNetns {
 public:
  // kPermissionDenied where the test lacks the privilege: skip then.
  static absl::StatusOr<TestNetns> Create() {
    absl::StatusOr<UniqueFd> fd = CreateNetns();
    if (!fd.ok()) return fd.status();
    return TestNetns(*std::move(fd));
  }

  int fd() const { return fd_.get(); }
  // For as long as this object lives, in this process and its children.
  std::string path() const { return absl::StrCat("/proc/", getpid(), "/fd/", fd_.get()); }
  absl::Status Run(const std::function<absl::Status()>& f) const { return RunInNetns(fd(), f); }
  // Exit status of a shell command inside.
  int Shell(const std::string& command) const {
    const int rc = std::system(
        absl::StrCat("nsenter --net=", path(), " sh -c '", command, "' >/dev/null 2>&1").c_str());
    return WIFEXITED(rc) ? WEXITSTATUS(rc) : -1;
  }
  void Close() { fd_.reset(); }

 private:
  explicit TestNetns(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_BASE_TESTING_TEST_NETNS_H_
