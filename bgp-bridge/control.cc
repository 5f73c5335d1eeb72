// SPDX-License-Identifier: Apache-2.0
#include "bgp-bridge/control.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "policy/status_macros.h"

namespace ripstop::bgp {

absl::StatusOr<Control> Control::Connect(const std::string& path, absl::Duration timeout,
                                         int interrupt_fd) {
  sockaddr_un address{.sun_family = AF_UNIX};
  if (path.size() >= sizeof address.sun_path)
    return absl::InvalidArgumentError(absl::StrCat("control socket path is longer than ",
                                                   sizeof address.sun_path - 1, " bytes: ", path));
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.ok()) return absl::ErrnoToStatus(errno, "unix socket");
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return absl::UnavailableError(
        absl::StrCat("BIRD does not listen on ", path, ": ", std::strerror(errno)));
  Control control(std::move(fd), path, interrupt_fd);
  ASSIGN_OR_RETURN(Reply greeting, control.Read("greeting", absl::Now() + timeout));
  // "BIRD 2.0.12 ready."
  std::vector<std::string> words = absl::StrSplit(greeting.Text(), ' ');
  if (greeting.Code() != 1 || words.size() < 2 || words[0] != "BIRD")
    return absl::FailedPreconditionError(
        absl::StrCat(path, " is not BIRD's: it said \"", absl::CEscape(greeting.Text()), "\""));
  control.version_ = words[1];
  return control;
}

absl::Status Control::WaitFor(short events, absl::string_view what, absl::Time deadline) {
  while (true) {
    pollfd waited[] = {{fd_.get(), events, 0}, {interrupt_fd_, POLLIN, 0}};
    const int64_t left_ms = absl::ToInt64Milliseconds(deadline - absl::Now());
    const int ready = poll(waited, 2, static_cast<int>(std::max<int64_t>(0, left_ms)));
    if (ready > 0 && waited[1].revents != 0)
      return absl::CancelledError(absl::StrCat("waiting for BIRD on ", path_, " was given up"));
    if (ready > 0) return absl::OkStatus();
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return absl::ErrnoToStatus(errno, absl::StrCat("poll of ", path_));
    return absl::DeadlineExceededError(
        absl::StrCat("BIRD on ", path_, " is silent, waiting for: ", what));
  }
}

absl::StatusOr<Reply> Control::Read(absl::string_view what, absl::Time deadline) {
  char buffer[16 * 1024];
  while (true) {
    if (std::optional<Reply> reply = parser_.Next()) return *std::move(reply);
    const ssize_t got = recv(fd_.get(), buffer, sizeof buffer, 0);
    if (got > 0) {
      RETURN_IF_ERROR(parser_.Feed({buffer, static_cast<size_t>(got)}));
      continue;
    }
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) {
      RETURN_IF_ERROR(WaitFor(POLLIN, what, deadline));
      continue;
    }
    return absl::UnavailableError(absl::StrCat("BIRD closed ", path_, ", waiting for: ", what));
  }
}

absl::StatusOr<Reply> Control::Command(absl::string_view command, absl::Duration timeout) {
  if (command.find('\n') != absl::string_view::npos)
    return absl::InvalidArgumentError("a command is one line");
  const absl::Time deadline = absl::Now() + timeout;
  const std::string line = absl::StrCat(command, "\n");
  for (size_t sent = 0; sent < line.size();) {
    const ssize_t wrote = send(fd_.get(), line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
    if (wrote > 0)
      sent += wrote;
    else if (wrote < 0 && errno == EAGAIN)
      RETURN_IF_ERROR(WaitFor(POLLOUT, command, deadline));
    else if (wrote < 0 && errno != EINTR)
      return absl::UnavailableError(
          absl::StrCat("BIRD closed ", path_, " before \"", command, "\": ", std::strerror(errno)));
  }
  ASSIGN_OR_RETURN(Reply reply, Read(command, deadline));
  if (reply.Failed())
    return absl::FailedPreconditionError(
        absl::StrCat("BIRD refused \"", command, "\": ", reply.Text()));
  return reply;
}

pid_t Control::Peer() const {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (getsockopt(fd_.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return 0;
  return credentials.pid;
}

}  // namespace ripstop::bgp
