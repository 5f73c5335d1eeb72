// SPDX-License-Identifier: Apache-2.0
#include "agent/netlink/route_watch.h"

#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "agent/netlink/socket.h"
#include "policy/status_macros.h"

namespace ripstop::agent {
namespace {

// More is not needed to know that there was something.
constexpr int kReceiveBuffer = 64 * 1024;
constexpr int kGroups[] = {RTNLGRP_LINK,       RTNLGRP_NEIGH,     RTNLGRP_IPV4_ROUTE,
                           RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE,
                           RTNLGRP_NEXTHOP};

}  // namespace

RouteWatch::RouteWatch(std::unique_ptr<NetlinkSocket> socket) : socket_(std::move(socket)) {}
RouteWatch::~RouteWatch() = default;

absl::StatusOr<std::unique_ptr<RouteWatch>> RouteWatch::Open() {
  ASSIGN_OR_RETURN(NetlinkSocket socket, NetlinkSocket::Open(-1));
  setsockopt(socket.fd(), SOL_SOCKET, SO_RCVBUF, &kReceiveBuffer, sizeof(kReceiveBuffer));
  for (const int group : kGroups) {
    if (mnl_socket_setsockopt(socket.get(), NETLINK_ADD_MEMBERSHIP, const_cast<int*>(&group),
                              sizeof(group)) != 0)
      return absl::ErrnoToStatus(errno, "listen to changes of routes and neighbours");
  }
  return std::unique_ptr<RouteWatch>(
      new RouteWatch(std::make_unique<NetlinkSocket>(std::move(socket))));
}

int RouteWatch::fd() const { return socket_->fd(); }

absl::StatusOr<bool> RouteWatch::Changed() {
  bool changed = false;
  while (true) {
    char byte;  // the rest of a datagram is thrown away
    const ssize_t bytes = recv(fd(), &byte, sizeof(byte), MSG_DONTWAIT);
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return changed;
    if (bytes < 0 && errno != ENOBUFS)
      return absl::ErrnoToStatus(errno, "read changes of routes and neighbours");
    changed = true;
  }
}

}  // namespace ripstop::agent
