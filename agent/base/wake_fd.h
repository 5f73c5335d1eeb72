// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_BASE_WAKE_FD_H_
#define RIPSTOP_AGENT_BASE_WAKE_FD_H_

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>

#include "policy/base/unique_fd.h"

namespace ripstop::agent {

// Wakes a thread that polls: readable from a Signal until a Drain, however many there were in
// between (eventfd(2)). Signal and Drain from any thread; neither blocks.
class WakeFd {
 public:
  WakeFd() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

  bool ok() const { return fd_.ok(); }
  int get() const { return fd_.get(); }
  void Signal() const {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = write(fd_.get(), &one, sizeof(one));
  }
  void Drain() const {
    uint64_t count = 0;
    [[maybe_unused]] const ssize_t n = read(fd_.get(), &count, sizeof(count));
  }

 private:
  UniqueFd fd_;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_BASE_WAKE_FD_H_
