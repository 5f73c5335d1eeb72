// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_POLICY_RECENT_DROPS_H_
#define RIPSTOP_AGENT_POLICY_RECENT_DROPS_H_

#include <cstdint>
#include <list>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "api/proto/agent.pb.h"
#include "policy/model.h"

namespace ripstop::agent {

// The last kRoom kinds of drops that the datapath has sampled; those that differ only by the
// source's port are one. Where there is no more room, the pod that has most of them gives its
// oldest: a flood of one pod leaves the others theirs. For the agent's loop.
class RecentDrops {
 public:
  static constexpr size_t kRoom = 256;

  // `pod`: whose loss it was; empty: no pod's.
  void Add(const v1::FlowEvent& event, const std::string& pod);
  // The newest first.
  std::vector<v1::DropsReply::Sample> Newest() const;
  // Those of such packets and of their answers, from whatever port; kAnswered at most.
  static constexpr size_t kAnswered = 5;
  std::vector<v1::DropsReply::Sample> Like(const policy::Packet& packet) const;

 private:
  struct Entry {
    std::string key;
    v1::DropsReply::Sample sample;
  };
  void MakeRoom();

  std::list<Entry> entries_;  // the newest first
  absl::flat_hash_map<std::string, std::list<Entry>::iterator> by_key_;
  absl::flat_hash_map<std::string, size_t> of_pod_;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_POLICY_RECENT_DROPS_H_
