// SPDX-License-Identifier: Apache-2.0
#include "agent/netlink/monitor.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/neighbour.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstddef>

#include "agent/netlink/parse.h"
#include "agent/netlink/socket.h"
#include "policy/status_macros.h"

namespace ripstop::agent {
namespace {

constexpr int kReceiveBuffer = 4 << 20;
constexpr size_t kReadBytes = 64 * 1024;

// Classic BPF over the netlink message. Loads of half words are big endian while the
// header is in host order, hence htons on every constant.
absl::Status AttachFilter(int fd, uint8_t protocol) {
  constexpr uint32_t kType = offsetof(nlmsghdr, nlmsg_type);
  constexpr uint32_t kFlags = offsetof(nlmsghdr, nlmsg_flags);
  constexpr uint32_t kProtocol = NLMSG_HDRLEN + offsetof(rtmsg, rtm_protocol);
  constexpr uint32_t kState = NLMSG_HDRLEN + offsetof(ndmsg, ndm_state);
  sock_filter code[] = {
      /* 0*/ BPF_STMT(BPF_LD | BPF_H | BPF_ABS, kType),
      /* 1*/ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_NEWROUTE), 3, 0),
      /* 2*/ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_DELROUTE), 2, 0),
      /* 3*/ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_NEWNEIGH), 5, 0),
      /* 4*/ BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
      /* 5*/ BPF_STMT(BPF_LD | BPF_B | BPF_ABS, kProtocol),
      /* 6*/ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, protocol, 5, 0),
      /* 7*/ BPF_STMT(BPF_LD | BPF_H | BPF_ABS, kFlags),
      /* 8*/ BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, htons(NLM_F_REPLACE), 3, 2),
      /* 9*/ BPF_STMT(BPF_LD | BPF_H | BPF_ABS, kState),
      /*10*/ BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, htons(NUD_PERMANENT), 1, 0),
      /*11*/ BPF_STMT(BPF_RET | BPF_K, 0),
      /*12*/ BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
  };
  const sock_fprog program{.len = sizeof(code) / sizeof(code[0]), .filter = code};
  if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) != 0) {
    return absl::ErrnoToStatus(errno, "filter of the netlink monitor");
  }
  return absl::OkStatus();
}

void Append(const nlmsghdr* message, std::vector<MonitorEvent>& ret_events) {
  switch (message->nlmsg_type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
      if (auto link = ParseLink(message)) {
        ret_events.push_back(LinkEvent{*std::move(link), message->nlmsg_type == RTM_DELLINK});
      }
      break;
    case RTM_NEWADDR:
    case RTM_DELADDR:
      if (auto address = ParseAddress(message)) {
        ret_events.push_back(AddressEvent{*address, message->nlmsg_type == RTM_DELADDR});
      }
      break;
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
      if (auto route = ParseRoute(message)) {
        ret_events.push_back(RouteEvent{*std::move(route), message->nlmsg_type == RTM_DELROUTE});
      }
      break;
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH: {
      const bool deleted = message->nlmsg_type == RTM_DELNEIGH;
      if (auto entry = ParseFdb(message)) {
        ret_events.push_back(FdbEvent{*entry, deleted});
      } else if (auto parsed = ParseNeighbour(message)) {
        ret_events.push_back(NeighbourEvent{parsed->neighbour, deleted});
      }
      break;
    }
    case RTM_NEWQDISC:
    case RTM_DELQDISC:
      if (auto qdisc = ParseQdisc(message)) {
        ret_events.push_back(QdiscEvent{*std::move(qdisc), message->nlmsg_type == RTM_DELQDISC});
      }
      break;
    default: break;
  }
}

}  // namespace

Monitor::Monitor(std::unique_ptr<NetlinkSocket> socket)
    : socket_(std::move(socket)), buffer_(kReadBytes) {}
Monitor::~Monitor() = default;

absl::StatusOr<std::unique_ptr<Monitor>> Monitor::Open(int netns_fd, uint8_t protocol) {
  ASSIGN_OR_RETURN(NetlinkSocket socket, NetlinkSocket::Open(netns_fd));
  const int fd = socket.fd();
  RETURN_IF_ERROR(AttachFilter(fd, protocol));
  // Beyond rmem_max where we may; without it a burst ends in a resync, which is right too.
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBuffer, sizeof(kReceiveBuffer));
  for (int group : {RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE,
                    RTNLGRP_IPV6_ROUTE, RTNLGRP_NEIGH, RTNLGRP_TC}) {
    if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) != 0) {
      return absl::ErrnoToStatus(errno, "joining a netlink group");
    }
  }
  if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0) {
    return absl::ErrnoToStatus(errno, "netlink monitor O_NONBLOCK");
  }
  return std::unique_ptr<Monitor>(new Monitor(std::make_unique<NetlinkSocket>(std::move(socket))));
}

int Monitor::fd() const { return socket_->fd(); }

absl::StatusOr<std::vector<MonitorEvent>> Monitor::Read() {
  std::vector<MonitorEvent> events;
  while (true) {
    const ssize_t n = recv(fd(), buffer_.data(), buffer_.size(), 0);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) return events;
      if (errno != ENOBUFS) return absl::ErrnoToStatus(errno, "netlink monitor");
      events.push_back(ResyncEvent{});
      continue;
    }
    int left = static_cast<int>(n);
    for (auto* message = reinterpret_cast<const nlmsghdr*>(buffer_.data());
         mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
      Append(message, events);
    }
  }
}

}  // namespace ripstop::agent
