// SPDX-License-Identifier: Apache-2.0
#include "bgp-bridge/route_lookup.h"

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace ripstop::bgp {
namespace {

std::string AddressOf(const nlattr* attribute) {
  Prefix prefix;
  const size_t size = mnl_attr_get_payload_len(attribute);
  if (size != 4 && size != 16) return "";
  prefix.ipv6 = size == 16;
  std::memcpy(prefix.bytes.data(), mnl_attr_get_payload(attribute), size);
  return prefix.Address();
}

int OnAttribute(const nlattr* attribute, void* data) {
  auto& path = *static_cast<KernelPath*>(data);
  char name[IF_NAMESIZE];
  switch (mnl_attr_get_type(attribute)) {
    case RTA_OIF:
      if (if_indextoname(mnl_attr_get_u32(attribute), name) != nullptr) path.interface = name;
      break;
    case RTA_GATEWAY: path.gateway = AddressOf(attribute); break;
    case RTA_PREFSRC: path.source = AddressOf(attribute); break;
    default: break;
  }
  return MNL_CB_OK;
}

int OnMessage(const nlmsghdr* header, void* data) {
  if (header->nlmsg_type == RTM_NEWROUTE) mnl_attr_parse(header, sizeof(rtmsg), OnAttribute, data);
  return MNL_CB_STOP;
}

}  // namespace

absl::StatusOr<KernelPath> LookUpRoute(const Prefix& address) {
  const std::unique_ptr<mnl_socket, decltype(&mnl_socket_close)> socket(
      mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC), &mnl_socket_close);
  if (socket == nullptr || mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0)
    return absl::ErrnoToStatus(errno, "netlink socket");
  alignas(nlmsghdr) char buffer[8192];
  nlmsghdr* header = mnl_nlmsg_put_header(buffer);
  header->nlmsg_type = RTM_GETROUTE;
  header->nlmsg_flags = NLM_F_REQUEST;
  auto* route = static_cast<rtmsg*>(mnl_nlmsg_put_extra_header(header, sizeof(rtmsg)));
  route->rtm_family = address.ipv6 ? AF_INET6 : AF_INET;
  route->rtm_dst_len = address.Bits();
  mnl_attr_put(header, RTA_DST, address.Bits() / 8, address.bytes.data());
  if (mnl_socket_sendto(socket.get(), header, header->nlmsg_len) < 0)
    return absl::ErrnoToStatus(errno, absl::StrCat("route to ", address.Address()));
  // The kernel answers a lookup while it takes the request, so this does not wait.
  const ssize_t size = mnl_socket_recvfrom(socket.get(), buffer, sizeof buffer);
  KernelPath path;
  if (size < 0 || mnl_cb_run(buffer, static_cast<size_t>(size), 0, 0, OnMessage, &path) < 0)
    return absl::NotFoundError(
        absl::StrCat("no route to ", address.Address(), ": ", std::strerror(errno)));
  return path;
}

}  // namespace ripstop::bgp
