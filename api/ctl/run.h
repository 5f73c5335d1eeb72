// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_API_CTL_RUN_H_
#define RIPSTOP_API_CTL_RUN_H_

#include <istream>
#include <ostream>
#include <string>
#include <vector>

namespace ripstop::ctl {

// The exit codes, a promise to scripts.
enum ExitCode {
  kExitOk = 0,
  kExitError = 1,
  kExitUsage = 2,
  kExitNotFound = 3,
  kExitConflict = 4,
  kExitUnreachable = 5,
};
struct Io {
  std::istream& in;
  std::ostream& out;
  std::ostream& err;
};

// The whole program; `arguments` without its name. RIPSTOP_STORE and RIPSTOP_SOCKET are
// read from the environment. Returns an ExitCode.
int Run(const std::vector<std::string>& arguments, const Io& io);

}  // namespace ripstop::ctl

#endif  // RIPSTOP_API_CTL_RUN_H_
