// SPDX-License-Identifier: Apache-2.0
#include "agent/daemon/service.h"

#include <grpcpp/grpcpp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "agent/daemon/flow_writer.h"

namespace ripstop::agent {
namespace {

// Abseil's codes are gRPC's.
grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return {static_cast<grpc::StatusCode>(status.code()), std::string(status.message())};
}

template <typename Reply, typename F>
grpc::Status OnLoop(EventLoop* loop, Reply* reply, F call) {
  absl::StatusOr<absl::StatusOr<Reply>> answer = loop->Call(std::move(call));
  if (!answer.ok()) return ToGrpc(answer.status());
  if (!answer->ok()) return ToGrpc(answer->status());
  *reply = **std::move(answer);
  return grpc::Status::OK;
}

// WatchFlows is a FlowWriter's.
class OperatorService final : public FlowWriters::Service {
 public:
  OperatorService(EventLoop* loop, AgentApi* api) : loop_(loop), api_(api) {}
  grpc::Status Status(grpc::ServerContext*, const v1::StatusRequest*,
                      v1::StatusReply* reply) override {
    api_->BeforeStatus();
    return OnLoop(loop_, reply, [&] { return api_->Status(); });
  }
  grpc::Status Why(grpc::ServerContext*, const v1::WhyRequest* request,
                   v1::WhyReply* reply) override {
    const grpc::Status status = OnLoop(loop_, reply, [&] { return api_->Why(*request); });
    return status.ok() && request->probe() ? ToGrpc(api_->Probe(*request, reply)) : status;
  }
  grpc::Status Drops(grpc::ServerContext*, const v1::DropsRequest* request,
                     v1::DropsReply* reply) override {
    return OnLoop(loop_, reply, [&] { return api_->Drops(*request); });
  }
  grpc::Status PolicyTables(grpc::ServerContext*, const v1::PolicyTablesRequest*,
                            v1::PolicyTablesReply* reply) override {
    return OnLoop(loop_, reply, [&] { return api_->PolicyTables(); });
  }
  grpc::Status RuleHits(grpc::ServerContext*, const v1::RuleHitsRequest*,
                        v1::RuleHitsReply* reply) override {
    return OnLoop(loop_, reply, [&] { return api_->RuleHits(); });
  }
  grpc::Status Flows(grpc::ServerContext*, const v1::FlowsRequest* request,
                     v1::FlowsReply* reply) override {
    return OnLoop(loop_, reply, [&] { return api_->Flows(*request); });
  }
  grpc::Status EndFlows(grpc::ServerContext*, const v1::FlowsRequest* request,
                        v1::EndFlowsReply* reply) override {
    return OnLoop(loop_, reply, [&] { return api_->EndFlows(*request); });
  }
  grpc::Status Trace(grpc::ServerContext* context, const v1::TraceRequest* request,
                     grpc::ServerWriter<v1::TraceReply>* writer) override {
    return ToGrpc(api_->Trace(
        *request,
        {.gone = [context] { return context->IsCancelled(); },
         .tell = [writer](const v1::TraceReply& reply) { return writer->Write(reply); }}));
  }
  grpc::Status StagedPolicies(grpc::ServerContext*, const v1::StagedPoliciesRequest*,
                              v1::StagedPoliciesReply* reply) override {
    return OnLoop(loop_, reply, [&] { return api_->StagedPolicies(); });
  }
  grpc::Status AcceptStore(grpc::ServerContext*, const v1::AcceptStoreRequest*,
                           v1::AcceptStoreReply* reply) override {
    return OnLoop(loop_, reply, [&] { return api_->AcceptStore(); });
  }

 private:
  EventLoop* const loop_;
  AgentApi* const api_;
};

class GrpcService final : public Service {
 public:
  GrpcService(EventLoop* loop, AgentApi* api) : loop_(loop), api_(api), operator_(loop, api) {}
  ~GrpcService() override {
    if (server_ != nullptr) server_->Shutdown(std::chrono::system_clock::now());
    writers_.reset();
  }

  absl::Status Listen(const std::string& socket) {
    std::error_code error;
    std::filesystem::create_directories(std::filesystem::path(socket).parent_path(), error);
    // A socket left by an agent that was killed; a living one still holds its pins and
    // its lock (agent.cc), so this is never somebody else's.
    ::unlink(socket.c_str());
    const mode_t mask = ::umask(0177);
    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix:" + socket, grpc::InsecureServerCredentials());
    builder.RegisterService(&operator_);
    writers_ = std::make_unique<FlowWriters>(
        builder, &operator_,
        [this](const v1::WatchFlowsRequest& request, std::shared_ptr<FlowStream>* stream) {
          return OnLoop(loop_, stream, [&] { return api_->WatchFlows(request); });
        });
    // Calls run one after the other on the loop anyway.
    builder.SetSyncServerOption(grpc::ServerBuilder::SyncServerOption::MAX_POLLERS, 2);
    server_ = builder.BuildAndStart();
    ::umask(mask);
    if (server_ == nullptr || ::access(socket.c_str(), F_OK) != 0) {
      return absl::UnavailableError(absl::StrCat("agent socket ", socket, ": cannot listen there"));
    }
    writers_->Start();
    return absl::OkStatus();
  }

 private:
  EventLoop* const loop_;
  AgentApi* const api_;
  OperatorService operator_;
  std::unique_ptr<FlowWriters> writers_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Service>> Service::Start(const std::string& socket, EventLoop* loop,
                                                        AgentApi* api) {
  auto service = std::make_unique<GrpcService>(loop, api);
  if (absl::Status status = service->Listen(socket); !status.ok()) return status;
  return service;
}

}  // namespace ripstop::agent
