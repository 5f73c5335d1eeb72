// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_DAEMON_SERVICE_H_
#define RIPSTOP_AGENT_DAEMON_SERVICE_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/base/event_loop.h"
#include "agent/policy/flow_stream.h"
#include "agent/policy/packet_tracer.h"
#include "api/proto/agent.grpc.pb.h"

namespace ripstop::agent {

// What operators ask of the agent. Each runs on the agent's loop, but for the first three.
class AgentApi {
 public:
  virtual ~AgentApi() = default;
  // On the asking thread, before Status: whatever Status would have to wait for.
  virtual void BeforeStatus() = 0;
  // On the asking thread, for as long as it takes.
  virtual absl::Status Trace(const v1::TraceRequest& request, const TraceListener& listener) = 0;
  // Likewise, after Why.
  virtual absl::Status Probe(const v1::WhyRequest& request, v1::WhyReply* reply) = 0;
  virtual absl::StatusOr<v1::StatusReply> Status() = 0;
  virtual absl::StatusOr<v1::WhyReply> Why(const v1::WhyRequest& request) = 0;
  virtual absl::StatusOr<v1::DropsReply> Drops(const v1::DropsRequest& request) = 0;
  virtual absl::StatusOr<v1::PolicyTablesReply> PolicyTables() = 0;
  virtual absl::StatusOr<v1::RuleHitsReply> RuleHits() = 0;
  virtual absl::StatusOr<v1::FlowsReply> Flows(const v1::FlowsRequest& request) = 0;
  virtual absl::StatusOr<v1::EndFlowsReply> EndFlows(const v1::FlowsRequest& request) = 0;
  // Until the stream is closed, which any thread may do.
  virtual absl::StatusOr<std::shared_ptr<FlowStream>> WatchFlows(
      const v1::WatchFlowsRequest& request) = 0;
  virtual absl::StatusOr<v1::StagedPoliciesReply> StagedPolicies() = 0;
  virtual absl::StatusOr<v1::AcceptStoreReply> AcceptStore() = 0;
};

// The gRPC server on the agent's unix socket:
//
//   gRPC threads ──EventLoop::Call──▶ AgentApi (loop thread) ──▶ reply
//
// The socket is made with mode 0600: whoever may open it may change the network.
class Service {
 public:
  //   kUnavailable  the socket cannot be made; names its path
  static absl::StatusOr<std::unique_ptr<Service>> Start(const std::string& socket, EventLoop* loop,
                                                        AgentApi* api);
  virtual ~Service() = default;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_DAEMON_SERVICE_H_
