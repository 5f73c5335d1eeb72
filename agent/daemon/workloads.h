// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_DAEMON_WORKLOADS_H_
#define RIPSTOP_AGENT_DAEMON_WORKLOADS_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "agent/cni/endpoint_manager.h"
#include "agent/daemon/policy_plane.h"
#include "agent/dataplane/dataplane_interface.h"
#include "api/store/store.h"

namespace ripstop::agent {

// What CNI ADD and DEL mean for policy, programs and the store.
//
//   ADD: policy into the maps ─▶ programs on the link ─▶ WorkloadEndpoint into the store
//   DEL: policy out ─▶ flows forgotten ─▶ WorkloadEndpoint out of the store
//
// Rule 1: Prepare returns only when all three stand; the link is still down then.
class Workloads final : public EndpointHooks {
 public:
  // Inputs, then outputs; all outlive this.
  Workloads(std::string node, PolicyPlane* policy, DataplaneInterface* dataplane, api::Store* store)
      : node_(std::move(node)), policy_(policy), dataplane_(dataplane), store_(store) {}

  //   kUnavailable  the agent has not read the store yet: try again
  absl::Status Prepare(const LocalEndpoint& endpoint) override;
  void Remove(const LocalEndpoint& endpoint) override;

  // Endpoints of the last run: known to the policy feed before its first flush, so that
  // the new tables hold them from their first moment. Their links have programs from here on.
  absl::Status Restore(const std::vector<LocalEndpoint>& endpoints);
  // Their links get this run's programs, and the store what it lacks. After the flush.
  void Reattach(const std::vector<LocalEndpoint>& endpoints);

 private:
  absl::Status Feed(const LocalEndpoint& endpoint);
  absl::Status Publish(const LocalEndpoint& endpoint);
  absl::Status Withdraw(const LocalEndpoint& endpoint);

  const std::string node_;
  PolicyPlane* const policy_;
  DataplaneInterface* const dataplane_;
  api::Store* const store_;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_DAEMON_WORKLOADS_H_
