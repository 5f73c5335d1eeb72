// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_DAEMON_FLOW_WRITER_H_
#define RIPSTOP_AGENT_DAEMON_FLOW_WRITER_H_

#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "agent/policy/flow_stream.h"
#include "api/proto/agent.grpc.pb.h"

namespace ripstop::agent {

// Streams of flow events, each a FlowWriter, on a queue and one thread of their own: a watcher that
// waits for hours keeps no thread.
//
//   client ──▶ [FlowWriters] ──Watch──▶ FlowStream ──news──▶ FlowWriter ──▶ client
//
// Not by gRPC's callbacks. A server that has one of those leaves all its sockets to threads which
// sleep 100 ms of each 1,100 (completion_queue_cc.cc of 1.51), so that any question may wait that
// long.
class FlowWriters {
 public:
  using Service = v1::Agent::WithAsyncMethod_WatchFlows<v1::Agent::Service>;
  // On the thread of the queue; gives the stream, or says why not.
  using Watch = std::function<grpc::Status(const v1::WatchFlowsRequest& request,
                                           std::shared_ptr<FlowStream>* stream)>;

  // Before the server is built, and outlives it.
  FlowWriters(grpc::ServerBuilder& builder, Service* service, Watch watch);
  // The server has been shut down, or was never there.
  ~FlowWriters();

  // The server is there.
  void Start();

 private:
  friend class FlowWriter;
  void Run();
  void Await();  // the next client
  void Ended();

  // Not polled often: the threads of other calls go on to poll for theirs.
  const std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  Service* const service_;
  const Watch watch_;
  std::mutex mutex_;  // guards `writers_`
  std::condition_variable changed_;
  int writers_ = 0;
  std::thread thread_;
};

// Writes one stream to the client that asked for it, as fast as that reads. One message is under
// way at a time; the others wait in the stream, which is bounded. Deletes itself when gRPC is done
// with it.
class FlowWriter {
 public:
  // Waits for a client.
  explicit FlowWriter(FlowWriters* writers);
  FlowWriter(const FlowWriter&) = delete;
  FlowWriter& operator=(const FlowWriter&) = delete;

  // What gRPC gives back when it has done something. On the thread of the queue.
  struct Step {
    FlowWriter* writer;
    void (FlowWriter::*done)(bool ok);
  };

 private:
  ~FlowWriter();
  void OnAsked(bool ok);
  void OnWritten(bool ok);
  void OnGone(bool ok);  // the client is, or the call is over
  void OnFinished(bool ok);
  void Next();
  void EndIfOver();

  FlowWriters* const writers_;
  grpc::ServerContext context_;
  v1::WatchFlowsRequest request_;
  grpc::ServerAsyncWriter<v1::WatchFlowsReply> writer_;
  Step asked_{this, &FlowWriter::OnAsked}, written_{this, &FlowWriter::OnWritten};
  Step gone_{this, &FlowWriter::OnGone}, finished_{this, &FlowWriter::OnFinished};
  bool is_gone_ = false, is_finished_ = false;

  std::shared_ptr<FlowStream> stream_;  // null: refused
  v1::WatchFlowsReply reply_;           // under way while `writing_`
  std::mutex mutex_;                    // guards the two below
  bool writing_ = false;
  bool ended_ = false;  // nothing may be begun any more
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_DAEMON_FLOW_WRITER_H_
