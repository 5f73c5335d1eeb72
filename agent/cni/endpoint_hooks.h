// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_CNI_ENDPOINT_HOOKS_H_
#define RIPSTOP_AGENT_CNI_ENDPOINT_HOOKS_H_

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/cni/endpoint.h"
#include "api/store/store.h"

namespace ripstop::agent {

// What policy, dataplane and store do for an endpoint.
class EndpointHooks {
 public:
  virtual ~EndpointHooks() = default;
  // Whether Prepare may be asked. Before anything is claimed or made.
  virtual absl::Status Admit(const LocalEndpoint& endpoint) = 0;
  // Attaches programs and brings the policy into the maps. The interface exists and is
  // down; it goes up only after this succeeded. A failure undoes the ADD.
  virtual absl::Status Prepare(const LocalEndpoint& endpoint) = 0;
  //   kFailedPrecondition  it is not as Prepare left it; the message says what is missing
  virtual absl::Status Check(const LocalEndpoint& endpoint) = 0;
  // The interface is gone, or cannot be removed: then `ifindex` is 0. Also called after a failed
  // Prepare, so it must bear being called for an endpoint that it does not know.
  virtual void Remove(const LocalEndpoint& endpoint) = 0;
  // No connection of these addresses is known any more. Before they are released, that is
  // before anybody else can have them, and for many at once: it may take long.
  virtual absl::Status Forget(const std::vector<policy::Address>& addresses) = 0;
  // What leaves the store in the transaction that releases the addresses. Asked again for
  // each attempt.
  virtual absl::StatusOr<std::vector<api::Mutation>> Withdrawal(const LocalEndpoint& endpoint) = 0;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_CNI_ENDPOINT_HOOKS_H_
