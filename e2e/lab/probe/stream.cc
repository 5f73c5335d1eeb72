// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iostream>
#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "e2e/lab/probe/probe.h"
#include "policy/status_macros.h"

namespace ripstop::lab {
namespace {

using nlohmann::json;

volatile sig_atomic_t stopped = 0;

class Flow {
 public:
  explicit Flow(const StreamOptions& options)
      : options_(options), tcp_(options.protocol != "UDP") {}
  ~Flow() {
    if (fd_ >= 0) close(fd_);
  }

  absl::Status Run() {
    socklen_t length = 0;
    ASSIGN_OR_RETURN(sockaddr_storage to, SocketAddress(options_.address, options_.port, &length));
    fd_ = socket(to.ss_family, (tcp_ ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd_ < 0) return absl::ErrnoToStatus(errno, "socket");
    const int on = 1;
    if (tcp_) setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    const absl::Time start = absl::Now();
    const absl::Time end = start + options_.duration;
    if (connect(fd_, reinterpret_cast<sockaddr*>(&to), length) != 0 && errno != EINPROGRESS) {
      return absl::ErrnoToStatus(errno, absl::StrCat("connect to ", options_.address));
    }
    last_answer_ = start;
    absl::Time next_send = start;
    bool open = true;
    while (open && absl::Now() < end && !stopped &&
           (options_.count == 0 || sent_ < options_.count)) {
      const absl::Time now = absl::Now();
      if (now >= next_send) {
        SendCounter();
        next_send = std::max(next_send + options_.interval, now);
      }
      open = ReceiveUntil(std::min(next_send, end));
      CheckCut();
      if (cut_ && options_.stop_when_cut) open = false;
    }
    // What is under way is not lost.
    while (open && answered_ < sent_ &&
           absl::Now() < std::max(last_answer_, last_sent_) + options_.listen) {
      open = ReceiveUntil(absl::InfiniteFuture());
    }
    Report();
    return absl::OkStatus();
  }

 private:
  void Say(json event) {
    event["at_unix_ms"] = absl::ToUnixMillis(absl::Now());
    std::cout << event.dump() << std::endl;  // a reader waits for it
  }

  void SendCounter() {
    const std::string text = absl::StrCat(sent_ + 1, tcp_ ? "\n" : "");
    if (send(fd_, text.data(), text.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(text.size())) {
      return;
    }
    last_sent_ = absl::Now();
    if (++sent_ % kStreamProgress == 0) Say({{"event", "progress"}, {"sent", sent_}});
  }

  // Waits for answers, 50 ms at most. False when the flow has ended for good.
  bool ReceiveUntil(absl::Time time) {
    pollfd polled{fd_, POLLIN, 0};
    const absl::Duration wait =
        std::clamp(time - absl::Now(), absl::Milliseconds(1), absl::Milliseconds(50));
    return poll(&polled, 1, static_cast<int>(absl::ToInt64Milliseconds(wait))) <= 0 || Receive();
  }

  // False when the flow has ended for good.
  bool Receive() {
    char buffer[65536];
    const ssize_t n = recv(fd_, buffer, sizeof(buffer), 0);
    if (n < 0) {
      // For UDP an ICMP error is only news; for TCP the connection is gone.
      if (errno == EAGAIN || !tcp_) return true;
      error_ = strerror(errno);
      return false;
    }
    if (n == 0 && tcp_) {
      error_ = "closed by peer";
      return false;
    }
    int64_t answers = 1;
    if (tcp_) answers = std::count(buffer, buffer + n, '\n');
    if (answers == 0) return true;
    const absl::Time now = absl::Now();
    longest_gap_ = std::max(longest_gap_, now - last_answer_);
    last_answer_ = now;
    if (answered_ == 0) {
      longest_gap_ = absl::ZeroDuration();
      Say({{"event", "connected"}});
    }
    answered_ += answers;
    if (cut_) Say({{"event", "restored"}, {"answered", answered_}});
    cut_ = false;
    return true;
  }

  void CheckCut() {
    if (cut_ || absl::Now() - last_answer_ < options_.cut_after) return;
    cut_ = was_cut_ = true;
    Say({{"event", "cut"},
         {"answered", answered_},
         {"last_answer_unix_ms", absl::ToUnixMillis(last_answer_)}});
  }

  void Report() {
    json event = {{"event", "end"},
                  {"sent", sent_},
                  {"answered", answered_},
                  {"lost", sent_ - answered_},
                  {"longest_gap_ms", absl::ToDoubleMilliseconds(longest_gap_)},
                  {"last_answer_unix_ms", absl::ToUnixMillis(last_answer_)},
                  {"cut", was_cut_}};
    if (tcp_) {
      // What was lost on the way, which TCP hides from the counters above.
      tcp_info info{};
      socklen_t length = sizeof(info);
      getsockopt(fd_, IPPROTO_TCP, TCP_INFO, &info, &length);
      event["retransmits"] = info.tcpi_total_retrans;
    }
    if (!error_.empty()) event["error"] = error_;
    Say(event);
  }

  const StreamOptions& options_;
  const bool tcp_;
  int fd_ = -1;
  int64_t sent_ = 0, answered_ = 0;
  absl::Time last_answer_, last_sent_ = absl::InfinitePast();
  absl::Duration longest_gap_;
  bool cut_ = false, was_cut_ = false;
  std::string error_;
};

}  // namespace

absl::Status Stream(const StreamOptions& options) {
  struct sigaction action = {};
  action.sa_handler = [](int) { stopped = 1; };
  sigaction(SIGTERM, &action, nullptr);
  return Flow(options).Run();
}

}  // namespace ripstop::lab
