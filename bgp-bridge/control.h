// SPDX-License-Identifier: Apache-2.0
//
// A connection to BIRD's control socket. Each call ends within its timeout; the socket is
// non-blocking underneath. One thread at a time.
#ifndef RIPSTOP_BGP_BRIDGE_CONTROL_H_
#define RIPSTOP_BGP_BRIDGE_CONTROL_H_

#include <sys/types.h>

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "bgp-bridge/process.h"
#include "bgp-bridge/reply.h"

namespace ripstop::bgp {

class Control {
 public:
  // Connects and reads the greeting. kUnavailable: nobody listens (not started, or died);
  // kDeadlineExceeded: somebody does but is silent. Both name the socket. This and what
  // follows ends with kCancelled once `interrupt_fd`, unless -1, is readable.
  static absl::StatusOr<Control> Connect(const std::string& path, absl::Duration timeout,
                                         int interrupt_fd = -1);

  // Sends one command and waits for its reply. A refusal of BIRD is kFailedPrecondition with
  // the command and BIRD's own words; kUnavailable when the connection broke.
  absl::StatusOr<Reply> Command(absl::string_view command, absl::Duration timeout);

  // The process behind the socket, from SO_PEERCRED; 0 when it is in a PID namespace that
  // we cannot see into.
  pid_t Peer() const;
  const std::string& version() const { return version_; }  // "2.0.12"

 private:
  Control(UniqueFd fd, std::string path, int interrupt_fd)
      : fd_(std::move(fd)), path_(std::move(path)), interrupt_fd_(interrupt_fd) {}
  absl::StatusOr<Reply> Read(absl::string_view what, absl::Time deadline);
  absl::Status WaitFor(short events, absl::string_view what, absl::Time deadline);

  UniqueFd fd_;
  std::string path_;
  int interrupt_fd_ = -1;
  std::string version_;
  ReplyParser parser_;
};

}  // namespace ripstop::bgp

#endif  // RIPSTOP_BGP_BRIDGE_CONTROL_H_
