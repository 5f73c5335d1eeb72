// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_POLICY_PROBE_QUERIES_H_
#define RIPSTOP_AGENT_POLICY_PROBE_QUERIES_H_

#include <chrono>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "agent/base/event_loop.h"
#include "agent/dataplane/dataplane_interface.h"
#include "agent/policy/policy_plane.h"
#include "agent/policy/queries.h"
#include "agent/policy/recent_drops.h"
#include "api/proto/agent.pb.h"

namespace ripstop::agent {

// What `ripstopctl why --probe` adds to why: what the programs do with such a packet, and what
// they read; and which such packets were dropped lately. All given outlive this.
class ProbeQueries {
 public:
  ProbeQueries(const PolicyPlane* policy, const DataplaneInterface* dataplane,
               const Queries* queries, const RecentDrops* drops, EventLoop* loop)
      : policy_(policy), dataplane_(dataplane), queries_(queries), drops_(drops), loop_(loop) {}

  // On the asking thread, since programs are loaded for it; one after the other, since these are
  // many.
  //   kResourceExhausted  others ask, and have for kPatience
  //   those of Queries::Why, and of loader::ProbePacket
  absl::Status Run(const v1::WhyRequest& request, v1::WhyReply* ret);

  // Less than ripstopctl waits for an answer.
  static constexpr std::chrono::seconds kPatience{5};

  // For the loop, and tests.
  void Describe(const loader::ProbeStage& stage, const loader::PacketLookup& lookup,
                v1::ProbeStage* ret) const;

 private:
  std::string VerdictText(uint32_t word) const;

  const PolicyPlane* const policy_;
  const DataplaneInterface* const dataplane_;
  const Queries* const queries_;
  const RecentDrops* const drops_;
  EventLoop* const loop_;
  std::timed_mutex asking_;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_POLICY_PROBE_QUERIES_H_
