// SPDX-License-Identifier: Apache-2.0
//
// What a packet is, by the RFCs and docs/drop-reasons.md: the slow, obvious counterpart of
// bpf/lib/parse.h, and no copy of it. One function for each header, each of which looks at bytes
// that it has made sure are there.
#ifndef RIPSTOP_BPF_LOADER_FUZZ_REFERENCE_PARSER_H_
#define RIPSTOP_BPF_LOADER_FUZZ_REFERENCE_PARSER_H_

#include <cstdint>
#include <optional>

#include "bpf/abi/drops.h"
#include "bpf/loader/frame.h"
#include "policy/address.h"

namespace ripstop::loader::fuzz {

// Of a datagram that was divided, or not.
enum class Piece { kWhole, kFirst, kLater };

struct ParsedPacket {
  int family = 0;
  policy::Address source, destination;
  uint8_t protocol = 0;
  uint16_t source_port = 0;  // of an ICMP echo the identifier, in both
  uint16_t destination_port = 0;
  uint8_t icmp_type = 0;
  uint8_t icmp_code = 0;
  Piece piece = Piece::kWhole;
  uint32_t fragment_id = 0;
  uint8_t tcp_flags = 0;
  uint32_t sequence = 0;
  uint32_t acknowledged = 0;
  uint8_t sctp_chunk = 0;  // type of the first
  uint32_t sctp_tag = 0;
  uint8_t ttl = 0;
  size_t ip_length = 0;  // as its header says: 0 of BIG TCP
  size_t l4_offset = 0;  // in the frame
  size_t l4_header = 0;  // bytes; 0 where there is none, or it is unknown

  bool has_ports() const;
  bool is_icmp_number() const;  // ICMP or ICMPv6, in whichever family
  bool is_icmp() const;         // of its own family, and with its header
  bool is_echo_request() const;
  bool is_echo() const;
  bool is_icmp_error() const;
  bool is_neighbor_discovery() const;
  bool is_listener_report() const;  // MLD, within its link
};

struct ParseResult {
  drop_reason reason = DROP_NONE;
  ParsedPacket packet;  // if there is no reason
};

// `gso_size`: bytes of payload in each segment; 0: it is none of several segments in one.
ParseResult ParseFrame(const Frame& frame, uint32_t gso_size);

// The packet that the ICMP error `p` of `frame` quotes: ends, ports, protocol. nullopt: none that
// could be of a flow. It may run on behind what the IP header says, where the frame does.
std::optional<ParsedPacket> ParseQuote(const Frame& frame, const ParsedPacket& p);

// Whether either end of what the frame shows as IPv4, however malformed, is in 127.0.0.0/8.
bool NamesLoopback(const Frame& frame);

// To write down what was parsed.
std::string Describe(const ParsedPacket& packet);

}  // namespace ripstop::loader::fuzz

#endif  // RIPSTOP_BPF_LOADER_FUZZ_REFERENCE_PARSER_H_
