// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/recent_drops.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_join.h"
#include "agent/policy/rule_words.h"

namespace ripstop::agent {

void RecentDrops::Add(const v1::FlowEvent& event, const std::string& pod) {
  std::string key = absl::StrJoin(
      {pod, event.reason(), event.protocol(), event.source(), event.destination(),
       std::to_string(event.destination_port()), event.egress_rule(), event.ingress_rule()},
      "\n");
  if (const auto found = by_key_.find(key); found != by_key_.end()) {
    entries_.splice(entries_.begin(), entries_, found->second);
  } else {
    if (entries_.size() >= kRoom) MakeRoom();
    entries_.push_front({key, {}});
    entries_.front().sample.set_pod(pod);
    by_key_.emplace(std::move(key), entries_.begin());
    ++of_pod_[pod];
  }
  v1::DropsReply::Sample& sample = entries_.front().sample;
  *sample.mutable_event() = event;
  sample.set_times(sample.times() + 1);
}

void RecentDrops::MakeRoom() {
  const auto most =
      std::max_element(of_pod_.begin(), of_pod_.end(),
                       [](const auto& a, const auto& b) { return a.second < b.second; });
  const auto oldest = std::find_if(entries_.rbegin(), entries_.rend(), [&](const Entry& entry) {
    return entry.sample.pod() == most->first;
  });
  if (--most->second == 0) of_pod_.erase(most);
  by_key_.erase(oldest->key);
  entries_.erase(std::next(oldest).base());
}

std::vector<v1::DropsReply::Sample> RecentDrops::Newest() const {
  std::vector<v1::DropsReply::Sample> samples;
  samples.reserve(entries_.size());
  for (const Entry& entry : entries_) samples.push_back(entry.sample);
  return samples;
}

std::vector<v1::DropsReply::Sample> RecentDrops::Like(const policy::Packet& packet) const {
  const std::string source = packet.source.ToString(), destination = packet.destination.ToString();
  const std::string protocol = ProtocolName(packet.protocol);
  std::vector<v1::DropsReply::Sample> like;
  for (const Entry& entry : entries_) {
    const v1::FlowEvent& event = entry.sample.event();
    const bool there = event.source() == source && event.destination() == destination &&
                       event.destination_port() == packet.destination_port;
    const bool back = event.source() == destination && event.destination() == source &&
                      event.source_port() == packet.destination_port;
    if (event.protocol() != protocol || (!there && !back)) continue;
    like.push_back(entry.sample);
    if (like.size() == kAnswered) break;
  }
  return like;
}

}  // namespace ripstop::agent
