/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* The slow path's heart: what policy says of the two ends, and what becomes of the flow.
 *
 *   walk_decide ─▶ walk_judge ─▶ judge_side, egress then ingress ─▶ walk_write_flow
 */
#ifndef RIPSTOP_BPF_LIB_JUDGE_H
#define RIPSTOP_BPF_LIB_JUDGE_H

#include "bpf/lib/event.h"
#include "bpf/lib/flow.h"
#include "bpf/lib/related.h"
#include "bpf/lib/verdict.h"
#include "bpf/lib/walk_state.h"

/* One direction of a judgement; keeps the first reason to drop. */
static __always_inline void
judge_side(struct __sk_buff *skb, struct verdict_query *query, __u32 set,
           const struct address_value *near_value, const struct ip_address *far,
           const struct address_value *far_value, enum drop_reason denied, struct verdict *ret,
           enum drop_reason *reason)
{
	__u32 address_class = class_of(query->active, far, far_value);
	enum drop_reason unread;

	query->near_class = near_value->address_class;
	unread = verdict_read(query, set, address_class, ret);
	if (unread) {
		ret->word = 0;
		if (!*reason)
			*reason = address_class == CIDR_NO_ROOM ? DROP_NO_POLICY_SET : unread;
		return;
	}
	if (*reason)
		return;
	count_hit(query->active.slot, ret->word, skb->len);
	if (!(ret->word & VERDICT_ALLOW))
		*reason = denied;
}

/* Judges the flow of @w as begun by its @initiator: that end's egress policy, the
 * other end's ingress policy, each where the end is an endpoint of this node.
 */
static __always_inline void
walk_judge(struct __sk_buff *skb, struct walk *w, __u32 initiator, __u8 icmp_type, __u8 icmp_code,
           struct judgement *ret)
{
	int forward = initiator == w->source_end;
	const struct address_value *from = forward ? &w->source : &w->destination;
	const struct address_value *to = forward ? &w->destination : &w->source;
	struct verdict_query query = {};
	const struct ip_address *from_address = forward ? &w->p.source : &w->p.destination;
	const struct ip_address *to_address = forward ? &w->p.destination : &w->p.source;

	ret->reason = classify_l4(
	    w->active, w->p.protocol, forward ? w->p.source_port : w->p.destination_port,
	    forward ? w->p.destination_port : w->p.source_port, icmp_type, icmp_code, &query);
	if (ret->reason)
		return;
	if (from->flags & ADDRESS_LOCAL_ENDPOINT)
		judge_side(skb, &query, from->egress_set, from, to_address, to, DROP_POLICY_EGRESS,
		           &ret->egress, &ret->reason);
	if (to->flags & ADDRESS_LOCAL_ENDPOINT)
		judge_side(skb, &query, to->ingress_set, to, from_address, from,
		           DROP_POLICY_INGRESS, &ret->ingress, &ret->reason);
	skb->cb[RUN_EGRESS_VERDICT] = ret->egress.word;
	skb->cb[RUN_INGRESS_VERDICT] = ret->ingress.word;
}

static __always_inline void
side_fill(struct flow_side *side, const struct address_value *value, const struct verdict *verdict)
{
	side->ifindex = value->ifindex;
	side->set_index = verdict->set_index;
	side->epoch = verdict->epoch;
	side->verdict = verdict->word;
	__builtin_memcpy(side->mac, value->mac, sizeof(side->mac));
	side->tcp_flags = 0;
	side->flags = value->flags & ADDRESS_THIS_HOST ? FLOW_SIDE_HOST : 0;
	if (is_pod(value))
		side->flags |= FLOW_SIDE_POD;
}

/* How the remote end's packets come: its own packet has just been checked; of a packet to
 * it nothing new is known.
 */
static __always_inline void
walk_fill_arrival(struct walk *w, const struct flow_value *known, struct flow_side *source,
                  struct flow_side *destination)
{
	const struct flow_side *before;

	w->value.owners_epoch = w->owners_epoch;
	if (!source->ifindex)
		flow_side_set_arrival(source, w->arrival);
	if (destination->ifindex)
		return;
	before = known ? &known->side[~w->source_end & 1] : NULL;
	if (!before || before->ifindex) {
		flow_side_set_arrival(destination, ARRIVAL_UNKNOWN);
		return;
	}
	flow_side_set_arrival(destination, flow_side_arrival(before));
	w->value.owners_epoch = known->owners_epoch;
}

/* Writes the flow that @judgement admits: a new one as an embryo, a known one where
 * it is.
 */
static __always_inline enum drop_reason
walk_write_flow(struct walk *w, const struct flow_value *flow, __u32 initiator, __u8 icmp_type,
                __u8 icmp_code, __u8 flags, int known)
{
	const struct judgement *judgement = &w->judgement;
	struct flow_value *value = &w->value;
	struct flow_side *source = &value->side[w->source_end & 1];
	struct flow_side *destination = &value->side[~w->source_end & 1];
	int forward = initiator == w->source_end;
	int embryo = 1;

	value->seen_ns = bpf_ktime_get_coarse_ns();
	value->initiator = initiator;
	value->flags = flags;
	value->icmp_type = icmp_type;
	value->icmp_code = icmp_code;
	side_fill(source, &w->source, forward ? &judgement->egress : &judgement->ingress);
	side_fill(destination, &w->destination, forward ? &judgement->ingress : &judgement->egress);
	walk_fill_arrival(w, known ? flow : NULL, source, destination);
	if (flags & FLOW_HOST_BYPASS)
		value->side[initiator & 1].flags = FLOW_SIDE_HOST;
	if (known && flow) {
		source->tcp_flags = flow->side[w->source_end & 1].tcp_flags;
		destination->tcp_flags = flow->side[~w->source_end & 1].tcp_flags;
		embryo = w->embryo && (forward || !flow_is_answered_by(&w->p));
	}
	source->tcp_flags |= w->p.tcp_flags;
	if (embryo) {
		if (flow && !w->embryo)
			bpf_map_delete_elem(&rs_flows_v1, &w->key);
		return bpf_map_update_elem(&rs_embryo_v1, &w->key, value, BPF_ANY)
		           ? DROP_FLOW_TABLE_FULL
		           : DROP_NONE;
	}
	if (bpf_map_update_elem(&rs_flows_v1, &w->key, value, BPF_ANY))
		return DROP_FLOW_TABLE_FULL;
	if (w->embryo)
		bpf_map_delete_elem(&rs_embryo_v1, &w->key);
	return DROP_NONE;
}

/* What a judgement means for this packet, and for the flow. It asks for the walk again
 * instead of being given it: what a global function is given is plain memory to the
 * verifier, of which 6.1 takes no map keys and values.
 */
__noinline int
walk_decide(struct __sk_buff *skb, const struct datapath_state *state, struct flow_value *flow,
            enum hook hook)
{
	struct walk *w = walk_get();
	__u8 icmp_type, icmp_code, flags = 0;
	struct judgement *judgement;
	int opening, known, bypass;
	__u32 initiator;

	if (!w || !state)
		return DROP_NO_GENERATION;
	judgement = &w->judgement;
	icmp_type = w->p.icmp_type;
	icmp_code = w->p.icmp_code;
	initiator = w->source_end;
	opening = is_opening(&w->p, flow, initiator);
	known = flow && !opening;
	__builtin_memset(judgement, 0, sizeof(*judgement));
	if (known) {
		initiator = flow->initiator & 1;
		icmp_type = flow->icmp_type;
		icmp_code = flow->icmp_code;
		bypass = flow->flags & FLOW_HOST_BYPASS;
		flags = flow->flags & FLOW_RESET;
	} else {
		bypass = hook == TO_WORKLOAD && w->host_origin;
		if (w->p.protocol == IPPROTO_TCP && !opening)
			return DROP_NO_FLOW;
	}
	if (state->flags & STATE_HOST_OBEYS_POLICY)
		bypass = 0;
	if (is_icmp_error(&w->p)) {
		if (bypass || is_related(skb, &w->p, &w->quoted, state, hook == FROM_WORKLOAD))
			return DROP_NONE;
	}
	if (bypass) {
		flags |= FLOW_HOST_BYPASS;
	} else {
		walk_judge(skb, w, initiator, icmp_type, icmp_code, judgement);
		if (judgement->reason) {
			/* A known flow stays as it is, its epochs stale: each of its
			 * packets is judged, and it goes on when policy lets it again.
			 */
			event_send(state, bpf_ktime_get_coarse_ns(), FLOW_EVENT_DENIED,
			           judgement->reason, &w->key, initiator, icmp_type, icmp_code,
			           judgement->egress.word, judgement->ingress.word);
			return judgement->reason;
		}
	}
	if (is_icmp_error(&w->p))
		return DROP_ICMP_UNRELATED;
	if (!known && !begins_flow(&w->p))
		return DROP_NONE;
	/* A SYN or a ping against a live flow, from its responder: theirs to sort out
	 * (RFC 9293 section 3.5), the flow stays as it is.
	 */
	if (opening && flow && flow->initiator != w->source_end && !flow_is_closed(flow))
		return DROP_NONE;
	if (!flow)
		event_send(state, bpf_ktime_get_coarse_ns(), FLOW_EVENT_NEW, DROP_NONE, &w->key,
		           initiator, icmp_type, icmp_code, judgement->egress.word,
		           judgement->ingress.word);
	return walk_write_flow(w, flow, initiator, icmp_type, icmp_code, flags, known);
}

#endif
