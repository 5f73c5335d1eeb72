// SPDX-License-Identifier: Apache-2.0
#include "bpf/loader/frame.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

namespace ripstop::loader {
namespace {

constexpr size_t kEthernet = 14;

void Put16(std::vector<uint8_t>& out, uint16_t value) {
  out.push_back(value >> 8);
  out.push_back(value & 0xff);
}

void Put32(std::vector<uint8_t>& out, uint32_t value) {
  Put16(out, static_cast<uint16_t>(value >> 16));
  Put16(out, static_cast<uint16_t>(value));
}

bool IsEcho(const policy::Packet& p) {
  if (p.protocol == policy::kProtocolIcmp && p.source.is_v4()) {
    return p.icmp_type == 8 || p.icmp_type == 0;
  }
  if (p.protocol == policy::kProtocolIcmpV6 && !p.source.is_v4()) {
    return p.icmp_type == 128 || p.icmp_type == 129;
  }
  return false;
}

std::vector<uint8_t> Transport(const FrameSpec& spec) {
  const policy::Packet& p = spec.packet;
  std::vector<uint8_t> out;
  if (!spec.raw_transport.empty()) return spec.raw_transport;
  switch (p.protocol) {
    case policy::kProtocolTcp:
      Put16(out, p.source_port);
      Put16(out, p.destination_port);
      Put32(out, spec.tcp_sequence);
      Put32(out, spec.tcp_acknowledged);
      out.push_back(5 << 4);
      out.push_back(spec.tcp_flags);
      out.resize(20);
      break;
    case policy::kProtocolUdp:
    case policy::kProtocolUdpLite:
      Put16(out, p.source_port);
      Put16(out, p.destination_port);
      Put16(out, 8 + spec.payload.size());
      Put16(out, 0);
      break;
    case policy::kProtocolSctp:
      Put16(out, p.source_port);
      Put16(out, p.destination_port);
      Put32(out, spec.sctp_tag);
      Put32(out, 0);
      out.insert(out.end(), {spec.sctp_chunk, 0, 0, 4});
      break;
    case policy::kProtocolIcmp:
    case policy::kProtocolIcmpV6:
      out = {p.icmp_type, p.icmp_code, 0, 0};
      Put16(out, IsEcho(p) ? spec.icmp_id : 0);
      Put16(out, 0);
      break;
    default: break;
  }
  return out;
}

void AppendIpv4(const FrameSpec& spec, const std::vector<uint8_t>& body, Frame& out) {
  std::vector<uint8_t> options = spec.ipv4_options;
  options.resize((options.size() + 3) / 4 * 4);
  const size_t start = out.size();
  const size_t header = 20 + options.size();
  out.push_back(0x40 | (header / 4));
  out.push_back(0);
  Put16(out, header + body.size());
  Put16(out, spec.fragmented ? spec.fragment_id : 0);
  Put16(out, spec.fragmented ? (spec.more_fragments ? 0x2000 : 0) | (spec.fragment_offset / 8) : 0);
  out.push_back(spec.ttl);
  out.push_back(spec.packet.protocol);
  Put16(out, 0);
  const auto& source = spec.packet.source.bytes;
  const auto& destination = spec.packet.destination.bytes;
  out.insert(out.end(), source.begin() + 12, source.end());
  out.insert(out.end(), destination.begin() + 12, destination.end());
  out.insert(out.end(), options.begin(), options.end());
  const uint16_t checksum = Ipv4HeaderChecksum(out);
  out[start + 10] = checksum >> 8;
  out[start + 11] = checksum & 0xff;
}

void AppendIpv6(const FrameSpec& spec, const std::vector<uint8_t>& body, Frame& out) {
  std::vector<std::pair<uint8_t, std::vector<uint8_t>>> chain;
  for (const auto& extension : spec.extensions) chain.emplace_back(extension.type, extension.body);
  if (spec.fragmented) {
    std::vector<uint8_t> fragment = {0};
    Put16(fragment, spec.fragment_offset | (spec.more_fragments ? 1 : 0));
    Put16(fragment, spec.fragment_id >> 16);
    Put16(fragment, spec.fragment_id);
    chain.emplace_back(44, fragment);
  }
  size_t length = body.size();
  for (const auto& [type, bytes] : chain) length += 1 + bytes.size();
  out.insert(out.end(), {0x60, 0, 0, 0});
  Put16(out, length);
  out.push_back(chain.empty() ? spec.packet.protocol : chain[0].first);
  out.push_back(spec.ttl);
  out.insert(out.end(), spec.packet.source.bytes.begin(), spec.packet.source.bytes.end());
  out.insert(out.end(), spec.packet.destination.bytes.begin(), spec.packet.destination.bytes.end());
  for (size_t i = 0; i < chain.size(); ++i) {
    out.push_back(i + 1 < chain.size() ? chain[i + 1].first : spec.packet.protocol);
    out.insert(out.end(), chain[i].second.begin(), chain[i].second.end());
  }
}

}  // namespace

Frame MakeFrame(const FrameSpec& spec) {
  std::vector<uint8_t> body;
  if (spec.fragment_offset == 0) body = Transport(spec);
  body.insert(body.end(), spec.payload.begin(), spec.payload.end());
  const bool v4 = spec.packet.source.is_v4();
  Frame out(12, 0);
  Put16(out, v4 ? 0x0800 : 0x86dd);
  if (v4) {
    AppendIpv4(spec, body, out);
  } else {
    AppendIpv6(spec, body, out);
  }
  out.insert(out.end(), body.begin(), body.end());
  return out;
}

flow_key FlowKeyOf(const FrameSpec& spec) {
  const policy::Packet& p = spec.packet;
  uint16_t source_port = 0, destination_port = 0;
  if (policy::HasPorts(p.protocol)) {
    source_port = htons(p.source_port);
    destination_port = htons(p.destination_port);
  } else if (IsEcho(p)) {
    source_port = destination_port = htons(spec.icmp_id);
  }
  // The order of bpf/lib/flow.h: halves as this machine loads them, then ports.
  uint64_t a[2], b[2];
  std::memcpy(a, p.source.bytes.data(), 16);
  std::memcpy(b, p.destination.bytes.data(), 16);
  bool source_high = source_port > destination_port;
  if (a[0] != b[0]) {
    source_high = a[0] > b[0];
  } else if (a[1] != b[1]) {
    source_high = a[1] > b[1];
  }
  const int source = source_high ? FLOW_HIGH : FLOW_LOW;
  flow_key key = {};
  key.protocol = p.protocol;
  std::memcpy(&key.address[source], p.source.bytes.data(), 16);
  std::memcpy(&key.address[1 - source], p.destination.bytes.data(), 16);
  key.port[source] = source_port;
  key.port[1 - source] = destination_port;
  return key;
}

uint16_t Ipv4HeaderChecksum(const Frame& frame) {
  const size_t header = (frame[kEthernet] & 0xf) * 4u;
  uint32_t sum = 0;
  for (size_t i = 0; i + 1 < header && kEthernet + i + 1 < frame.size(); i += 2) {
    sum += frame[kEthernet + i] << 8 | frame[kEthernet + i + 1];
  }
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return ~sum & 0xffff;
}

}  // namespace ripstop::loader
