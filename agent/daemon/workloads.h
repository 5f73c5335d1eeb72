// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_DAEMON_WORKLOADS_H_
#define RIPSTOP_AGENT_DAEMON_WORKLOADS_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "agent/cni/endpoint_manager.h"
#include "agent/dataplane/dataplane_interface.h"
#include "agent/policy/policy_plane.h"
#include "api/store/store.h"

namespace ripstop::agent {

// What CNI ADD and DEL mean for policy, programs and the store.
//
//   ADD: policy into the maps ─▶ programs on the link ─▶ WorkloadEndpoint into the store
//   DEL: policy out ─▶ programs off; then flows forgotten, and when the store takes it,
//        WorkloadEndpoint out of the store together with the addresses (ReleaseQueue)
//
// Rule 1: Prepare returns only when all three stand; the link is still down then. All by
// container and interface: the pod of that name may have another container by now.
class Workloads final : public EndpointHooks {
 public:
  // Inputs, then outputs; all outlive this.
  Workloads(std::string node, PolicyPlane* policy, DataplaneInterface* dataplane, api::Store* store)
      : node_(std::move(node)), policy_(policy), dataplane_(dataplane), store_(store) {}

  //   kUnavailable      the agent has not read the store yet: try again
  //   kInvalidArgument  the endpoint has no meaning as a document; says why
  absl::Status Admit(const LocalEndpoint& endpoint) override;
  absl::Status Prepare(const LocalEndpoint& endpoint) override;
  absl::Status Check(const LocalEndpoint& endpoint) override;
  void Remove(const LocalEndpoint& endpoint) override;
  absl::Status Forget(const std::vector<policy::Address>& addresses) override;
  // Its WorkloadEndpoints in the store. One that has been written for another container of
  // the pod since, under the same name, is not among them.
  absl::StatusOr<std::vector<api::Mutation>> Withdrawal(const LocalEndpoint& endpoint) override;

  // Endpoints of the last run: known to the policy feed before its first flush, so that
  // the new tables hold them from their first moment. Their links have programs from here on.
  absl::Status Restore(const std::vector<LocalEndpoint>& endpoints);
  // Their links get this run's programs. After the flush.
  void Reattach(const std::vector<LocalEndpoint>& endpoints);
  // The store gets the WorkloadEndpoints that it lacks, or has of an earlier container.
  // After each snapshot: a store put back from a copy may lack any.
  absl::Status Republish(const std::vector<LocalEndpoint>& endpoints);
  // Containers' interfaces that the store has of this node and that are not attached here.
  // Means something once a snapshot is whole.
  std::vector<EndpointName> Strays() const;

 private:
  std::string IdOf(const LocalEndpoint& endpoint) const;
  absl::Status Feed(const LocalEndpoint& endpoint);
  absl::Status Publish(const LocalEndpoint& endpoint);

  const std::string node_;
  PolicyPlane* const policy_;
  DataplaneInterface* const dataplane_;
  api::Store* const store_;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_DAEMON_WORKLOADS_H_
