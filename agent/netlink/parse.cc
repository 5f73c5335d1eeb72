// SPDX-License-Identifier: Apache-2.0
#include "agent/netlink/parse.h"

#include <arpa/inet.h>
#include <linux/fib_rules.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/pkt_sched.h>

#include "agent/netlink/socket.h"

namespace ripstop::agent {
namespace {

constexpr int kMappedBits = 96;  // policy::Cidr counts from the 128-bit form

template <typename T>
const T* FixedOf(const nlmsghdr* message) {
  return mnl_nlmsg_get_payload_len(message) >= sizeof(T)
             ? static_cast<const T*>(mnl_nlmsg_get_payload(message))
             : nullptr;
}

// The hardware types whose frames begin with an IP header.
bool IsHeadless(uint16_t type) {
  switch (type) {
    case ARPHRD_NONE:
    case ARPHRD_VOID:
    case ARPHRD_PPP:
    case ARPHRD_RAWIP:
    case ARPHRD_TUNNEL:
    case ARPHRD_TUNNEL6:
    case ARPHRD_SIT:
    case ARPHRD_IPGRE:
    case ARPHRD_IP6GRE: return true;
    default: return false;
  }
}

}  // namespace

std::optional<Link> ParseLink(const nlmsghdr* message) {
  const auto* info = FixedOf<ifinfomsg>(message);
  if (info == nullptr || info->ifi_family != AF_UNSPEC) return std::nullopt;
  const Attributes attributes(message, sizeof(*info));
  Link link;
  link.index = static_cast<uint32_t>(info->ifi_index);
  link.name = attributes.String(IFLA_IFNAME);
  link.mac = attributes.MacOf(IFLA_ADDRESS);
  link.mtu = attributes.U32(IFLA_MTU);
  link.up = (info->ifi_flags & IFF_UP) != 0;
  link.running = (info->ifi_flags & IFF_RUNNING) != 0;
  link.loopback = (info->ifi_flags & IFF_LOOPBACK) != 0;
  link.headless = IsHeadless(info->ifi_type);
  link.master = attributes.U32(IFLA_MASTER);
  link.peer_index = attributes.U32(IFLA_LINK);
  const Attributes kind(attributes[IFLA_LINKINFO]);
  link.kind = kind.String(IFLA_INFO_KIND);
  link.slave_kind = kind.String(IFLA_INFO_SLAVE_KIND);
  if (link.kind == "vxlan") {
    const Attributes data(kind[IFLA_INFO_DATA]);
    Link::Vxlan vxlan;
    vxlan.vni = data.U32(IFLA_VXLAN_ID);
    vxlan.port = ntohs(data.U16(IFLA_VXLAN_PORT));
    vxlan.local = data.Address(IFLA_VXLAN_LOCAL);
    if (!vxlan.local.has_value()) vxlan.local = data.Address(IFLA_VXLAN_LOCAL6);
    vxlan.learning = data.U8(IFLA_VXLAN_LEARNING) != 0;
    link.vxlan = vxlan;
  }
  return link;
}

std::optional<InterfaceAddress> ParseAddress(const nlmsghdr* message) {
  const auto* info = FixedOf<ifaddrmsg>(message);
  if (info == nullptr) return std::nullopt;
  const Attributes attributes(message, sizeof(*info));
  // On point-to-point links IFA_ADDRESS is the far end and IFA_LOCAL ours.
  std::optional<policy::Address> address = attributes.Address(IFA_LOCAL);
  if (!address.has_value()) address = attributes.Address(IFA_ADDRESS);
  if (!address.has_value()) return std::nullopt;
  const uint32_t flags = attributes.U32(IFA_FLAGS, info->ifa_flags);
  return InterfaceAddress{.ifindex = info->ifa_index,
                          .address = *address,
                          .prefix_length = info->ifa_prefixlen,
                          .scope = info->ifa_scope,
                          .no_dad = (flags & IFA_F_NODAD) != 0};
}

std::optional<Route> ParseRoute(const nlmsghdr* message) {
  const auto* info = FixedOf<rtmsg>(message);
  if (info == nullptr || (info->rtm_family != AF_INET && info->rtm_family != AF_INET6)) {
    return std::nullopt;
  }
  if (info->rtm_type == RTN_MULTICAST || (info->rtm_flags & RTM_F_CLONED) != 0) return std::nullopt;
  const Attributes attributes(message, sizeof(*info));
  const bool v4 = info->rtm_family == AF_INET;
  const policy::Address any = v4 ? policy::Address::FromV4(0) : policy::Address{};
  Route route;
  route.destination = policy::Cidr::Of(attributes.Address(RTA_DST).value_or(any),
                                       info->rtm_dst_len + (v4 ? kMappedBits : 0));
  route.ifindex = attributes.U32(RTA_OIF);
  route.gateway = attributes.Address(RTA_GATEWAY);
  route.protocol = info->rtm_protocol;
  route.scope = info->rtm_scope;
  route.type = info->rtm_type;
  route.table = attributes.U32(RTA_TABLE, info->rtm_table);
  route.priority = attributes.U32(RTA_PRIORITY);
  route.onlink = (info->rtm_flags & RTNH_F_ONLINK) != 0;
  return route.Normalized();
}

std::optional<RoutingRule> ParseRule(const nlmsghdr* message) {
  const auto* header = FixedOf<fib_rule_hdr>(message);
  if (header == nullptr || header->action != FR_ACT_TO_TBL ||
      (header->family != AF_INET && header->family != AF_INET6)) {
    return std::nullopt;
  }
  const Attributes attributes(message, sizeof(*header));
  RoutingRule rule;
  rule.v4 = header->family == AF_INET;
  if (const auto from = attributes.Address(FRA_SRC)) {
    rule.from = policy::Cidr::Of(*from, header->src_len + (rule.v4 ? kMappedBits : 0));
  }
  rule.oif = attributes.String(FRA_OIFNAME);
  rule.table = attributes.U32(FRA_TABLE, header->table);
  rule.priority = attributes.U32(FRA_PRIORITY);
  return rule;
}

std::optional<ParsedNeighbour> ParseNeighbour(const nlmsghdr* message) {
  const auto* info = FixedOf<ndmsg>(message);
  if (info == nullptr || (info->ndm_family != AF_INET && info->ndm_family != AF_INET6)) {
    return std::nullopt;
  }
  const Attributes attributes(message, sizeof(*info));
  const std::optional<policy::Address> address = attributes.Address(NDA_DST);
  if (!address.has_value()) return std::nullopt;
  return ParsedNeighbour{.neighbour = {.ifindex = static_cast<uint32_t>(info->ndm_ifindex),
                                       .address = *address,
                                       .mac = attributes.MacOf(NDA_LLADDR),
                                       .protocol = attributes.U8(NDA_PROTOCOL)},
                         .state = info->ndm_state};
}

std::optional<FdbEntry> ParseFdb(const nlmsghdr* message) {
  const auto* info = FixedOf<ndmsg>(message);
  if (info == nullptr || info->ndm_family != AF_BRIDGE) return std::nullopt;
  const Attributes attributes(message, sizeof(*info));
  const std::optional<policy::Address> remote = attributes.Address(NDA_DST);
  if (!remote.has_value() || attributes[NDA_LLADDR] == nullptr) return std::nullopt;
  return FdbEntry{.ifindex = static_cast<uint32_t>(info->ndm_ifindex),
                  .mac = attributes.MacOf(NDA_LLADDR),
                  .remote = *remote};
}

std::optional<Qdisc> ParseQdisc(const nlmsghdr* message) {
  const auto* fixed = FixedOf<tcmsg>(message);
  if (fixed == nullptr) return std::nullopt;
  const bool root = fixed->tcm_parent == TC_H_ROOT;
  if (!root && fixed->tcm_parent != TC_H_INGRESS) return std::nullopt;
  return Qdisc{.ifindex = static_cast<uint32_t>(fixed->tcm_ifindex),
               .root = root,
               .kind = Attributes(message, sizeof(tcmsg)).String(TCA_KIND)};
}

}  // namespace ripstop::agent
