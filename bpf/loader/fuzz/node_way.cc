// SPDX-License-Identifier: Apache-2.0
//
// May a packet be here at all, and where does it go.
#include <linux/pkt_cls.h>

#include <algorithm>

#include "bpf/loader/fuzz/node_model.h"
#include "bpf/loader/fuzz/node_rules.h"

namespace ripstop::loader::fuzz {
namespace {

constexpr size_t kEthernet = 14;

}  // namespace

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
  if (event.program == Program::kToWorkload) return Passed(event);
  if (event.program == Program::kToHost) w.mark.kind = MarkKind::kJudged;
  if (w.by_stack || event.program == Program::kToHost || event.program == Program::kFromElsewhere)
    return ToStack(w);
  // The stack answers what expires here.
  const bool expires = p.ttl <= 1;
  if (destination.ifindex != 0) {
    if (expires) return Passed(event);
    Outcome outcome = {
        .action = TC_ACT_REDIRECT, .mark = event.mark, .frame = Forwarded(event.frame, p.family)};
    std::copy(destination.mac.begin(), destination.mac.end(), outcome.frame.begin());
    std::copy(kHostMac.begin(), kHostMac.end(), outcome.frame.begin() + 6);
    return outcome;
  }
  if (event.program != Program::kFromWorkload) return Passed(event);
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
  Outcome outcome = Dropped(w.event, reason);
  // An ICMP error quotes eight bytes of the transport; a frame that has fewer is not answered.
  const bool quotable = w.p.protocol == 6 || w.event.frame.size() >= w.p.l4_offset + 8;
  if (!answered || !way_back || !IsAnswerable(w.p) || !quotable) return outcome;
  outcome.action = TC_ACT_REDIRECT;
  outcome.answered = true;
  return outcome;
}

}  // namespace ripstop::loader::fuzz
