// SPDX-License-Identifier: Apache-2.0
#include "bpf/loader/fuzz/flow_model.h"

#include "absl/strings/str_cat.h"
#include "bpf/abi/flows.h"

namespace ripstop::loader::fuzz {
namespace {

constexpr uint8_t kFin = 0x01, kSyn = 0x02, kRst = 0x04, kAck = 0x10;
constexpr uint8_t kTcp = 6, kSctp = 132;
constexpr uint8_t kInit = 1, kInitAck = 2, kHeartbeat = 4, kAbort = 6, kCookieEcho = 10,
                  kShutdownComplete = 14;

bool Has(uint8_t flags, uint8_t wanted) { return (flags & wanted) == wanted; }

// RFC 1982: how far `a` is ahead of `b`.
int64_t Ahead(uint32_t a, uint32_t b) { return static_cast<int32_t>(a - b); }

// RFC 9293 section 3.10.7.4: may a segment of `number` be believed whose end was last at `last`?
bool InWindow(uint32_t number, uint32_t last) {
  return Ahead(number, last) >= -int64_t{FLOW_SEQUENCE_BEHIND} &&
         Ahead(number, last) <= int64_t{FLOW_SEQUENCE_AHEAD};
}

// The answer to a SYN on an open flow, by who may give it: a new connection under the same ports.
void NoteNewConnection(Flow& flow, int end, const ParsedPacket& p) {
  if (!Has(p.tcp_flags, kSyn | kAck) || end == flow.initiator || p.acknowledged != flow.asked + 1)
    return;
  flow.sides[flow.initiator].number = flow.asked;
  flow.sides[flow.initiator].seen = kSyn;
  flow.sides[end].number = p.sequence;
  flow.sides[end].seen = kSyn | kAck;
}

void NoteSegment(Flow& flow, int end, const ParsedPacket& p) {
  Flow::Side& side = flow.sides[end];
  if (flow.open && Has(p.tcp_flags, kSyn)) NoteNewConnection(flow, end, p);
  // During a handshake only the refusal that names the SYN counts, see Refuses.
  if (Has(p.tcp_flags, kRst) && !flow.open) return;
  const bool first = side.seen == 0;
  const int64_t ahead = Ahead(p.sequence, side.number);
  const bool believed = !first && InWindow(p.sequence, side.number);
  uint8_t flags = p.tcp_flags;
  if (!believed) flags &= static_cast<uint8_t>(~(kFin | kRst));
  const bool moves = ahead > FLOW_SEQUENCE_STEP && ahead <= int64_t{FLOW_SEQUENCE_AHEAD};
  if (first || (Has(p.tcp_flags, kSyn) && !flow.open) || moves) side.number = p.sequence;
  side.seen |= flags;
  flow.reset = Has(flags, kRst);
}

// RFC 9260 section 8.5.1: what ends an association has its receiver's tag, or its sender's.
void NoteChunk(Flow& flow, int end, const ParsedPacket& p) {
  Flow::Side& side = flow.sides[end];
  const Flow::Side& other = flow.sides[1 - end];
  if (p.sctp_chunk == kAbort || p.sctp_chunk == kShutdownComplete) {
    const bool known = p.sctp_tag == side.number || p.sctp_tag == other.number;
    if (p.sctp_tag != 0 && known) flow.reset = true;
    return;
  }
  const bool tells = p.sctp_chunk == kInitAck || p.sctp_chunk == kCookieEcho;
  if (side.number == 0 || tells) side.number = p.sctp_tag;
  flow.reset = false;
}

// RST of the responder that names the SYN's number.
bool Refuses(const Flow& flow, int end, const ParsedPacket& p) {
  return p.protocol == kTcp && end == flow.responder() && Has(p.tcp_flags, kRst | kAck) &&
         p.acknowledged == flow.sides[flow.initiator].number + 1;
}

// The responder's answer; of TCP what shows that the initiator has seen it.
bool Opens(const Flow& flow, int end, const ParsedPacket& p) {
  if (p.protocol == kSctp && p.sctp_chunk == kAbort) return false;
  if (p.protocol != kTcp) return end == flow.responder();
  const Flow::Side& responder = flow.sides[flow.responder()];
  const int64_t ahead = Ahead(p.acknowledged, responder.number);
  return end == flow.initiator && Has(p.tcp_flags, kAck) && !Has(p.tcp_flags, kRst) &&
         responder.seen != 0 && ahead >= 0 && ahead <= int64_t{FLOW_SEQUENCE_AHEAD};
}

}  // namespace

bool Flow::closed() const { return reset || Has(sides[0].seen & sides[1].seen, kFin); }

std::string Describe(const Flow& flow) {
  std::string text = absl::StrCat(
      flow.open ? "open" : "half open", flow.reset ? ", reset" : "", flow.bypass ? ", bypass" : "",
      flow.by_stack ? ", by stack" : "", flow.as_sent ? ", as sent" : "",
      flow.has_sender ? ", has sender" : "", ", of end ", flow.initiator, ", asked ", flow.asked);
  for (const Flow::Side& side : flow.sides) {
    absl::StrAppend(&text, "; interface ", side.ifindex, side.host ? " host" : "", " number ",
                    side.ifindex != 0 ? side.address_number : 0, " set ", side.set_index,
                    " of epoch ", side.epoch, " seen ", absl::Hex(side.seen), " number ",
                    side.number, ", ", side.packets, " packets, ", side.bytes, " bytes");
  }
  return text;
}

NamedPacket NameOf(const ParsedPacket& p) {
  const FlowEnd source = {p.source, p.source_port},
                destination = {p.destination, p.destination_port};
  NamedPacket named;
  named.source_end = source > destination ? 1 : 0;
  named.name.protocol = p.protocol;
  named.name.ends[named.source_end] = source;
  named.name.ends[1 - named.source_end] = destination;
  return named;
}

bool IsOpening(const ParsedPacket& p, const Flow* flow, int source_end) {
  if (p.protocol == kTcp) return Has(p.tcp_flags, kSyn) && !Has(p.tcp_flags, kAck);
  if (p.protocol == kSctp) return p.sctp_chunk == kInit;
  return p.is_echo_request() && flow != nullptr && flow->initiator != source_end;
}

bool NeedsFlow(const ParsedPacket& p) {
  if (p.protocol == kTcp) return !IsOpening(p, nullptr, 0);
  return p.protocol == kSctp && p.sctp_chunk != kInit && p.sctp_chunk != kHeartbeat;
}

bool BeginsFlow(const ParsedPacket& p) { return !p.is_icmp_number() || p.is_echo_request(); }

bool HasFlow(const ParsedPacket& p) {
  return !p.is_icmp_number() || p.piece == Piece::kLater || p.is_echo();
}

Flow* FlowModel::Find(const FlowName& name) {
  const auto found = flows_.find(name);
  return found == flows_.end() ? nullptr : &found->second;
}

void FlowModel::Forget(const std::set<policy::Address>& addresses,
                       const std::set<uint16_t>& numbers) {
  std::erase_if(flows_, [&](const auto& named) {
    const auto& [name, flow] = named;
    return addresses.contains(name.ends[0].address) || addresses.contains(name.ends[1].address) ||
           numbers.contains(flow.sender());
  });
}

void FlowModel::Begin(const NamedPacket& named, Flow flow, const ParsedPacket& p, size_t bytes) {
  Flow::Side& source = flow.sides[named.source_end];
  source.seen = p.tcp_flags;
  source.number = p.protocol == kSctp ? p.sctp_tag : p.sequence;
  source.packets = 1;
  source.bytes = bytes;
  flow.asked = source.number;
  flow.open = flow.reset = false;
  flows_[named.name] = flow;
}

void FlowModel::Note(const NamedPacket& named, const ParsedPacket& p, size_t bytes) {
  Flow& flow = flows_.at(named.name);
  const int end = named.source_end;
  const bool later = p.piece == Piece::kLater;
  flow.sides[end].packets += 1;
  flow.sides[end].bytes += bytes;
  if (p.protocol == kTcp && later) return;
  if (p.protocol == kTcp) NoteSegment(flow, end, p);
  if (p.protocol == kSctp && !later) NoteChunk(flow, end, p);
  if (flow.open) return;
  if (Refuses(flow, end, p)) {
    flows_.erase(named.name);
  } else if (Opens(flow, end, p)) {
    // The first of the initiator's numbers that nobody can have guessed.
    if (p.protocol == kTcp) flow.sides[end].number = p.sequence;
    flow.open = true;
  }
}

}  // namespace ripstop::loader::fuzz
