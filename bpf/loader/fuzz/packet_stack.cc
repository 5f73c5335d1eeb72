// SPDX-License-Identifier: Apache-2.0
//
// The host's stack, as far as the programs see it: what goes in comes out at another interface,
// perhaps under other addresses and ports, and what answers that goes back the same way.
#include <linux/pkt_cls.h>

#include <algorithm>

#include "bpf/loader/fuzz/packet_generator.h"

namespace ripstop::loader::fuzz {
namespace {

constexpr size_t kEthernet = 14, kWaiting = 6;

void Put(Frame& frame, size_t at, const policy::Address& address, bool v4) {
  const size_t skip = v4 ? 12 : 0;
  std::copy(address.bytes.begin() + static_cast<ptrdiff_t>(skip), address.bytes.end(),
            frame.begin() + static_cast<ptrdiff_t>(at));
}

void Put(Frame& frame, size_t at, uint16_t port) {
  frame[at] = static_cast<uint8_t>(port >> 8);
  frame[at + 1] = static_cast<uint8_t>(port);
}

}  // namespace

void PacketGenerator::Passed(const PacketEvent& event, const Outcome& outcome) {
  const bool to_stack = outcome.action == TC_ACT_OK || outcome.action == TC_ACT_UNSPEC;
  const bool inwards = event.program != Program::kToHost && event.program != Program::kToWorkload;
  if (!to_stack || !inwards) return;
  PacketEvent next = event;
  next.mark = outcome.mark;
  if (in_stack_.size() == kWaiting) in_stack_.erase(in_stack_.begin());
  in_stack_.push_back(next);
}

// The next that comes out; false: this host keeps it, or it is not forwarded.
bool PacketGenerator::OutOfStack(PacketEvent& event) {
  event = in_stack_.back();
  in_stack_.pop_back();
  const ParseResult parsed = ParseFrame(event.frame, event.gso_size);
  if (parsed.reason != DROP_NONE || parsed.packet.ttl <= 1) return false;
  Translate(event, parsed.packet);
  const ParsedPacket p = ParseFrame(event.frame, event.gso_size).packet;
  const Holder to = scene_.HolderOf(p.destination);
  if (to.this_host) return false;
  event.program = to.ifindex != 0 ? Program::kToWorkload : Program::kToHost;
  event.ifindex = to.ifindex != 0 ? to.ifindex : kUplink;
  event.sender = 0;
  if (Chance(8)) event.mark = Chance(50) ? 0 : AnyMark();
  if (Chance(3)) event.ingress_ifindex = 0;
  Count("out of the stack");
  return true;
}

// Ports and addresses of whole packets without options; all others go as they came.
void PacketGenerator::Translate(PacketEvent& event, const ParsedPacket& p) {
  const bool v4 = p.family == 4;
  const bool plain = p.l4_offset == kEthernet + (v4 ? 20 : 40);
  if (!plain || p.piece != Piece::kWhole || (!p.has_ports() && !p.is_echo())) return;
  const Tuple from = {p.source, p.destination, p.source_port, p.destination_port, p.protocol};
  auto found = translations_.find(from);
  if (found == translations_.end()) {
    if (!Chance(20)) return;
    const Tuple to = ChooseTranslation(from, p);
    const auto back = [](const Tuple& t) {
      return Tuple{t.destination, t.source, t.destination_port, t.source_port, t.protocol};
    };
    translations_[back(to)] = back(from);
    found = translations_.insert_or_assign(from, to).first;
  }
  const Tuple& to = found->second;
  Put(event.frame, kEthernet + (v4 ? 12 : 8), to.source, v4);
  Put(event.frame, kEthernet + (v4 ? 16 : 24), to.destination, v4);
  Count("translated");
  if (!p.has_ports()) return;
  Put(event.frame, p.l4_offset, to.source_port);
  Put(event.frame, p.l4_offset + 2, to.destination_port);
}

// As a service does, and a masquerade rule; whoever is asked then will answer.
PacketGenerator::Tuple PacketGenerator::ChooseTranslation(const Tuple& from,
                                                          const ParsedPacket& p) {
  const Places& places = PlacesOf(p.family == 4);
  Tuple to = from;
  if (Chance(75)) {
    to.destination = Chance(50)   ? One(places.pods)
                     : Chance(50) ? One(places.strangers)
                                  : One(places.remote_pods);
    if (p.has_ports()) to.destination_port = static_cast<uint16_t>(80 + Below(2));
  }
  if (Chance(35)) to.source = places.host;
  Conversation c;
  c.packet = {to.source, to.destination, p.protocol, to.source_port, to.destination_port};
  c.number[0] = p.sequence + 1;
  c.number[1] = static_cast<uint32_t>(random_());
  c.icmp_id = p.source_port;
  c.echo = p.is_echo();
  c.stage = 1;
  conversations_[Below(static_cast<uint32_t>(conversations_.size()))] = c;
  return to;
}

uint32_t PacketGenerator::AnyMark() {
  const Mark mark = {static_cast<MarkKind>(Below(4)), static_cast<uint16_t>(Below(12))};
  return Chance(90) ? WithMark(0, mark) : static_cast<uint32_t>(random_());
}

}  // namespace ripstop::loader::fuzz
