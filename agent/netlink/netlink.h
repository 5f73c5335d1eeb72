// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_NETLINK_NETLINK_H_
#define RIPSTOP_AGENT_NETLINK_NETLINK_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/netlink/link_settings.h"
#include "agent/netlink/types.h"

namespace ripstop::agent {

class NetlinkSocket;

struct VethSpec {
  std::string name;  // in the socket's namespace; created DOWN
  Mac mac;
  std::string peer_name;
  Mac peer_mac;
  uint32_t mtu = 1500;     // of both ends
  int peer_netns_fd = -1;  // negative: the same namespace
};

struct VxlanSpec {
  std::string name;
  Mac mac;
  uint32_t mtu = 1450;
  uint32_t vni = 4096;
  uint16_t port = 4789;
  policy::Address local;  // outer source; its family is the underlay's
};

// Which routes to dump. The kernel filters, so the others cost nothing.
struct RouteFilter {
  uint8_t protocol = kRouteProtocol;  // 0: any
  uint32_t table = RT_TABLE_MAIN;     // 0: any
  uint32_t ifindex = 0;               // 0: any
};

// Typed requests to the routing part of the kernel, each acknowledged.
//
// Bound to the namespace it was opened in. One thread at a time. Every error names the
// object and carries the kernel's words; codes: kNotFound (object or device is not
// there), kAlreadyExists, kPermissionDenied, kInvalidArgument, kUnavailable.
class Netlink {
 public:
  // Negative: the calling thread's namespace.
  static absl::StatusOr<std::unique_ptr<Netlink>> Open(int netns_fd = -1);
  ~Netlink();

  // Links.
  absl::Status CreateVeth(const VethSpec& spec);
  absl::Status CreateVxlan(const VxlanSpec& spec);  // learning off; created DOWN
  absl::Status DeleteLink(uint32_t ifindex);
  absl::Status SetLinkUp(uint32_t ifindex, bool up);
  absl::Status SetLinkMtu(uint32_t ifindex, uint32_t mtu);
  absl::Status SetLinkMac(uint32_t ifindex, const Mac& mac);
  absl::StatusOr<Link> GetLink(const std::string& name);
  absl::StatusOr<Link> GetLink(uint32_t ifindex);
  absl::StatusOr<std::vector<Link>> ListLinks();
  absl::StatusOr<std::vector<LinkSettings>> ListLinkSettings();

  // Queueing disciplines of all links; those below another left out.
  absl::StatusOr<std::vector<Qdisc>> ListQdiscs();

  // Addresses. Adding one that is there already succeeds.
  absl::Status AddAddress(const InterfaceAddress& address);
  absl::StatusOr<std::vector<InterfaceAddress>> ListAddresses(uint32_t ifindex = 0);

  // Routes. ReplaceRoute creates or replaces what has the same destination, table and
  // priority.
  absl::Status AddRoute(const Route& route);
  absl::Status ReplaceRoute(const Route& route);
  absl::Status DeleteRoute(const Route& route);
  absl::StatusOr<std::vector<Route>> ListRoutes(const RouteFilter& filter = {});

  // What the kernel would send from, to `to` by that interface; nullopt: nothing leads there.
  absl::StatusOr<std::optional<policy::Address>> SourceTowards(const policy::Address& to,
                                                               uint32_t ifindex);

  // Rules of the routing policy. Adding one that is there already succeeds.
  absl::Status AddRule(const RoutingRule& rule);
  absl::Status DeleteRule(const RoutingRule& rule);
  absl::StatusOr<std::vector<RoutingRule>> ListRules();

  // Permanent neighbours; create or replace. The list has only permanent ones.
  absl::Status ReplaceNeighbour(const Neighbour& neighbour);
  absl::Status DeleteNeighbour(const Neighbour& neighbour);
  absl::StatusOr<std::vector<Neighbour>> ListNeighbours(uint32_t ifindex = 0);

  // Forwarding entries of a VXLAN device; create or replace.
  absl::Status ReplaceFdb(const FdbEntry& entry);
  absl::Status DeleteFdb(const FdbEntry& entry);
  absl::StatusOr<std::vector<FdbEntry>> ListFdb(uint32_t ifindex);

 private:
  explicit Netlink(std::unique_ptr<NetlinkSocket> socket);
  absl::Status WriteRoute(uint16_t type, uint16_t flags, const char* verb, const Route& route);
  absl::Status WriteRule(uint16_t type, uint16_t flags, const char* verb, const RoutingRule& rule);
  absl::Status WriteNeighbour(uint16_t type, uint16_t flags, const char* verb,
                              const Neighbour& neighbour);
  absl::Status WriteFdb(uint16_t type, uint16_t flags, const char* verb, const FdbEntry& entry);

  std::unique_ptr<NetlinkSocket> socket_;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_NETLINK_NETLINK_H_
