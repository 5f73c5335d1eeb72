// SPDX-License-Identifier: Apache-2.0
#include "e2e/bench/traffic_loads.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agent/base/netns.h"
#include "agent/base/testing/probe.h"
#include "policy/base/unique_fd.h"
#include "policy/status_macros.h"

namespace ripstop::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr timeval kPatience = {10, 0};
constexpr size_t kChunk = size_t{256} << 10;

absl::Status Failed(const char* what, const Ends& ends) {
  const std::string text = absl::StrCat(what, " ", ends.server, " port ", ends.port);
  if (errno == EAGAIN || errno == EINPROGRESS) return absl::DeadlineExceededError(text);
  return absl::ErrnoToStatus(errno, text);
}

// In the thread's namespace.
absl::StatusOr<UniqueFd> Socket(int type, const Ends& ends, bool server) {
  socklen_t length = 0;
  const sockaddr_storage at = agent::ProbeAddress(ends.server, ends.port, &length);
  UniqueFd fd(socket(at.ss_family, type | SOCK_CLOEXEC, 0));
  if (!fd.ok()) return Failed("socket for", ends);
  const int yes = 1;
  setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof(kPatience));
  if (type == SOCK_STREAM) setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
  if (!server) {
    setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof(kPatience));
    if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&at), length) != 0)
      return Failed("connect to", ends);
    return fd;
  }
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&at), length) != 0 ||
      (type == SOCK_STREAM && listen(fd.get(), 4096) != 0))
    return Failed("serve at", ends);
  return fd;
}

// Serves until it is destroyed. `serve` gets each connection, or the socket of datagrams.
class Server {
 public:
  using Serve = std::function<void(int fd)>;
  static absl::StatusOr<std::unique_ptr<Server>> Start(int type, const Ends& ends, Serve serve) {
    std::unique_ptr<Server> server(new Server);
    RETURN_IF_ERROR(agent::RunInNetns(ends.server_ns, [&]() -> absl::Status {
      ASSIGN_OR_RETURN(server->fd_, Socket(type, ends, true));
      return absl::OkStatus();
    }));
    server->thread_ = std::thread([fd = server->fd_.get(), type, serve = std::move(serve)] {
      if (type == SOCK_DGRAM) return serve(fd);
      for (;;) {
        const UniqueFd connection(accept4(fd, nullptr, nullptr, SOCK_CLOEXEC));
        if (!connection.ok()) return;
        const int yes = 1;
        setsockopt(connection.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
        serve(connection.get());
      }
    });
    return server;
  }
  ~Server() {
    shutdown(fd_.get(), SHUT_RDWR);
    if (thread_.joinable()) thread_.join();
  }

 private:
  Server() = default;
  UniqueFd fd_;
  std::thread thread_;
};

std::string PeerOf(int fd) {
  sockaddr_storage peer{};
  socklen_t length = sizeof(peer);
  char text[INET6_ADDRSTRLEN] = "";
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &length) != 0) return "";
  const void* const address =
      peer.ss_family == AF_INET
          ? static_cast<const void*>(&reinterpret_cast<const sockaddr_in*>(&peer)->sin_addr)
          : &reinterpret_cast<const sockaddr_in6*>(&peer)->sin6_addr;
  inet_ntop(peer.ss_family, address, text, sizeof(text));
  return text;
}

// Gives each byte back.
void Echo(int fd) {
  char byte;
  while (recv(fd, &byte, 1, 0) == 1 && send(fd, &byte, 1, MSG_NOSIGNAL) == 1) {
  }
}

void EchoDatagrams(int fd) {
  for (;;) {
    char byte;
    sockaddr_storage from;
    socklen_t length = sizeof(from);
    // Of no byte: the socket has been shut down.
    if (recvfrom(fd, &byte, 1, 0, reinterpret_cast<sockaddr*>(&from), &length) <= 0) return;
    sendto(fd, &byte, 1, 0, reinterpret_cast<const sockaddr*>(&from), length);
  }
}

absl::Status Ask(int fd, const Ends& ends) {
  char byte = 'x';
  if (send(fd, &byte, 1, MSG_NOSIGNAL) == 1 && recv(fd, &byte, 1, 0) == 1) return absl::OkStatus();
  return Failed("no answer from", ends);
}

// `once` again and again; how often per second.
absl::StatusOr<double> Rate(absl::Duration duration, const std::function<absl::Status()>& once) {
  const auto begin = Clock::now();
  const auto until = begin + absl::ToChronoNanoseconds(duration);
  double done = 0;
  auto now = begin;
  for (; now < until; now = Clock::now(), ++done) RETURN_IF_ERROR(once());
  return done / std::chrono::duration<double>(now - begin).count();
}

class RequestLoad : public Load {
 public:
  explicit RequestLoad(const Ends& ends) : ends_(ends) {}
  absl::Status Begin() {
    ASSIGN_OR_RETURN(server_, Server::Start(SOCK_STREAM, ends_, [this](int fd) {
                       peer_ = PeerOf(fd);
                       Echo(fd);
                     }));
    return agent::RunInNetns(ends_.client_ns, [&]() -> absl::Status {
      ASSIGN_OR_RETURN(client_, Socket(SOCK_STREAM, ends_, false));
      return Ask(client_.get(), ends_);
    });
  }
  absl::StatusOr<double> Turn(absl::Duration duration) override {
    return Rate(duration, [&] { return Ask(client_.get(), ends_); });
  }
  // Written before the first answer, which Begin has waited for.
  std::string ClientSeen() const override { return peer_; }

 private:
  const Ends ends_;
  std::string peer_;
  std::unique_ptr<Server> server_;
  UniqueFd client_;  // gone before the server is, which waits for it
};

// Another flow for each request.
class FlowLoad : public Load {
 public:
  FlowLoad(int type, const Ends& ends) : type_(type), ends_(ends) {}
  absl::Status Begin() {
    ASSIGN_OR_RETURN(server_,
                     Server::Start(type_, ends_, type_ == SOCK_STREAM ? Echo : EchoDatagrams));
    return Turn(absl::ZeroDuration()).status();
  }
  absl::StatusOr<double> Turn(absl::Duration duration) override {
    absl::StatusOr<double> rate;
    RETURN_IF_ERROR(agent::RunInNetns(ends_.client_ns, [&] {
      rate = Rate(duration, [&]() -> absl::Status {
        ASSIGN_OR_RETURN(const UniqueFd fd, Socket(type_, ends_, false));
        return Ask(fd.get(), ends_);
      });
      return absl::OkStatus();
    }));
    return rate;
  }

 private:
  const int type_;
  const Ends ends_;
  std::unique_ptr<Server> server_;
};

class StreamLoad : public Load {
 public:
  explicit StreamLoad(const Ends& ends) : ends_(ends), data_(kChunk, 'x') {}
  absl::Status Begin() {
    ASSIGN_OR_RETURN(server_, Server::Start(SOCK_STREAM, ends_, [this](int fd) {
                       std::vector<char> data(kChunk);
                       for (ssize_t n; (n = recv(fd, data.data(), data.size(), 0)) > 0;)
                         received_ += static_cast<uint64_t>(n);
                     }));
    return agent::RunInNetns(ends_.client_ns, [&]() -> absl::Status {
      ASSIGN_OR_RETURN(client_, Socket(SOCK_STREAM, ends_, false));
      return absl::OkStatus();
    });
  }
  absl::StatusOr<double> Turn(absl::Duration duration) override {
    const uint64_t before = received_;
    ASSIGN_OR_RETURN(const double chunks, Rate(duration, [&]() -> absl::Status {
                       const ssize_t sent =
                           send(client_.get(), data_.data(), data_.size(), MSG_NOSIGNAL);
                       if (sent == static_cast<ssize_t>(data_.size())) return absl::OkStatus();
                       return Failed("stream to", ends_);
                     }));
    // What is under way came from this turn as it came from the one before to this.
    if (received_ == before && chunks > 100) return absl::InternalError("nothing arrived");
    return chunks * kChunk;
  }

 private:
  const Ends ends_;
  const std::vector<char> data_;
  std::atomic<uint64_t> received_ = 0;
  std::unique_ptr<Server> server_;
  UniqueFd client_;
};

template <typename L>
absl::StatusOr<std::unique_ptr<Load>> Begun(std::unique_ptr<L> load) {
  RETURN_IF_ERROR(load->Begin());
  return std::move(load);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Load>> MakeLoad(Work work, const Ends& ends) {
  switch (work) {
    case Work::kRequests: return Begun(std::make_unique<RequestLoad>(ends));
    case Work::kConnections: return Begun(std::make_unique<FlowLoad>(SOCK_STREAM, ends));
    case Work::kNewUdpFlows: return Begun(std::make_unique<FlowLoad>(SOCK_DGRAM, ends));
    case Work::kStream: break;
  }
  return Begun(std::make_unique<StreamLoad>(ends));
}

absl::Status UseOneCpu() {
  cpu_set_t may, one;
  CPU_ZERO(&one);
  if (sched_getaffinity(0, sizeof(may), &may) != 0) return absl::ErrnoToStatus(errno, "affinity");
  int last = 0;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &may)) last = cpu;
  CPU_SET(last, &one);
  if (sched_setaffinity(0, sizeof(one), &one) != 0) return absl::ErrnoToStatus(errno, "affinity");
  return absl::OkStatus();
}

}  // namespace ripstop::bench
