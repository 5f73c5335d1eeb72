// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/policy_plane.h"

#include "policy/status_macros.h"
#include "spdlog/spdlog.h"

namespace ripstop::agent {

absl::Status PolicyPlane::Begin() {
  ASSIGN_OR_RETURN(const policy::EngineOptions options, dataplane_->BeginGeneration());
  engine_ = std::make_unique<policy::Engine>(options);
  feed_.FeedInto(engine_.get());
  state_.OnTablesLost();
  broken_ = false;
  return absl::OkStatus();
}

void PolicyPlane::FillAhead() {
  if (state_.stage() != WorldState::Stage::kNothingRead || broken_) return;
  const absl::Status status = dataplane_->Apply(engine_->Flush());
  broken_ = !status.ok();
  if (broken_) spdlog::warn("policy tables: {}; they are made when all is read", status.ToString());
}

absl::Status PolicyPlane::Flush() {
  const std::optional<WholeWorld> world = state_.whole();
  if (!world.has_value()) return absl::OkStatus();
  if (before_flush_) before_flush_();
  if (broken_) {
    spdlog::warn("policy tables: building a new generation after a failed write");
    RETURN_IF_ERROR(Begin());
  }
  const absl::Status status = Write(*world);
  broken_ = !status.ok();
  // After what is enforced: nobody's packets wait for this.
  staged_.Flush();
  return status;
}

std::vector<std::string> PolicyPlane::Alarms() const {
  std::vector<std::string> alarms = engine_->Alarms();
  const std::vector<std::string> conflicts = feed_.Conflicts();
  alarms.insert(alarms.end(), conflicts.begin(), conflicts.end());
  return alarms;
}

absl::Status PolicyPlane::Write(const WholeWorld& world) {
  RETURN_IF_ERROR(dataplane_->Apply(engine_->Flush()));
  if (committed()) return absl::OkStatus();
  RETURN_IF_ERROR(dataplane_->CommitGeneration(engine_->l4_table()));
  state_.OnCommitted(world);
  return absl::OkStatus();
}

}  // namespace ripstop::agent
