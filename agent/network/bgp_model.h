// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_NETWORK_BGP_MODEL_H_
#define RIPSTOP_AGENT_NETWORK_BGP_MODEL_H_

#include <string>

#include "absl/status/statusor.h"
#include "agent/network/cluster_view.h"
#include "agent/network/secrets.h"
#include "bgp-bridge/model.h"

namespace ripstop::agent {

// What BIRD on `node` shall do: the resources, with selectors resolved and defaults
// applied, and passwords read. Without them a session that wants one is left out.
//   kFailedPrecondition  the node has no Node resource yet, or one without an address
absl::StatusOr<bgp::Model> BuildBgpModel(const ClusterView& cluster, const std::string& node,
                                         const SecretReader& secrets);

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_NETWORK_BGP_MODEL_H_
