// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_POLICY_QUERIES_H_
#define RIPSTOP_AGENT_POLICY_QUERIES_H_

#include <chrono>

#include "absl/status/statusor.h"
#include "agent/dataplane/dataplane_interface.h"
#include "agent/policy/policy_plane.h"
#include "api/proto/agent.pb.h"

namespace ripstop::agent {

// Answers about policy, from the maps that the kernel is using.
class Queries {
 public:
  Queries(const PolicyPlane* policy, const DataplaneInterface* dataplane)
      : policy_(policy), dataplane_(dataplane), started_(std::chrono::steady_clock::now()) {}

  // Which rule decides for the first packet of such a flow.
  //   kInvalidArgument  an end, a protocol or a number that cannot be read; says which
  //   kNotFound         "ns/pod" names no endpoint that this node knows
  //   kUnavailable      this agent's policy is not in force
  absl::StatusOr<v1::WhyReply> Why(const v1::WhyRequest& request) const;
  // The packet that it asks about.
  absl::StatusOr<policy::Packet> PacketAsked(const v1::WhyRequest& request) const;
  absl::StatusOr<v1::PolicyTablesReply> PolicyTables() const;
  //   kUnavailable  this agent's policy is not in force
  absl::StatusOr<v1::RuleHitsReply> RuleHits() const;

 private:
  absl::Status CheckInForce() const;

  const PolicyPlane* const policy_;
  const DataplaneInterface* const dataplane_;
  const std::chrono::steady_clock::time_point started_;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_POLICY_QUERIES_H_
