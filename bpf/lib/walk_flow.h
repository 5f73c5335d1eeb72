/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* What a judgement makes of the walk's flow: written over the known one, where its verdict was
 * asked again, or begun anew.
 */
#ifndef RIPSTOP_BPF_LIB_WALK_FLOW_H
#define RIPSTOP_BPF_LIB_WALK_FLOW_H

#include "bpf/lib/flow_touch.h"
#include "bpf/lib/translated.h"
#include "bpf/lib/walk_state.h"

/* Where an end is: all that delivery asks of it. */
static __always_inline void
side_place(struct flow_side *side, const struct address_value *value,
           const struct datapath_state *state)
{
	side->ifindex = value->ifindex;
	__builtin_memcpy(side->mac, value->mac, sizeof(side->mac));
	side->flags = (value->flags & ADDRESS_THIS_HOST ? FLOW_SIDE_HOST : 0) |
	              (is_pod(value) ? FLOW_SIDE_POD : 0);
	if ((state->flags & STATE_SHAPED) && value->ifindex &&
	    (interface_flags(value->ifindex) & INTERFACE_SHAPED))
		side->flags |= FLOW_SIDE_SHAPED;
}

static __always_inline void
side_admit(struct flow_side *side, const struct verdict *verdict)
{
	side->set_index = verdict->set_index;
	side->epoch = verdict->epoch;
	side->verdict = verdict->word;
	side->tcp_flags = 0;
	side->sequence = 0;
	side->number = 0;
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
		source->number = w->arrival;
	if (destination->ifindex)
		return;
	destination->number = ARRIVAL_UNKNOWN;
	before = known ? &known->side[~w->source_end & 1] : NULL;
	if (!before || before->ifindex)
		return;
	destination->number = before->number;
	w->value.owners_epoch = known->owners_epoch;
}

/* On whose account a new flow is: of the local address that began it, else of the one that it
 * was begun to.
 */
static __always_inline __u32
walk_account(const struct walk *w)
{
	const struct address_value *from =
	    w->initiator == w->source_end ? &w->source : &w->destination;
	const struct address_value *to =
	    w->initiator == w->source_end ? &w->destination : &w->source;

	if (w->sender)
		return FLOW_ACCOUNT_BEGUN(w->sender);
	if (from->flags & ADDRESS_LOCAL_ENDPOINT)
		return FLOW_ACCOUNT_BEGUN(from->number);
	return FLOW_ACCOUNT_RECEIVED(to->number);
}

/* What the judgement says of one end, over what the known flow had. Its epoch comes last: who
 * reads meanwhile takes the flow for outdated, and asks.
 */
static __always_inline void
side_renew(struct flow_side *side, const struct flow_side *value)
{
	side->set_index = value->set_index;
	side->verdict = value->verdict;
	side->flags = value->flags;
	side->number = value->number;
	__builtin_memcpy(side->mac, value->mac, sizeof(side->mac));
	asm volatile("" ::: "memory");
	*(volatile __u32 *)&side->epoch = value->epoch;
}

static __always_inline void
walk_renew_flow(struct __sk_buff *skb, struct walk *w, struct flow_value *flow)
{
	const struct flow_value *value = &w->value;
	__u64 life = w->life;

	/* Judging took its time. Whatever the flow is now, the next packet asks again. */
	if (!flow_hold(&w->key, flow, life))
		return;
	flow->flags = value->flags | (flow->flags & FLOW_RESET);
	flow->told = 0;
	flow->owners_epoch = value->owners_epoch;
	side_renew(&flow->side[0], &value->side[0]);
	side_renew(&flow->side[1], &value->side[1]);
	if (w->opening)
		flow->asked_sequence = w->p.tcp_sequence;
	flow_let_go(flow, life);
	flow_touch(flow, w->source_end, &w->p, skb->len);
	if (FLOW_LIFE_STATE(life) == FLOW_HALF_OPEN)
		flow_answered(flow, life, w->source_end, &w->p);
}

/* A new flow. Asks for the walk, as walk_judge does. */
__noinline int
walk_begin_flow(struct __sk_buff *skb)
{
	struct datapath_state *state = state_get();
	struct walk *w = walk_get();
	struct flow_value *value;
	__u32 source_end;

	if (!w || !state)
		return DROP_NO_GENERATION;
	source_end = w->source_end & 1;
	value = &w->value;
	value->flags &= ~FLOW_RESET; /* of the one whose place it takes */
	value->side[source_end].tcp_flags = w->p.tcp_flags;
	value->side[source_end].sequence = w->p.tcp_sequence;
	value->asked_sequence = w->p.tcp_sequence;
	__builtin_memset(value->sent, 0, sizeof(value->sent));
	value->sent[source_end].packets = 1;
	value->sent[source_end].bytes = skb->len;
	return flow_insert(&w->key, value, walk_account(w), &w->evicted, &w->claimed, state);
}

/* Whether the ends are where the known flow has them. Who hides behind an address of another's has
 * a flow of his own: a number means nothing beside the interface of somebody else.
 */
static __always_inline int
is_between_same(const struct flow_value *flow, const struct flow_value *value)
{
	return flow->side[0].ifindex == value->side[0].ifindex &&
	       flow->side[1].ifindex == value->side[1].ifindex;
}

/* Writes the flow that the judgement admits, between the ends that w->value has: over the known
 * one, if its verdict was asked again, else as a new one.
 */
static __always_inline enum drop_reason
walk_write_flow(struct __sk_buff *skb, struct walk *w, struct flow_value *flow)
{
	const struct judgement *judgement = &w->judgement;
	struct flow_value *value = &w->value;
	struct flow_side *source = &value->side[w->source_end & 1];
	struct flow_side *destination = &value->side[~w->source_end & 1];
	int forward = w->initiator == w->source_end;
	int continues = flow && (w->known || w->renewed) && is_between_same(flow, value);

	value->seen_ns = bpf_ktime_get_coarse_ns();
	value->initiator = w->initiator;
	value->flags = w->new_flags;
	value->icmp_type = w->icmp_type;
	value->icmp_code = w->icmp_code;
	side_admit(source, forward ? &judgement->egress : &judgement->ingress);
	side_admit(destination, forward ? &judgement->ingress : &judgement->egress);
	if (w->new_flags & FLOW_HOST_BYPASS)
		value->side[w->initiator & 1].flags = FLOW_SIDE_HOST;
	walk_fill_arrival(w, continues ? flow : NULL, source, destination);
	if (w->sender)
		value->flags |= FLOW_BY_STACK | FLOW_HAS_SENDER;
	if (source->ifindex)
		source->number = w->source.number;
	if (destination->ifindex)
		destination->number = w->destination.number;
	walk_take_way(w, value);
	if (continues && flow) {
		walk_renew_flow(skb, w, flow);
		return DROP_NONE;
	}
	if (flow)
		walk_end_flow(FLOW_CLOSED_REPLACED);
	return walk_begin_flow(skb);
}

#endif
