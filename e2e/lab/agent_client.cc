// SPDX-License-Identifier: Apache-2.0
#include "e2e/lab/agent_client.h"

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>

#include "absl/strings/str_cat.h"
#include "api/proto/agent.grpc.pb.h"
#include "e2e/lab/patience.h"

namespace ripstop::lab {
namespace {

template <typename Request, typename Reply>
absl::StatusOr<Reply> Ask(const std::string& socket, absl::Duration timeout,
                          grpc::Status (agent::v1::Agent::Stub::*method)(grpc::ClientContext*,
                                                                         const Request&, Reply*)) {
  grpc::ChannelArguments arguments;
  // A restarting agent is asked again and again; gRPC's own pause of a second between
  // attempts, shared by all channels to one target, would make each start look slow.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  auto stub = agent::v1::Agent::NewStub(grpc::CreateCustomChannel(
      absl::StrCat("unix:", socket), grpc::InsecureChannelCredentials(), arguments));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       absl::ToChronoMilliseconds(Patient(timeout)));
  Reply reply;
  const grpc::Status status = (stub.get()->*method)(&context, Request(), &reply);
  if (!status.ok()) {
    return absl::UnavailableError(absl::StrCat("agent at ", socket, ": ", status.error_message()));
  }
  return reply;
}

}  // namespace

absl::StatusOr<agent::v1::StatusReply> AskStatus(const std::string& socket,
                                                 absl::Duration timeout) {
  return Ask<agent::v1::StatusRequest>(socket, timeout, &agent::v1::Agent::Stub::Status);
}

absl::StatusOr<agent::v1::DropsReply> AskDrops(const std::string& socket, absl::Duration timeout) {
  return Ask<agent::v1::DropsRequest>(socket, timeout, &agent::v1::Agent::Stub::Drops);
}

}  // namespace ripstop::lab
