// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "e2e/lab/probe/probe.h"
#include "policy/status_macros.h"

namespace ripstop::lab {
namespace {

enum class Kind { kListener, kConnection, kDatagrams };

struct Socket {
  Kind kind;
  std::string line;  // what has come of an unfinished line
};

// Longest line answered; a peer that sends more is not one of ours.
constexpr size_t kLineMax = 64 * 1024;

// One socket of each kind takes both families.
absl::StatusOr<int> Listen(int type, uint16_t port) {
  const int fd = socket(AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return absl::ErrnoToStatus(errno, "socket");
  const int on = 1, off = 0;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
  // Answers leave from the address that was asked, which a wildcard socket of a pod with
  // several addresses would not do for datagrams; pods here have one of each family.
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(port);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 ||
      (type == SOCK_STREAM && listen(fd, 512) != 0)) {
    const absl::Status status = absl::ErrnoToStatus(errno, absl::StrCat("listen on port ", port));
    close(fd);
    return status;
  }
  return fd;
}

class Server {
 public:
  explicit Server(const ServeOptions& options)
      : options_(options), epoll_(epoll_create1(EPOLL_CLOEXEC)) {}
  ~Server() {
    for (const auto& [fd, _] : sockets_) close(fd);
    close(epoll_);
  }

  absl::Status Run() {
    for (uint16_t port : options_.tcp) {
      ASSIGN_OR_RETURN(const int fd, Listen(SOCK_STREAM, port));
      Watch(fd, Kind::kListener);
    }
    for (uint16_t port : options_.udp) {
      ASSIGN_OR_RETURN(const int fd, Listen(SOCK_DGRAM, port));
      Watch(fd, Kind::kDatagrams);
    }
    if (!options_.ready_file.empty()) std::ofstream(options_.ready_file) << "ready\n";
    const absl::Time end = absl::Now() + options_.duration;
    while (absl::Now() < end) {
      epoll_event events[64];
      const absl::Duration left = std::min(end - absl::Now(), absl::Seconds(10));
      const int n =
          epoll_wait(epoll_, events, 64, static_cast<int>(absl::ToInt64Milliseconds(left)) + 1);
      for (int i = 0; i < n; ++i) Handle(events[i].data.fd);
    }
    return absl::OkStatus();
  }

 private:
  void Watch(int fd, Kind kind) {
    sockets_[fd] = {kind, ""};
    epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
    epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
  }

  void Drop(int fd) {
    sockets_.erase(fd);
    close(fd);
  }

  void Handle(int fd) {
    const auto it = sockets_.find(fd);
    if (it == sockets_.end()) return;
    switch (it->second.kind) {
      case Kind::kListener: return Accept(fd);
      case Kind::kDatagrams: return AnswerDatagrams(fd);
      case Kind::kConnection: return AnswerLines(fd, &it->second);
    }
  }

  void Accept(int listener) {
    while (true) {
      const int fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) return;
      const int on = 1;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
      // A peer that vanished behind a policy never says goodbye.
      const int idle = 30, interval = 10, count = 3;
      setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
      setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
      setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
      setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
      Watch(fd, Kind::kConnection);
    }
  }

  void AnswerDatagrams(int fd) {
    char buffer[65536];
    sockaddr_in6 peer;
    while (true) {
      socklen_t length = sizeof(peer);
      const ssize_t n =
          recvfrom(fd, buffer, sizeof(buffer), 0, reinterpret_cast<sockaddr*>(&peer), &length);
      if (n < 0) return;
      const std::string answer = absl::StrCat(options_.name, " ", absl::string_view(buffer, n));
      sendto(fd, answer.data(), answer.size(), 0, reinterpret_cast<sockaddr*>(&peer), length);
    }
  }

  void AnswerLines(int fd, Socket* socket) {
    char buffer[65536];
    const ssize_t n = recv(fd, buffer, sizeof(buffer), 0);
    if (n == 0 || (n < 0 && errno != EAGAIN)) return Drop(fd);
    if (n < 0) return;
    socket->line.append(buffer, n);
    std::string answer;
    size_t start = 0;
    for (size_t end; (end = socket->line.find('\n', start)) != std::string::npos; start = end + 1) {
      absl::StrAppend(&answer, options_.name, " ",
                      absl::string_view(socket->line).substr(start, end + 1 - start));
    }
    socket->line.erase(0, start);
    if (socket->line.size() > kLineMax) return Drop(fd);
    if (!answer.empty() && send(fd, answer.data(), answer.size(), MSG_NOSIGNAL) < 0 &&
        errno != EAGAIN) {
      Drop(fd);
    }
  }

  const ServeOptions& options_;
  const int epoll_;
  std::map<int, Socket> sockets_;
};

}  // namespace

absl::Status Serve(const ServeOptions& options) { return Server(options).Run(); }

absl::StatusOr<sockaddr_storage> SocketAddress(const std::string& address, uint16_t port,
                                               socklen_t* length) {
  sockaddr_storage storage{};
  auto* v4 = reinterpret_cast<sockaddr_in*>(&storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&storage);
  if (inet_pton(AF_INET, address.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    *length = sizeof(*v4);
  } else if (inet_pton(AF_INET6, address.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    *length = sizeof(*v6);
  } else {
    return absl::InvalidArgumentError(absl::StrCat("'", address, "' is not an address"));
  }
  return storage;
}

}  // namespace ripstop::lab
