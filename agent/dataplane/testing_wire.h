// SPDX-License-Identifier: Apache-2.0
//
// Datagrams as an attacker builds them: the VXLAN of somebody else, in whatever wrapping.
#ifndef RIPSTOP_AGENT_DATAPLANE_TESTING_WIRE_H_
#define RIPSTOP_AGENT_DATAPLANE_TESTING_WIRE_H_

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "agent/base/netns.h"
#include "agent/base/testing/probe.h"
#include "bpf/loader/frame.h"
#include "policy/base/unique_fd.h"

namespace ripstop::agent::testing {

using Bytes = std::vector<uint8_t>;

inline void Append(Bytes& to, const Bytes& more) { to.insert(to.end(), more.begin(), more.end()); }
inline void Append16(Bytes& to, uint16_t value) {
  to.push_back(static_cast<uint8_t>(value >> 8));
  to.push_back(static_cast<uint8_t>(value));
}

// Eight bytes of VXLAN header (RFC 7348 section 5), then a frame.
inline Bytes Vxlan(uint32_t vni, const std::array<uint8_t, 6>& to,
                   const std::array<uint8_t, 6>& from, const loader::FrameSpec& inner) {
  Bytes out = {8, 0, 0, 0, uint8_t(vni >> 16), uint8_t(vni >> 8), uint8_t(vni), 0};
  loader::Frame frame = loader::MakeFrame(inner);
  std::copy(to.begin(), to.end(), frame.begin());
  std::copy(from.begin(), from.end(), frame.begin() + 6);
  Append(out, frame);
  return out;
}

inline uint16_t OnesSum(const Bytes& data) {
  uint32_t sum = 0;
  for (size_t i = 0; i < data.size(); i += 2) {
    sum += data[i] << 8 | (i + 1 < data.size() ? data[i + 1] : 0);
  }
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

// UDP header and `payload`. `length`: what the header says; negative: what is true.
inline Bytes UdpDatagram(const policy::Address& from, const policy::Address& to, uint16_t port,
                         const Bytes& payload, int length = -1) {
  Bytes udp;
  Append16(udp, 40000);
  Append16(udp, port);
  Append16(udp, length < 0 ? 8 + payload.size() : length);
  Append16(udp, 0);
  Append(udp, payload);
  if (from.is_v4()) return udp;  // no checksum needed
  Bytes pseudo(from.bytes.begin(), from.bytes.end());
  pseudo.insert(pseudo.end(), to.bytes.begin(), to.bytes.end());
  pseudo.insert(pseudo.end(), {0, 0, uint8_t(udp.size() >> 8), uint8_t(udp.size()), 0, 0, 0, 17});
  Append(pseudo, udp);
  const uint16_t sum = OnesSum(pseudo);
  udp[6] = sum >> 8;
  udp[7] = sum & 0xff;
  return udp;
}

// An IP packet around `body`. IPv6: `next` begins the chain of headers that `body` has.
inline Bytes Ip(const policy::Address& from, const policy::Address& to, uint8_t next,
                const Bytes& body, uint16_t v4_fragment = 0) {
  Bytes out;
  if (from.is_v4()) {
    out = {0x45, 0};
    Append16(out, 20 + body.size());
    Append16(out, 0x5157);
    Append16(out, v4_fragment);
    out.insert(out.end(), {64, next, 0, 0});
    out.insert(out.end(), from.bytes.begin() + 12, from.bytes.end());
    out.insert(out.end(), to.bytes.begin() + 12, to.bytes.end());
    const uint16_t sum = OnesSum(out);
    out[10] = sum >> 8;
    out[11] = sum & 0xff;
  } else {
    out = {0x60, 0, 0, 0};
    Append16(out, body.size());
    out.insert(out.end(), {next, 64});
    out.insert(out.end(), from.bytes.begin(), from.bytes.end());
    out.insert(out.end(), to.bytes.begin(), to.bytes.end());
  }
  Append(out, body);
  return out;
}

// Both fragments of a UDP datagram, the first with no more than its eight bytes of header.
inline std::pair<Bytes, Bytes> Fragments(const policy::Address& from, const policy::Address& to,
                                         const Bytes& udp) {
  const Bytes head(udp.begin(), udp.begin() + 8), tail(udp.begin() + 8, udp.end());
  if (from.is_v4()) return {Ip(from, to, 17, head, 0x2000), Ip(from, to, 17, tail, 1)};
  Bytes first = {17, 0, 0, 1, 1, 2, 3, 4}, later = {17, 0, 0, 8, 1, 2, 3, 4};
  Append(first, head);
  Append(later, tail);
  return {Ip(from, to, 44, first), Ip(from, to, 44, later)};
}

// Sends whole IP packets at an interface of a namespace, to a MAC.
inline absl::Status SendFrames(int netns, const std::string& interface,
                               const std::array<uint8_t, 6>& mac,
                               const std::vector<Bytes>& packets) {
  return RunInNetns(netns, [&]() -> absl::Status {
    const UniqueFd fd(socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!fd.ok()) return absl::ErrnoToStatus(errno, "packet socket");
    for (const Bytes& packet : packets) {
      sockaddr_ll to = {};
      to.sll_family = AF_PACKET;
      to.sll_protocol = htons((packet[0] >> 4) == 4 ? 0x0800 : 0x86dd);
      to.sll_ifindex = static_cast<int>(if_nametoindex(interface.c_str()));
      to.sll_halen = 6;
      std::copy(mac.begin(), mac.end(), to.sll_addr);
      if (sendto(fd.get(), packet.data(), packet.size(), 0, reinterpret_cast<sockaddr*>(&to),
                 sizeof(to)) != static_cast<ssize_t>(packet.size())) {
        return absl::ErrnoToStatus(errno, absl::StrCat("send at ", interface));
      }
    }
    return absl::OkStatus();
  });
}

// Sends a whole frame, headers and all.
inline absl::Status SendFrame(int netns, const std::string& interface, const Bytes& frame) {
  return RunInNetns(netns, [&]() -> absl::Status {
    const UniqueFd fd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
    if (!fd.ok()) return absl::ErrnoToStatus(errno, "packet socket");
    sockaddr_ll to = {};
    to.sll_family = AF_PACKET;
    to.sll_ifindex = static_cast<int>(if_nametoindex(interface.c_str()));
    if (sendto(fd.get(), frame.data(), frame.size(), 0, reinterpret_cast<sockaddr*>(&to),
               sizeof(to)) != static_cast<ssize_t>(frame.size())) {
      return absl::ErrnoToStatus(errno, absl::StrCat("send at ", interface));
    }
    return absl::OkStatus();
  });
}

// A device of IP packets without Ethernet, in the namespace; what is written arrives there.
inline absl::Status MakeTun(int netns, const std::string& name, UniqueFd* ret_fd) {
  return RunInNetns(netns, [&]() -> absl::Status {
    ret_fd->reset(open("/dev/net/tun", O_RDWR | O_CLOEXEC));
    ifreq request = {};
    request.ifr_flags = IFF_TUN | IFF_NO_PI;
    std::strncpy(request.ifr_name, name.c_str(), IFNAMSIZ - 1);
    if (!ret_fd->ok() || ioctl(ret_fd->get(), TUNSETIFF, &request) != 0) {
      return absl::ErrnoToStatus(errno, absl::StrCat("tun device ", name));
    }
    return absl::OkStatus();
  });
}

// Sends a datagram as any process may. `interface`: for a link-local or group address.
inline absl::Status SendUdp(int netns, const std::string& from, const std::string& to,
                            uint16_t port, const Bytes& payload,
                            const std::string& interface = "") {
  UniqueFd fd;
  if (absl::Status made = ProbeSocket(netns, from, 0, &fd); !made.ok()) return made;
  const int on = 1;
  setsockopt(fd.get(), SOL_SOCKET, SO_BROADCAST, &on, sizeof(on));
  socklen_t length = 0;
  sockaddr_storage address = ProbeAddress(to, port, &length);
  if (!interface.empty()) {
    setsockopt(fd.get(), SOL_SOCKET, SO_BINDTODEVICE, interface.c_str(), interface.size());
  }
  if (sendto(fd.get(), payload.data(), payload.size(), 0, reinterpret_cast<sockaddr*>(&address),
             length) != static_cast<ssize_t>(payload.size())) {
    return absl::ErrnoToStatus(errno, absl::StrCat("send to ", to));
  }
  return absl::OkStatus();
}

}  // namespace ripstop::agent::testing

#endif  // RIPSTOP_AGENT_DATAPLANE_TESTING_WIRE_H_
