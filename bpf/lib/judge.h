/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* The slow path's heart: what policy says of the two ends, and what becomes of the packet.
 *
 *   walk_prepare ─▶ walk_judge ─▶ judge_side, egress then ingress
 *                └─▶ walk_conclude ─▶ walk_write_flow (walk_flow.h)
 */
#ifndef RIPSTOP_BPF_LIB_JUDGE_H
#define RIPSTOP_BPF_LIB_JUDGE_H

#include "bpf/lib/related.h"
#include "bpf/lib/tell.h"
#include "bpf/lib/translated.h"
#include "bpf/lib/verdict.h"
#include "bpf/lib/walk_flow.h"
#include "bpf/lib/walk_state.h"

/* One direction of a judgement; keeps the first reason to drop. */
static __always_inline void
judge_side(struct __sk_buff *skb, struct verdict_query *query, __u32 set,
           const struct address_value *near_value, const struct ip_address *far,
           const struct address_value *far_value, enum drop_reason denied, struct verdict *ret,
           enum drop_reason *reason, int quiet)
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
	if (!quiet)
		count_hit(query->active.slot, ret->word, skb->len);
	if (!(ret->word & VERDICT_ALLOW))
		*reason = denied;
}

/* Judges the flow of the walk as begun by its initiator: that end's egress policy, the
 * other end's ingress policy, each where the end is an endpoint of this node. What
 * translation hides is in w->sender and w->socket.
 *
 * Like the other steps a function of its own, that asks for the walk again instead of being
 * given it: what a global function is given is plain memory to the verifier, of which 6.1
 * takes no map keys and values.
 */
__noinline int
walk_judge(struct __sk_buff *skb)
{
	const struct ip_address *from_address, *to_address;
	const struct address_value *from, *to;
	struct verdict_query query = {};
	struct walk *w = walk_get();
	struct judgement *ret;
	__be16 to_port;
	int forward;

	if (!w)
		return DROP_NO_GENERATION;
	ret = &w->judgement;
	forward = w->initiator == w->source_end;
	from = forward ? &w->source : &w->destination;
	to = forward ? &w->destination : &w->source;
	from_address = forward ? &w->p.source : &w->p.destination;
	to_address = forward ? &w->p.destination : &w->p.source;
	to_port = forward ? w->p.destination_port : w->p.source_port;
	if (w->sender)
		from_address = &w->sender_address;
	if (w->socket.port) {
		to_address = &w->socket.address;
		to_port = w->socket.port;
	}
	ret->reason = classify_l4(w->active, w->p.protocol,
	                          forward ? w->p.source_port : w->p.destination_port, to_port,
	                          w->icmp_type, w->icmp_code, &query);
	if (ret->reason)
		return ret->reason;
	/* A pod that reaches itself by way of a service. */
	if (w->sender && from->ifindex == to->ifindex)
		return DROP_NONE;
	if (from->flags & ADDRESS_LOCAL_ENDPOINT)
		judge_side(skb, &query, from->egress_set, from, to_address, to, DROP_POLICY_EGRESS,
		           &ret->egress, &ret->reason, w->quiet);
	if (to->flags & ADDRESS_LOCAL_ENDPOINT)
		judge_side(skb, &query, to->ingress_set, to, from_address, from,
		           DROP_POLICY_INGRESS, &ret->ingress, &ret->reason, w->quiet);
	skb->cb[RUN_EGRESS_VERDICT] = ret->egress.word;
	skb->cb[RUN_INGRESS_VERDICT] = ret->ingress.word;
	return ret->reason;
}

/* An ICMP error about a flow that stands. From outside, one about a flow in a form that
 * nobody judged proves nothing.
 */
static __always_inline int
walk_is_related(struct __sk_buff *skb, struct walk *w, const struct datapath_state *state,
                enum hook hook)
{
	int relation = relation_of(skb, &w->p, &w->quoted, state, hook == FROM_WORKLOAD);

	if (relation == UNRELATED || (relation == RELATED_AS_SENT && is_from_outside(hook)))
		return 0;
	if (relation == RELATED)
		return 1;
	w->by_stack = 1;
	w->mark.number = hook == FROM_WORKLOAD ? w->source.number : 0;
	w->mark.kind = MARK_SENT;
	return 1;
}

/* Whether it is one more SYN of who began the flow, in the same form: sent again, or by somebody
 * who has forgotten the flow, or who never began it. So it changes nothing but the verdict; the
 * other end's answer tells which.
 */
static __always_inline int
renews_flow(const struct walk *w, const struct flow_value *flow)
{
	__u32 sender = w->sender;

	return w->opening && flow->initiator == w->source_end && !flow_is_closed(flow) &&
	       !((flow->flags ^ w->new_flags) & FLOW_AS_SENT) && sender == flow_sender(flow);
}

/* The known flow, for a function that cannot be given it. */
static __always_inline struct flow_value *
walk_find_again(const struct walk *w)
{
	struct flow_value *flow;

	if (!w->life)
		return NULL;
	flow = bpf_map_lookup_elem(&rs_flows_v3, &w->key);
	/* Gone meanwhile, or another one. */
	if (!flow || FLOW_LIFE_STATE(flow_life(flow)) == FLOW_DEAD)
		return NULL;
	return (flow_life(flow) ^ w->life) >> 8 ? NULL : flow;
}

/* What is asked of policy, and whether it is asked at all: w->settled when not. */
static __always_inline int
walk_prepare_at(struct __sk_buff *skb, enum hook hook)
{
	struct datapath_state *state = state_get();
	struct walk *w = walk_get();
	struct flow_value *flow;

	if (!w || !state)
		return DROP_NO_GENERATION;
	flow = walk_find_again(w);
	w->icmp_type = w->p.icmp_type;
	w->icmp_code = w->p.icmp_code;
	w->initiator = w->source_end;
	w->opening = is_opening(&w->p, flow, w->source_end);
	w->known = flow && !w->opening && is_judged(w, flow, hook);
	side_place(&w->value.side[w->source_end & 1], &w->source, state);
	side_place(&w->value.side[~w->source_end & 1], &w->destination, state);
	__builtin_memset(&w->judgement, 0, sizeof(w->judgement));
	w->settled = w->new_flags & FLOW_AS_SENT ? SETTLED_UNASKED : NOT_SETTLED;
	w->renewed = flow && renews_flow(w, flow);
	if (w->settled)
		return DROP_NONE;
	if (flow && w->known) {
		w->initiator = flow->initiator & 1;
		w->icmp_type = flow->icmp_type;
		w->icmp_code = flow->icmp_code;
		/* What this host may, a pod that hides behind its address may not. */
		w->bypass = (flow->flags & FLOW_HOST_BYPASS) &&
		            !(w->sender && w->initiator == w->source_end);
		w->new_flags = flow->flags & (FLOW_RESET | FLOW_BY_STACK | FLOW_TO_SOCKET);
	} else {
		w->bypass = hook == TO_WORKLOAD && w->host_origin;
		if (needs_flow(&w->p))
			return DROP_NO_FLOW;
	}
	if (state->flags & STATE_HOST_OBEYS_POLICY)
		w->bypass = 0;
	if (is_icmp_error(&w->p) && (w->bypass || walk_is_related(skb, w, state, hook))) {
		w->settled = SETTLED;
		return DROP_NONE;
	}
	if (w->bypass || !flow || !w->known || !(flow->flags & (FLOW_AS_SENT | FLOW_TO_SOCKET)))
		return DROP_NONE;
	w->new_flags |= walk_find_socket(skb, w, flow);
	/* No socket's answer: a reset, or a SYN cookie. */
	if (hook == TO_WORKLOAD && w->p.protocol == IPPROTO_TCP && !(w->new_flags & FLOW_TO_SOCKET))
		w->settled = SETTLED;
	return DROP_NONE;
}

/* That of one hook, as a function of its own: the verifier goes through it once, and not behind
 * each way that leads there.
 */
typedef int (*walk_prepare_function)(struct __sk_buff *skb);

#define WALK_PREPARE(name, hook)                                                                   \
	__noinline int name(struct __sk_buff *skb)                                                 \
	{                                                                                          \
		return walk_prepare_at(skb, hook);                                                 \
	}

/* Policy denies a packet. A known flow stays as it is, its epochs stale: each of its packets is
 * judged, and it goes on when policy lets it again.
 */
static __always_inline void
walk_tell_denied(struct walk *w, struct flow_value *flow, __u32 loser)
{
	int changes = flow && (w->known || w->renewed) && !(flow->flags & FLOW_AS_SENT) &&
	              !(flow->told & FLOW_TOLD_DENIED);

	if (changes)
		flow->told |= FLOW_TOLD_DENIED;
	walk_tell(changes ? FLOW_EVENT_CHANGED : FLOW_EVENT_DENIED, loser);
}

/* What there is to tell of a flow that is let through, before it is written; 0: nothing. */
static __always_inline __u32
walk_news(const struct walk *w, const struct flow_value *flow)
{
	__u32 end = w->initiator & 1;

	if (!flow || !(w->known || w->renewed) || (flow->flags & FLOW_AS_SENT))
		return FLOW_EVENT_NEW;
	return flow->side[end].verdict != w->judgement.egress.word ||
	               flow->side[end ^ 1].verdict != w->judgement.ingress.word ||
	               (flow->told & FLOW_TOLD_DENIED)
	           ? FLOW_EVENT_CHANGED
	           : 0;
}

/* What the judgement means for this packet, and for the flow. */
__noinline int
walk_conclude(struct __sk_buff *skb)
{
	struct walk *w = walk_get();
	enum drop_reason reason;
	struct flow_value *flow;
	__u32 news;

	if (!w)
		return DROP_NO_GENERATION;
	flow = walk_find_again(w);
	if (w->settled)
		return walk_write_flow(skb, w, flow);
	if (w->bypass)
		w->new_flags |= FLOW_HOST_BYPASS;
	if (w->judgement.reason) {
		walk_tell_denied(
		    w, flow, walk_loser(w, !w->source.ifindex, skb->ifindex, w->judgement.reason));
		return w->judgement.reason;
	}
	if (is_icmp_error(&w->p))
		return DROP_ICMP_UNRELATED;
	if (!w->known && !begins_flow(&w->p))
		return DROP_NONE;
	/* A SYN or a ping against a live flow, from its responder: theirs to sort out
	 * (RFC 9293 section 3.5), the flow stays as it is.
	 */
	if (w->opening && flow && flow->initiator != w->source_end && !flow_is_closed(flow))
		return DROP_NONE;
	news = walk_news(w, flow);
	reason = walk_write_flow(skb, w, flow);
	if (!reason && news)
		walk_tell(news, 0);
	return reason;
}

/* May it pass, and what becomes of the flow. */
static __always_inline enum drop_reason
walk_decide(struct __sk_buff *skb, struct walk *w, const struct datapath_state *state,
            enum hook hook, walk_prepare_function prepare)
{
	enum drop_reason reason = prepare(skb);

	w->quiet = reason == DROP_NO_FLOW && w->p.protocol == IPPROTO_TCP &&
	           (state->flags & STATE_RESET_UNKNOWN);
	if ((reason && !w->quiet) || w->settled == SETTLED)
		return reason;
	if (!w->bypass && !w->settled)
		walk_judge(skb);
	if (w->quiet) {
		/* A pod may have forgotten what it did not begin. Whoever scans pods from
		 * elsewhere hears of those that he may ask.
		 */
		if (w->judgement.reason && hook == FROM_WORKLOAD) {
			w->initiator ^= 1;
			walk_judge(skb);
		}
		w->answers = !w->judgement.reason;
		return reason;
	}
	reason = walk_conclude(skb);
	w->answers = (state->flags & STATE_REJECT) &&
	             (reason == DROP_POLICY_EGRESS || reason == DROP_POLICY_INGRESS);
	return reason;
}

#endif
