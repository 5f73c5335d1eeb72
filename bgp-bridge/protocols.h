// SPDX-License-Identifier: Apache-2.0
//
// What BIRD says about itself and its protocols: `show status`, `show protocols all`,
// `show route count`. Written for BIRD 2.0.12 with `timeformat protocol iso long`; lines
// that are not known are passed over, so other 2.x versions lose fields, not sessions.
// Pure; any thread.
#ifndef RIPSTOP_BGP_BRIDGE_PROTOCOLS_H_
#define RIPSTOP_BGP_BRIDGE_PROTOCOLS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "bgp-bridge/reply.h"

namespace ripstop::bgp {

struct Protocol {
  std::string name;         // our symbol
  std::string type;         // "BGP", "Kernel", "Static", "Direct", "Device"
  std::string state;        // "up", "start", "down", "stop"
  std::string since;        // "2026-11-21 00:29:24", local time of BIRD
  std::string info;         // the rest of the first line
  std::string description;  // as rendered
  // The rest is empty unless type is "BGP".
  std::string bgp_state;  // Idle, Connect, Active, OpenSent, OpenConfirm, Established, Down
  std::string peer_address;
  uint32_t peer_as = 0;
  uint32_t local_as = 0;
  std::string source_address;  // of the session, once known
  std::string last_error;      // "Socket: Connection refused"; of the past if Established
  // Sums over the address families.
  uint32_t imported = 0;
  uint32_t exported = 0;
};

std::vector<Protocol> ParseProtocols(const Reply& reply);

struct BirdGeneral {
  std::string version;
  std::string router_id;
  std::string last_reconfiguration;
  bool recovering = false;  // a graceful restart is not yet over
  bool shutting_down = false;
};

BirdGeneral ParseStatus(const Reply& reply);

// Routes over all tables, from the last line of `show route count`; 0 when it has none.
uint32_t ParseRouteCount(const Reply& reply);

}  // namespace ripstop::bgp

#endif  // RIPSTOP_BGP_BRIDGE_PROTOCOLS_H_
