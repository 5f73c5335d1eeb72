// SPDX-License-Identifier: Apache-2.0
//
// Routes, neighbours, VXLAN forwarding entries.
#include <linux/neighbour.h>
#include <sys/socket.h>

#include "absl/strings/str_cat.h"
#include "agent/netlink/netlink.h"
#include "agent/netlink/parse.h"
#include "agent/netlink/socket.h"
#include "policy/status_macros.h"

namespace ripstop::agent {
namespace {

constexpr uint16_t kReplace = NLM_F_CREATE | NLM_F_REPLACE;

}  // namespace

absl::Status Netlink::WriteRoute(uint16_t type, uint16_t flags, const char* verb,
                                 const Route& route) {
  NetlinkRequest request(type, flags, absl::StrCat(verb, " ", route.ToString()));
  auto* info = request.Fixed<rtmsg>();
  info->rtm_family = route.destination.is_v4() ? AF_INET : AF_INET6;
  info->rtm_dst_len = static_cast<uint8_t>(route.destination.family_bits());
  info->rtm_protocol = route.protocol;
  info->rtm_scope = route.destination.is_v4() ? route.scope : uint8_t{RT_SCOPE_UNIVERSE};
  info->rtm_type = route.type;
  info->rtm_table = RT_TABLE_UNSPEC;  // RTA_TABLE has all 32 bits
  if (route.onlink) info->rtm_flags |= RTNH_F_ONLINK;
  if (route.destination.family_bits() > 0) request.PutAddress(RTA_DST, route.destination.address);
  request.PutU32(RTA_TABLE, route.table);
  if (route.ifindex != 0) request.PutU32(RTA_OIF, route.ifindex);
  if (route.priority != 0) request.PutU32(RTA_PRIORITY, route.priority);
  if (route.gateway.has_value()) {
    if (route.gateway->is_v4() != route.destination.is_v4()) {
      return absl::InvalidArgumentError(
          absl::StrCat(route.ToString(), ": destination and gateway differ in family"));
    }
    request.PutAddress(RTA_GATEWAY, *route.gateway);
  }
  return socket_->Transact(request);
}

absl::Status Netlink::AddRoute(const Route& route) {
  return WriteRoute(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, "adding", route);
}
absl::Status Netlink::ReplaceRoute(const Route& route) {
  return WriteRoute(RTM_NEWROUTE, kReplace, "replacing", route);
}
absl::Status Netlink::DeleteRoute(const Route& route) {
  return WriteRoute(RTM_DELROUTE, 0, "deleting", route);
}

absl::StatusOr<std::vector<Route>> Netlink::ListRoutes(const RouteFilter& filter) {
  std::vector<Route> routes;
  for (const int family : {AF_INET, AF_INET6}) {
    NetlinkRequest request(RTM_GETROUTE, NLM_F_DUMP, "listing routes");
    auto* info = request.Fixed<rtmsg>();
    info->rtm_family = family;
    info->rtm_protocol = filter.protocol;
    if (filter.table != 0) request.PutU32(RTA_TABLE, filter.table);
    if (filter.ifindex != 0) request.PutU32(RTA_OIF, filter.ifindex);
    const size_t before = routes.size();
    const absl::Status status = socket_->Query(
        request, [&] { routes.resize(before); },
        [&](const nlmsghdr* message) {
          if (auto route = ParseRoute(message)) routes.push_back(*std::move(route));
        });
    // A table comes into being with its first route, a device index may be gone.
    if (absl::IsNotFound(status)) continue;
    RETURN_IF_ERROR(status);
  }
  return routes;
}

absl::StatusOr<std::optional<policy::Address>> Netlink::SourceTowards(const policy::Address& to,
                                                                      uint32_t ifindex) {
  NetlinkRequest request(
      RTM_GETROUTE, 0,
      absl::StrCat("asking for the route to ", to.ToString(), " by interface ", ifindex));
  auto* info = request.Fixed<rtmsg>();
  info->rtm_family = FamilyOf(to);
  info->rtm_dst_len = to.is_v4() ? 32 : 128;
  request.PutAddress(RTA_DST, to);
  request.PutU32(RTA_OIF, ifindex);
  std::optional<policy::Address> source;
  const absl::Status status = socket_->Query(
      request, [] {},
      [&](const nlmsghdr* message) {
        const auto* answer = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(message));
        if (answer->rtm_type != RTN_UNICAST) return;
        source = Attributes(message, sizeof(*answer)).Address(RTA_PREFSRC);
      });
  // Unreachable, prohibited, no such interface any more.
  if (absl::IsNotFound(status) || absl::IsUnavailable(status) || absl::IsPermissionDenied(status) ||
      absl::IsInvalidArgument(status))
    return std::nullopt;
  RETURN_IF_ERROR(status);
  return source;
}

absl::Status Netlink::WriteNeighbour(uint16_t type, uint16_t flags, const char* verb,
                                     const Neighbour& neighbour) {
  NetlinkRequest request(type, flags, absl::StrCat(verb, " ", neighbour.ToString()));
  auto* info = request.Fixed<ndmsg>();
  info->ndm_family = FamilyOf(neighbour.address);
  info->ndm_ifindex = static_cast<int>(neighbour.ifindex);
  info->ndm_state = NUD_PERMANENT;
  request.PutAddress(NDA_DST, neighbour.address);
  if (type == RTM_NEWNEIGH) {
    request.PutMac(NDA_LLADDR, neighbour.mac);
    request.PutU8(NDA_PROTOCOL, neighbour.protocol);
  }
  return socket_->Transact(request);
}

absl::Status Netlink::ReplaceNeighbour(const Neighbour& neighbour) {
  return WriteNeighbour(RTM_NEWNEIGH, kReplace, "replacing", neighbour);
}
absl::Status Netlink::DeleteNeighbour(const Neighbour& neighbour) {
  return WriteNeighbour(RTM_DELNEIGH, 0, "deleting", neighbour);
}

absl::StatusOr<std::vector<Neighbour>> Netlink::ListNeighbours(uint32_t ifindex) {
  std::vector<Neighbour> neighbours;
  for (const int family : {AF_INET, AF_INET6}) {
    NetlinkRequest request(RTM_GETNEIGH, NLM_F_DUMP, "listing neighbours");
    request.Fixed<ndmsg>()->ndm_family = family;
    if (ifindex != 0) request.PutU32(NDA_IFINDEX, ifindex);
    const size_t before = neighbours.size();
    RETURN_IF_ERROR(socket_->Query(
        request, [&] { neighbours.resize(before); },
        [&](const nlmsghdr* message) {
          const auto parsed = ParseNeighbour(message);
          if (parsed && (parsed->state & NUD_PERMANENT)) neighbours.push_back(parsed->neighbour);
        }));
  }
  return neighbours;
}

absl::Status Netlink::WriteFdb(uint16_t type, uint16_t flags, const char* verb,
                               const FdbEntry& entry) {
  NetlinkRequest request(type, flags, absl::StrCat(verb, " ", entry.ToString()));
  auto* info = request.Fixed<ndmsg>();
  info->ndm_family = AF_BRIDGE;
  info->ndm_ifindex = static_cast<int>(entry.ifindex);
  info->ndm_state = NUD_NOARP | NUD_PERMANENT;
  info->ndm_flags = NTF_SELF;
  request.PutMac(NDA_LLADDR, entry.mac);
  request.PutAddress(NDA_DST, entry.remote);
  return socket_->Transact(request);
}

absl::Status Netlink::ReplaceFdb(const FdbEntry& entry) {
  return WriteFdb(RTM_NEWNEIGH, kReplace, "replacing", entry);
}
absl::Status Netlink::DeleteFdb(const FdbEntry& entry) {
  return WriteFdb(RTM_DELNEIGH, 0, "deleting", entry);
}

absl::StatusOr<std::vector<FdbEntry>> Netlink::ListFdb(uint32_t ifindex) {
  NetlinkRequest request(RTM_GETNEIGH, NLM_F_DUMP,
                         absl::StrCat("listing forwarding entries of link ", ifindex));
  auto* info = request.Fixed<ndmsg>();
  info->ndm_family = AF_BRIDGE;
  info->ndm_ifindex = static_cast<int>(ifindex);
  std::vector<FdbEntry> entries;
  RETURN_IF_ERROR(socket_->Query(
      request, [&] { entries.clear(); },
      [&](const nlmsghdr* message) {
        if (auto entry = ParseFdb(message)) entries.push_back(*entry);
      }));
  return entries;
}

}  // namespace ripstop::agent
