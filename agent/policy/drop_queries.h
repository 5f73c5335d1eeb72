// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_POLICY_DROP_QUERIES_H_
#define RIPSTOP_AGENT_POLICY_DROP_QUERIES_H_

#include "absl/status/statusor.h"
#include "agent/dataplane/dataplane_interface.h"
#include "agent/policy/policy_plane.h"
#include "agent/policy/recent_drops.h"
#include "api/proto/agent.pb.h"

namespace ripstop::agent {

// What `ripstopctl drops` asks: how many packets were dropped for which reason, whose loss that
// was, and which they were lately. For the agent's loop.
//   kInvalidArgument  the pod cannot be read
//   kNotFound         "ns/pod" names no endpoint of this node
absl::StatusOr<v1::DropsReply> Drops(const v1::DropsRequest& request, const PolicyPlane& policy,
                                     const DataplaneInterface& dataplane,
                                     const RecentDrops& recent);

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_POLICY_DROP_QUERIES_H_
