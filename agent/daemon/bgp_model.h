// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_DAEMON_BGP_MODEL_H_
#define RIPSTOP_AGENT_DAEMON_BGP_MODEL_H_

#include <string>

#include "absl/status/statusor.h"
#include "agent/daemon/cluster_view.h"
#include "bgp-bridge/model.h"

namespace ripstop::agent {

// What BIRD on `node` shall do: the resources, with selectors resolved and defaults
// applied. Pure.
//   kFailedPrecondition  the node has no Node resource yet, or one without an address
absl::StatusOr<bgp::Model> BuildBgpModel(const ClusterView& cluster, const std::string& node);

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_DAEMON_BGP_MODEL_H_
