// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_NETWORK_ROUTER_ADVERTISEMENTS_H_
#define RIPSTOP_AGENT_NETWORK_ROUTER_ADVERTISEMENTS_H_

#include "absl/status/status.h"
#include "agent/netlink/netlink.h"

namespace ripstop::agent {

// A host that forwards takes itself for a router and ignores router advertisements, unless
// the interface's accept_ra is 2; and it drops the default routes that it has from them when
// forwarding is switched on. So a node that lives by them would lose its IPv6 default route.
//
// Whether the kernel listens to them at this link (accept_ra is 1; systemd-networkd and
// others that do it themselves set 0), and may go on: it leads out of the machine, `uplink`
// says that nodes are there, or it has a default route by it already. Not elsewhere: a
// container must not tell its host where the network is.
bool NeedsAdvertisements(const LinkSettings& settings, bool uplink, bool has_route);

// Sets accept_ra to 2 at all links that need it. Before forwarding is switched on; in the
// namespace of `netlink`.
absl::Status KeepAdvertisements(Netlink* netlink);

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_NETWORK_ROUTER_ADVERTISEMENTS_H_
