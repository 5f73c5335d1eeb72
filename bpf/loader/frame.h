// SPDX-License-Identifier: Apache-2.0
//
// Frames from readable descriptions, for BPF_PROG_TEST_RUN.
#ifndef RIPSTOP_BPF_LOADER_FRAME_H_
#define RIPSTOP_BPF_LOADER_FRAME_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "bpf/abi/flows.h"
#include "policy/model.h"

namespace ripstop::loader {

using Frame = std::vector<uint8_t>;

// An Ethernet frame with one IP packet. Everything beyond `packet` has the value that
// an honest first packet has; tests bend it.
struct FrameSpec {
  policy::Packet packet;  // family of the addresses decides the IP version
  uint8_t ttl = 64;
  uint8_t tcp_flags = 0x02;  // SYN
  uint32_t tcp_sequence = 0;
  uint32_t tcp_acknowledged = 0;
  uint8_t sctp_chunk = 1;  // INIT
  uint32_t sctp_tag = 0;
  uint16_t icmp_id = 1;  // in echo messages
  std::vector<uint8_t> payload = std::vector<uint8_t>(16, 'x');

  std::vector<uint8_t> ipv4_options;  // padded to words
  // IPv6 extension headers before the transport: type and body, whole bytes of the
  // header after its next-header field.
  struct Extension {
    uint8_t type = 0;
    std::vector<uint8_t> body;  // first byte: length in units, as on the wire
  };
  std::vector<Extension> extensions;

  bool fragmented = false;       // adds offset, id and M
  uint16_t fragment_offset = 0;  // bytes; a later fragment has no transport header
  bool more_fragments = false;
  uint32_t fragment_id = 7;

  std::vector<uint8_t> raw_transport;  // instead of a header made from `packet`
};

// Ethernet header (zero addresses: those of the loopback device), IP, transport.
Frame MakeFrame(const FrameSpec& spec);

// The key under which the programs keep the flow of this packet.
flow_key FlowKeyOf(const FrameSpec& spec);

// RFC 1071 over the IPv4 header of `frame`; 0 when it is right.
uint16_t Ipv4HeaderChecksum(const Frame& frame);

}  // namespace ripstop::loader

#endif  // RIPSTOP_BPF_LOADER_FRAME_H_
