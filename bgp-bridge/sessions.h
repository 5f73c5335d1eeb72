// SPDX-License-Identifier: Apache-2.0
//
// From nodes and peers to the list of BGP sessions, each bound to one BIRD protocol.
//
// Sessions of the mesh: IPv4 between IPv4 addresses, IPv6 between IPv6 addresses. An IPv6
// route needs an IPv6 next hop in the kernel, so IPv6 over an IPv4 session would gain
// nothing. Where two nodes share only IPv6, IPv4 rides on that session (RFC 8950), as Linux
// takes an IPv6 gateway for an IPv4 route. Pure; any thread.
#ifndef RIPSTOP_BGP_BRIDGE_SESSIONS_H_
#define RIPSTOP_BGP_BRIDGE_SESSIONS_H_

#include <string>
#include <vector>

#include "bgp-bridge/model.h"
#include "bgp-bridge/prefix.h"

namespace ripstop::bgp {

struct Session {
  std::string symbol;       // name of the BIRD protocol; the key in its replies
  std::string description;  // "node-to-node mesh: node2"; read back from BIRD
  std::string name;         // of the node or BGPPeer
  PeerType type = PeerType::kMesh;
  Prefix remote;
  std::string local;  // empty: the kernel chooses
  uint16_t port = 179;
  uint32_t local_as = 0;
  uint32_t remote_as = 0;
  std::string quoted_password;  // empty: none
  bool carries_ipv4 = false;
  bool carries_ipv6 = false;
  bool extended_next_hop = false;  // IPv4 routes with IPv6 next hops
  std::string reachable_by;        // canonical; empty: none
  bool passive = false;            // the other side opens the connection
  Peer options;                    // of a mesh session: the defaults

  bool External() const { return local_as != remote_as; }
};

struct SessionPlan {
  std::vector<Session> sessions;  // ordered by symbol
  std::vector<SetAside> set_aside;
};

// Where several sources name one remote address, the most specific wins: node specific,
// then global, then mesh; one that is left out keeps its address. Sessions to this node's own
// addresses are left out silently.
SessionPlan ExpandSessions(const Model& model);

// Longest TCP-MD5 key of Linux, TCP_MD5SIG_MAXKEYLEN of linux/tcp.h.
inline constexpr size_t kPasswordBytesMax = 80;

}  // namespace ripstop::bgp

#endif  // RIPSTOP_BGP_BRIDGE_SESSIONS_H_
