// SPDX-License-Identifier: Apache-2.0
//
// Packets as attackers build them. All return a whole IP packet with right checksums unless
// they say otherwise.
#ifndef RIPSTOP_E2E_ATTACKS_WIRE_H_
#define RIPSTOP_E2E_ATTACKS_WIRE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "agent/dataplane/testing_wire.h"
#include "e2e/attacks/ground.h"

namespace ripstop::attacks {

using Bytes = std::vector<uint8_t>;
using agent::testing::Append;
using agent::testing::Append16;
using agent::testing::Ip;
using policy::Address;

inline constexpr Mac kBroadcastMac = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
inline constexpr uint8_t kTcp = 6, kUdp = 17, kFragmentHeader = 44;
inline constexpr uint8_t kFin = 1, kSyn = 2, kRst = 4, kAck = 16;

// Sixteen bytes that no other packet of this machine has.
Bytes Marker();

// A transport header with payload, without IP header.
Bytes UdpBody(const Address& from, const Address& to, uint16_t from_port, uint16_t port,
              const Bytes& payload);
Bytes TcpBody(const Address& from, const Address& to, uint16_t from_port, uint16_t port,
              uint8_t flags, uint32_t sequence, uint32_t acknowledged, const Bytes& payload);
// `rest`: what follows the checksum. ICMP or ICMPv6 as the addresses have it.
Bytes IcmpBody(const Address& from, const Address& to, uint8_t type, uint8_t code,
               const Bytes& rest);

Bytes Udp(const Address& from, const Address& to, uint16_t from_port, uint16_t port,
          const Bytes& payload);
Bytes Tcp(const Address& from, const Address& to, uint16_t from_port, uint16_t port, uint8_t flags,
          uint32_t sequence, uint32_t acknowledged, const Bytes& payload);
// With the hop limit that neighbour discovery asks for.
Bytes Icmp(const Address& from, const Address& to, uint8_t type, uint8_t code, const Bytes& rest);

// One fragment of a packet: `offset` in bytes, a multiple of eight.
Bytes Fragment(const Address& from, const Address& to, uint8_t protocol, uint32_t id,
               uint16_t offset, bool more, const Bytes& body);

// A frame with any addresses and EtherType.
Bytes Ethernet(const Mac& to, const Mac& from, uint16_t type, const Bytes& body);

// VXLAN (RFC 7348) as the payload of a UDP datagram.
Bytes Vxlan(uint32_t vni, const Mac& to, const Bytes& inner);

// From the namespace of `target`, at a link. Packets go to a MAC with the link's own as source.
absl::Status SendPackets(const Ground& ground, const std::string& target, const std::string& link,
                         const Mac& to, const std::vector<Bytes>& packets);
absl::Status SendFrame(const Ground& ground, const std::string& target, const std::string& link,
                       const Bytes& frame);

}  // namespace ripstop::attacks

#endif  // RIPSTOP_E2E_ATTACKS_WIRE_H_
