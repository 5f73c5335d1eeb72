// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_DAEMON_FLOW_WRITER_H_
#define RIPSTOP_AGENT_DAEMON_FLOW_WRITER_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <mutex>

#include "agent/policy/flow_stream.h"
#include "api/proto/agent.grpc.pb.h"

namespace ripstop::agent {

// Writes one stream to the client that asked for it, as fast as that reads. One message is under
// way at a time; the others wait in the stream, which is bounded. Deletes itself when gRPC is done
// with it.
class FlowWriter final : public grpc::ServerWriteReactor<v1::WatchFlowsReply> {
 public:
  // Writes an empty message first, so that the client knows that it watches.
  static FlowWriter* Begin(std::shared_ptr<FlowStream> stream);
  static FlowWriter* Refuse(const grpc::Status& status);

 private:
  explicit FlowWriter(std::shared_ptr<FlowStream> stream) : stream_(std::move(stream)) {}
  void Next();
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

  const std::shared_ptr<FlowStream> stream_;  // null: refused
  v1::WatchFlowsReply reply_;                 // under way while `writing_`
  std::mutex mutex_;                          // guards the two below
  bool writing_ = false;
  bool ended_ = false;  // nothing may be begun any more
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_DAEMON_FLOW_WRITER_H_
