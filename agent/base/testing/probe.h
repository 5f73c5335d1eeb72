// SPDX-License-Identifier: Apache-2.0
//
// One datagram from one namespace to another: the smallest proof that packets pass.
#ifndef RIPSTOP_AGENT_BASE_TESTING_PROBE_H_
#define RIPSTOP_AGENT_BASE_TESTING_PROBE_H_

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "agent/base/netns.h"
#include "policy/base/unique_fd.h"

namespace ripstop::agent {

inline sockaddr_storage ProbeAddress(const std::string& address, uint16_t port,
                                     socklen_t* ret_len) {
  sockaddr_storage storage{};
  auto* v4 = reinterpret_cast<sockaddr_in*>(&storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&storage);
  if (inet_pton(AF_INET, address.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    *ret_len = sizeof(*v4);
  } else {
    inet_pton(AF_INET6, address.c_str(), &v6->sin6_addr);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    *ret_len = sizeof(*v6);
  }
  return storage;
}

inline absl::Status ProbeSocket(int netns_fd, const std::string& address, uint16_t port,
                                UniqueFd* ret_fd) {
  return RunInNetns(netns_fd, [&]() -> absl::Status {
    socklen_t length = 0;
    const sockaddr_storage local = ProbeAddress(address, port, &length);
    ret_fd->reset(socket(local.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!ret_fd->ok()) return absl::ErrnoToStatus(errno, "probe socket");
    if (local.ss_family == AF_INET) {  // never fragment: a probe is also a test of the MTU
      const int always = IP_PMTUDISC_DO;
      setsockopt(ret_fd->get(), IPPROTO_IP, IP_MTU_DISCOVER, &always, sizeof(always));
    }
    if (bind(ret_fd->get(), reinterpret_cast<const sockaddr*>(&local), length) != 0) {
      return absl::ErrnoToStatus(errno, "probe bind to " + address);
    }
    return absl::OkStatus();
  });
}

// Sends from `source` in one namespace to `destination` in the other and back again.
//   kDeadlineExceeded  nothing arrived within `patience`, which where something should is
//                      there for hangs alone
inline absl::Status Probe(int from_ns, const std::string& source, int to_ns,
                          const std::string& destination, size_t bytes = 8,
                          absl::Duration patience = absl::Minutes(10)) {
  constexpr uint16_t kPort = 9;
  UniqueFd client, server;
  if (absl::Status s = ProbeSocket(to_ns, destination, kPort, &server); !s.ok()) return s;
  if (absl::Status s = ProbeSocket(from_ns, source, kPort, &client); !s.ok()) return s;
  const std::vector<char> data(bytes, 'x');
  std::vector<char> got(bytes + 1);
  const int fds[] = {client.get(), server.get()};
  const std::string names[] = {source, destination};
  for (int i = 0; i < 2; ++i) {
    socklen_t length = 0;
    const sockaddr_storage to = ProbeAddress(names[1 - i], kPort, &length);
    if (sendto(fds[i], data.data(), bytes, 0, reinterpret_cast<const sockaddr*>(&to), length) < 0) {
      return absl::ErrnoToStatus(errno, "probe from " + names[i] + " to " + names[1 - i]);
    }
    pollfd p{.fd = fds[1 - i], .events = POLLIN, .revents = 0};
    if (poll(&p, 1, static_cast<int>(absl::ToInt64Milliseconds(patience))) != 1 ||
        recv(fds[1 - i], got.data(), got.size(), 0) != static_cast<ssize_t>(bytes)) {
      return absl::DeadlineExceededError("no datagram from " + names[i] + " at " + names[1 - i]);
    }
  }
  return absl::OkStatus();
}

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_BASE_TESTING_PROBE_H_
