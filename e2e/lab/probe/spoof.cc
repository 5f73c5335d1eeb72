// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/udp.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <iostream>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "e2e/lab/probe/probe.h"
#include "policy/status_macros.h"

namespace ripstop::lab {
namespace {

// RFC 1071, over any number of bytes.
uint32_t SumOf(const void* data, size_t size, uint32_t sum) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  for (size_t i = 0; i < size; ++i) sum += i % 2 == 0 ? bytes[i] << 8 : bytes[i];
  return sum;
}

uint16_t Checksum(uint32_t sum) {
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  const uint16_t result = ~sum;
  return htons(result == 0 ? 0xffff : result);
}

const void* AddressBytes(const sockaddr_storage& address) {
  return address.ss_family == AF_INET
             ? static_cast<const void*>(&reinterpret_cast<const sockaddr_in*>(&address)->sin_addr)
             : &reinterpret_cast<const sockaddr_in6*>(&address)->sin6_addr;
}

}  // namespace

absl::Status Spoof(const SpoofOptions& options) {
  socklen_t length = 0;
  ASSIGN_OR_RETURN(sockaddr_storage from,
                   SocketAddress(options.source, options.source_port, &length));
  ASSIGN_OR_RETURN(sockaddr_storage to, SocketAddress(options.destination, 0, &length));
  if (from.ss_family != to.ss_family) {
    return absl::InvalidArgumentError("source and destination are of different families");
  }
  const bool v4 = to.ss_family == AF_INET;
  udphdr udp{};
  udp.source = htons(options.source_port);
  udp.dest = htons(options.port);
  udp.len = htons(sizeof(udp) + options.payload.size());
  const size_t address_size = v4 ? 4 : 16;
  uint32_t sum = IPPROTO_UDP + sizeof(udp) + options.payload.size();
  sum = SumOf(AddressBytes(from), address_size, sum);
  sum = SumOf(AddressBytes(to), address_size, sum);
  sum = SumOf(&udp, sizeof(udp), sum);
  sum = SumOf(options.payload.data(), options.payload.size(), sum);
  udp.check = Checksum(sum);

  std::string packet;
  if (v4) {
    iphdr ip{};
    ip.version = 4;
    ip.ihl = 5;
    ip.ttl = 64;
    ip.protocol = IPPROTO_UDP;  // length, id and checksum: the kernel's, see raw(7)
    std::memcpy(&ip.saddr, AddressBytes(from), 4);
    std::memcpy(&ip.daddr, AddressBytes(to), 4);
    packet.assign(reinterpret_cast<char*>(&ip), sizeof(ip));
  } else {
    ip6_hdr ip{};
    ip.ip6_vfc = 6 << 4;
    ip.ip6_plen = udp.len;
    ip.ip6_nxt = IPPROTO_UDP;
    ip.ip6_hlim = 64;
    std::memcpy(&ip.ip6_src, AddressBytes(from), 16);
    std::memcpy(&ip.ip6_dst, AddressBytes(to), 16);
    packet.assign(reinterpret_cast<char*>(&ip), sizeof(ip));
  }
  packet.append(reinterpret_cast<char*>(&udp), sizeof(udp));
  packet += options.payload;
  const int fd = socket(to.ss_family, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
  if (fd < 0) return absl::ErrnoToStatus(errno, "raw socket");
  absl::Status status;
  for (int i = 0; i < options.count && status.ok(); ++i) {
    if (sendto(fd, packet.data(), packet.size(), 0, reinterpret_cast<sockaddr*>(&to), length) < 0) {
      status = absl::ErrnoToStatus(errno, absl::StrCat("send to ", options.destination));
    }
  }
  close(fd);
  return status;
}

absl::Status Receive(uint16_t port, int count, absl::Duration duration) {
  const int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const int off = 0;
  setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
  sockaddr_in6 own{};
  own.sin6_family = AF_INET6;
  own.sin6_port = htons(port);
  if (fd < 0 || bind(fd, reinterpret_cast<sockaddr*>(&own), sizeof(own)) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("listen on UDP port ", port));
  }
  std::cout << "{\"event\":\"listening\"}" << std::endl;
  const absl::Time end = absl::Now() + duration;
  for (int seen = 0; absl::Now() < end && (count == 0 || seen < count);) {
    pollfd polled{fd, POLLIN, 0};
    const int64_t left = absl::ToInt64Milliseconds(end - absl::Now());
    if (poll(&polled, 1, static_cast<int>(left) + 1) <= 0) continue;
    char buffer[65536], text[INET6_ADDRSTRLEN];
    sockaddr_in6 peer;
    socklen_t length = sizeof(peer);
    const ssize_t n =
        recvfrom(fd, buffer, sizeof(buffer), 0, reinterpret_cast<sockaddr*>(&peer), &length);
    if (n < 0) continue;
    ++seen;
    inet_ntop(AF_INET6, &peer.sin6_addr, text, sizeof(text));
    std::string from = text;
    if (IN6_IS_ADDR_V4MAPPED(&peer.sin6_addr)) from = from.substr(from.rfind(':') + 1);
    std::cout << nlohmann::json{{"from", from},
                                {"fromPort", ntohs(peer.sin6_port)},
                                {"payload", std::string(buffer, n)}}
                     .dump()
              << std::endl;
  }
  close(fd);
  return absl::OkStatus();
}

}  // namespace ripstop::lab
