// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_NETWORK_HOST_PROGRAMS_H_
#define RIPSTOP_AGENT_NETWORK_HOST_PROGRAMS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/dataplane/dataplane_interface.h"
#include "agent/netlink/monitor.h"
#include "agent/netlink/types.h"

namespace ripstop::agent {

// What an interface of the host is to the datapath.
enum class InterfaceRole {
  kNone,       // no program: loopback, pods', what a bridge or bond has taken
  kUplink,     // leads to other nodes: from_host
  kTunnel,     // the VXLAN device: from_tunnel
  kElsewhere,  // anything else, while there is a tunnel or any NAT: from_elsewhere
};

struct HostNetwork {
  std::set<uint32_t> holders;   // interfaces that hold an address of this node
  uint32_t tunnel_ifindex = 0;  // 0: none
  bool vxlan = false;           // the network has a tunnel, made here or not yet
  bool nat = false;             // pods' packets leave, and answers come, by any interface
  bool operator==(const HostNetwork&) const = default;
};

// Of `link`, by what it is. Uplinks are the interfaces that hold the node's addresses.
// With a tunnel, where packets of nodes may come in at another one than they left by, so are
// all that lead out of the machine by themselves: hardware, bonds, VLANs. If the node's
// addresses are on the loopback interface only (`on_loopback`), it is every interface but
// bridges, which is where other people's containers are.
InterfaceRole RoleOf(const Link& link, const HostNetwork& network, bool on_loopback);

// Hardware, a bond, a VLAN: by its kind, leads out of the machine by itself.
bool LeadsOut(const Link& link);

// Host-side interface of a pod, by the name that EndpointManager gives.
bool IsWorkloadInterface(const Link& link);

// Keeps the programs of the host's interfaces as they are to be, also of those that come.
// One thread.
//
//   HostNetwork, link events ─▶ [HostPrograms] ─▶ DataplaneInterface
class HostPrograms {
 public:
  // `list`: all links. Both outlive this.
  HostPrograms(std::function<absl::StatusOr<std::vector<Link>>()> list,
               DataplaneInterface* dataplane)
      : list_(std::move(list)), dataplane_(dataplane) {}

  void Apply(const HostNetwork& network);
  // Nothing happens before the first Apply.
  void HandleEvents(const std::vector<MonitorEvent>& events);

  // What could not be attached, by interface. Tried again by each call.
  std::vector<std::string> problems() const;
  InterfaceRole role(uint32_t ifindex) const;
  // Interfaces by which packets leave this host, but for the tunnel.
  std::vector<uint32_t> exits() const;

 private:
  void Settle();
  void SettleOne(const Link& link, bool on_loopback);
  bool OnLoopback() const;
  absl::Status Attach(const Link& link, InterfaceRole role);

  const std::function<absl::StatusOr<std::vector<Link>>()> list_;
  DataplaneInterface* const dataplane_;
  bool applied_ = false;
  HostNetwork network_;
  std::map<uint32_t, Link> links_;  // without pods'
  std::map<uint32_t, InterfaceRole> roles_;
  std::map<uint32_t, std::string> problems_;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_NETWORK_HOST_PROGRAMS_H_
