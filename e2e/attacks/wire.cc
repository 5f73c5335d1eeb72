// SPDX-License-Identifier: Apache-2.0
#include "e2e/attacks/wire.h"

#include <unistd.h>

#include <atomic>

#include "absl/strings/str_format.h"
#include "agent/base/netns.h"
#include "policy/status_macros.h"

namespace ripstop::attacks {
namespace {

// Puts the checksum over pseudo-header and body at `offset`.
void PutChecksum(const Address& from, const Address& to, uint8_t protocol, size_t offset,
                 Bytes& body) {
  const size_t skipped = from.is_v4() ? 12 : 0;
  Bytes pseudo(from.bytes.begin() + skipped, from.bytes.end());
  pseudo.insert(pseudo.end(), to.bytes.begin() + skipped, to.bytes.end());
  pseudo.insert(pseudo.end(), {0, protocol, uint8_t(body.size() >> 8), uint8_t(body.size())});
  Append(pseudo, body);
  uint16_t sum = agent::testing::OnesSum(pseudo);
  if (sum == 0 && protocol == kUdp) sum = 0xffff;
  body[offset] = sum >> 8;
  body[offset + 1] = sum & 0xff;
}

void Append32(Bytes& out, uint32_t value) {
  Append16(out, value >> 16);
  Append16(out, value & 0xffff);
}

absl::StatusOr<UniqueFd> Netns(const Ground& ground, const std::string& target) {
  return agent::OpenNetns(ground.NetnsPath(target));
}

}  // namespace

Bytes Marker() {
  static std::atomic<uint32_t> count{0};
  const std::string text = absl::StrFormat("rs%07x%07x", getpid(), ++count);
  return Bytes(text.begin(), text.end());
}

Bytes UdpBody(const Address& from, const Address& to, uint16_t from_port, uint16_t port,
              const Bytes& payload) {
  Bytes out;
  Append16(out, from_port);
  Append16(out, port);
  Append16(out, 8 + payload.size());
  Append16(out, 0);
  Append(out, payload);
  PutChecksum(from, to, kUdp, 6, out);
  return out;
}

Bytes TcpBody(const Address& from, const Address& to, uint16_t from_port, uint16_t port,
              uint8_t flags, uint32_t sequence, uint32_t acknowledged, const Bytes& payload) {
  Bytes out;
  Append16(out, from_port);
  Append16(out, port);
  Append32(out, sequence);
  Append32(out, acknowledged);
  out.insert(out.end(), {5 << 4, flags, 0x20, 0, 0, 0, 0, 0});
  Append(out, payload);
  PutChecksum(from, to, kTcp, 16, out);
  return out;
}

Bytes IcmpBody(const Address& from, const Address& to, uint8_t type, uint8_t code,
               const Bytes& rest) {
  Bytes out = {type, code, 0, 0};
  Append(out, rest);
  if (!from.is_v4()) {
    PutChecksum(from, to, policy::kProtocolIcmpV6, 2, out);
    return out;
  }
  const uint16_t sum = agent::testing::OnesSum(out);
  out[2] = sum >> 8;
  out[3] = sum & 0xff;
  return out;
}

Bytes Udp(const Address& from, const Address& to, uint16_t from_port, uint16_t port,
          const Bytes& payload) {
  return Ip(from, to, kUdp, UdpBody(from, to, from_port, port, payload));
}

Bytes Tcp(const Address& from, const Address& to, uint16_t from_port, uint16_t port, uint8_t flags,
          uint32_t sequence, uint32_t acknowledged, const Bytes& payload) {
  return Ip(from, to, kTcp,
            TcpBody(from, to, from_port, port, flags, sequence, acknowledged, payload));
}

Bytes Icmp(const Address& from, const Address& to, uint8_t type, uint8_t code, const Bytes& rest) {
  Bytes out = Ip(from, to, from.is_v4() ? policy::kProtocolIcmp : policy::kProtocolIcmpV6,
                 IcmpBody(from, to, type, code, rest));
  if (!from.is_v4()) out[7] = 255;
  return out;
}

Bytes Fragment(const Address& from, const Address& to, uint8_t protocol, uint32_t id,
               uint16_t offset, bool more, const Bytes& body) {
  if (!from.is_v4()) {
    Bytes header = {protocol, 0};
    Append16(header, offset | (more ? 1 : 0));
    Append32(header, id);
    Append(header, body);
    return Ip(from, to, kFragmentHeader, header);
  }
  Bytes out = Ip(from, to, protocol, body, (more ? 0x2000 : 0) | offset / 8);
  out[4] = id >> 8;
  out[5] = id & 0xff;
  out[10] = out[11] = 0;
  const uint16_t sum = agent::testing::OnesSum(Bytes(out.begin(), out.begin() + 20));
  out[10] = sum >> 8;
  out[11] = sum & 0xff;
  return out;
}

Bytes Ethernet(const Mac& to, const Mac& from, uint16_t type, const Bytes& body) {
  Bytes out(to.begin(), to.end());
  out.insert(out.end(), from.begin(), from.end());
  Append16(out, type);
  Append(out, body);
  return out;
}

Bytes Vxlan(uint32_t vni, const Mac& to, const Bytes& inner) {
  Bytes out = {8, 0, 0, 0, uint8_t(vni >> 16), uint8_t(vni >> 8), uint8_t(vni), 0};
  Append(out, Ethernet(to, {2, 0, 0, 0, 0, 0x66}, inner[0] >> 4 == 4 ? 0x0800 : 0x86dd, inner));
  return out;
}

absl::Status SendPackets(const Ground& ground, const std::string& target, const std::string& link,
                         const Mac& to, const std::vector<Bytes>& packets) {
  ASSIGN_OR_RETURN(const UniqueFd netns, Netns(ground, target));
  return agent::testing::SendFrames(netns.get(), link, to, packets);
}

absl::Status SendFrame(const Ground& ground, const std::string& target, const std::string& link,
                       const Bytes& frame) {
  ASSIGN_OR_RETURN(const UniqueFd netns, Netns(ground, target));
  return agent::testing::SendFrame(netns.get(), link, frame);
}

}  // namespace ripstop::attacks
