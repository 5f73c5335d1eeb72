// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/staged_counts.h"

#include "absl/hash/hash.h"

namespace ripstop::agent {
namespace {

constexpr absl::Duration kSameFlow = absl::Minutes(1);

}  // namespace

void StagedCounts::Count(const policy::RuleIdentity& by, bool staged, bool allowed,
                         bool would_allow, const std::string& flow, const std::string& instead_of,
                         absl::Time now) {
  auto it = rows_.find(by);
  if (it == rows_.end()) {
    if (rows_.size() >= kRowsMax) {
      ++unlisted_;
      return;
    }
    it = rows_.emplace(by, Row{.staged = staged, .since = now}).first;
  }
  Row& row = it->second;
  if (allowed == would_allow) {
    ++row.unchanged;
    return;
  }
  ++(would_allow ? row.would_allow : row.would_deny);
  row.example = flow;
  row.instead_of = instead_of;
  row.last = now;
}

void StagedCounts::Forget(const std::set<policy::PolicyKey>& keys) {
  if (keys.empty()) return;
  std::erase_if(rows_, [&](const auto& entry) {
    return !entry.second.staged || keys.contains(entry.first.policy);
  });
}

void StagedCounts::Clear() {
  rows_.clear();
  places_.fill({});
  unlisted_ = 0;
}

bool StagedCounts::SeenLately(const policy::Packet& packet, absl::Time now) {
  const size_t hash =
      absl::HashOf(packet.source.bytes, packet.destination.bytes, packet.protocol,
                   packet.source_port, packet.destination_port, packet.icmp_type, packet.icmp_code);
  Place& place = places_[hash % places_.size()];
  const bool seen = place.hash == hash && now - place.seen < kSameFlow;
  place = {hash, now};
  return seen;
}

}  // namespace ripstop::agent
