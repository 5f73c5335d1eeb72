// SPDX-License-Identifier: Apache-2.0
//
// By which interfaces a node and the others reach each other, and how much passes there. Pure.
#ifndef RIPSTOP_AGENT_NETWORK_UNDERLAY_H_
#define RIPSTOP_AGENT_NETWORK_UNDERLAY_H_

#include <cstdint>
#include <map>
#include <vector>

#include "agent/netlink/monitor.h"
#include "agent/netlink/types.h"
#include "agent/network/interface_pattern.h"

namespace ripstop::agent {

struct Underlay {
  std::vector<uint32_t> holders;      // interfaces that have an address of this node
  std::map<uint32_t, uint32_t> mtus;  // of the ways to other nodes, by interface
  // The ways are not the holders, which lead nowhere: whatever leads out may be one.
  bool anywhere = false;

  // Of the narrowest way.
  uint32_t mtu() const;
  // Whether this says that it may be another one now.
  bool DependsOn(const LinkEvent& event, const InterfacePattern& chosen = {}) const;
  bool operator==(const Underlay&) const = default;
};

// `own`: the node's addresses. The ways are the interfaces that hold them. A node whose
// addresses are on its loopback interface, as where routing goes down to the host, is reached
// by any interface that leads out of the machine: the loopback's own MTU is 65536. Where `chosen`
// (mtuIfacePattern) matches interfaces that are up, the ways are these instead.
Underlay FindUnderlay(const std::vector<policy::Address>& own,
                      const std::vector<InterfaceAddress>& addresses,
                      const std::vector<Link>& links, const InterfacePattern& chosen = {});

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_NETWORK_UNDERLAY_H_
