// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/agent_call.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "agent/cni/wire.h"
#include "policy/base/unique_fd.h"

namespace ripstop::agent {
namespace {

// An agent that restarts is back within moments.
constexpr int kRetryMs = 50;

int64_t NowMs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * int64_t{1000} + now.tv_nsec / 1'000'000;
}

class Deadline {
 public:
  explicit Deadline(int ms) : at_(NowMs() + ms) {}
  int left() const { return static_cast<int>(std::max<int64_t>(0, at_ - NowMs())); }

 private:
  const int64_t at_;
};

// Waits until the socket can be read or written. False: the time is over.
bool Wait(int fd, short events, const Deadline& deadline) {
  while (true) {
    pollfd ready = {fd, events, 0};
    const int left = deadline.left();
    const int count = poll(&ready, 1, left);
    if (count > 0) return true;
    if (count == 0 || (errno != EINTR && errno != EAGAIN)) return false;
  }
}

UniqueFd Connect(const std::string& path, const Deadline& deadline) {
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  if (path.size() >= sizeof(address.sun_path)) return UniqueFd();
  memcpy(address.sun_path, path.data(), path.size());
  while (true) {
    UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd.ok()) return fd;
    if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) {
      return fd;
    }
    // Of a socket that is full (EAGAIN), absent or left over by an agent that was killed,
    // nothing tells when it is served again.
    if (deadline.left() == 0) return UniqueFd();
    poll(nullptr, 0, std::min(kRetryMs, deadline.left()));
  }
}

bool Send(int fd, std::string_view bytes, const Deadline& deadline) {
  while (!bytes.empty()) {
    const ssize_t sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent > 0) {
      bytes.remove_prefix(static_cast<size_t>(sent));
    } else if (errno == EAGAIN) {
      if (!Wait(fd, POLLOUT, deadline)) return false;
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

}  // namespace

CallOutcome CallAgent(const std::string& path, const v1::CniCall& call, int connect_ms,
                      int answer_ms, v1::CniAnswer* ret_answer) {
  const UniqueFd fd = Connect(path, Deadline(connect_ms));
  if (!fd.ok()) return CallOutcome::kNoAgent;
  const Deadline deadline(answer_ms);
  // What listens there may end the connection at once, and still have said why.
  (void)Send(fd.get(), WireFrame(call.SerializeAsString()), deadline);
  std::string answer;
  char part[4096];
  while (true) {
    const WireState state = ReadWire(answer);
    if (state.kind == WireState::Kind::kBad) return CallOutcome::kNotTheAgent;
    if (state.kind == WireState::Kind::kWhole) {
      const bool read = ret_answer->ParseFromString(answer.substr(kWireHeader));
      return read ? CallOutcome::kAnswered : CallOutcome::kNotTheAgent;
    }
    if (!Wait(fd.get(), POLLIN, deadline)) return CallOutcome::kNoAnswer;
    const ssize_t got = recv(fd.get(), part, sizeof(part), 0);
    if (got > 0) {
      answer.append(part, static_cast<size_t>(got));
    } else if (got == 0 || (errno != EINTR && errno != EAGAIN)) {
      return CallOutcome::kNoAnswer;
    }
  }
}

}  // namespace ripstop::agent
