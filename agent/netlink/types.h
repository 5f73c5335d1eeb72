// SPDX-License-Identifier: Apache-2.0
//
// What the kernel's routing tables hold, as plain values. IPv4 and IPv6 alike, as
// policy/address.h has them.
#ifndef RIPSTOP_AGENT_NETLINK_TYPES_H_
#define RIPSTOP_AGENT_NETLINK_TYPES_H_

#include <linux/rtnetlink.h>

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "policy/address.h"

namespace ripstop::agent {

// The mark on every route and neighbour that the agent writes (rtm_protocol and
// NDA_PROTOCOL). Nobody else's in iproute2's rt_protos; what does not carry it is never
// touched.
inline constexpr uint8_t kRouteProtocol = 82;

struct Mac {
  std::array<uint8_t, 6> bytes{};
  auto operator<=>(const Mac&) const = default;
  std::string ToString() const;  // 02:00:5e:10:00:01
  static absl::StatusOr<Mac> Parse(std::string_view text);
  policy::Address LinkLocal() const;  // fe80::/64 with the EUI-64 (RFC 4291 appendix A)
};

// What queues an interface's packets: one at its root, and perhaps one that filters what comes in.
struct Qdisc {
  uint32_t ifindex = 0;
  bool root = false;  // packets that leave
  std::string kind;   // "noqueue", "tbf", "ingress"
};

struct Link {
  uint32_t index = 0;
  std::string name;
  std::string kind;  // "veth", "vxlan", … or empty
  Mac mac;
  uint32_t mtu = 0;
  bool up = false;       // as configured (IFF_UP)
  bool running = false;  // and with a carrier
  bool loopback = false;
  uint32_t peer_index = 0;  // veth: index of the other end, in its own namespace
  bool headless = false;    // its frames begin with the IP header: tun, WireGuard, IPIP
  std::string slave_kind;   // of what `master` is: "bridge", "bond", "vrf"; or empty
  uint32_t master = 0;      // bridge, bond or the like that takes what comes in; 0: none
  struct Vxlan {
    uint32_t vni = 0;
    uint16_t port = 0;
    std::optional<policy::Address> local;
    bool learning = true;
    bool operator==(const Vxlan&) const = default;
  };
  std::optional<Vxlan> vxlan;
};

// An address of an interface with its prefix length, host bits kept.
struct InterfaceAddress {
  uint32_t ifindex = 0;
  policy::Address address;
  int prefix_length = 0;  // of its family
  uint8_t scope = RT_SCOPE_UNIVERSE;
  bool no_dad = false;  // IPv6: usable at once
  auto operator<=>(const InterfaceAddress&) const = default;
  std::string ToString() const;
};

struct Route {
  policy::Cidr destination;
  uint32_t ifindex = 0;  // 0 for routes without a device (blackhole)
  std::optional<policy::Address> gateway;
  uint8_t protocol = kRouteProtocol;
  uint8_t scope = RT_SCOPE_UNIVERSE;  // IPv6 has no scopes and always says universe
  uint8_t type = RTN_UNICAST;
  uint32_t table = RT_TABLE_MAIN;
  uint32_t priority = 0;  // IPv6: the kernel turns 0 into 1024
  bool onlink = false;    // the gateway is a neighbour whatever the addresses say
  auto operator<=>(const Route&) const = default;
  // As the kernel would report it back, so that wanted and present compare.
  Route Normalized() const;
  std::string ToString() const;  // "10.65.0.2/32 dev 7"
};

// A rule of the routing policy: packets that are all of these ask `table`.
struct RoutingRule {
  bool v4 = true;
  std::optional<policy::Cidr> from;  // absent: any source
  std::string oif;                   // what their socket is bound to; empty: whatever
  uint32_t table = RT_TABLE_MAIN;
  uint32_t priority = 0;  // smaller is asked first
  bool operator==(const RoutingRule&) const = default;
  std::string ToString() const;  // "rule 100: from 10.65.0.2/32 lookup 7"
};

// A permanent neighbour entry.
struct Neighbour {
  uint32_t ifindex = 0;
  policy::Address address;
  Mac mac;
  uint8_t protocol = kRouteProtocol;
  auto operator<=>(const Neighbour&) const = default;
  std::string ToString() const;
};

// A forwarding entry of a VXLAN device: frames to `mac` go to the host `remote`.
struct FdbEntry {
  uint32_t ifindex = 0;
  Mac mac;
  policy::Address remote;
  auto operator<=>(const FdbEntry&) const = default;
  std::string ToString() const;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_NETLINK_TYPES_H_
