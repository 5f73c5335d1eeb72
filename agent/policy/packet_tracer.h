// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_POLICY_PACKET_TRACER_H_
#define RIPSTOP_AGENT_POLICY_PACKET_TRACER_H_

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/base/event_loop.h"
#include "agent/dataplane/dataplane_interface.h"
#include "agent/policy/policy_plane.h"
#include "api/proto/agent.pb.h"

namespace ripstop::agent {

// Whom a trace tells.
struct TraceListener {
  std::function<bool()> gone;                             // nobody listens any more
  std::function<bool(const v1::TraceReply& reply)> tell;  // blocks while the listener is slow
};

// What `ripstopctl trace` asks. Run is called by as many threads as ask; what it needs of the
// agent it asks on the loop:
//
//   loop:    filter ─▶            traced programs in ─▶        names, rules ─▶       ours back
//   thread:         load programs ─▶           Take ─▶ … ─▶ Take            ─▶ tell
//
// A slow listener loses packets, which are counted, and costs no memory. All given outlive this.
class PacketTracer {
 public:
  PacketTracer(const PolicyPlane* policy, DataplaneInterface* dataplane, EventLoop* loop)
      : policy_(policy), dataplane_(dataplane), loop_(loop) {}

  // Returns when the time is over or the listener gone.
  //   kInvalidArgument    a field that cannot be read; says which
  //   kNotFound           "ns/pod" names no endpoint that this node knows
  //   kResourceExhausted  as many traces as may be run already
  //   else                what the dataplane says of its programs
  absl::Status Run(const v1::TraceRequest& request, const TraceListener& listener);

  // For the loop, and tests.
  absl::StatusOr<trace_filter> FilterOf(const v1::TraceRequest& request) const;
  void Describe(const loader::TracedPacket& packet, v1::TracedPacket* ret) const;

 private:
  absl::StatusOr<std::shared_ptr<loader::TracedPrograms>> Programs();
  absl::Status Enter(const std::shared_ptr<loader::TracedPrograms>& programs);
  void Leave();
  absl::Status Follow(loader::PacketTrace& trace, const v1::TraceRequest& request,
                      const TraceListener& listener);
  std::string RuleText(uint32_t word) const;

  const PolicyPlane* const policy_;
  DataplaneInterface* const dataplane_;
  EventLoop* const loop_;
  uint32_t running_ = 0;                            // the loop's
  std::mutex mutex_;                                // while programs are loaded
  std::weak_ptr<loader::TracedPrograms> programs_;  // guarded by mutex_
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_POLICY_PACKET_TRACER_H_
