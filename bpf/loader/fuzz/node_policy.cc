// SPDX-License-Identifier: Apache-2.0
//
// Steps 4 and 5 of docs/life-of-a-packet.md: what policy says, and what becomes of the flow.
#include <utility>

#include "bpf/loader/fuzz/node_model.h"

namespace ripstop::loader::fuzz {
// As begun by `initiator`, an end of the packet's flow: egress of that end, ingress of the other.
NodeModel::Judgement NodeModel::Judge(const Walk& w, int initiator, uint8_t icmp_type,
                                      uint8_t icmp_code) {
  policy::Packet packet{w.asked_source, w.asked_destination, w.p.protocol, w.p.source_port,
                        w.p.destination_port};
  Holder from = w.source, to = w.destination;
  if (initiator != w.named.source_end) {
    std::swap(packet.source, packet.destination);
    std::swap(packet.source_port, packet.destination_port);
    std::swap(from, to);
  }
  // A pod that reaches itself by a service.
  if (w.sender != 0 && from.ifindex == to.ifindex) return {};
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
bool NodeModel::IsRelated(Walk& w) {
  const std::optional<ParsedPacket> quoted = ParseQuote(w.event.frame, w.p);
  if (!quoted || quoted->source != w.p.destination) return false;
  if (w.event.program == Program::kFromWorkload && quoted->destination != w.p.source) return false;
  const Flow* flow = flows_.Find(NameOf(*quoted).name);
  if (flow == nullptr || !IsCurrent(*flow)) return false;
  const Program program = w.event.program;
  const bool outside = program == Program::kFromHost || program == Program::kFromTunnel ||
                       program == Program::kFromElsewhere;
  // One about a form that nobody has judged proves nothing.
  if (flow->as_sent && outside) return false;
  if (!flow->as_sent && !flow->by_stack) return true;
  // What translated the flow translates the error.
  w.by_stack = true;
  w.mark = {MarkKind::kSent, program == Program::kFromWorkload ? w.source.number : uint16_t{0}};
  return true;
}

Flow::Side NodeModel::SideOf(const Holder& holder) const {
  return {.ifindex = holder.ifindex,
          .mac = holder.mac,
          .host = holder.this_host,
          .pod = holder.is_pod(),
          .address_number = holder.number};
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
  const Program program = w.event.program;
  Write write{.opening = IsOpening(w.p, flow, end), .initiator = end};
  write.as_sent = program == Program::kFromWorkload && Waits(w, flow);
  // Of packets of a flow as sent nobody has a verdict, but where nobody behind asks for one.
  const bool judged =
      flow != nullptr &&
      (!flow->as_sent || program == Program::kFromWorkload ||
       (program == Program::kToWorkload && w.host_origin && end != flow->initiator));
  const bool known = judged && !write.opening;
  // A SYN that is sent again, or by somebody who forges or has forgotten the flow: it changes
  // nothing but the verdict.
  const bool renews = flow != nullptr && write.opening && flow->initiator == end &&
                      !flow->closed() && flow->as_sent == write.as_sent &&
                      flow->sender() == w.sender;
  write.continues = known || renews;
  if (write.as_sent) return Deliver(w, WriteFlow(w, flow, write));

  if (!known && NeedsFlow(w.p)) return NoFlow(w);
  // What this host may, a pod that hides behind its address may not.
  const bool another = w.sender != 0 && known && end == flow->initiator;
  write.bypass =
      known ? flow->bypass && !another : program == Program::kToWorkload && w.host_origin;
  if (settings.host_obeys_policy) write.bypass = false;
  if (known) {
    write.initiator = flow->initiator;
    w.flow_by_stack = flow->by_stack;
  }
  const Flow::Side destination = SideOf(w.destination);
  if (w.p.is_icmp_error() && (write.bypass || IsRelated(w))) return Deliver(w, destination);
  // No socket's answer: a reset, or a SYN cookie.
  const bool to_socket = !write.bypass && known && flow->as_sent;
  if (to_socket && program == Program::kToWorkload && w.p.protocol == 6)
    return Deliver(w, destination);

  if (!write.bypass) {
    write.judgement = Judge(w, write.initiator, known ? flow->icmp_type : w.p.icmp_type,
                            known ? flow->icmp_code : w.p.icmp_code);
  }
  const drop_reason reason = write.judgement.reason;
  const bool denied = reason == DROP_POLICY_EGRESS || reason == DROP_POLICY_INGRESS;
  if (reason != DROP_NONE) return Drop(w, reason, denied && settings.reject);
  if (w.p.is_icmp_error()) return Drop(w, DROP_ICMP_UNRELATED);
  // A SYN or a ping of who was asked, on a live flow: theirs to sort out.
  const bool crossing =
      write.opening && flow != nullptr && flow->initiator != end && !flow->closed();
  if ((!known && !BeginsFlow(w.p)) || crossing) return Deliver(w, destination);
  return Deliver(w, WriteFlow(w, flow, write));
}

Flow::Side NodeModel::WriteFlow(Walk& w, Flow* flow, const Write& write) {
  const int end = w.named.source_end;
  Flow next;
  // Who hides behind another's address, or has moved, has a flow of his own.
  const bool continues = write.continues && flow->sides[end].ifindex == w.source.ifindex &&
                         flow->sides[1 - end].ifindex == w.destination.ifindex;
  if (continues) {
    next = *flow;
  } else {
    next.initiator = write.initiator;
    // Judged as the known flow was, if there is one.
    const bool as_known = write.continues && !write.as_sent;
    next.icmp_type = as_known ? flow->icmp_type : w.p.icmp_type;
    next.icmp_code = as_known ? flow->icmp_code : w.p.icmp_code;
  }
  next.bypass = write.bypass;
  next.as_sent = write.as_sent;
  next.by_stack = w.flow_by_stack || w.sender != 0;
  next.has_sender = w.sender != 0;
  for (const int i : {0, 1}) {
    const bool initiates = i == write.initiator;
    const Scene::Stamp& stamp = initiates ? write.judgement.egress : write.judgement.ingress;
    Flow::Side side = SideOf(i == end ? w.source : w.destination);
    // Whoever began it by this host's right is this host.
    if (write.bypass && initiates) side.host = true, side.pod = false;
    side.set_index = stamp.set_index;
    side.epoch = stamp.epoch;
    side.seen = next.sides[i].seen;
    side.number = next.sides[i].number;
    side.packets = next.sides[i].packets;
    side.bytes = next.sides[i].bytes;
    next.sides[i] = side;
  }
  if (write.opening && continues) next.asked = w.p.protocol == 132 ? w.p.sctp_tag : w.p.sequence;
  const Flow::Side destination = next.sides[1 - end];
  TakeWay(w, next);
  if (continues) {
    *flow = next;
    flows_.Note(w.named, w.p, w.event.frame.size());
  } else {
    flows_.Begin(w.named, next, w.p, w.event.frame.size());
  }
  return destination;
}

}  // namespace ripstop::loader::fuzz
