// SPDX-License-Identifier: Apache-2.0
//
// BIG TCP: packets larger than any length field (since Linux 5.19 for IPv6, 6.3 for IPv4).
#ifndef RIPSTOP_AGENT_BASE_TESTING_BIG_TCP_H_
#define RIPSTOP_AGENT_BASE_TESTING_BIG_TCP_H_

#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <cerrno>
#include <cstdint>
#include <string>

#include "absl/status/status.h"

#ifndef IFLA_GSO_IPV4_MAX_SIZE
#define IFLA_GSO_IPV4_MAX_SIZE 63 /* Linux 6.3 */
#endif

namespace ripstop::agent {

// How large packets may be, in both families, that leave by `device` of this thread's network
// namespace. As `ip link set dev DEVICE gso_max_size N gso_ipv4_max_size N`, which Debian 12's
// does not know.
inline absl::Status SetLargestPacket(const std::string& device, uint32_t bytes) {
  char buffer[1024];
  nlmsghdr* const header = mnl_nlmsg_put_header(buffer);
  header->nlmsg_type = RTM_NEWLINK;
  header->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
  auto* const link = static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(header, sizeof(ifinfomsg)));
  link->ifi_index = static_cast<int>(if_nametoindex(device.c_str()));
  for (const uint16_t attribute : {uint16_t{IFLA_GSO_MAX_SIZE}, uint16_t{IFLA_GSO_IPV4_MAX_SIZE}}) {
    mnl_attr_put_u32(header, attribute, bytes);
  }
  mnl_socket* const socket = mnl_socket_open(NETLINK_ROUTE);
  if (socket == nullptr) return absl::ErrnoToStatus(errno, "netlink");
  ssize_t got = mnl_socket_sendto(socket, header, header->nlmsg_len);
  if (got > 0) got = mnl_socket_recvfrom(socket, buffer, sizeof(buffer));
  if (got > 0) got = mnl_cb_run(buffer, static_cast<size_t>(got), 0, 0, nullptr, nullptr);
  const int error = got < 0 ? errno : 0;
  mnl_socket_close(socket);
  return error == 0 ? absl::OkStatus() : absl::ErrnoToStatus(error, device);
}

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_BASE_TESTING_BIG_TCP_H_
