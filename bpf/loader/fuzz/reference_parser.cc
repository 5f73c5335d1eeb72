// SPDX-License-Identifier: Apache-2.0
#include "bpf/loader/fuzz/reference_parser.h"

#include <algorithm>
#include <set>
#include <span>

#include "absl/strings/str_cat.h"

namespace ripstop::loader::fuzz {
namespace {

constexpr size_t kEthernet = 14;
constexpr uint8_t kIcmp = 1, kTcp = 6, kUdp = 17, kIcmpV6 = 58, kSctp = 132, kUdpLite = 136;
constexpr uint8_t kHopByHop = 0, kRouting = 43, kFragment = 44, kDestination = 60;
constexpr int kExtensionsMax = 8;
constexpr size_t kDatagramMax = 65535;

using Bytes = std::span<const uint8_t>;

uint32_t Number(Bytes bytes, size_t at, size_t size) {
  uint32_t value = 0;
  for (const uint8_t byte : bytes.subspan(at, size)) value = value << 8 | byte;
  return value;
}

policy::Address V4(Bytes bytes, size_t at) { return policy::Address::FromV4(Number(bytes, at, 4)); }

policy::Address V6(Bytes bytes, size_t at) {
  policy::Address address;
  std::copy_n(bytes.begin() + static_cast<ptrdiff_t>(at), 16, address.bytes.begin());
  return address;
}

// RFC 9293, 768, 3828, 792, 4443 and 9260; of SCTP with the header of one chunk.
size_t LeastHeader(uint8_t protocol) {
  switch (protocol) {
    case kTcp: return 20;
    case kSctp: return 12 + 4;
    case kUdp:
    case kUdpLite:
    case kIcmp:
    case kIcmpV6: return 8;
    default: return 0;
  }
}

// `l4`: all that the IP packet has behind its headers.
drop_reason ParseTransport(Bytes l4, ParsedPacket& p) {
  const size_t least = LeastHeader(p.protocol);
  if (least == 0) return DROP_NONE;
  if (l4.size() < least) return p.piece == Piece::kFirst ? DROP_FRAGMENT_OVERLAP : DROP_TRUNCATED;
  p.l4_header = least;
  if (p.is_icmp_number()) {
    p.icmp_type = l4[0];
    p.icmp_code = l4[1];
    if (p.is_echo()) p.source_port = p.destination_port = Number(l4, 4, 2);
    return DROP_NONE;
  }
  p.source_port = Number(l4, 0, 2);
  p.destination_port = Number(l4, 2, 2);
  if (p.protocol == kTcp) {
    p.sequence = Number(l4, 4, 4);
    p.acknowledged = Number(l4, 8, 4);
    p.l4_header = (l4[12] >> 4) * 4;
    p.tcp_flags = l4[13];
    if (p.l4_header < 20 || p.l4_header > l4.size()) return DROP_BAD_LENGTH;
  } else if (p.protocol == kUdp) {
    const size_t length = Number(l4, 4, 2);
    if (length < 8) return DROP_BAD_LENGTH;
    // The first fragment of a datagram says how long all of it is.
    if (length > l4.size() && p.piece == Piece::kWhole) return DROP_BAD_LENGTH;
  } else if (p.protocol == kSctp) {
    p.sctp_tag = Number(l4, 4, 4);
    p.sctp_chunk = l4[12];
  }
  return DROP_NONE;
}

// RFC 3128: with an offset within the TCP header it would overwrite that.
drop_reason CheckLaterFragment(const ParsedPacket& p, size_t offset, size_t bytes) {
  if (offset + bytes > kDatagramMax) return DROP_BAD_LENGTH;
  if (p.protocol == kTcp && offset < 20) return DROP_FRAGMENT_OVERLAP;
  return DROP_NONE;
}

// RFC 791 section 3.1, RFC 7126 section 4.3. `rest`: the options and all behind them.
drop_reason CheckOptions(Bytes rest, size_t options) {
  constexpr uint8_t kEnd = 0, kNop = 1, kLooseRoute = 131, kStrictRoute = 137;
  for (size_t at = 0; at < options;) {
    const uint8_t type = rest[at];
    if (type == kEnd) return DROP_NONE;
    if (type == kNop) {
      ++at;
      continue;
    }
    if (type == kLooseRoute || type == kStrictRoute) return DROP_SOURCE_ROUTE;
    if (at + 1 >= rest.size()) return DROP_TRUNCATED;
    if (at + 1 >= options) return DROP_BAD_IP_HEADER;
    const size_t length = rest[at + 1];
    if (length < 2 || at + length > options) return DROP_BAD_IP_HEADER;
    at += length;
  }
  return DROP_NONE;
}

// Only segments of TCP, whole, may come in a packet that says no length.
bool MayBeBig(const ParsedPacket& p) { return p.protocol == kTcp && p.piece == Piece::kWhole; }

drop_reason ParseV4(Bytes ip, bool gso, ParsedPacket& p) {
  if (ip.size() < 20) return DROP_TRUNCATED;
  if (ip[0] >> 4 != 4 || (ip[0] & 15) < 5) return DROP_BAD_IP_HEADER;
  const size_t header = (ip[0] & 15) * 4;
  p.ip_length = Number(ip, 2, 2);
  const bool big = p.ip_length == 0 && gso;
  const size_t total = big ? ip.size() : p.ip_length;
  if (total < header || total > ip.size()) return DROP_BAD_LENGTH;
  p.family = 4;
  p.ttl = ip[8];
  p.protocol = ip[9];
  p.source = V4(ip, 12);
  p.destination = V4(ip, 16);
  p.l4_offset = kEthernet + header;
  const uint32_t word = Number(ip, 6, 2);
  const bool more = (word & 0x2000) != 0;
  const size_t offset = (word & 0x1fff) * 8;
  if (offset > 0) {
    p.piece = Piece::kLater;
  } else if (more) {
    p.piece = Piece::kFirst;
  }
  if (p.piece != Piece::kWhole) p.fragment_id = Number(ip, 4, 2);
  if (const drop_reason reason = CheckOptions(ip.subspan(20), header - 20)) return reason;
  if (big && !MayBeBig(p)) return DROP_BAD_LENGTH;
  const Bytes l4 = ip.subspan(header, total - header);
  if (p.piece == Piece::kLater) return CheckLaterFragment(p, offset, l4.size());
  return ParseTransport(l4, p);
}

// RFC 8200 section 4, from the header of type `next` at the start of `rest`.
drop_reason ParseChain(Bytes rest, uint8_t next, ParsedPacket& p) {
  static const std::set<uint8_t> kExtensions = {kHopByHop, kRouting, kFragment, kDestination};
  for (int count = 0; kExtensions.contains(next); ++count) {
    if (count == kExtensionsMax) return DROP_EXTENSION_HEADERS;
    if (rest.size() < 8) return DROP_TRUNCATED;
    const uint8_t type = next;
    next = rest[0];
    const size_t length = type == kFragment ? 8 : (rest[1] + 1u) * 8;
    if (rest.size() < length) return DROP_TRUNCATED;
    if (type == kRouting && rest[2] == 0) return DROP_SOURCE_ROUTE;  // RFC 5095
    const Bytes header = rest.first(length);
    rest = rest.subspan(length);
    p.l4_offset += length;
    if (type != kFragment) continue;
    if (p.piece != Piece::kWhole) return DROP_EXTENSION_HEADERS;
    const size_t offset = Number(header, 2, 2) & 0xfff8;
    const bool more = (header[3] & 1) != 0;
    if (offset == 0 && !more) continue;  // an atomic fragment is a whole packet, RFC 6946
    p.piece = offset == 0 ? Piece::kFirst : Piece::kLater;
    p.fragment_id = Number(header, 4, 4);
    if (p.piece == Piece::kFirst) continue;
    p.protocol = next;
    return CheckLaterFragment(p, offset, rest.size());
  }
  p.protocol = next;
  return ParseTransport(rest, p);
}

drop_reason ParseV6(Bytes ip, bool gso, ParsedPacket& p) {
  if (ip.size() < 40) return DROP_TRUNCATED;
  if (ip[0] >> 4 != 6) return DROP_BAD_IP_HEADER;
  size_t payload = Number(ip, 4, 2);
  const bool big = payload == 0 && gso && ip.size() > 40;
  if (big) payload = ip.size() - 40;
  if (40 + payload > ip.size()) return DROP_BAD_LENGTH;
  p.family = 6;
  p.ttl = ip[7];
  p.source = V6(ip, 8);
  p.destination = V6(ip, 24);
  if (p.source.is_v4() || p.destination.is_v4()) return DROP_MAPPED_ADDRESS;
  p.ip_length = big ? 0 : 40 + payload;
  p.l4_offset = kEthernet + 40;
  const bool chain =
      ip[6] == kHopByHop || ip[6] == kRouting || ip[6] == kFragment || ip[6] == kDestination;
  if (big && !chain && ip[6] != kTcp) return DROP_BAD_LENGTH;
  const drop_reason reason = ParseChain(ip.subspan(40, payload), ip[6], p);
  if (reason != DROP_NONE) return reason;
  return big && !MayBeBig(p) ? DROP_BAD_LENGTH : DROP_NONE;
}

}  // namespace

bool ParsedPacket::has_ports() const {
  return protocol == kTcp || protocol == kUdp || protocol == kSctp || protocol == kUdpLite;
}
bool ParsedPacket::is_icmp_number() const { return protocol == kIcmp || protocol == kIcmpV6; }
bool ParsedPacket::is_icmp() const {
  return piece != Piece::kLater && protocol == (family == 4 ? kIcmp : kIcmpV6);
}
bool ParsedPacket::is_echo_request() const {
  return is_icmp() && icmp_type == (family == 4 ? 8 : 128);
}
bool ParsedPacket::is_echo() const {
  return is_echo_request() || (is_icmp() && icmp_type == (family == 4 ? 0 : 129));
}
bool ParsedPacket::is_icmp_error() const {
  static const std::set<uint8_t> kV4 = {3, 4, 11, 12}, kV6 = {1, 2, 3, 4};
  return is_icmp() && (family == 4 ? kV4 : kV6).contains(icmp_type);
}
bool ParsedPacket::is_neighbor_discovery() const {
  static const std::set<uint8_t> kV4 = {5, 9}, kV6 = {133, 134, 135, 136, 137};
  return is_icmp() && (family == 4 ? kV4 : kV6).contains(icmp_type);
}
bool ParsedPacket::is_listener_report() const {
  static const std::set<uint8_t> kMld = {130, 131, 132, 143};
  return family == 6 && is_icmp() && kMld.contains(icmp_type) && destination.bytes[0] == 0xff &&
         destination.bytes[1] == 0x02;
}

ParseResult ParseFrame(const Frame& frame, uint32_t gso_size) {
  ParseResult result;
  const Bytes all(frame);
  if (all.size() < kEthernet) return {DROP_TRUNCATED, {}};
  switch (Number(all, 12, 2)) {
    case 0x0800:
      result.reason = ParseV4(all.subspan(kEthernet), gso_size != 0, result.packet);
      break;
    case 0x86dd:
      result.reason = ParseV6(all.subspan(kEthernet), gso_size != 0, result.packet);
      break;
    case 0x0806: result.reason = DROP_ARP; break;
    default: result.reason = DROP_ETHERTYPE;
  }
  return result;
}

std::optional<ParsedPacket> ParseQuote(const Frame& frame, const ParsedPacket& p) {
  const Bytes quote = Bytes(frame).subspan(std::min(frame.size(), p.l4_offset + 8));
  ParsedPacket q;
  size_t header = 40;
  q.family = p.family;
  if (p.family == 4) {
    if (quote.size() < 20 || quote[0] >> 4 != 4 || (quote[0] & 15) < 5) return std::nullopt;
    if ((Number(quote, 6, 2) & 0x1fff) != 0) return std::nullopt;  // of a later fragment
    header = (quote[0] & 15) * 4;
    q.protocol = quote[9];
    q.source = V4(quote, 12);
    q.destination = V4(quote, 16);
  } else {
    if (quote.size() < 40 || quote[0] >> 4 != 6) return std::nullopt;
    q.protocol = quote[6];  // extension headers are not followed
    q.source = V6(quote, 8);
    q.destination = V6(quote, 24);
  }
  if (quote.size() < header + 8) return std::nullopt;
  const Bytes l4 = quote.subspan(header);
  if (q.has_ports()) {
    q.source_port = Number(l4, 0, 2);
    q.destination_port = Number(l4, 2, 2);
  } else if (q.is_icmp_number()) {
    q.icmp_type = l4[0];
    if (!q.is_echo()) return std::nullopt;
    q.source_port = q.destination_port = Number(l4, 4, 2);
  }
  return q;
}

bool NamesLoopback(const Frame& frame) {
  const Bytes all(frame);
  if (all.size() < kEthernet + 20 || Number(all, 12, 2) != 0x0800) return false;
  return all[kEthernet + 12] == 127 || all[kEthernet + 16] == 127;
}

std::string Describe(const ParsedPacket& p) {
  return absl::StrCat(
      "IPv", p.family, " ", p.source.ToString(), ":", p.source_port, " > ",
      p.destination.ToString(), ":", p.destination_port, " protocol ", p.protocol,
      p.piece == Piece::kFirst   ? " first fragment"
      : p.piece == Piece::kLater ? " later fragment"
                                 : "",
      p.piece == Piece::kWhole ? "" : absl::StrCat(" ", p.fragment_id),
      p.is_icmp_number() ? absl::StrCat(" type ", p.icmp_type) : "",
      p.protocol == kTcp ? absl::StrCat(" flags ", absl::Hex(p.tcp_flags), " seq ", p.sequence,
                                        " ack ", p.acknowledged)
                         : "",
      p.protocol == kSctp ? absl::StrCat(" chunk ", p.sctp_chunk, " tag ", p.sctp_tag) : "",
      " ttl ", p.ttl);
}

}  // namespace ripstop::loader::fuzz
