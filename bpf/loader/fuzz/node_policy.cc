// SPDX-License-Identifier: Apache-2.0
//
// Steps 4 and 5 of docs/life-of-a-packet.md: what policy says, and what becomes of the flow.
#include <utility>

#include "bpf/loader/fuzz/node_model.h"

namespace ripstop::loader::fuzz {

// As begun by `initiator`, an end of the packet's flow: egress of that end, ingress of the other.
NodeModel::Judgement NodeModel::Judge(const Walk& w, int initiator, uint8_t icmp_type,
                                      uint8_t icmp_code) {
  policy::Packet packet{w.p.source, w.p.destination, w.p.protocol, w.p.source_port,
                        w.p.destination_port};
  Holder from = w.source, to = w.destination;
  if (initiator != w.named.source_end) {
    std::swap(packet.source, packet.destination);
    std::swap(packet.source_port, packet.destination_port);
    std::swap(from, to);
  }
  if (w.p.is_icmp_number()) {
    packet.icmp_type = icmp_type;
    packet.icmp_code = icmp_code;
  }
  if (!w.p.has_ports()) packet.source_port = packet.destination_port = 0;
  Judgement judgement;
  const auto ask = [&](policy::Direction direction, drop_reason denied, Scene::Stamp* ret_set) {
    const std::optional<bool> allows = scene_.Allows(direction, packet, ret_set);
    if (judgement.reason != DROP_NONE) return;
    if (!allows) judgement.reason = DROP_NO_POLICY_SET;
    if (allows && !*allows) judgement.reason = denied;
  };
  if (from.ifindex != 0) ask(policy::Direction::kEgress, DROP_POLICY_EGRESS, &judgement.egress);
  if (to.ifindex != 0) ask(policy::Direction::kIngress, DROP_POLICY_INGRESS, &judgement.ingress);
  return judgement;
}

// RFC 5508 section 4: an error passes that is about a packet of a flow which stands. A pod is no
// router: it speaks only of what was sent to it.
bool NodeModel::IsRelated(const Walk& w) {
  const std::optional<ParsedPacket> quoted = ParseQuote(w.event.frame, w.p);
  if (!quoted || quoted->source != w.p.destination) return false;
  if (w.event.program == Program::kFromWorkload && quoted->destination != w.p.source) return false;
  const Flow* flow = flows_.Find(NameOf(*quoted).name);
  return flow != nullptr && IsCurrent(*flow);
}

Flow::Side NodeModel::SideOf(const Holder& holder) const {
  return {.ifindex = holder.ifindex,
          .mac = holder.mac,
          .host = holder.this_host,
          .pod = holder.is_pod()};
}

// A TCP segment of no known flow is answered by a reset where its sender may begin one: as policy
// of both says, or of a pod that may have forgotten what was begun to it, its own.
Outcome NodeModel::NoFlow(Walk& w) {
  if (w.p.protocol != 6 || !settings.reset_unknown) return Drop(w, DROP_NO_FLOW);
  const int end = w.named.source_end;
  bool allowed = Judge(w, end, 0, 0).reason == DROP_NONE;
  if (!allowed && w.event.program == Program::kFromWorkload)
    allowed = Judge(w, 1 - end, 0, 0).reason == DROP_NONE;
  return Drop(w, DROP_NO_FLOW, allowed);
}

Outcome NodeModel::Decide(Walk& w, Flow* flow) {
  const int end = w.named.source_end;
  const bool opening = IsOpening(w.p, flow, end);
  const bool known = flow != nullptr && !opening;
  // A SYN that is sent again, or by somebody who forges or has forgotten the flow: it changes
  // nothing but the verdict.
  const bool renews = flow != nullptr && opening && flow->initiator == end && !flow->closed();
  bool bypass = known ? flow->bypass : w.event.program == Program::kToWorkload && w.host_origin;
  if (!known && NeedsFlow(w.p)) return NoFlow(w);
  if (settings.host_obeys_policy) bypass = false;

  const int initiator = known ? flow->initiator : end;
  const Flow::Side sides[2] = {SideOf(end == 0 ? w.source : w.destination),
                               SideOf(end == 0 ? w.destination : w.source)};
  if (w.p.is_icmp_error() && (bypass || IsRelated(w))) return Deliver(w, sides[1 - end]);

  Judgement judgement;
  if (!bypass) {
    judgement = Judge(w, initiator, known ? flow->icmp_type : w.p.icmp_type,
                      known ? flow->icmp_code : w.p.icmp_code);
  }
  const bool denied =
      judgement.reason == DROP_POLICY_EGRESS || judgement.reason == DROP_POLICY_INGRESS;
  if (judgement.reason != DROP_NONE) return Drop(w, judgement.reason, denied && settings.reject);
  if (w.p.is_icmp_error()) return Drop(w, DROP_ICMP_UNRELATED);
  const bool begins = known || BeginsFlow(w.p);
  // A SYN or a ping of who was asked, on a live flow: theirs to sort out.
  const bool crossing = opening && flow != nullptr && flow->initiator != end && !flow->closed();
  Flow::Side destination = sides[1 - end];
  if (begins && !crossing) {
    WriteFlow(w, flow, known || renews, initiator, bypass, opening, judgement, sides);
    // Whoever began it by this host's right is this host.
    if (bypass && end != initiator) destination.host = true;
  }
  return Deliver(w, destination);
}

void NodeModel::WriteFlow(Walk& w, Flow* flow, bool continues, int initiator, bool bypass,
                          bool opening, const Judgement& judgement, const Flow::Side sides[2]) {
  Flow next;
  if (continues) next = *flow;
  next.initiator = initiator;
  next.bypass = bypass;
  for (const int i : {0, 1}) {
    const Scene::Stamp& stamp = i == initiator ? judgement.egress : judgement.ingress;
    Flow::Side& side = next.sides[i];
    side.mac = sides[i].mac;
    side.ifindex = sides[i].ifindex;
    side.host = sides[i].host || (bypass && i == initiator);
    side.pod = sides[i].pod && !(bypass && i == initiator);
    side.set_index = stamp.set_index;
    side.epoch = stamp.epoch;
  }
  if (!continues) {
    next.icmp_type = w.p.icmp_type;
    next.icmp_code = w.p.icmp_code;
    flows_.Begin(w.named, next, w.p, w.event.frame.size());
    return;
  }
  if (opening) next.asked = w.p.protocol == 132 ? w.p.sctp_tag : w.p.sequence;
  *flow = next;
  flows_.Note(w.named, w.p, w.event.frame.size());
}

}  // namespace ripstop::loader::fuzz
