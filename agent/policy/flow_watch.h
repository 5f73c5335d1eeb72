// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_POLICY_FLOW_WATCH_H_
#define RIPSTOP_AGENT_POLICY_FLOW_WATCH_H_

#include <memory>
#include <set>

#include "absl/time/time.h"
#include "agent/dataplane/dataplane_interface.h"
#include "agent/policy/flow_log.h"
#include "agent/policy/flow_watchers.h"
#include "agent/policy/policy_plane.h"
#include "agent/policy/recent_drops.h"
#include "agent/policy/staged_counts.h"
#include "api/proto/agent.pb.h"

namespace ripstop::agent {

// What becomes of the datapath's flow events:
//
//   flow_event ─▶ [FlowWatch] ─┬─ a Log rule marked it ─▶ FlowLog
//                              ├─ something is staged ──▶ StagedPlane ─▶ StagedCounts
//                              ├─ somebody watches ─────▶ FlowWatchers
//                              └─ it is a drop ─────────▶ RecentDrops
//
// For the first two a flow is what an event tells: one that began, or one that was denied (its
// retries within a minute are the same flow). Connections that were there before anything was
// staged are not told of, so they are not counted. For the agent's loop. All given outlive this.
class FlowWatch {
 public:
  FlowWatch(const PolicyPlane* policy, DataplaneInterface* dataplane, FlowLog* log);

  // Takes the events that wait; whether there were any, for then others may follow that nobody is
  // woken for (EVENT_WAKE_NS). Also to be called before policy changes: an event names its rule by
  // a number that the change may give to another.
  bool Read(absl::Time now);
  // After policy changed.
  void Changed(const std::set<policy::PolicyKey>& staged);
  // Every few seconds: the log says what it left out, and watchers what they were not told.
  void Tick(absl::Time now);

  FlowWatchers& watchers() { return watchers_; }
  const RecentDrops& drops() const { return drops_; }

  v1::StagedPoliciesReply Report(absl::Time now) const;

 private:
  void Judge(const flow_event& event, const policy::Packet& packet, absl::Time now);
  void Log(const flow_event& event, const policy::Packet& packet, absl::Time now);
  void Show(const flow_event& event, absl::Time now);

  const PolicyPlane* const policy_;
  DataplaneInterface* const dataplane_;
  FlowLog* const log_;
  const std::unique_ptr<StagedCounts> counts_;
  FlowWatchers watchers_;
  RecentDrops drops_;
  bool was_active_ = false;
  uint64_t judged_ = 0;
  uint64_t not_judged_ = 0;   // their endpoint is not, or no longer, in the staged tables
  uint64_t lost_;             // EventsLost when last asked
  uint64_t lost_staged_ = 0;  // of them, while something was staged
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_POLICY_FLOW_WATCH_H_
