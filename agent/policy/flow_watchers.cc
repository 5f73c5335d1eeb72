// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/flow_watchers.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "policy/status_macros.h"

namespace ripstop::agent {
namespace {

constexpr const char* kEvents[] = {"new", "denied", "changed", "heartbeat", "closed"};

}  // namespace

absl::StatusOr<std::shared_ptr<FlowStream>> FlowWatchers::Add(
    const v1::WatchFlowsRequest& request) {
  if (!request.filter().state().empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("state '", request.filter().state(),
                     "': an event has none; ask for events: new, closed and others"));
  }
  Watcher watcher;
  ASSIGN_OR_RETURN(watcher.match, FlowMatch::ByName(request.filter()));
  watcher.verdict = request.verdict();
  if (!watcher.verdict.empty() && watcher.verdict != "Allow" && watcher.verdict != "Deny") {
    return absl::InvalidArgumentError(
        absl::StrCat("verdict '", watcher.verdict, "': Allow or Deny"));
  }
  for (const std::string& event : request.events()) {
    if (std::find(std::begin(kEvents), std::end(kEvents), event) == std::end(kEvents)) {
      return absl::InvalidArgumentError(
          absl::StrCat("event '", event, "': new, denied, changed, heartbeat or closed"));
    }
    watcher.events.insert(event);
  }
  (void)any();
  if (watchers_.size() >= kMax) {
    return absl::ResourceExhaustedError(
        absl::StrCat("flows: ", kMax, " watch already, which is as many as may; end one of them"));
  }
  watcher.stream = std::make_shared<FlowStream>();
  watchers_.push_back(watcher);
  return watcher.stream;
}

bool FlowWatchers::any() {
  std::erase_if(watchers_, [](const Watcher& watcher) { return watcher.stream->closed(); });
  return !watchers_.empty();
}

void FlowWatchers::Tell(const v1::FlowEvent& event, const FlowTraits& traits) {
  for (const Watcher& watcher : watchers_) {
    if ((watcher.events.empty() || watcher.events.contains(event.event())) &&
        (watcher.verdict.empty() || watcher.verdict == event.verdict()) &&
        watcher.match.Fits(traits)) {
      watcher.stream->Push(event);
    }
  }
}

void FlowWatchers::LostByDatapath(uint64_t events) {
  for (const Watcher& watcher : watchers_) watcher.stream->LostByDatapath(events);
}

}  // namespace ripstop::agent
