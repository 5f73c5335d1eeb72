// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_POLICY_FLOW_STREAM_H_
#define RIPSTOP_AGENT_POLICY_FLOW_STREAM_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>

#include "api/proto/agent.pb.h"

namespace ripstop::agent {

// One watcher's events on their way from the loop to the thread that writes them:
//
//   loop ──Push──▶ [at most kRoom events] ──Pop──▶ writer
//
// What finds no room is lost and counted; the writer is told how many before the next event.
// Thread-safe.
class FlowStream {
 public:
  static constexpr size_t kRoom = 1024;

  void Push(v1::FlowEvent event);
  void LostByDatapath(uint64_t events);
  // The next thing to write; nullopt: nothing yet.
  std::optional<v1::WatchFlowsReply> Pop();

  // `news` is called from the loop when there is something to Pop, until Close has returned.
  void OnNews(std::function<void()> news);
  void Close();
  bool closed() const;

 private:
  void Tell();

  mutable std::mutex mutex_;  // guards the three below
  std::deque<v1::FlowEvent> events_;
  v1::EventsLost lost_;
  bool closed_ = false;
  std::mutex news_mutex_;  // held while `news_` is called; taken without the other one
  std::function<void()> news_;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_POLICY_FLOW_STREAM_H_
