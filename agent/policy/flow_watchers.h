// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_POLICY_FLOW_WATCHERS_H_
#define RIPSTOP_AGENT_POLICY_FLOW_WATCHERS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "agent/policy/flow_match.h"
#include "agent/policy/flow_stream.h"
#include "api/proto/agent.pb.h"

namespace ripstop::agent {

// Who watches flows, each through its own filter. For the agent's loop.
class FlowWatchers {
 public:
  static constexpr size_t kMax = 8;

  //   kInvalidArgument    what is asked cannot be read; says which field
  //   kResourceExhausted  kMax watch already
  absl::StatusOr<std::shared_ptr<FlowStream>> Add(const v1::WatchFlowsRequest& request);

  // Whether anybody still watches.
  bool any();
  // `traits`: of the same event.
  void Tell(const v1::FlowEvent& event, const FlowTraits& traits);
  void LostByDatapath(uint64_t events);

 private:
  struct Watcher {
    FlowMatch match;
    std::string verdict;
    absl::flat_hash_set<std::string> events;
    std::shared_ptr<FlowStream> stream;
  };
  std::vector<Watcher> watchers_;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_POLICY_FLOW_WATCHERS_H_
