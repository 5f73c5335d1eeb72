// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_POLICY_WORLD_STATE_H_
#define RIPSTOP_AGENT_POLICY_WORLD_STATE_H_

#include <optional>

namespace ripstop::agent {

// That what has been fed is a whole: all of one snapshot of the store, or all of what was in
// force last. Only a WorldState makes one, and without one no table is written.
class WholeWorld {
 private:
  friend class WorldState;
  WholeWorld() = default;
};

// How far an agent has come with what it is to enforce.
//
//   nothing read ──OnWhole──▶ whole ──OnCommitted──▶ in force
//                               ▲                       │
//                               └────OnTablesLost───────┘
//
// Never back to nothing read: a store that is lost leaves what was read. Until it is whole, what
// an earlier agent left in the kernel stays in force, whatever happens to this node's pods.
// Plain value.
class WorldState {
 public:
  enum class Stage { kNothingRead, kWhole, kInForce };

  Stage stage() const { return stage_; }
  std::optional<WholeWorld> whole() const {
    if (stage_ == Stage::kNothingRead) return std::nullopt;
    return WholeWorld();
  }

  void OnWhole() {
    if (stage_ == Stage::kNothingRead) stage_ = Stage::kWhole;
  }
  void OnCommitted(const WholeWorld&) { stage_ = Stage::kInForce; }
  // This agent's tables are to be built anew.
  void OnTablesLost() {
    if (stage_ == Stage::kInForce) stage_ = Stage::kWhole;
  }

 private:
  Stage stage_ = Stage::kNothingRead;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_POLICY_WORLD_STATE_H_
