// SPDX-License-Identifier: Apache-2.0
//
// rtnetlink messages as values; shared by dumps and the monitor. Nullopt: not a message
// that the agent has a use for (a multicast route, a neighbour that is not permanent).
#ifndef RIPSTOP_AGENT_NETLINK_PARSE_H_
#define RIPSTOP_AGENT_NETLINK_PARSE_H_

#include <libmnl/libmnl.h>
#include <sys/socket.h>

#include <optional>

#include "agent/netlink/types.h"

namespace ripstop::agent {

// As the headers of messages say it.
inline int FamilyOf(const policy::Address& address) { return address.is_v4() ? AF_INET : AF_INET6; }

std::optional<Link> ParseLink(const nlmsghdr* message);
std::optional<InterfaceAddress> ParseAddress(const nlmsghdr* message);
std::optional<Route> ParseRoute(const nlmsghdr* message);
std::optional<RoutingRule> ParseRule(const nlmsghdr* message);

// `state` (NUD_*) is left to the caller: a deletion reports what the entry was last.
struct ParsedNeighbour {
  Neighbour neighbour;
  uint16_t state = 0;
};
std::optional<ParsedNeighbour> ParseNeighbour(const nlmsghdr* message);
std::optional<FdbEntry> ParseFdb(const nlmsghdr* message);
// Nullopt: one below another.
std::optional<Qdisc> ParseQdisc(const nlmsghdr* message);

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_NETLINK_PARSE_H_
