// SPDX-License-Identifier: Apache-2.0
#include "e2e/bench/isolated.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"

namespace ripstop::bench {
namespace {

void WriteAll(int fd, const void* data, size_t bytes) {
  const char* at = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t n = write(fd, at, bytes);
    if (n <= 0) _exit(1);
    at += n;
    bytes -= static_cast<size_t>(n);
  }
}

// Everything until the child closes its end. False: the time is up.
bool ReadAll(int fd, double limit_seconds, std::string& out) {
  const auto start = std::chrono::steady_clock::now();
  char buffer[4096];
  for (;;) {
    const std::chrono::duration<double> gone = std::chrono::steady_clock::now() - start;
    const int wait_ms = static_cast<int>((limit_seconds - gone.count()) * 1000);
    pollfd readable = {.fd = fd, .events = POLLIN, .revents = 0};
    if (wait_ms <= 0 || poll(&readable, 1, wait_ms) == 0) return false;
    const ssize_t n = read(fd, buffer, sizeof(buffer));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return true;
    out.append(buffer, static_cast<size_t>(n));
  }
}

}  // namespace

absl::Status InChild(double limit_seconds, void* result, size_t bytes,
                     const std::function<absl::Status()>& measure) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "pipe");
  std::fflush(nullptr);  // or the child prints it again
  const pid_t child = fork();
  if (child < 0) return absl::ErrnoToStatus(errno, "fork");
  if (child == 0) {
    close(ends[0]);
    const absl::Status status = measure();
    const int code = status.raw_code();
    const std::string message(status.message());
    WriteAll(ends[1], &code, sizeof(code));
    if (status.ok()) {
      WriteAll(ends[1], result, bytes);
    } else {
      WriteAll(ends[1], message.data(), message.size());
    }
    _exit(0);
  }
  close(ends[1]);
  std::string answer;
  const bool in_time = ReadAll(ends[0], limit_seconds, answer);
  close(ends[0]);
  if (!in_time) kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  if (!in_time) {
    return absl::DeadlineExceededError(absl::StrCat("not done in ", limit_seconds, " s"));
  }
  int code = 0;
  if (answer.size() < sizeof(code)) return absl::AbortedError("the measuring process crashed");
  std::memcpy(&code, answer.data(), sizeof(code));
  answer.erase(0, sizeof(code));
  if (code != 0) return absl::Status(static_cast<absl::StatusCode>(code), answer);
  if (answer.size() != bytes) return absl::AbortedError("the measuring process crashed");
  std::memcpy(result, answer.data(), bytes);
  return absl::OkStatus();
}

}  // namespace ripstop::bench
