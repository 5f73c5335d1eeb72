// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_CNI_CNI_SERVICE_H_
#define RIPSTOP_AGENT_CNI_CNI_SERVICE_H_

#include <functional>
#include <utility>

#include "absl/status/status.h"
#include "agent/cni/cni_server.h"
#include "agent/cni/endpoint_manager.h"
#include "api/proto/cni.pb.h"

namespace ripstop::agent {

// What the plugin's calls mean: the handler of CniServer. Codes go over the wire as they
// are; the plugin turns them into CNI's (plugin.h). For the loop's thread.
class CniService {
 public:
  // `ready`: why ADD would be refused now, whatever it asks for; OK: it would not.
  CniService(EndpointManager* endpoints, std::function<absl::Status()> ready)
      : endpoints_(endpoints), ready_(std::move(ready)) {}

  CniOutcome Handle(const v1::CniCall& call);

 private:
  absl::Status Run(const v1::CniCall& call, v1::CniAnswer& answer);
  absl::Status Add(const v1::CniRequest& request, v1::CniAddReply& reply);
  absl::Status Gc(const v1::CniGcRequest& request, v1::CniGcReply& reply);

  EndpointManager* const endpoints_;
  const std::function<absl::Status()> ready_;
};

v1::CniAddReply AddReplyFor(const LocalEndpoint& endpoint);

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_CNI_CNI_SERVICE_H_
