// SPDX-License-Identifier: Apache-2.0
#include "agent/daemon/policy_plane.h"

#include "policy/status_macros.h"
#include "spdlog/spdlog.h"

namespace ripstop::agent {

absl::Status PolicyPlane::Begin() {
  ASSIGN_OR_RETURN(const policy::EngineOptions options, dataplane_->BeginGeneration());
  engine_ = std::make_unique<policy::Engine>(options);
  feed_.FeedInto(engine_.get());
  committed_ = false;
  broken_ = false;
  return absl::OkStatus();
}

absl::Status PolicyPlane::Flush() {
  if (before_flush_) before_flush_();
  if (broken_) {
    spdlog::warn("policy tables: building a new generation after a failed write");
    RETURN_IF_ERROR(Begin());
  }
  absl::Status status = dataplane_->Apply(engine_->Flush());
  if (status.ok() && !committed_) {
    status = dataplane_->CommitGeneration(engine_->l4_table());
    committed_ = status.ok();
  }
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

}  // namespace ripstop::agent
