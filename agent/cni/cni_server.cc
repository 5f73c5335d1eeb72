// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/cni_server.h"

#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "agent/cni/wire.h"

namespace ripstop::agent {
namespace {

// In one turn, so that a flood of connections does not keep the loop from the rest.
constexpr int kAcceptAtATime = 64;
constexpr absl::Duration kAskAgain = absl::Milliseconds(20);
constexpr size_t kReadAtATime = size_t{64} << 10;

sockaddr_un AddressOf(const std::string& path) {
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  memcpy(address.sun_path, path.data(), std::min(path.size(), sizeof(address.sun_path) - 1));
  return address;
}

const sockaddr* Generic(const sockaddr_un& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

bool SomebodyListens(const sockaddr_un& address) {
  const UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int connected = connect(fd.get(), Generic(address), sizeof(address));
  return connected == 0 || errno == EAGAIN;  // EAGAIN: its queue is full
}

bool IsGone(int fd) {
  char unused;
  const ssize_t got = recv(fd, &unused, 1, MSG_PEEK | MSG_DONTWAIT);
  return got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
}

}  // namespace

absl::StatusOr<std::unique_ptr<CniServer>> CniServer::Start(const CniServerOptions& options,
                                                            EventLoop* loop, Handler handler) {
  std::unique_ptr<CniServer> server(new CniServer(options, loop, std::move(handler)));
  if (absl::Status status = server->Listen(); !status.ok()) return status;
  return server;
}

CniServer::~CniServer() {
  while (!clients_.empty()) Drop(clients_.begin());
  if (next_.has_value()) loop_->CancelTimer(*next_);
  if (listener_.ok()) loop_->RemoveFd(listener_.get());
  if (bound_) unlink(options_.path.c_str());
}

absl::Status CniServer::Listen() {
  const std::string& path = options_.path;
  const auto failed = [&path](const char* what) {
    const int error = errno;
    return absl::UnavailableError(
        absl::StrCat("CNI socket ", path, ": ", what, ": ", std::string(strerror(error))));
  };
  const sockaddr_un address = AddressOf(path);
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "CNI socket ", path, ": its path is longer than ", sizeof(address.sun_path) - 1, " bytes"));
  }
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
  if (SomebodyListens(address)) {
    return absl::AlreadyExistsError(
        absl::StrCat("CNI socket ", path, ": another agent listens there; give this one its own"));
  }
  unlink(path.c_str());  // of an agent that was killed
  listener_ = UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener_.ok()) return failed("socket");
  const mode_t mask = umask(0177);
  const int bound = bind(listener_.get(), Generic(address), sizeof(address));
  umask(mask);
  if (bound != 0) return failed("bind");
  bound_ = true;
  if (listen(listener_.get(), SOMAXCONN) != 0) return failed("listen");
  return loop_->AddFd(listener_.get(), EPOLLIN, [this](uint32_t) { Accept(); });
}

// False: all have said what they want and are to be served first.
bool CniServer::MakeRoom() {
  if (clients_.size() < options_.connections_max) return true;
  const auto oldest = std::find_if(clients_.begin(), clients_.end(), [](const Client& client) {
    return client.state == Client::State::kReading;
  });
  if (oldest == clients_.end()) return false;
  Drop(oldest);
  return true;
}

void CniServer::Accept() {
  for (int i = 0; i < kAcceptAtATime; ++i) {
    UniqueFd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd.ok()) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      // Out of descriptors: those that wait here are what can be given up.
      if ((errno == EMFILE || errno == ENFILE) && !clients_.empty()) {
        Drop(clients_.begin());
        continue;
      }
      if (errno != EAGAIN) {
        spdlog::warn("CNI socket {}: {}", options_.path, std::string(strerror(errno)));
      }
      return;
    }
    if (!MakeRoom()) continue;  // closed; its runtime comes again
    const auto client = clients_.emplace(clients_.end());
    client->fd = std::move(fd);
    StartTimer(client);
    const absl::Status added =
        loop_->AddFd(client->fd.get(), EPOLLIN, [this, client](uint32_t) { OnEvent(client); });
    if (added.ok()) {
      (void)Read(client);  // most have said it all by now
    } else {
      Drop(client);
    }
  }
}

void CniServer::StartTimer(Clients::iterator client) {
  client->timer = loop_->AddTimer(options_.patience, absl::ZeroDuration(),
                                  [this, client] { OnTimeout(client); });
}

void CniServer::OnEvent(Clients::iterator client) {
  switch (client->state) {
    case Client::State::kReading: (void)Read(client); break;
    case Client::State::kWriting: (void)Write(client); break;
    case Client::State::kQueued: Drop(client); break;  // nothing is watched for but its end
  }
}

// The loop itself may have been held up: what has come meanwhile counts.
void CniServer::OnTimeout(Clients::iterator client) {
  const bool still = client->state == Client::State::kReading ? Read(client) : Write(client);
  if (still) Drop(client);
}

bool CniServer::Read(Clients::iterator client) {
  char part[4096];
  for (size_t total = 0; total < kReadAtATime;) {
    const ssize_t got = recv(client->fd.get(), part, sizeof(part), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return true;
    WireState state{.kind = WireState::Kind::kBad};
    if (got > 0) {
      total += static_cast<size_t>(got);
      client->bytes.append(part, static_cast<size_t>(got));
      state = ReadWire(client->bytes);
    }
    if (state.kind == WireState::Kind::kPart) continue;
    if (state.kind == WireState::Kind::kBad) {
      Drop(client);
    } else {
      Queue(client);
    }
    return false;
  }
  return true;
}

void CniServer::Queue(Clients::iterator client) {
  client->state = Client::State::kQueued;
  loop_->CancelTimer(client->timer);
  loop_->ModifyFd(client->fd.get(), 0).IgnoreError();  // its end is told all the same
  client->queued = absl::Now();
  queue_.push_back(client);
  ScheduleNext(absl::ZeroDuration());
}

void CniServer::ScheduleNext(absl::Duration delay) {
  if (queue_.empty() || next_.has_value()) return;
  next_ = loop_->AddTimer(delay, absl::ZeroDuration(), [this] { RunNext(); });
}

void CniServer::RunNext() {
  next_.reset();
  while (!queue_.empty()) {
    const auto client = queue_.front();
    if (IsGone(client->fd.get())) {  // a runtime that gave up; it comes again, or deletes
      Drop(client);
      continue;
    }
    queue_.pop_front();
    const CniOutcome outcome = Answer(client->bytes.substr(kWireHeader));
    if (outcome.not_now && absl::Now() - client->queued < options_.patience) {
      queue_.push_back(client);  // behind those that came meanwhile
      return ScheduleNext(kAskAgain);
    }
    client->state = Client::State::kWriting;
    client->bytes = WireFrame(outcome.answer.SerializeAsString());
    StartTimer(client);
    if (Write(client)) loop_->ModifyFd(client->fd.get(), EPOLLOUT).IgnoreError();
    break;
  }
  ScheduleNext(absl::ZeroDuration());
}

CniOutcome CniServer::Answer(const std::string& message) {
  v1::CniCall call;
  if (call.ParseFromString(message) && call.call_case() != v1::CniCall::CALL_NOT_SET) {
    return handler_(call);
  }
  v1::CniAnswer answer;
  answer.set_code(static_cast<int>(absl::StatusCode::kUnimplemented));
  answer.set_message("the agent does not know this call; is the plugin of another version?");
  return {std::move(answer)};
}

bool CniServer::Write(Clients::iterator client) {
  std::string& bytes = client->bytes;
  while (!bytes.empty()) {
    const ssize_t sent = send(client->fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN) return true;
    if (sent < 0) break;  // gone
    bytes.erase(0, static_cast<size_t>(sent));
  }
  Drop(client);
  return false;
}

void CniServer::Drop(Clients::iterator client) {
  loop_->CancelTimer(client->timer);
  loop_->RemoveFd(client->fd.get());
  if (client->state == Client::State::kQueued) {
    queue_.erase(std::remove(queue_.begin(), queue_.end(), client), queue_.end());
  }
  clients_.erase(client);
}

}  // namespace ripstop::agent
