// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_NETLINK_LINK_SETTINGS_H_
#define RIPSTOP_AGENT_NETLINK_LINK_SETTINGS_H_

#include <libmnl/libmnl.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/netlink/types.h"

namespace ripstop::agent {

// A link with its settings, those of net/ipv4/conf/LINK and net/ipv6/conf/LINK. The kernel
// gives all of all links in one dump, where /proc wants three system calls for each.
struct LinkSettings {
  Link link;
  // By the kernel's numbers (IPV4_DEVCONF_*, DEVCONF_*); empty where a family is not there.
  std::vector<uint32_t> ipv4, ipv6;

  // `path` as Sysctl has it, of this link: "net/ipv4/conf/eth0/rp_filter". nullopt: the kernel
  // has no such setting here, or this class does not know its number.
  std::optional<std::string> Value(std::string_view path) const;
};

std::optional<LinkSettings> ParseLinkSettings(const nlmsghdr* message);

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_NETLINK_LINK_SETTINGS_H_
