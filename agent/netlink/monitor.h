// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_NETLINK_MONITOR_H_
#define RIPSTOP_AGENT_NETLINK_MONITOR_H_

#include <memory>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/netlink/types.h"

namespace ripstop::agent {

class NetlinkSocket;

struct LinkEvent {
  Link link;
  bool deleted = false;
};
struct AddressEvent {
  InterfaceAddress address;
  bool deleted = false;
};
// Routes of our protocol, and any route that replaced another one.
struct RouteEvent {
  Route route;
  bool deleted = false;
};
// New permanent neighbours and all deletions; the MAC of a deletion is not reliable.
struct NeighbourEvent {
  Neighbour neighbour;
  bool deleted = false;
};
struct FdbEvent {
  FdbEntry entry;
  bool deleted = false;
};
// Roots and ingress only. A replacement is a deletion and a new one.
struct QdiscEvent {
  Qdisc qdisc;
  bool deleted = false;
};
// Events were lost: compare everything.
struct ResyncEvent {};

using MonitorEvent = std::variant<LinkEvent, AddressEvent, RouteEvent, NeighbourEvent, FdbEvent,
                                  QdiscEvent, ResyncEvent>;

// What the kernel says about links, addresses, routes, neighbours and queueing disciplines, as it
// happens.
//
// A filter on the socket drops foreign routes and ordinary neighbour churn inside the
// kernel: a table of 30,000 BGP routes costs this process nothing. IPv4 routes of a
// device that goes down vanish without a word from the kernel, so take link events as a
// reason to look at that device's routes.
class Monitor {
 public:
  // Listens in that namespace; negative: the calling thread's.
  static absl::StatusOr<std::unique_ptr<Monitor>> Open(int netns_fd = -1,
                                                       uint8_t protocol = kRouteProtocol);
  ~Monitor();

  int fd() const;  // readable when there are events; level triggered
  // All that is there now, without blocking.
  absl::StatusOr<std::vector<MonitorEvent>> Read();

 private:
  explicit Monitor(std::unique_ptr<NetlinkSocket> socket);
  std::unique_ptr<NetlinkSocket> socket_;
  std::vector<char> buffer_;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_NETLINK_MONITOR_H_
