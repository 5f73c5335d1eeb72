// SPDX-License-Identifier: Apache-2.0
//
// The programs, and who may send what by which way. What policy says is in node_policy.cc.
#include "bpf/loader/fuzz/node_model.h"

#include <linux/pkt_cls.h>

#include <algorithm>

#include "bpf/loader/fuzz/node_rules.h"

namespace ripstop::loader::fuzz {
namespace {

constexpr size_t kEthernet = 14;
constexpr uint8_t kUdp = 17;

bool IsToThisHost(const Frame& frame) {
  return std::equal(kHostMac.begin(), kHostMac.end(), frame.begin());
}

// IEEE 802.3: below 1536 the field is a length, and the frame no Ethernet II.
bool IsEthernetII(const Frame& frame) { return (frame[12] << 8 | frame[13]) >= 1536; }

bool IsToVxlanPort(const ParsedPacket& p) {
  return p.protocol == kUdp && p.destination_port == kVxlanPort;
}

Outcome Pass(const PacketEvent& event, int action = TC_ACT_OK) {
  return {.action = action, .mark = event.mark, .frame = event.frame};
}

Outcome DropUnparsed(const PacketEvent& event, drop_reason reason) {
  return {.action = TC_ACT_SHOT, .reason = reason, .mark = event.mark, .frame = event.frame};
}

}  // namespace

void NodeModel::Clear() {
  flows_.Clear();
  fragments_.clear();
}

void NodeModel::Forget(const std::vector<policy::Address>& addresses) {
  const std::set<policy::Address> gone(addresses.begin(), addresses.end());
  std::set<uint16_t> numbers;
  for (const auto& [number, sender] : senders_)
    if (gone.contains(sender.address)) numbers.insert(number);
  flows_.Forget(gone, numbers);
}

Outcome NodeModel::Run(const PacketEvent& event) {
  last_.reset();
  switch (event.program) {
    case Program::kFromWorkload: return FromWorkload(event);
    case Program::kToWorkload: return ToWorkload(event);
    case Program::kFromHost: return FromHost(event);
    case Program::kFromTunnel: return FromTunnel(event);
    case Program::kFromElsewhere: return FromElsewhere(event);
    case Program::kToHost: return ToHost(event);
  }
  return {};
}

Outcome NodeModel::FromWorkload(const PacketEvent& event) {
  const ParseResult parsed = ParseFrame(event.frame, event.gso_size);
  if (parsed.reason != DROP_NONE) return DropUnparsed(event, parsed.reason);
  if (!IsToThisHost(event.frame)) {
    return DropUnparsed(event, parsed.packet.is_neighbor_discovery() ? DROP_NEIGHBOR_DISCOVERY
                               : parsed.packet.is_listener_report()  ? DROP_MULTICAST_LISTENER
                                                                     : DROP_NOT_FOR_US);
  }
  Walk w{.event = event, .p = parsed.packet};
  return Go(w);
}

// This host's own stack made it; or has divided it anew, and it has kept its mark.
bool NodeModel::IsHostOrigin(const Walk& w) const {
  if (w.event.ingress_ifindex != 0) return false;
  const bool marked = settings.marks && (w.event.mark & kMarkMask) != 0;
  return w.p.piece == Piece::kWhole || !marked;
}

Outcome NodeModel::ToWorkload(const PacketEvent& event) {
  const ParseResult parsed = ParseFrame(event.frame, event.gso_size);
  Walk w{.event = event, .p = parsed.packet};
  w.host_origin = IsHostOrigin(w);
  // from_tunnel has looked at what came by the tunnel.
  w.arrival = {.checked = !w.host_origin && event.ingress_ifindex != kTunnel};
  const bool links_own =
      parsed.reason == DROP_ARP ||
      (parsed.reason == DROP_NONE && (w.p.is_neighbor_discovery() || w.p.is_listener_report()));
  if (w.host_origin && links_own) return Pass(event);
  if (parsed.reason != DROP_NONE) return DropUnparsed(event, parsed.reason);
  return Go(w);
}

Outcome NodeModel::FromHost(const PacketEvent& event) {
  if (NamesLoopback(event.frame)) return DropUnparsed(event, DROP_MARTIAN);
  if (!IsToThisHost(event.frame) || !IsEthernetII(event.frame)) return Pass(event);
  const ParseResult parsed = ParseFrame(event.frame, event.gso_size);
  if (parsed.reason == DROP_MAPPED_ADDRESS) return DropUnparsed(event, DROP_MAPPED_ADDRESS);
  if (parsed.reason != DROP_NONE) return Pass(event);
  Walk w{.event = event, .p = parsed.packet, .arrival = {.checked = true}};
  const bool piece = w.p.piece != Piece::kWhole;
  const bool may_be_vxlan = IsToVxlanPort(w.p) || (piece && w.p.protocol == kUdp);
  const uint32_t sender = may_be_vxlan ? VtepNumber(w.p.source) : 0;
  const bool to_tunnel = !piece && IsToVxlanPort(w.p) && scene_.HolderOf(w.p.destination).this_host;
  Outcome outcome = to_tunnel ? Pass(event) : Go(w);
  outcome.sender = sender;
  return outcome;
}

Outcome NodeModel::FromTunnel(const PacketEvent& event) {
  if (event.sender == 0) return DropUnparsed(event, DROP_VXLAN_FOREIGN);
  if (NamesLoopback(event.frame)) return DropUnparsed(event, DROP_MARTIAN);
  const ParseResult parsed = ParseFrame(event.frame, event.gso_size);
  if (parsed.reason != DROP_NONE) return DropUnparsed(event, parsed.reason);
  if (!IsToThisHost(event.frame)) return DropUnparsed(event, DROP_NOT_FOR_US);
  Walk w{.event = event, .p = parsed.packet, .arrival = {true, event.sender}};
  return Go(w);
}

// Only the answer to a flow that a pod began and the stack translated is known by its tuple here
// alone; all else is to_workload's.
Outcome NodeModel::FromElsewhere(const PacketEvent& event) {
  if (NamesLoopback(event.frame)) return DropUnparsed(event, DROP_MARTIAN);
  if (!settings.marks || !IsToThisHost(event.frame)) return Pass(event, TC_ACT_UNSPEC);
  const ParseResult parsed = ParseFrame(event.frame, event.gso_size);
  if (parsed.reason != DROP_NONE) return Pass(event, TC_ACT_UNSPEC);
  Walk w{.event = event, .p = parsed.packet, .arrival = {.checked = true}};
  Flow* const flow = Meet(w);
  const bool answer = flow != nullptr && flow->sender() != 0 && !flow->as_sent &&
                      w.named.source_end == flow->responder() &&
                      !IsOpening(w.p, flow, w.named.source_end);
  return answer ? GoWith(w, flow) : Pass(event, TC_ACT_UNSPEC);
}

Outcome NodeModel::ToHost(const PacketEvent& event) {
  if (!IsToBeJudged(event)) return Pass(event);
  const ParseResult parsed = ParseFrame(event.frame, event.gso_size);
  Walk w{.event = event, .p = parsed.packet};
  w.host_origin = IsHostOrigin(w);
  if (w.host_origin) return Pass(event);
  if (parsed.reason != DROP_NONE) return DropUnparsed(event, parsed.reason);
  return Go(w);
}

uint32_t NodeModel::VtepNumber(const policy::Address& outer) const {
  const auto found = vteps_.find(outer);
  return found == vteps_.end() ? 0 : found->second;
}

// Ports for a fragment that has none.
void NodeModel::FindPorts(Walk& w) {
  ParsedPacket& p = w.p;
  if (p.piece != Piece::kLater || (!p.has_ports() && !p.is_icmp_number())) return;
  const auto found = fragments_.find({p.source, p.destination, p.fragment_id, p.protocol});
  w.first_unknown = found == fragments_.end();
  if (!w.first_unknown) std::tie(p.source_port, p.destination_port) = found->second;
}

// Its flow, and who its ends are.
Flow* NodeModel::Meet(Walk& w) {
  FindPorts(w);
  w.named = NameOf(w.p);
  last_ = w.named.name;
  w.source = Look(w.p.source);
  w.destination = Look(w.p.destination);
  return w.first_unknown || !HasFlow(w.p) ? nullptr : flows_.Find(w.named.name);
}

Outcome NodeModel::Go(Walk& w) { return GoWith(w, Meet(w)); }

Outcome NodeModel::GoWith(Walk& w, Flow* flow) {
  if (flow != nullptr && IsEstablished(w, *flow)) return GoOn(w, *flow);
  return Ask(w, flow);
}

// Step 2 of docs/life-of-a-packet.md: a known flow between the interfaces that it has been between,
// under policies that stand as they were. Whose addresses its ends are by now is not asked.
bool NodeModel::IsEstablished(const Walk& w, const Flow& flow) const {
  const Flow::Side& source = flow.sides[w.named.source_end];
  const Flow::Side& destination = flow.sides[1 - w.named.source_end];
  if (IsOpening(w.p, &flow, w.named.source_end) || !IsCurrent(flow)) return false;
  if (settings.marks && !MarkFits(w, flow)) return false;
  switch (w.event.program) {
    case Program::kFromWorkload:
      // The tunnel's port is for pods, whoever began.
      return source.ifindex == w.event.ifindex && (!IsToVxlanPort(w.p) || destination.pod);
    case Program::kToWorkload: return destination.ifindex == w.event.ifindex;
    case Program::kToHost: return true;
    default: return source.ifindex == 0 && !source.host;
  }
}

bool NodeModel::IsCurrent(const Flow& flow) const {
  if (flow.bypass && settings.host_obeys_policy) return false;
  return std::all_of(flow.sides.begin(), flow.sides.end(), [&](const Flow::Side& side) {
    return side.set_index == 0 || scene_.epoch(side.set_index) == side.epoch;
  });
}

bool NodeModel::HasSameHolders(const Walk& w, const Flow& flow) {
  const int end = w.named.source_end;
  // Who began a translated flow is named by his number.
  const auto same = [&](int side, const Holder& holder) {
    return (flow.has_sender && side == flow.initiator) ||
           flow.sides[side].ifindex == holder.ifindex;
  };
  return same(end, w.source) && same(1 - end, w.destination);
}

Outcome NodeModel::GoOn(Walk& w, Flow& flow) {
  if (const drop_reason reason = CheckArrival(w)) return DropUnparsed(w.event, reason);
  const bool same_holders = HasSameHolders(w, flow);
  TakeWay(w, flow);
  if (same_holders && !flow.bypass && !flow.as_sent && !flow.has_sender &&
      Judge(w, flow.initiator, flow.icmp_type, flow.icmp_code).reason != DROP_NONE)
    ++stale_;
  const Flow::Side destination = flow.sides[1 - w.named.source_end];
  flows_.Note(w.named, w.p, w.event.frame.size());
  return Deliver(w, destination);
}

Outcome NodeModel::Ask(Walk& w, Flow* flow) {
  const Program program = w.event.program;
  const bool outside = program == Program::kFromHost || program == Program::kFromTunnel ||
                       program == Program::kFromElsewhere;
  // By the tunnel nobody speaks for what is another's, whomever it is for.
  if (program == Program::kFromTunnel) {
    if (const drop_reason reason = CheckArrival(w)) return Drop(w, reason);
  }
  if (flow != nullptr && !HasSameHolders(w, *flow)) {
    // One of its ends is somebody else by now.
    flows_.End(w.named.name);
    flow = nullptr;
  }
  w.flow_by_stack =
      program == Program::kToHost || (program == Program::kToWorkload && settings.host_nat);
  if (settings.marks) {
    if (const drop_reason reason = FindSender(w, flow)) return Drop(w, reason);
  }
  if (outside && w.destination.ifindex == 0) return Pass(w.event);
  drop_reason reason = Admit(w);
  if (reason == DROP_NONE && program != Program::kFromTunnel) reason = CheckArrival(w);
  return reason != DROP_NONE ? Drop(w, reason) : Decide(w, flow);
}

drop_reason NodeModel::Admit(const Walk& w) const {
  const ParsedPacket& p = w.p;
  const bool to_node = w.destination.this_host || w.destination.other_node;
  switch (w.event.program) {
    case Program::kFromWorkload:
      if (p.is_neighbor_discovery()) return DROP_NEIGHBOR_DISCOVERY;
      if (w.source.ifindex != w.event.ifindex) return DROP_SPOOFED;
      if (IsMartian(p.destination) || p.source == p.destination) return DROP_MARTIAN;
      if (!w.destination.this_host && IsUnroutable(p.destination)) return DROP_MARTIAN;
      if (IsToVxlanPort(p) && !w.destination.is_pod()) return DROP_VXLAN_FROM_WORKLOAD;
      if (IsTunnelProtocol(p.protocol) && !w.destination.is_pod()) return DROP_TUNNEL_FROM_WORKLOAD;
      if (IsDhcp(p, to_node)) return DROP_DHCP_FROM_WORKLOAD;
      break;
    case Program::kToWorkload:
      if (w.destination.ifindex != w.event.ifindex) return DROP_UNKNOWN_ENDPOINT;
      if (!w.host_origin && w.sender == 0 && w.source.ifindex != 0 &&
          w.source.ifindex != w.event.ingress_ifindex)
        return DROP_SPOOFED;
      break;
    case Program::kToHost:
      if (IsToVxlanPort(p) && !w.destination.is_pod()) return DROP_VXLAN_FROM_WORKLOAD;
      break;
    default:
      if (w.source.ifindex != 0 || w.source.this_host) return DROP_SPOOFED;
      if (IsMartian(p.source)) return DROP_MARTIAN;
  }
  if (w.first_unknown) return DROP_FRAGMENT_UNKNOWN;
  return HasBadTcpFlags(p) ? DROP_BAD_TCP_FLAGS : DROP_NONE;
}

// Whether the source's packets come that way, as bpf/abi/owners.h has it.
drop_reason NodeModel::CheckArrival(const Walk& w) const {
  if (!w.arrival.checked) return DROP_NONE;
  const Owner* owner = Scene::OwnerOf(w.p.source);
  if (owner == nullptr) return DROP_NONE;
  const bool other = owner->who == Owner::Who::kOtherNode;
  if (w.arrival.node != 0)
    return other && VtepNumber(owner->vtep) == w.arrival.node ? DROP_NONE : DROP_VXLAN_SPOOFED;
  if (owner->who == Owner::Who::kThisNode || (owner->flags & OWNER_HOST) != 0) return DROP_NONE;
  const Owner* receiver = Scene::OwnerOf(w.p.destination);
  if (receiver == nullptr || receiver->who != Owner::Who::kThisNode) return DROP_NONE;
  const bool across = (owner->flags & OWNER_ACROSS) != 0;
  const uint32_t by_tunnel = across ? OWNER_TUNNEL_ACROSS : OWNER_TUNNEL_NEAR;
  return (receiver->flags & by_tunnel) != 0 ? DROP_SPOOFED : DROP_NONE;
}

Outcome NodeModel::Deliver(Walk& w, const Flow::Side& destination) {
  const PacketEvent& event = w.event;
  const ParsedPacket& p = w.p;
  if (p.piece == Piece::kFirst) {
    fragments_[{p.source, p.destination, p.fragment_id, p.protocol}] = {p.source_port,
                                                                        p.destination_port};
  }
  if (event.program == Program::kToWorkload) return Pass(event);
  if (event.program == Program::kToHost) w.mark.kind = MarkKind::kJudged;
  if (w.by_stack || event.program == Program::kToHost || event.program == Program::kFromElsewhere)
    return ToStack(w);
  // The stack answers what expires here.
  const bool expires = p.ttl <= 1;
  if (destination.ifindex != 0) {
    if (expires) return Pass(event);
    Outcome outcome = {
        .action = TC_ACT_REDIRECT, .mark = event.mark, .frame = Forwarded(event.frame, p.family)};
    std::copy(destination.mac.begin(), destination.mac.end(), outcome.frame.begin());
    std::copy(kHostMac.begin(), kHostMac.end(), outcome.frame.begin() + 6);
    return outcome;
  }
  if (event.program != Program::kFromWorkload) return Pass(event);
  if (destination.host) {
    w.mark.number = 0;
    return ToStack(w);
  }
  const std::optional<size_t> mtu = Scene::RouteTo(p.destination);
  size_t on_wire = p.ip_length;
  if (event.gso_size != 0) {
    // The jumbo option of BIG TCP is not in its segments.
    const size_t ip_header = p.family == 6 && p.ip_length == 0 ? 40 : p.l4_offset - kEthernet;
    on_wire = ip_header + p.l4_header + event.gso_size;
  }
  if (expires || !mtu || on_wire > *mtu) {
    // To the stack after all: judged, and as that pod's.
    const Holder sender = Look(p.source);
    w.mark = {MarkKind::kJudged, sender.number};
    return ToStack(w);
  }
  return {.action = TC_ACT_REDIRECT,
          .mark = event.mark,
          .frame = Forwarded(event.frame, p.family),
          .routed = true};
}

Outcome NodeModel::Drop(const Walk& w, drop_reason reason, bool answered) const {
  const Program program = w.event.program;
  const bool way_back = program == Program::kFromWorkload || program == Program::kFromHost ||
                        program == Program::kFromTunnel;
  Outcome outcome = DropUnparsed(w.event, reason);
  // An ICMP error quotes eight bytes of the transport; a frame that has fewer is not answered.
  const bool quotable = w.p.protocol == 6 || w.event.frame.size() >= w.p.l4_offset + 8;
  if (!answered || !way_back || !IsAnswerable(w.p) || !quotable) return outcome;
  outcome.action = TC_ACT_REDIRECT;
  outcome.answered = true;
  return outcome;
}

}  // namespace ripstop::loader::fuzz
