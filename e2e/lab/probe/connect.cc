// SPDX-License-Identifier: Apache-2.0
#include <netinet/in.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "e2e/lab/probe/probe.h"
#include "policy/status_macros.h"

namespace ripstop::lab {
namespace {

using nlohmann::json;

struct Attempt {
  std::string id;
  bool tcp = true;
  std::string address;
  uint16_t port = 0;
  std::string source;  // to bind to; empty: the kernel chooses
  int fd = -1;
  bool asked = false;  // the question is sent
  std::string answer;
  std::string result;  // empty while it goes on
  std::string peer, why;
  absl::Time start, end;
};

std::string ResultOf(int error) {
  switch (error) {
    case ECONNREFUSED: return "refused";
    case ETIMEDOUT: return "timeout";
    case ENETUNREACH:
    case EHOSTUNREACH:
    case EACCES:
    case EPERM: return "unreachable";
    default: return "error";
  }
}

void Finish(Attempt* attempt, const std::string& result, const std::string& why = "") {
  attempt->result = result;
  attempt->why = why;
  attempt->end = absl::Now();
  if (attempt->fd >= 0) close(attempt->fd);
  attempt->fd = -1;
}

void FinishWith(Attempt* attempt, int error) { Finish(attempt, ResultOf(error), strerror(error)); }

void AskQuestion(Attempt* attempt) {
  const std::string question = absl::StrCat("hello", attempt->tcp ? "\n" : "");
  if (send(attempt->fd, question.data(), question.size(), MSG_NOSIGNAL) < 0 && errno != EAGAIN) {
    return FinishWith(attempt, errno);
  }
  attempt->asked = true;
}

void Begin(Attempt* attempt, int epoll) {
  attempt->start = absl::Now();
  socklen_t length = 0;
  absl::StatusOr<sockaddr_storage> to = SocketAddress(attempt->address, attempt->port, &length);
  if (!to.ok()) return Finish(attempt, "error", std::string(to.status().message()));
  attempt->fd = socket(to->ss_family,
                       (attempt->tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (attempt->fd < 0) return FinishWith(attempt, errno);
  if (!attempt->source.empty()) {
    socklen_t from_length = 0;
    const auto from = SocketAddress(attempt->source, 0, &from_length);
    if (!from.ok()) return Finish(attempt, "error", std::string(from.status().message()));
    if (bind(attempt->fd, reinterpret_cast<const sockaddr*>(&*from), from_length) != 0) {
      return FinishWith(attempt, errno);
    }
  }
  if (connect(attempt->fd, reinterpret_cast<sockaddr*>(&*to), length) != 0 &&
      errno != EINPROGRESS) {
    return FinishWith(attempt, errno);
  }
  epoll_event event{.events = EPOLLIN | (attempt->tcp ? EPOLLOUT : 0u), .data = {.ptr = attempt}};
  epoll_ctl(epoll, EPOLL_CTL_ADD, attempt->fd, &event);
  if (!attempt->tcp) AskQuestion(attempt);
}

void Continue(Attempt* attempt, int epoll) {
  if (!attempt->result.empty()) return;
  int error = 0;
  socklen_t length = sizeof(error);
  getsockopt(attempt->fd, SOL_SOCKET, SO_ERROR, &error, &length);
  if (error != 0) return FinishWith(attempt, error);
  if (!attempt->asked) {
    AskQuestion(attempt);
    if (!attempt->result.empty()) return;
    epoll_event event{.events = EPOLLIN, .data = {.ptr = attempt}};
    epoll_ctl(epoll, EPOLL_CTL_MOD, attempt->fd, &event);
    return;
  }
  char buffer[512];
  const ssize_t n = recv(attempt->fd, buffer, sizeof(buffer), 0);
  if (n < 0 && errno == EAGAIN) return;
  if (n < 0) return FinishWith(attempt, errno);
  if (n == 0 && attempt->tcp) return Finish(attempt, "error", "closed without an answer");
  attempt->answer.append(buffer, n);
  if (attempt->tcp && attempt->answer.find('\n') == std::string::npos) return;
  const size_t space = attempt->answer.find(" hello");
  if (space == std::string::npos) return Finish(attempt, "error", "answered by a stranger");
  attempt->peer = attempt->answer.substr(0, space);
  Finish(attempt, "ok");
}

}  // namespace

absl::Status Connect(absl::Duration timeout) {
  std::vector<Attempt> attempts;
  std::string line;
  for (int number = 1; std::getline(std::cin, line); ++number) {
    if (line.empty()) continue;
    const json j = json::parse(line, nullptr, false);
    if (!j.is_object() || !j.contains("address") || !j.contains("port")) {
      return absl::InvalidArgumentError(
          absl::StrCat("line ", number, ": wants {\"id\",\"protocol\",\"address\",\"port\"}"));
    }
    Attempt attempt;
    attempt.id = j.value("id", "");
    attempt.tcp = j.value("protocol", "TCP") != "UDP";
    attempt.address = j["address"].get<std::string>();
    attempt.port = j["port"].get<uint16_t>();
    attempt.source = j.value("source", "");
    attempts.push_back(std::move(attempt));
  }
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  const absl::Time deadline = absl::Now() + timeout;
  for (Attempt& attempt : attempts) Begin(&attempt, epoll);
  auto pending = [&] {
    return std::count_if(attempts.begin(), attempts.end(),
                         [](const Attempt& a) { return a.result.empty(); });
  };
  // A lost datagram stays lost, so it is asked for again; TCP repeats by itself.
  const absl::Duration repeat = std::min(timeout / 3, absl::Seconds(1));
  absl::Time next_repeat = absl::Now() + repeat;
  while (pending() > 0 && absl::Now() < deadline) {
    epoll_event events[64];
    const absl::Duration left = std::min(deadline, next_repeat) - absl::Now();
    const int n =
        epoll_wait(epoll, events, 64, std::max<int>(0, absl::ToInt64Milliseconds(left)) + 1);
    for (int i = 0; i < n; ++i) Continue(static_cast<Attempt*>(events[i].data.ptr), epoll);
    if (absl::Now() < next_repeat) continue;
    next_repeat += repeat;
    for (Attempt& attempt : attempts) {
      if (attempt.result.empty() && !attempt.tcp) AskQuestion(&attempt);
    }
  }
  for (Attempt& attempt : attempts) {
    if (attempt.result.empty()) Finish(&attempt, "timeout");
    json out = {{"id", attempt.id},
                {"result", attempt.result},
                {"ms", absl::ToDoubleMilliseconds(attempt.end - attempt.start)}};
    if (!attempt.peer.empty()) out["peer"] = attempt.peer;
    if (!attempt.why.empty()) out["why"] = attempt.why;
    std::cout << out.dump() << "\n";
  }
  close(epoll);
  return absl::OkStatus();
}

}  // namespace ripstop::lab
