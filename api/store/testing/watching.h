// SPDX-License-Identifier: Apache-2.0
//
// Reading a watch in tests, and its events as lines.
#ifndef RIPSTOP_API_STORE_TESTING_WATCHING_H_
#define RIPSTOP_API_STORE_TESTING_WATCHING_H_

#include <gtest/gtest.h>
#include <poll.h>

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "api/store/store.h"

namespace ripstop::api {

// Reads until `enough` says so or ten minutes are over. Waits on fd only.
inline std::vector<WatchEvent> ReadUntil(
    Watch& watch, const std::function<bool(const std::vector<WatchEvent>&)>& enough) {
  std::vector<WatchEvent> all;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(10);
  while (!enough(all)) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    pollfd ready{watch.fd(), POLLIN, 0};
    if (left.count() <= 0 || poll(&ready, 1, static_cast<int>(left.count())) == 0) {
      ADD_FAILURE() << "no more events after " << all.size();
      break;
    }
    absl::StatusOr<std::vector<WatchEvent>> events = watch.Next();
    if (!events.ok()) {
      ADD_FAILURE() << events.status();
      break;
    }
    all.insert(all.end(), events->begin(), events->end());
  }
  return all;
}

inline std::vector<WatchEvent> ReadCount(Watch& watch, size_t count) {
  return ReadUntil(watch, [count](const auto& all) { return all.size() >= count; });
}

inline std::string Describe(const WatchEvent& event) {
  if (event.type == WatchEvent::Type::kSynced) return "synced";
  return absl::StrCat(event.type == WatchEvent::Type::kPut ? "put " : "delete ",
                      event.resource.key.ToString(), "=", event.resource.value);
}

inline std::vector<std::string> Describe(const std::vector<WatchEvent>& events) {
  std::vector<std::string> lines;
  for (const WatchEvent& event : events) lines.push_back(Describe(event));
  return lines;
}

}  // namespace ripstop::api

#endif  // RIPSTOP_API_STORE_TESTING_WATCHING_H_
