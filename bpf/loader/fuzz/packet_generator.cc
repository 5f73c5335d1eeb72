// SPDX-License-Identifier: Apache-2.0
//
// Conversations, and which program their packets meet. What is added to packets, and what is
// broken of them, is in packet_dress.cc.
#include "bpf/loader/fuzz/packet_generator.h"

#include <algorithm>
#include <utility>

namespace ripstop::loader::fuzz {
namespace {

constexpr size_t kConversations = 14;
constexpr uint8_t kFin = 1, kSyn = 2, kRst = 4, kPsh = 8, kAck = 16;

void Reverse(policy::Packet& p) {
  std::swap(p.source, p.destination);
  std::swap(p.source_port, p.destination_port);
}

}  // namespace

PacketEvent PacketGenerator::Next() {
  PacketEvent event;
  if (in_stack_.empty() || !Chance(60) || !OutOfStack(event)) event = NextSent();
  Count(ToString(event.program));
  return event;
}

PacketEvent PacketGenerator::NextSent() {
  if (conversations_.size() < kConversations) {
    conversations_.push_back(NewConversation());
  } else if (Chance(6)) {
    conversations_[Below(kConversations)] = NewConversation();
  }
  Conversation& c = conversations_[Below(static_cast<uint32_t>(conversations_.size()))];
  const int from = Chance(45) ? 1 : 0;
  FrameSpec spec = Chance(6) ? Odd() : Chance(8) ? Error(c, from) : SpecOf(c, from);
  Dress(spec);
  PacketEvent event;
  event.frame = MakeFrame(spec);
  Place(spec, event);
  Offload(event);
  if (Chance(12)) Break(event);
  return event;
}

policy::Address PacketGenerator::AnyAddress(bool v4) {
  const Places& places = PlacesOf(v4);
  const uint32_t kind = Below(100);
  if (kind < 45) return One(places.pods);
  if (kind < 62) return One(places.remote_pods);
  if (kind < 72) return places.host;
  if (kind < 78) return One(places.nodes);
  return kind < 92 ? One(places.strangers) : One(places.odd);
}

PacketGenerator::Conversation PacketGenerator::NewConversation() {
  static constexpr uint8_t kProtocols[] = {6, 6, 6, 6, 6, 17, 17, 17, 1, 1, 132, 132, 136};
  static constexpr uint8_t kOthers[] = {2, 4, 41, 47, 50, 51, 33, 255, 58, 1, 253};
  static constexpr uint16_t kPorts[] = {80, 81, 53, 443, kVxlanPort, 67, 68, 546, 547, 0, 65535};
  const bool v4 = Chance(55);
  Conversation c;
  policy::Packet& p = c.packet;
  p.source = Chance(75) ? One(PlacesOf(v4).pods) : AnyAddress(v4);
  do {
    p.destination = AnyAddress(v4);
  } while (p.destination == p.source && !Chance(5));
  if (Chance(30)) std::swap(p.source, p.destination);
  p.protocol =
      Chance(88) ? kProtocols[Below(std::size(kProtocols))] : kOthers[Below(std::size(kOthers))];
  if (p.protocol == 1 && !v4 && Chance(95)) p.protocol = 58;
  if (policy::HasPorts(p.protocol)) {
    p.source_port = Chance(85) ? 1024 + Below(40) : kPorts[Below(std::size(kPorts))];
    p.destination_port = kPorts[Below(Chance(70) ? 3 : std::size(kPorts))];
  }
  c.icmp_id = static_cast<uint16_t>(Below(4));
  c.echo = Chance(80);
  for (uint32_t& number : c.number) number = static_cast<uint32_t>(random_());
  return c;
}

FrameSpec PacketGenerator::SpecOf(Conversation& c, int from) {
  FrameSpec spec;
  spec.packet = c.packet;
  if (from == 1) Reverse(spec.packet);
  spec.payload.resize(Chance(80) ? Below(40) : Below(2600));
  switch (spec.packet.protocol) {
    case 6: Segment(c, from, spec); break;
    case 132: Chunk(c, from, spec); break;
    case 1:
    case 58: Message(c, from, spec); break;
    default: break;
  }
  return spec;
}

// A handshake that mostly goes on, then data, and ends that are sometimes forged.
void PacketGenerator::Segment(Conversation& c, int from, FrameSpec& spec) {
  spec.tcp_sequence = c.number[from];
  spec.tcp_acknowledged = c.number[1 - from];
  if (c.stage < 3 && Chance(70)) {
    const int turn = c.stage == 1 ? 1 : 0;
    if (turn != from) {
      Reverse(spec.packet);
      spec.tcp_sequence = c.number[turn];
      spec.tcp_acknowledged = c.number[1 - turn];
    }
    static constexpr uint8_t kHandshake[] = {kSyn, kSyn | kAck, kAck};
    spec.tcp_flags = kHandshake[c.stage++];
    if (spec.tcp_flags & kSyn) ++c.number[turn];
    return;
  }
  static constexpr uint8_t kFlags[] = {kAck,        kAck | kPsh, kFin | kAck, kFin | kAck,
                                       kRst,        kRst | kAck, kSyn,        kSyn | kAck,
                                       kAck | 0x40, kAck | kPsh, kFin,        kAck};
  spec.tcp_flags = Chance(95) ? kFlags[Below(std::size(kFlags))] : static_cast<uint8_t>(random_());
  if (spec.tcp_flags == kSyn && Chance(50)) c.stage = 1;  // the answer to it comes next
  // Around what is believed, and where nobody is.
  static constexpr int32_t kNear[] = {0,     1,      -1,     4095,   4096,   4097,  -65536,
                                      65536, -65537, 524287, 524288, 524289, 100000};
  if (Chance(25)) {
    spec.tcp_sequence += kNear[Below(std::size(kNear))];
    Count("number near");
  } else if (Chance(8)) {
    spec.tcp_sequence = static_cast<uint32_t>(random_());
  } else if (Chance(50)) {
    c.number[from] += static_cast<uint32_t>(spec.payload.size());
  } else if (Chance(4)) {
    c.number[from] += 300000;
  }
  if (Chance(8)) spec.tcp_acknowledged += kNear[Below(std::size(kNear))];
}

void PacketGenerator::Chunk(Conversation& c, int from, FrameSpec& spec) {
  static constexpr uint8_t kChunks[] = {1, 2, 10, 11, 0, 0, 3, 4, 5, 6, 7, 8, 14};
  spec.sctp_chunk =
      c.stage < 4 && Chance(70) ? kChunks[c.stage++ % 4] : kChunks[Below(std::size(kChunks))];
  spec.sctp_tag = Chance(80)   ? c.number[1 - from]
                  : Chance(50) ? c.number[from]
                  : Chance(50) ? 0
                               : static_cast<uint32_t>(random_());
}

void PacketGenerator::Message(const Conversation& c, int from, FrameSpec& spec) {
  policy::Packet& p = spec.packet;
  const bool own = (p.protocol == 1) == p.source.is_v4();
  spec.icmp_id = c.icmp_id;
  if (c.echo && own) {
    const bool asks = Chance(85) ? from == 0 : from == 1;
    p.icmp_type = p.source.is_v4() ? (asks ? 8 : 0) : (asks ? 128 : 129);
    p.icmp_code = Chance(97) ? 0 : 1;
    return;
  }
  static constexpr uint8_t kTypes[] = {0, 3, 5, 8, 9, 11, 13, 14, 17, 128, 129, 1, 2, 133, 135};
  p.icmp_type = kTypes[Below(std::size(kTypes))];
  p.icmp_code = static_cast<uint8_t>(Below(3));
}

// An ICMP error about a packet that the other end of the conversation sent, or that it did not.
FrameSpec PacketGenerator::Error(Conversation& c, int from) {
  Conversation copy = c;
  FrameSpec quoted = SpecOf(copy, Chance(90) ? 1 - from : from);
  quoted.payload.resize(Below(12));
  if (Chance(8)) AddOptions(quoted);
  if (Chance(5)) quoted.packet.destination_port ^= 1;
  if (Chance(4)) {
    quoted.fragmented = true;
    quoted.fragment_offset = Chance(50) ? 0 : 8;
  }
  Frame inner = MakeFrame(quoted);
  const bool v4 = quoted.packet.source.is_v4();
  FrameSpec spec;
  spec.packet.destination = quoted.packet.source;
  spec.packet.source = Chance(65) ? quoted.packet.destination : AnyAddress(v4);
  if (Chance(5)) spec.packet.destination = AnyAddress(v4);
  spec.packet.protocol = v4 ? 1 : 58;
  static constexpr uint8_t kV4[] = {3, 3, 11, 12, 4}, kV6[] = {1, 2, 3, 4, 1};
  spec.packet.icmp_type = v4 ? kV4[Below(5)] : kV6[Below(5)];
  spec.packet.icmp_code = static_cast<uint8_t>(Below(5));
  spec.payload.assign(inner.begin() + 14, inner.end());
  if (Chance(15)) spec.payload.resize(Below(static_cast<uint32_t>(spec.payload.size()) + 1));
  Count("ICMP error");
  return spec;
}

// What links say of themselves (IGMP, MLD, neighbours), and any protocol between anybody.
FrameSpec PacketGenerator::Odd() {
  FrameSpec spec;
  const bool v4 = Chance(40);
  policy::Packet& p = spec.packet;
  p.source = AnyAddress(v4);
  p.destination = Chance(50) ? One(PlacesOf(v4).odd) : AnyAddress(v4);
  p.protocol = v4 ? (Chance(50) ? 2 : static_cast<uint8_t>(random_())) : 58;
  static constexpr uint8_t kTypes[] = {130, 131, 132, 143, 133, 134, 135, 136, 137, 138};
  p.icmp_type = kTypes[Below(std::size(kTypes))];
  if (!v4 && Chance(30)) p.protocol = static_cast<uint8_t>(random_());
  if (!v4 && Chance(20)) {
    // As a kernel reports its groups: to a multicast MAC address, see Place.
    p.source = One(PlacesOf(false).pods);
    p.destination = policy::Address::Parse("ff02::16").value();
    p.protocol = 58;
    p.icmp_type = Chance(50) ? 143 : 131;
  }
  spec.payload.resize(Below(30));
  Count("odd");
  return spec;
}

uint32_t PacketGenerator::AnySender() {
  if (Chance(6)) return Chance(50) ? 0 : Below(5);
  auto vtep = vteps_.begin();
  std::advance(vtep, Below(static_cast<uint32_t>(vteps_.size())));
  return vtep->second;
}

// The program that such a packet meets; sometimes another.
void PacketGenerator::Place(const FrameSpec& spec, PacketEvent& event) {
  const policy::Packet& p = spec.packet;
  const Holder source = scene_.HolderOf(p.source), destination = scene_.HolderOf(p.destination);
  const uint32_t any_pod = kFirstPod + Below(kPods);
  event.program = source.ifindex != 0                            ? Program::kFromWorkload
                  : source.this_host && destination.ifindex != 0 ? Program::kToWorkload
                                                                 : Program::kFromHost;
  const Owner* owner = Scene::OwnerOf(p.source);
  const bool by_tunnel =
      owner != nullptr && owner->who == Owner::Who::kOtherNode && (owner->flags & OWNER_HOST) == 0;
  if (event.program == Program::kFromHost && Chance(by_tunnel ? 75 : 10))
    event.program = Program::kFromTunnel;
  if (event.program == Program::kFromHost && Chance(15)) event.program = Program::kToWorkload;
  if (Chance(8)) event.program = static_cast<Program>(Below(kPrograms));
  event.ifindex = kUplink;
  event.ingress_ifindex = kUplink;
  switch (event.program) {
    case Program::kFromWorkload:
      event.ifindex = source.ifindex != 0 && Chance(96) ? source.ifindex : any_pod;
      event.ingress_ifindex = event.ifindex;
      break;
    case Program::kToWorkload: {
      event.ifindex = destination.ifindex != 0 && Chance(96) ? destination.ifindex : any_pod;
      const uint32_t ways[] = {0, kUplink, kTunnel, any_pod};
      event.ingress_ifindex = source.this_host && Chance(90) ? 0 : ways[Below(4)];
      if (source.ifindex != 0 && Chance(80)) event.ingress_ifindex = source.ifindex;
      if (Chance(15)) event.mark = AnyMark();
      break;
    }
    case Program::kFromTunnel:
      event.ifindex = event.ingress_ifindex = kTunnel;
      event.sender = AnySender();
      if (by_tunnel && vteps_.contains(owner->vtep) && Chance(85))
        event.sender = vteps_.at(owner->vtep);
      break;
    case Program::kToHost: {
      const uint32_t ways[] = {0, kUplink, any_pod, any_pod};
      event.ingress_ifindex = source.ifindex != 0 ? source.ifindex : ways[Below(4)];
      if (Chance(60)) event.mark = AnyMark();
      event.redirected = Chance(5);
      break;
    }
    default: break;
  }
  std::copy(kHostMac.begin(), kHostMac.end(), event.frame.begin());
  event.frame[6] = 2;
  if (p.destination.bytes[0] == 0xff && Chance(70)) {
    std::copy_n(p.destination.bytes.begin() + 10, 6, event.frame.begin());
    event.frame[0] = event.frame[1] = 0x33;  // RFC 2464 section 7
  }
  if (Chance(3)) event.mark |= 1;  // bits of others
  if (!Chance(4)) return;
  static constexpr uint8_t kFirst[] = {0xff, 0x01, 0x33, 0x02, 0x00};
  event.frame[0] = kFirst[Below(std::size(kFirst))];
  event.frame[1] = event.frame[0] == 0x33 ? 0x33 : event.frame[1];
  Count("other MAC address");
}

}  // namespace ripstop::loader::fuzz
