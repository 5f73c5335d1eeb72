// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_DATAPLANE_TESTING_TCP_H_
#define RIPSTOP_AGENT_DATAPLANE_TESTING_TCP_H_

#include <poll.h>
#include <sys/socket.h>

#include <string>
#include <utility>

#include "agent/dataplane/testing_node.h"

namespace ripstop::agent::testing {

// One TCP connection between two namespaces.
class TcpPair {
 public:
  absl::Status Connect(int from_ns, const std::string& from, int to_ns, const std::string& to) {
    UniqueFd listener;
    socklen_t length = 0;
    const sockaddr_storage target = ProbeAddress(to, 7000, &length);
    absl::Status status = RunInNetns(to_ns, [&]() -> absl::Status {
      listener.reset(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      if (bind(listener.get(), reinterpret_cast<const sockaddr*>(&target), length) != 0 ||
          listen(listener.get(), 1) != 0) {
        return absl::ErrnoToStatus(errno, "listen");
      }
      return absl::OkStatus();
    });
    if (!status.ok()) return status;
    status = RunInNetns(from_ns, [&]() -> absl::Status {
      const sockaddr_storage source = ProbeAddress(from, 0, &length);
      client_.reset(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      if (bind(client_.get(), reinterpret_cast<const sockaddr*>(&source), length) != 0 ||
          connect(client_.get(), reinterpret_cast<const sockaddr*>(&target), length) != 0) {
        return absl::ErrnoToStatus(errno, "connect");
      }
      return absl::OkStatus();
    });
    if (!status.ok()) return status;
    server_.reset(accept(listener.get(), nullptr, nullptr));
    return server_.ok() ? absl::OkStatus() : absl::ErrnoToStatus(errno, "accept");
  }
  // A byte there and one back.
  absl::Status Echo() {
    for (const auto& [from, to] : {std::pair(&client_, &server_), std::pair(&server_, &client_)}) {
      char byte = 'x';
      pollfd p{.fd = to->get(), .events = POLLIN, .revents = 0};
      if (send(from->get(), &byte, 1, MSG_NOSIGNAL) != 1) return absl::ErrnoToStatus(errno, "send");
      if (poll(&p, 1, 5 * 60 * 1000) != 1 || recv(to->get(), &byte, 1, 0) != 1) {
        return absl::DeadlineExceededError("nothing arrives");
      }
    }
    return absl::OkStatus();
  }

 private:
  UniqueFd client_, server_;
};

}  // namespace ripstop::agent::testing

#endif  // RIPSTOP_AGENT_DATAPLANE_TESTING_TCP_H_
