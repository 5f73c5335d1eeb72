// SPDX-License-Identifier: Apache-2.0
#include "e2e/lab/live_flow.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "e2e/lab/probe/probe.h"
#include "policy/status_macros.h"

namespace ripstop::lab {

using nlohmann::json;

absl::StatusOr<LiveFlow> LiveFlow::Start(const Lab& lab, const Flow& flow, const Timing& timing) {
  static std::atomic<int> counter = 0;
  std::string address = flow.to;
  if (address.find('/') != std::string::npos) {
    ASSIGN_OR_RETURN(address, lab.AddressOf(flow.to, flow.family));
  }
  ASSIGN_OR_RETURN(const std::string netns, lab.NetnsOf(flow.from));
  const std::string log = absl::StrCat(lab.state().dir(), "/flow.", getpid(), ".", ++counter);
  auto ms = [](absl::Duration d) { return absl::StrCat(absl::ToInt64Milliseconds(d)); };
  ASSIGN_OR_RETURN(const ProcessId process,
                   Spawn({.argv = {lab.Binary("ripstop-probe"), "stream", "--to", address, "--port",
                                   absl::StrCat(flow.port), "--protocol", flow.protocol,
                                   "--interval-ms", ms(timing.interval), "--for-ms",
                                   ms(timing.duration), "--cut-after-ms", ms(timing.cut_after)},
                          .netns = netns},
                         log, [](const ProcessId&) { return absl::OkStatus(); }));
  return LiveFlow(log, process);
}

LiveFlow::LiveFlow(LiveFlow&& other) noexcept
    : log_(std::move(other.log_)), process_(other.process_) {
  other.log_.clear();
}

LiveFlow::~LiveFlow() {
  if (log_.empty()) return;
  Stop(process_, SIGKILL, absl::Seconds(1)).IgnoreError();
  std::remove(log_.c_str());
}

// The process may have ended by itself, after an error: its last event is there then.
void LiveFlow::StopSending() const { kill(process_.pid, SIGTERM); }

absl::StatusOr<json> LiveFlow::Finish() const {
  StopSending();
  return WaitFor("end");
}

absl::Status LiveFlow::WaitForMore(int64_t count) const {
  std::ifstream file(log_);
  std::string line;
  int64_t seen = 0;
  while (std::getline(file, line)) seen += line.find("\"progress\"") != std::string::npos;
  // One more: the next of these events may be about what was sent before.
  const int64_t wanted = seen + 1 + (count + kStreamProgress - 1) / kStreamProgress;
  return WaitFor("progress", static_cast<int>(wanted)).status();
}

absl::StatusOr<json> LiveFlow::WaitFor(const std::string& event, int count) const {
  constexpr absl::Duration kHang = absl::Minutes(10);
  const absl::Time deadline = absl::Now() + kHang;
  while (true) {
    std::ifstream file(log_);
    std::string line, seen;
    for (int found = 0; std::getline(file, line);) {
      absl::StrAppend(&seen, line, "\n");
      json parsed = json::parse(line, nullptr, false);
      if (parsed.is_object() && parsed.value("event", "") == event && ++found == count) {
        return parsed;
      }
    }
    if (absl::Now() > deadline) {
      return absl::DeadlineExceededError(
          absl::StrCat("no ", event, " within ", absl::FormatDuration(kHang), "; seen:\n", seen));
    }
    absl::SleepFor(absl::Milliseconds(5));
  }
}

}  // namespace ripstop::lab
