// SPDX-License-Identifier: Apache-2.0
#include "bpf/loader/fuzz/node_rules.h"

#include <algorithm>
#include <vector>

#include "bpf/loader/fuzz/scene.h"

namespace ripstop::loader::fuzz {
namespace {

constexpr size_t kEthernet = 14;

std::vector<policy::Cidr> Cidrs(std::initializer_list<const char*> texts) {
  std::vector<policy::Cidr> all;
  for (const char* text : texts) all.push_back(policy::Cidr::Parse(text).value());
  return all;
}

bool IsIn(const std::vector<policy::Cidr>& all, const policy::Address& address) {
  return std::any_of(all.begin(), all.end(),
                     [&](const policy::Cidr& c) { return c.Contains(address); });
}

bool IsNotGlobal(const policy::Address& v4) {
  static const auto kAll =
      Cidrs({"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
             "172.16.0.0/12", "192.168.0.0/16", "224.0.0.0/3"});
  return IsIn(kAll, v4);
}

// The IPv4 address in an IPv6 one, from that byte on.
policy::Address Embedded(const policy::Address& address, size_t at) {
  uint32_t v4 = 0;
  for (size_t i = 0; i < 4; ++i) v4 = v4 << 8 | address.bytes[at + i];
  return policy::Address::FromV4(v4);
}

}  // namespace

bool IsMartian(const policy::Address& address) {
  static const auto kAll = Cidrs(
      {"0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3", "::/128", "::1/128", "fe80::/10", "ff00::/8"});
  return IsIn(kAll, address);
}

bool IsUnroutable(const policy::Address& address) {
  static const auto kNobodys = Cidrs({"169.254.0.0/16", "fec0::/10", "100::/64", "::/96"});
  static const auto kKnownLinkLocal =
      Cidrs({"169.254.20.10/32", "169.254.25.10/32", "169.254.169.253/32", "169.254.169.123/32",
             "169.254.169.254/32", "169.254.170.2/32", "169.254.170.23/32"});
  static const auto kNat64 = Cidrs({"64:ff9b::/96"}), k6to4 = Cidrs({"2002::/16"});
  if (IsIn(kNat64, address)) return IsNotGlobal(Embedded(address, 12));
  if (IsIn(k6to4, address)) return IsNotGlobal(Embedded(address, 2));
  return IsIn(kNobodys, address) && !IsIn(kKnownLinkLocal, address);
}

bool IsToVxlanPort(const ParsedPacket& p) {
  return p.protocol == 17 && p.destination_port == kVxlanPort;
}

bool IsTunnelProtocol(uint8_t protocol) {
  return protocol == 4 || protocol == 41 || protocol == 47;
}

bool IsDhcp(const ParsedPacket& p, bool to_node) {
  if (p.protocol != 17) return false;
  const uint16_t from = p.source_port, to = p.destination_port;
  const bool server_to_client = (from == 67 && to == 68) || (from == 547 && to == 546);
  const bool any_port_of_it = to == 67 || to == 68 || to == 546 || to == 547;
  return server_to_client || (to_node && any_port_of_it);
}

bool HasBadTcpFlags(const ParsedPacket& p) {
  if (p.protocol != 6 || p.piece == Piece::kLater) return false;
  const bool fin = p.tcp_flags & 1, syn = p.tcp_flags & 2, rst = p.tcp_flags & 4,
             ack = p.tcp_flags & 16;
  return (!fin && !syn && !rst && !ack) || (syn && (fin || rst));
}

bool IsAnswerable(const ParsedPacket& p) {
  const bool plain = p.l4_offset == kEthernet + (p.family == 4 ? 20 : 40);
  const bool is_reset = p.protocol == 6 && (p.tcp_flags & 4) != 0;
  return plain && p.piece == Piece::kWhole && !p.is_icmp_error() && p.protocol != 132 && !is_reset;
}

Frame Forwarded(const Frame& frame, int family) {
  Frame out = frame;
  if (family == 6) {
    out[kEthernet + 7]--;
    return out;
  }
  // RFC 1624, equation 3: HC' = ~(~HC + ~m + m') in ones' complement.
  const auto word = [](const Frame& f, size_t at) -> uint32_t {
    return f[kEthernet + at] << 8 | f[kEthernet + at + 1];
  };
  out[kEthernet + 8]--;
  uint32_t sum = (~word(frame, 10) & 0xffff) + (~word(frame, 8) & 0xffff) + word(out, 8);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  const uint32_t checksum = ~sum & 0xffff;
  out[kEthernet + 10] = checksum >> 8;
  out[kEthernet + 11] = checksum & 0xff;
  return out;
}

}  // namespace ripstop::loader::fuzz
