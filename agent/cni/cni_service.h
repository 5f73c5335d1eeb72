// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_CNI_CNI_SERVICE_H_
#define RIPSTOP_AGENT_CNI_CNI_SERVICE_H_

#include "agent/base/event_loop.h"
#include "agent/cni/endpoint_manager.h"
#include "api/proto/agent.grpc.pb.h"

namespace ripstop::agent {

// The gRPC face of EndpointManager: each call runs on the loop's thread. Status codes go
// over the wire as they are; the plugin turns them into CNI's (plugin.h).
class CniService final : public ripstop::agent::v1::Cni::Service {
 public:
  CniService(EventLoop* loop, EndpointManager* endpoints) : loop_(loop), endpoints_(endpoints) {}

  grpc::Status Add(grpc::ServerContext* context, const ripstop::agent::v1::CniRequest* request,
                   ripstop::agent::v1::CniAddReply* reply) override;
  grpc::Status Del(grpc::ServerContext* context, const ripstop::agent::v1::CniRequest* request,
                   ripstop::agent::v1::CniDelReply* reply) override;
  grpc::Status Check(grpc::ServerContext* context, const ripstop::agent::v1::CniRequest* request,
                     ripstop::agent::v1::CniCheckReply* reply) override;
  grpc::Status Gc(grpc::ServerContext* context, const ripstop::agent::v1::CniGcRequest* request,
                  ripstop::agent::v1::CniGcReply* reply) override;

 private:
  EventLoop* const loop_;
  EndpointManager* const endpoints_;
};

ripstop::agent::v1::CniAddReply AddReplyFor(const LocalEndpoint& endpoint);

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_CNI_CNI_SERVICE_H_
