// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_API_CTL_INTERRUPT_H_
#define RIPSTOP_API_CTL_INTERRUPT_H_

#include <signal.h>

#include <functional>
#include <thread>

#include "policy/base/unique_fd.h"

namespace ripstop::ctl {

// While this lives, Ctrl-C and SIGTERM call `then`, on a thread of its own, instead of ending the
// program: for commands that go on until then and have something to finish. To be made before
// other threads are, which would take the signal.
class OnInterrupt {
 public:
  explicit OnInterrupt(std::function<void()> then);
  ~OnInterrupt();
  OnInterrupt(const OnInterrupt&) = delete;
  OnInterrupt& operator=(const OnInterrupt&) = delete;

 private:
  void Wait();

  const std::function<void()> then_;
  sigset_t before_;
  UniqueFd signals_;
  UniqueFd over_;
  std::thread thread_;
};

}  // namespace ripstop::ctl

#endif  // RIPSTOP_API_CTL_INTERRUPT_H_
