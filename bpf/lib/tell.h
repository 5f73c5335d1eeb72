/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* What a walk tells of the flow of its packet. Functions of their own, that ask for the walk
 * again, for the reason that walk_judge gives.
 */
#ifndef RIPSTOP_BPF_LIB_TELL_H
#define RIPSTOP_BPF_LIB_TELL_H

#include "bpf/lib/drop.h"
#include "bpf/lib/flow_life.h"

/* Tells of the flow that was just judged, under the address of who began it, whatever the
 * packet shows. @type: enum flow_event_type; @loser: whose loss it is when it is denied.
 */
__noinline int
walk_tell(__u32 type, __u32 loser)
{
	const struct datapath_state *state = state_get();
	const struct flow_value *flow;
	struct walk *w = walk_get();
	struct event_subject subject = {};

	if (!w || !state)
		return 0;
	subject.type = type;
	subject.reason = w->judgement.reason;
	subject.egress_verdict = w->judgement.egress.word;
	subject.ingress_verdict = w->judgement.ingress.word;
	if (event_interest(state, type, subject.reason,
	                   subject.egress_verdict | subject.ingress_verdict) == EVENT_UNWANTED)
		return 0;
	if (type == FLOW_EVENT_CHANGED) {
		flow = bpf_map_lookup_elem(&rs_flows_v3, &w->key);
		if (flow)
			subject.sent = flow->sent;
	}
	subject.key = &w->key;
	if (w->sender) {
		w->shown = w->key;
		w->shown.address[w->initiator & 1] = w->sender_address;
		subject.key = &w->shown;
	}
	subject.initiator = w->initiator;
	subject.ifindex = loser;
	subject.icmp_type = w->icmp_type;
	subject.icmp_code = w->icmp_code;
	/* A flow that was just written says when. */
	event_send(state, type == FLOW_EVENT_NEW ? w->value.seen_ns : bpf_ktime_get_coarse_ns(),
	           &subject);
	return 0;
}

/* @key is on the stack, where an index must be constant. */
static __always_inline void
flow_show_sender(struct flow_key *key, const struct flow_value *flow,
                 const struct ip_address *sender)
{
	if ((flow->initiator & 1) == FLOW_HIGH)
		key->address[FLOW_HIGH] = *sender;
	else
		key->address[FLOW_LOW] = *sender;
}

/* How a flow that goes for want of packets or for room has ended. */
static __always_inline __u8
flow_closed_by(const struct flow_value *flow, __u8 otherwise)
{
	if (flow->flags & FLOW_RESET)
		return FLOW_CLOSED_RST;
	if (flow->side[0].tcp_flags & flow->side[1].tcp_flags & TCP_FIN)
		return FLOW_CLOSED_FIN;
	return flow_state(flow) == FLOW_HALF_OPEN && otherwise == FLOW_CLOSED_IDLE
	           ? FLOW_CLOSED_UNANSWERED
	           : otherwise;
}

/* Takes the flow of @life under @key out and tells of it, as of @closed_by, at @now. @shown: the
 * key under the address of who began it. What a translated flow was as sent nobody is told.
 * @room: as of flow_kill. Returns whether this was who took it out.
 */
static __always_inline int
flow_end_told(const struct datapath_state *state, const struct flow_key *key,
              const struct flow_key *shown, struct flow_value *flow, __u64 life, __u8 closed_by,
              __u64 now, struct masquerade_key *room)
{
	__u32 initiator = flow->initiator & 1;
	struct flow_count sent[2] = {flow->sent[0], flow->sent[1]};
	struct event_subject subject = {.key = shown,
	                                .sent = sent,
	                                .initiator = initiator,
	                                .egress_verdict = flow->side[initiator].verdict,
	                                .ingress_verdict = flow->side[initiator ^ 1].verdict,
	                                .type = FLOW_EVENT_CLOSED,
	                                .icmp_type = flow->icmp_type,
	                                .icmp_code = flow->icmp_code,
	                                .closed_by = closed_by,
	                                .outdated = state && !flow_is_current(flow, state)};
	int silent = (flow->flags & FLOW_AS_SENT) || (flow->told & FLOW_TOLD_CLOSED);

	/* From here on its memory may be another flow's. */
	if (!flow_kill(key, flow, life, room))
		return 0;
	if (!silent && state)
		event_send(state, now, &subject);
	return 1;
}

/* Takes the known flow of the walk out, if it is still that one. */
__noinline int
walk_end_flow(__u32 closed_by)
{
	const struct sender_value *sender;
	struct walk *w = walk_get();
	struct flow_value *flow;

	if (!w)
		return 0;
	flow = bpf_map_lookup_elem(&rs_flows_v3, &w->key);
	if (!flow)
		return 0;
	w->shown = w->key;
	sender = sender_of(flow_sender(flow));
	if (sender)
		w->shown.address[flow->initiator & 1] = sender->address;
	if (closed_by == FLOW_CLOSED_REPLACED)
		closed_by = flow_closed_by(flow, closed_by);
	return flow_end_told(state_get(), &w->key, &w->shown, flow, w->life, closed_by,
	                     bpf_ktime_get_coarse_ns(), &w->claimed);
}

#endif
