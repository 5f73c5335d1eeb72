// SPDX-License-Identifier: Apache-2.0
//
// From the programs of the agent before to ours. They know each other's flows and nothing else
// where the layout of the tables has changed; so theirs go on, by the tables that they have, until
// ours have theirs: policy, the tunnel with its owners, the host's NAT. Where the agent before has
// left what we can read, that is at once.
#include <iterator>

#include "absl/status/status.h"
#include "agent/dataplane/dataplane.h"
#include "agent/dataplane/program_places.h"
#include "policy/status_macros.h"

namespace ripstop::agent {

bool Dataplane::LeftFor(const char* name, uint32_t ifindex, Again again) {
  if (!waiting_ || !links_->IsOurs(name, ifindex, AttachPoint::kIngress)) return false;
  left_.insert_or_assign(ifindex, std::move(again));
  return true;
}

absl::Status Dataplane::TakeOver() {
  if (waiting_) RETURN_IF_ERROR(ExchangePrograms());
  absl::Status status;
  for (auto it = left_.begin(); it != left_.end();) {
    const absl::Status attached = it->second();
    const bool gone = absl::IsNotFound(attached);  // and its program with it
    if (!gone) status.Update(attached);
    it = attached.ok() || gone ? left_.erase(it) : std::next(it);
  }
  if (marks_wanted_) status.Update(BeginMarks());
  status.Update(AttachExits());
  RETURN_IF_ERROR(status);
  // On clsact each program goes on with the old table until it is attached anew, which without
  // another layout is later.
  if (links_->uses_tcx() || judge_anew_) RETURN_IF_ERROR(FinishAdoption().status());
  if (judge_anew_) {
    // Since ours were committed, theirs have judged flows by their own tables, up to now.
    RETURN_IF_ERROR(tables_->JudgeFlowsAnew());
    judge_anew_ = false;
  }
  return absl::OkStatus();
}

// All that are pinned, in one step each.
absl::Status Dataplane::ExchangePrograms() {
  RETURN_IF_ERROR(object_->AdoptFlows().status());
  // Their packets on the way have marks already, and ours would have to look for them.
  if (marks_wanted_ && socket_link_.IsPinned())
    __atomic_fetch_or(&object_->state()->flags, kMarkFlags, __ATOMIC_RELEASE);
  // First who is told something by the others: it knows what they say, and what those before said.
  for (const char* name :
       {kToHost, kFromWorkload, kToWorkload, kFromHost, kFromTunnel, kFromElsewhere}) {
    RETURN_IF_ERROR(links_->Refresh(name, Program(name)));
  }
  RETURN_IF_ERROR(socket_link_.Refresh(object_->to_socket()));
  waiting_ = false;
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> Dataplane::FinishAdoption() {
  // Theirs still write to it.
  if (waiting_ || !left_.empty()) return flows_lost_;
  ASSIGN_OR_RETURN(const uint64_t lost, object_->AdoptFlows());
  flows_lost_ += lost;
  object_->ForgetOldFlows();
  return flows_lost_;
}

}  // namespace ripstop::agent
