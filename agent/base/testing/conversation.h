// SPDX-License-Identifier: Apache-2.0
//
// A client in one namespace and a server in another, TCP or UDP, that say something to each
// other when told to: one step at a time, so that a test knows what has happened when.
#ifndef RIPSTOP_AGENT_BASE_TESTING_CONVERSATION_H_
#define RIPSTOP_AGENT_BASE_TESTING_CONVERSATION_H_

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "agent/base/netns.h"
#include "agent/base/testing/probe.h"
#include "policy/base/unique_fd.h"

namespace ripstop::agent {

enum class Transport { kTcp, kUdp };

// Limits are for what never comes: a message that passes has passed long before.
class Conversation {
 public:
  struct Ends {
    int client_ns = -1;
    std::string client;  // its address
    std::string to;      // whom the client asks, and where
    uint16_t to_port = 0;
    int server_ns = -1;
    std::string server;  // where the server is
    uint16_t server_port = 0;
    uint32_t client_mark = 0;  // SO_MARK
    uint16_t client_port = 0;  // 0: any
  };
  explicit Conversation(Transport transport, Ends ends)
      : transport_(transport), ends_(std::move(ends)) {}

  // The server waits, the client has a socket.
  absl::Status Listen() {
    absl::Status made = Bind(ends_.server_ns, ends_.server, ends_.server_port, 0, &listener_);
    if (!made.ok()) return made;
    if (transport_ == Transport::kTcp && listen(listener_.get(), 8) != 0) {
      return absl::ErrnoToStatus(errno, "listen at " + ends_.server);
    }
    return Bind(ends_.client_ns, ends_.client, ends_.client_port, ends_.client_mark, &client_);
  }

  // TCP: a SYN leaves. UDP: nothing.
  absl::Status Begin() {
    socklen_t length = 0;
    const sockaddr_storage to = ProbeAddress(ends_.to, ends_.to_port, &length);
    fcntl(client_.get(), F_SETFL, O_NONBLOCK);
    if (connect(client_.get(), reinterpret_cast<const sockaddr*>(&to), length) != 0 &&
        errno != EINPROGRESS) {
      return absl::ErrnoToStatus(errno, "connect to " + ends_.to);
    }
    return absl::OkStatus();
  }

  // TCP: the client's connection stands, wherever its server is.
  absl::Status Connected(int timeout_ms = kPatience) {
    if (!Wait(client_.get(), POLLOUT, timeout_ms)) return Late("no connection to ", ends_.to);
    int error = 0;
    socklen_t length = sizeof(error);
    getsockopt(client_.get(), SOL_SOCKET, SO_ERROR, &error, &length);
    return error == 0 ? absl::OkStatus() : absl::ErrnoToStatus(error, "connect to " + ends_.to);
  }
  // TCP: the connection stands at both ends.
  absl::Status Accept(int timeout_ms = kPatience) {
    if (transport_ == Transport::kUdp) return absl::OkStatus();
    if (absl::Status connected = Connected(timeout_ms); !connected.ok()) return connected;
    if (!Wait(listener_.get(), POLLIN, timeout_ms)) return Late("nobody came to ", ends_.server);
    sockaddr_storage peer{};
    socklen_t length = sizeof(peer);
    server_.reset(accept4(listener_.get(), reinterpret_cast<sockaddr*>(&peer), &length,
                          SOCK_CLOEXEC | SOCK_NONBLOCK));
    peer_ = peer;
    const int on = 1;  // each message is a segment
    for (const int fd : {client_.get(), server_.get()}) {
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    }
    return server_.ok() ? absl::OkStatus() : absl::ErrnoToStatus(errno, "accept");
  }

  void ClientSays(size_t bytes = 1) {
    const std::string text(bytes, '?');
    // What became of the datagram before is told at the next, which then does not leave.
    if (send(client_.get(), text.data(), bytes, MSG_NOSIGNAL) < 0) {
      (void)!send(client_.get(), text.data(), bytes, MSG_NOSIGNAL);
    }
  }
  void ServerSays(size_t bytes = 1) {
    const std::string text(bytes, '!');
    if (transport_ == Transport::kTcp) {
      (void)!send(server_.get(), text.data(), bytes, MSG_NOSIGNAL);
    } else {
      sendto(listener_.get(), text.data(), bytes, 0, reinterpret_cast<const sockaddr*>(&peer_),
             LengthOf(peer_));
    }
  }
  // UDP: to whom it has not heard of.
  void ServerSaysTo(const sockaddr_storage& to, socklen_t length) {
    sendto(listener_.get(), "!", 1, 0, reinterpret_cast<const sockaddr*>(&to), length);
  }
  absl::Status ServerHears(int timeout_ms = kPatience) {
    const int fd = transport_ == Transport::kTcp ? server_.get() : listener_.get();
    if (!Wait(fd, POLLIN, timeout_ms)) return Late("nothing arrived at ", ends_.server);
    sockaddr_storage peer{};
    socklen_t length = sizeof(peer);
    char data[8192];
    const ssize_t bytes =
        recvfrom(fd, data, sizeof(data), 0, reinterpret_cast<sockaddr*>(&peer), &length);
    if (bytes <= 0) return absl::ErrnoToStatus(errno, "receive at " + ends_.server);
    if (transport_ == Transport::kUdp) peer_ = peer;
    return absl::OkStatus();
  }
  absl::Status ClientHears(int timeout_ms = kPatience) {
    if (!Wait(client_.get(), POLLIN, timeout_ms)) return Late("no answer from ", ends_.to);
    char data[64];
    const ssize_t bytes = recv(client_.get(), data, sizeof(data), 0);
    if (bytes > 0) return absl::OkStatus();
    return absl::ErrnoToStatus(bytes == 0 ? ECONNRESET : errno, "answer from " + ends_.to);
  }

  // All of it, once.
  absl::Status Open() {
    if (absl::Status s = Listen(); !s.ok()) return s;
    if (absl::Status s = Begin(); !s.ok()) return s;
    if (absl::Status s = Accept(); !s.ok()) return s;
    return Exchange();
  }
  absl::Status Exchange() {
    ClientSays();
    if (absl::Status s = ServerHears(); !s.ok()) return s;
    ServerSays();
    return ClientHears();
  }

  // Whom the server sees.
  std::string peer() const {
    char text[INET6_ADDRSTRLEN] = "";
    if (peer_.ss_family == AF_INET) {
      inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(&peer_)->sin_addr, text,
                sizeof(text));
    } else {
      inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6*>(&peer_)->sin6_addr, text,
                sizeof(text));
    }
    return text;
  }
  uint16_t peer_port() const {
    return ntohs(peer_.ss_family == AF_INET
                     ? reinterpret_cast<const sockaddr_in*>(&peer_)->sin_port
                     : reinterpret_cast<const sockaddr_in6*>(&peer_)->sin6_port);
  }
  int client_fd() const { return client_.get(); }
  int server_fd() const { return server_.get(); }  // TCP, once accepted

  static constexpr int kPatience = 300'000;  // ms

 private:
  static absl::Status Late(const char* what, const std::string& where) {
    return absl::DeadlineExceededError(absl::StrCat(what, where));
  }
  static socklen_t LengthOf(const sockaddr_storage& a) {
    return a.ss_family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  }
  static bool Wait(int fd, short events, int timeout_ms) {
    pollfd p{.fd = fd, .events = events, .revents = 0};
    return poll(&p, 1, timeout_ms) == 1;
  }
  absl::Status Bind(int netns, const std::string& address, uint16_t port, uint32_t mark,
                    UniqueFd* ret_fd) const {
    return RunInNetns(netns, [&]() -> absl::Status {
      socklen_t length = 0;
      const sockaddr_storage local = ProbeAddress(address, port, &length);
      const int type = transport_ == Transport::kTcp ? SOCK_STREAM : SOCK_DGRAM;
      ret_fd->reset(socket(local.ss_family, type | SOCK_CLOEXEC, 0));
      const int on = 1;
      setsockopt(ret_fd->get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
      if (mark != 0 && setsockopt(ret_fd->get(), SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) != 0) {
        return absl::ErrnoToStatus(errno, "SO_MARK");
      }
      if (bind(ret_fd->get(), reinterpret_cast<const sockaddr*>(&local), length) != 0) {
        return absl::ErrnoToStatus(errno, absl::StrCat("bind to ", address, " port ", port));
      }
      return absl::OkStatus();
    });
  }

  const Transport transport_;
  const Ends ends_;
  UniqueFd listener_, client_, server_;
  sockaddr_storage peer_{};
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_BASE_TESTING_CONVERSATION_H_
