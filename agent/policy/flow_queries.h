// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_POLICY_FLOW_QUERIES_H_
#define RIPSTOP_AGENT_POLICY_FLOW_QUERIES_H_

#include "absl/status/statusor.h"
#include "agent/dataplane/dataplane_interface.h"
#include "agent/policy/policy_plane.h"
#include "api/proto/agent.pb.h"

namespace ripstop::agent {

// What `ripstopctl conntrack` asks: the flows that the kernel's table holds, with the names of
// their ends and of the rules that admitted them. A part of the table at each call, so that the
// loop goes on meanwhile however many there are. For the agent's loop.
class FlowQueries {
 public:
  FlowQueries(const PolicyPlane* policy, DataplaneInterface* dataplane)
      : policy_(policy), dataplane_(dataplane) {}

  // Of the part, those that fit the filter.
  //   kInvalidArgument  a field of the filter that cannot be read; says which
  //   kNotFound         "ns/pod" names no endpoint that this node knows
  absl::StatusOr<v1::FlowsReply> Flows(const v1::FlowsRequest& request) const;
  absl::StatusOr<v1::EndFlowsReply> EndFlows(const v1::FlowsRequest& request);

 private:
  void Describe(const loader::FlowRecord& record, v1::Flow* ret) const;
  std::string RuleText(const loader::FlowRecord& record, uint32_t word) const;

  const PolicyPlane* const policy_;
  DataplaneInterface* const dataplane_;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_POLICY_FLOW_QUERIES_H_
