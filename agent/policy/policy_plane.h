// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_POLICY_POLICY_PLANE_H_
#define RIPSTOP_AGENT_POLICY_POLICY_PLANE_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "agent/dataplane/dataplane_interface.h"
#include "agent/policy/policy_feed.h"
#include "agent/policy/staged_plane.h"
#include "agent/policy/world_state.h"
#include "policy/engine/engine.h"

namespace ripstop::agent {

// Policy from resources to the kernel's tables, one generation at a time.
//
//   PolicyFeed ─┬─▶ policy::Engine ──Flush──▶ DataplaneInterface
//               └─▶ StagedPlane, while anything is staged: never enforced
//
// The first Flush of a whole world puts a new generation in force; what an earlier agent left
// stays in force until then, and what is written before that (FillAhead) no program reads. When a
// write fails the tables may hold part of a change, so the next Flush builds a new generation from
// all that is known.
// For the agent's loop.
class PolicyPlane {
 public:
  PolicyPlane(const std::string& node, DataplaneInterface* dataplane)
      : dataplane_(dataplane), feed_(node), staged_(&feed_) {}

  // Makes the first engine. Before anything is fed.
  absl::Status Begin();

  PolicyFeed& feed() { return feed_; }
  const PolicyFeed& feed() const { return feed_; }
  const policy::Engine& engine() const { return *engine_; }
  const StagedPlane& staged() const { return staged_; }
  // Called by each Flush before it gives any rule's number to another.
  void BeforeFlush(std::function<void()> callback) { before_flush_ = std::move(callback); }

  // What has been fed is a whole (world_state.h): from now on Flush writes.
  void OnWhole() { state_.OnWhole(); }

  // Before that, now and then: writes what was fed so far into the generation that is being made,
  // which no program reads yet, so that putting it in force is short. Does nothing afterwards.
  void FillAhead();

  // Brings the kernel to what was fed; does nothing before that is a whole. A failure is tried
  // again by the next call.
  absl::Status Flush();
  // What has been fed is a whole.
  bool whole() const { return state_.stage() != WorldState::Stage::kNothingRead; }
  // Whether the last Flush failed: the kernel may have an older world.
  bool broken() const { return whole() && broken_; }
  // What is denied though nobody's policy says so: tables that are full, disputed addresses.
  std::vector<std::string> Alarms() const;
  // Whether this agent's tables are in force.
  bool committed() const { return state_.stage() == WorldState::Stage::kInForce; }

 private:
  absl::Status Write(const WholeWorld& world);

  DataplaneInterface* const dataplane_;
  PolicyFeed feed_;
  StagedPlane staged_;
  std::function<void()> before_flush_;
  std::unique_ptr<policy::Engine> engine_;
  WorldState state_;
  bool broken_ = false;  // tables of the generation that is made or in force may be incomplete
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_POLICY_POLICY_PLANE_H_
