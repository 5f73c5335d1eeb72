// SPDX-License-Identifier: Apache-2.0
#include "api/ctl/agent_client.h"

#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

#include "absl/strings/str_cat.h"

namespace ripstop::ctl {
namespace {

using agent::v1::Agent;

constexpr std::chrono::seconds kTimeout{10};

}  // namespace

AgentClient::AgentClient(const std::string& socket)
    : socket_(socket),
      stub_(Agent::NewStub(
          grpc::CreateChannel("unix:" + socket, grpc::InsecureChannelCredentials()))) {}

absl::Status AgentClient::Failure(const grpc::Status& status) const {
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE && access(socket_.c_str(), W_OK) != 0 &&
      errno == EACCES)
    return absl::UnavailableError(
        absl::StrCat("the agent's socket ", socket_, " is not for this user: run as root (sudo)"));
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE)
    return absl::UnavailableError(absl::StrCat(
        "no agent answers at ", socket_, " (", status.error_message(),
        "): is ripstop-agent running on this node? --socket or RIPSTOP_SOCKET names another"));
  if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED)
    return absl::DeadlineExceededError(
        absl::StrCat("the agent at ", socket_, " did not answer in time"));
  // gRPC's codes are Abseil's.
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                      absl::StrCat("agent: ", status.error_message()));
}

template <typename Request, typename Reply>
absl::StatusOr<Reply> AgentClient::Call(grpc::Status (Agent::Stub::*method)(grpc::ClientContext*,
                                                                            const Request&, Reply*),
                                        const Request& request) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kTimeout);
  Reply reply;
  const grpc::Status status = (stub_.get()->*method)(&context, request, &reply);
  if (status.ok()) return reply;
  return Failure(status);
}

absl::StatusOr<agent::v1::StatusReply> AgentClient::Status() {
  return Call(&Agent::Stub::Status, agent::v1::StatusRequest());
}
absl::StatusOr<agent::v1::WhyReply> AgentClient::Why(const agent::v1::WhyRequest& request) {
  return Call(&Agent::Stub::Why, request);
}
absl::StatusOr<agent::v1::DropsReply> AgentClient::Drops(const agent::v1::DropsRequest& request) {
  return Call(&Agent::Stub::Drops, request);
}
absl::StatusOr<agent::v1::PolicyTablesReply> AgentClient::PolicyTables() {
  return Call(&Agent::Stub::PolicyTables, agent::v1::PolicyTablesRequest());
}
absl::StatusOr<agent::v1::RuleHitsReply> AgentClient::RuleHits() {
  return Call(&Agent::Stub::RuleHits, agent::v1::RuleHitsRequest());
}
absl::StatusOr<agent::v1::FlowsReply> AgentClient::Flows(const agent::v1::FlowsRequest& request) {
  return Call(&Agent::Stub::Flows, request);
}
absl::StatusOr<agent::v1::EndFlowsReply> AgentClient::EndFlows(
    const agent::v1::FlowsRequest& request) {
  return Call(&Agent::Stub::EndFlows, request);
}
absl::StatusOr<agent::v1::StagedPoliciesReply> AgentClient::StagedPolicies() {
  return Call(&Agent::Stub::StagedPolicies, agent::v1::StagedPoliciesRequest());
}

absl::StatusOr<agent::v1::AcceptStoreReply> AgentClient::AcceptStore() {
  return Call(&Agent::Stub::AcceptStore, agent::v1::AcceptStoreRequest());
}

absl::Status AgentClient::WatchFlows(
    const agent::v1::WatchFlowsRequest& request, absl::Duration length,
    const std::function<bool(const agent::v1::WatchFlowsReply&)>& take) {
  grpc::ClientContext context;
  if (length != absl::InfiniteDuration()) {
    context.set_deadline(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(length));
  }
  const auto reader = stub_->WatchFlows(&context, request);
  agent::v1::WatchFlowsReply reply;
  bool began = false, enough = false;
  while (!enough && reader->Read(&reply)) {
    enough = !take(reply);
    began = true;
  }
  if (enough) context.TryCancel();
  const grpc::Status status = reader->Finish();
  const bool over = began && status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED;
  return enough || over || status.ok() ? absl::OkStatus() : Failure(status);
}

absl::Status AgentClient::Trace(grpc::ClientContext& call, const agent::v1::TraceRequest& request,
                                const std::function<bool(const agent::v1::TraceReply&)>& take) {
  const auto reader = stub_->Trace(&call, request);
  agent::v1::TraceReply reply;
  bool wanted = true;
  while (reader->Read(&reply)) {
    if (!wanted) continue;  // was under way when the call was cancelled
    wanted = take(reply);
    if (!wanted) call.TryCancel();
  }
  const grpc::Status status = reader->Finish();
  if (status.ok() || status.error_code() == grpc::StatusCode::CANCELLED) return absl::OkStatus();
  return Failure(status);
}

}  // namespace ripstop::ctl
