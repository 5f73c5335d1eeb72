// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_API_CTL_AGENT_CLIENT_H_
#define RIPSTOP_API_CTL_AGENT_CLIENT_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "api/proto/agent.grpc.pb.h"

namespace ripstop::ctl {

// The agent of this node, on its unix socket. Each call but WatchFlows is bounded in time.
//   kUnavailable  no agent answers; the message names the socket and what to do
//   else          as the agent said
class AgentClient {
 public:
  explicit AgentClient(const std::string& socket);

  absl::StatusOr<agent::v1::StatusReply> Status();
  absl::StatusOr<agent::v1::WhyReply> Why(const agent::v1::WhyRequest& request);
  absl::StatusOr<agent::v1::DropsReply> Drops(const agent::v1::DropsRequest& request);
  absl::StatusOr<agent::v1::PolicyTablesReply> PolicyTables();
  absl::StatusOr<agent::v1::RuleHitsReply> RuleHits();
  absl::StatusOr<agent::v1::FlowsReply> Flows(const agent::v1::FlowsRequest& request);
  absl::StatusOr<agent::v1::EndFlowsReply> EndFlows(const agent::v1::FlowsRequest& request);
  absl::StatusOr<agent::v1::StagedPoliciesReply> StagedPolicies();
  absl::StatusOr<agent::v1::AcceptStoreReply> AcceptStore();
  // Gives each message to `take`, until that says false or `length` is over, which is no error.
  absl::Status WatchFlows(const agent::v1::WatchFlowsRequest& request, absl::Duration length,
                          const std::function<bool(const agent::v1::WatchFlowsReply&)>& take);
  // Until the agent ends it, `take` says false, or somebody cancels `call`; all of that is ok.
  absl::Status Trace(grpc::ClientContext& call, const agent::v1::TraceRequest& request,
                     const std::function<bool(const agent::v1::TraceReply&)>& take);

 private:
  absl::Status Failure(const grpc::Status& status) const;
  template <typename Request, typename Reply>
  absl::StatusOr<Reply> Call(grpc::Status (agent::v1::Agent::Stub::*method)(grpc::ClientContext*,
                                                                            const Request&, Reply*),
                             const Request& request);

  const std::string socket_;
  const std::unique_ptr<agent::v1::Agent::Stub> stub_;
};

}  // namespace ripstop::ctl

#endif  // RIPSTOP_API_CTL_AGENT_CLIENT_H_
