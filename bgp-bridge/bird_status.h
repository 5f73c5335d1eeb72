// SPDX-License-Identifier: Apache-2.0
//
// BIRD's state in the operator's words, for readiness and `ripstopctl node status`.
//
//   RenderedConfig (what is wanted) ─┐
//   BirdReport (what BIRD says) ─────┼─▶ [SummarizeBird] ─▶ BirdStatus
//   kernel route to a silent peer ───┘
//
// Pure but for the lookup passed in; any thread.
#ifndef RIPSTOP_BGP_BRIDGE_BIRD_STATUS_H_
#define RIPSTOP_BGP_BRIDGE_BIRD_STATUS_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "bgp-bridge/render.h"
#include "bgp-bridge/route_lookup.h"
#include "bgp-bridge/supervisor.h"

namespace ripstop::bgp {

// Field for field BgpSession of api/proto/agent.proto.
struct SessionStatus {
  std::string name;  // of the node or BGPPeer
  std::string peer_address;
  std::string peer_type;
  uint32_t peer_as = 0;
  std::string state;  // Established, Active, …; "Unknown" while BIRD is down
  std::string since;
  std::string info;  // empty when Established; else why not, in one line
  uint32_t routes_imported = 0;
  uint32_t routes_exported = 0;
};

struct BirdStatus {
  // BIRD runs, is past its recovery, and has a session up or needs none. A peer that is down
  // elsewhere must not make this node unready; it is in `reasons` all the same.
  bool ready = false;
  std::vector<SessionStatus> sessions;  // in the order of RenderedConfig::sessions
  // One sentence each: which peer, from which local address, over which interface and why
  // that one, what BIRD says, which command to try next. Also what was set aside.
  std::vector<std::string> reasons;
};

using RouteLookup = std::function<absl::StatusOr<KernelPath>(const Prefix& peer)>;

BirdStatus SummarizeBird(const RenderedConfig& config, const absl::StatusOr<BirdReport>& report,
                         const RouteLookup& look_up = LookUpRoute);

}  // namespace ripstop::bgp

#endif  // RIPSTOP_BGP_BRIDGE_BIRD_STATUS_H_
