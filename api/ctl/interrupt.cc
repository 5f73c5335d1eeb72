// SPDX-License-Identifier: Apache-2.0
#include "api/ctl/interrupt.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <utility>

namespace ripstop::ctl {

OnInterrupt::OnInterrupt(std::function<void()> then) : then_(std::move(then)) {
  sigset_t wanted;
  sigemptyset(&wanted);
  sigaddset(&wanted, SIGINT);
  sigaddset(&wanted, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &wanted, &before_);
  signals_.reset(signalfd(-1, &wanted, SFD_CLOEXEC));
  over_.reset(eventfd(0, EFD_CLOEXEC));
  thread_ = std::thread([this] { Wait(); });
}

OnInterrupt::~OnInterrupt() {
  const uint64_t one = 1;
  (void)!write(over_.get(), &one, sizeof(one));
  thread_.join();
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

void OnInterrupt::Wait() {
  pollfd fds[] = {{.fd = signals_.get(), .events = POLLIN, .revents = 0},
                  {.fd = over_.get(), .events = POLLIN, .revents = 0}};
  while (poll(fds, 2, -1) > 0 && (fds[1].revents & POLLIN) == 0) {
    signalfd_siginfo signal;
    if (read(signals_.get(), &signal, sizeof(signal)) == sizeof(signal)) then_();
  }
}

}  // namespace ripstop::ctl
