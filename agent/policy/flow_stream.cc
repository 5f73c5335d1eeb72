// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/flow_stream.h"

#include <utility>

namespace ripstop::agent {

void FlowStream::Push(v1::FlowEvent event) {
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    if (events_.size() < kRoom) {
      events_.push_back(std::move(event));
    } else {
      lost_.set_by_watcher(lost_.by_watcher() + 1);
    }
  }
  Tell();
}

void FlowStream::LostByDatapath(uint64_t events) {
  {
    const std::lock_guard lock(mutex_);
    lost_.set_by_datapath(lost_.by_datapath() + events);
  }
  Tell();
}

std::optional<v1::WatchFlowsReply> FlowStream::Pop() {
  const std::lock_guard lock(mutex_);
  v1::WatchFlowsReply reply;
  if (lost_.by_datapath() + lost_.by_watcher() != 0) {
    *reply.mutable_lost() = std::exchange(lost_, {});
    return reply;
  }
  if (events_.empty()) return std::nullopt;
  *reply.mutable_event() = std::move(events_.front());
  events_.pop_front();
  return reply;
}

void FlowStream::OnNews(std::function<void()> news) {
  const std::lock_guard lock(news_mutex_);
  news_ = std::move(news);
}

void FlowStream::Tell() {
  const std::lock_guard lock(news_mutex_);
  if (news_) news_();
}

void FlowStream::Close() {
  OnNews(nullptr);
  const std::lock_guard lock(mutex_);
  closed_ = true;
  events_.clear();
}

bool FlowStream::closed() const {
  const std::lock_guard lock(mutex_);
  return closed_;
}

}  // namespace ripstop::agent
