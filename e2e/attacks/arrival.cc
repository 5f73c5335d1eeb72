// SPDX-License-Identifier: Apache-2.0
#include "e2e/attacks/arrival.h"

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "agent/base/netns.h"
#include "agent/base/testing/probe.h"
#include "policy/status_macros.h"

namespace ripstop::attacks {
namespace {

// A socket made inside the namespace of `target`.
absl::StatusOr<std::shared_ptr<UniqueFd>> SocketIn(const Ground& ground, const std::string& target,
                                                   int domain, int type, int protocol,
                                                   const std::function<absl::Status(int)>& set_up) {
  auto made = std::make_shared<UniqueFd>();
  ASSIGN_OR_RETURN(const UniqueFd netns, agent::OpenNetns(ground.NetnsPath(target)));
  RETURN_IF_ERROR(agent::RunInNetns(netns.get(), [&]() -> absl::Status {
    made->reset(socket(domain, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol));
    if (!made->ok()) return absl::ErrnoToStatus(errno, absl::StrCat("socket in ", target));
    const int room = 16 << 20;
    setsockopt(made->get(), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
    return set_up(made->get());
  }));
  return made;
}

Arrived Received(std::shared_ptr<UniqueFd> socket, Bytes marker) {
  return [socket = std::move(socket), marker = std::move(marker), seen = false]() mutable {
    uint8_t data[65536];
    for (;;) {
      sockaddr_storage from{};
      socklen_t length = sizeof(from);
      const ssize_t size = recvfrom(socket->get(), data, sizeof(data), 0,
                                    reinterpret_cast<sockaddr*>(&from), &length);
      if (size < 0) return seen;
      if (from.ss_family == AF_PACKET &&
          reinterpret_cast<const sockaddr_ll*>(&from)->sll_pkttype == PACKET_OUTGOING) {
        continue;
      }
      seen = seen || std::search(data, data + size, marker.begin(), marker.end()) != data + size;
    }
  };
}

}  // namespace

absl::StatusOr<Arrived> Captured(const Ground& ground, const std::string& target,
                                 const Bytes& marker, const std::string& link) {
  ASSIGN_OR_RETURN(auto socket, SocketIn(ground, target, AF_PACKET, SOCK_RAW, 0, [&](int fd) {
                     sockaddr_ll at{};
                     at.sll_family = AF_PACKET;
                     at.sll_protocol = htons(ETH_P_ALL);
                     at.sll_ifindex = static_cast<int>(if_nametoindex(link.c_str()));
                     return bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof(at)) == 0
                                ? absl::OkStatus()
                                : absl::ErrnoToStatus(
                                      errno, absl::StrCat("capture at ", link, " of ", target));
                   }));
  return Received(std::move(socket), marker);
}

absl::StatusOr<Arrived> Delivered(const Ground& ground, const std::string& target,
                                  const std::string& address, uint16_t port, const Bytes& marker) {
  socklen_t length = 0;
  const sockaddr_storage local =
      agent::ProbeAddress(address.empty() ? "::" : address, port, &length);
  ASSIGN_OR_RETURN(
      auto socket,
      SocketIn(ground, target, local.ss_family, SOCK_DGRAM, 0, [&](int fd) -> absl::Status {
        const int off = 0, on = 1;
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        if (bind(fd, reinterpret_cast<const sockaddr*>(&local), length) != 0) {
          return absl::ErrnoToStatus(errno, absl::StrCat("listen on ", address, " port ", port));
        }
        return absl::OkStatus();
      }));
  return Received(std::move(socket), marker);
}

absl::StatusOr<Arrived> DeliveredRaw(const Ground& ground, const std::string& target, int family,
                                     int protocol, const Bytes& marker) {
  ASSIGN_OR_RETURN(auto socket, SocketIn(ground, target, family == 4 ? AF_INET : AF_INET6, SOCK_RAW,
                                         protocol, [](int) { return absl::OkStatus(); }));
  return Received(std::move(socket), marker);
}

Arrived Printed(Ground& ground, const std::string& target, const std::string& command,
                const std::string& text) {
  return [&ground, target, command, text] {
    const auto printed = ground.Read(target, command);
    return printed.ok() && absl::StrContains(*printed, text);
  };
}

}  // namespace ripstop::attacks
