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
  if (parsed.reason != DROP_NONE) return Dropped(event, parsed.reason);
  if (!IsToThisHost(event.frame)) {
    return Dropped(event, parsed.packet.is_neighbor_discovery() ? DROP_NEIGHBOR_DISCOVERY
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
  if (w.host_origin && links_own) return Passed(event);
  if (parsed.reason != DROP_NONE) return Dropped(event, parsed.reason);
  return Go(w);
}

Outcome NodeModel::FromHost(const PacketEvent& event) {
  if (NamesLoopback(event.frame)) return Dropped(event, DROP_MARTIAN);
  if (!IsToThisHost(event.frame) || !IsEthernetII(event.frame)) return Passed(event);
  const ParseResult parsed = ParseFrame(event.frame, event.gso_size);
  if (parsed.reason == DROP_MAPPED_ADDRESS) return Dropped(event, DROP_MAPPED_ADDRESS);
  if (parsed.reason != DROP_NONE) return Passed(event);
  Walk w{.event = event, .p = parsed.packet, .arrival = {.checked = true}};
  const bool piece = w.p.piece != Piece::kWhole;
  const bool may_be_vxlan = IsToVxlanPort(w.p) || (piece && w.p.protocol == kUdp);
  const uint32_t sender = may_be_vxlan ? VtepNumber(w.p.source) : 0;
  const bool to_tunnel = !piece && IsToVxlanPort(w.p) && scene_.HolderOf(w.p.destination).this_host;
  Outcome outcome = to_tunnel ? Passed(event) : Go(w);
  outcome.sender = sender;
  return outcome;
}

Outcome NodeModel::FromTunnel(const PacketEvent& event) {
  if (event.sender == 0) return Dropped(event, DROP_VXLAN_FOREIGN);
  if (NamesLoopback(event.frame)) return Dropped(event, DROP_MARTIAN);
  const ParseResult parsed = ParseFrame(event.frame, event.gso_size);
  if (parsed.reason != DROP_NONE) return Dropped(event, parsed.reason);
  if (!IsToThisHost(event.frame)) return Dropped(event, DROP_NOT_FOR_US);
  Walk w{.event = event, .p = parsed.packet, .arrival = {true, event.sender}};
  return Go(w);
}

// Only the answer to a flow that a pod began and the stack translated is known by its tuple here
// alone; all else is to_workload's.
Outcome NodeModel::FromElsewhere(const PacketEvent& event) {
  if (NamesLoopback(event.frame)) return Dropped(event, DROP_MARTIAN);
  if (!settings.marks || !IsToThisHost(event.frame)) return Passed(event, TC_ACT_UNSPEC);
  const ParseResult parsed = ParseFrame(event.frame, event.gso_size);
  if (parsed.reason != DROP_NONE) return Passed(event, TC_ACT_UNSPEC);
  Walk w{.event = event, .p = parsed.packet, .arrival = {.checked = true}};
  Flow* const flow = Meet(w);
  const bool answer = flow != nullptr && flow->sender() != 0 && !flow->as_sent &&
                      w.named.source_end == flow->responder() &&
                      !IsOpening(w.p, flow, w.named.source_end);
  return answer ? GoWith(w, flow) : Passed(event, TC_ACT_UNSPEC);
}

Outcome NodeModel::ToHost(const PacketEvent& event) {
  if (!IsToBeJudged(event)) return Passed(event);
  const ParseResult parsed = ParseFrame(event.frame, event.gso_size);
  Walk w{.event = event, .p = parsed.packet};
  w.host_origin = IsHostOrigin(w);
  if (w.host_origin) return Passed(event);
  if (parsed.reason != DROP_NONE) return Dropped(event, parsed.reason);
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
  w.asked_source = w.p.source;
  w.asked_destination = w.p.destination;
  w.source = Look(w.asked_source);
  w.destination = Look(w.asked_destination);
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
  if (const drop_reason reason = CheckArrival(w)) return Dropped(w.event, reason);
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
  if (outside && w.destination.ifindex == 0) return Passed(w.event);
  drop_reason reason = Admit(w);
  if (reason == DROP_NONE && program != Program::kFromTunnel) reason = CheckArrival(w);
  return reason != DROP_NONE ? Drop(w, reason) : Decide(w, flow);
}

}  // namespace ripstop::loader::fuzz
