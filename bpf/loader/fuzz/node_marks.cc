// SPDX-License-Identifier: Apache-2.0
//
// Packets that pass this host's stack, where its NAT may translate them: bpf/abi/marks.h and
// docs/host-nat.md. Whose a packet is its mark says, if the interface that it came by agrees.
#include <linux/pkt_cls.h>

#include "bpf/loader/fuzz/node_model.h"

namespace ripstop::loader::fuzz {
namespace {

constexpr uint8_t kTcp = 6, kUdp = 17, kSctp = 132;

bool IsPodInterface(uint32_t ifindex) {
  return ifindex >= kFirstPod && ifindex < kFirstPod + kPods;
}

bool ComesOutOfStack(Program program) {
  return program == Program::kToWorkload || program == Program::kToHost;
}

}  // namespace

Holder NodeModel::Look(const policy::Address& address) const {
  Holder holder = scene_.HolderOf(address);
  for (const auto& [number, sender] : senders_)
    if (holder.ifindex != 0 && sender.address == address) holder.number = number;
  return holder;
}

// What leaves the host is judged there if a pod sent it and nobody has judged it yet.
bool NodeModel::IsToBeJudged(const PacketEvent& event) const {
  if (!settings.marks || event.redirected) return false;
  const Mark mark = ReadMark(event.mark);
  if (event.ingress_ifindex == 0) return mark.number != 0 && mark.kind == MarkKind::kSent;
  if (!IsPodInterface(event.ingress_ifindex)) return false;
  if (mark.kind != MarkKind::kJudged) return true;
  const auto sender = senders_.find(mark.number);
  return sender == senders_.end() || sender->second.ifindex != event.ingress_ifindex;
}

// Whether a packet of the known flow is what its mark says.
bool NodeModel::MarkFits(const Walk& w, const Flow& flow) const {
  const Mark mark = ReadMark(w.event.mark);
  const bool forward = w.named.source_end == flow.initiator;
  if (w.event.program == Program::kFromWorkload) return true;
  if (!ComesOutOfStack(w.event.program)) return !flow.as_sent;
  if (flow.as_sent) {
    // Its answer, let through for it where it was seen as what it became; or of a socket of this
    // host: each datagram is judged before it gets there.
    if (w.event.program != Program::kToWorkload || forward) return false;
    if (w.host_origin) return w.p.protocol == kUdp;
    return mark.kind == MarkKind::kAnswer && mark.number == flow.sender();
  }
  const uint16_t said = mark.kind == MarkKind::kSent ? mark.number : 0;
  return !forward || said == flow.sender();
}

// How packets of the flow go on.
void NodeModel::TakeWay(Walk& w, const Flow& flow) const {
  if (!flow.by_stack) return;
  w.by_stack = true;
  const bool forward = w.named.source_end == flow.initiator;
  w.mark = {forward ? MarkKind::kSent : MarkKind::kAnswer, flow.sender()};
  if (w.mark.number == 0) w.mark = {MarkKind::kJudged, flow.NumberAt(w.named.source_end)};
}

// Who began the packet's flow. What is known of him stands for what is known of the address that
// shows.
drop_reason NodeModel::FindSender(Walk& w, const Flow* flow) const {
  const int end = w.named.source_end;
  const bool known = flow != nullptr && !IsOpening(w.p, flow, end);
  if (ComesOutOfStack(w.event.program)) {
    const bool answer = known && end == flow->responder() && !flow->as_sent;
    return answer ? DROP_NONE : FindSenderBehindStack(w);
  }
  if (!known || flow->as_sent) return DROP_NONE;
  const auto sender = senders_.find(flow->sender());
  if (sender == senders_.end()) return DROP_NONE;
  w.sender = sender->first;
  if (end == flow->initiator) return DROP_NONE;
  w.asked_destination = sender->second.address;
  w.destination = Look(w.asked_destination);
  return DROP_NONE;
}

drop_reason NodeModel::FindSenderBehindStack(Walk& w) const {
  const uint32_t came_by = w.event.ingress_ifindex;
  const Mark mark = ReadMark(w.event.mark);
  if (w.host_origin || (came_by != 0 && !IsPodInterface(came_by))) return DROP_NONE;
  if (came_by != 0 && w.source.ifindex == came_by) {
    // Nothing hides it. What was judged under this very tuple has no other sender.
    if (mark.kind == MarkKind::kJudged && w.event.program == Program::kToWorkload) return DROP_NONE;
    w.sender = w.source.number;
    return DROP_NONE;
  }
  if (mark.number == 0 && !settings.marks_trusted) return DROP_NONE;
  const auto sender = senders_.find(mark.kind == MarkKind::kSent ? mark.number : 0);
  if (sender == senders_.end()) return DROP_MARK_CHANGED;
  if (came_by != 0 && sender->second.ifindex != came_by) return DROP_MARK_CHANGED;
  w.asked_source = sender->second.address;
  w.source = Look(w.asked_source);
  if (w.source.ifindex == 0 || (came_by != 0 && w.source.ifindex != came_by))
    return DROP_MARK_CHANGED;
  w.sender = sender->first;
  return DROP_NONE;
}

// Whether a pod's packet begins a flow whose verdict waits for what the stack makes of it.
bool NodeModel::Waits(Walk& w, const Flow* flow) const {
  const Holder& to = w.destination;
  const int end = w.named.source_end;
  const bool opening = IsOpening(w.p, flow, end);
  if (!settings.host_nat || w.source.number == 0) return false;
  if (to.ifindex != 0 || to.remote_pod || to.other_node) return false;
  if (flow != nullptr && !flow->as_sent && (!opening || flow->initiator != end)) return false;
  if (!BeginsFlow(w.p) || (w.p.protocol == kTcp && !opening)) return false;
  w.sender = w.source.number;
  w.flow_by_stack = true;
  if (w.p.protocol == kTcp || w.p.protocol == kUdp) return true;
  // At a socket of this host nobody asks for these.
  return (w.p.protocol == kSctp || w.p.is_echo_request()) && !to.this_host;
}

Outcome NodeModel::ToStack(const Walk& w) const {
  Outcome outcome{.mark = w.event.mark, .frame = w.event.frame};
  // Others' programs at that interface come next.
  if (w.event.program == Program::kFromElsewhere) outcome.action = TC_ACT_UNSPEC;
  if (settings.marks) outcome.mark = WithMark(w.event.mark, w.mark);
  return outcome;
}

}  // namespace ripstop::loader::fuzz
