/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* One packet's way through a program.
 *
 *   parse ─▶ fragment ports ─▶ flow known and current? ─yes─▶ touch ─▶ deliver
 *                                    │ no                                ▲
 *                                    ▼                                   │
 *                       who are the two ends, may they? ─▶ judge ─▶ write flow
 *
 * The hooks share it; `hook` is a constant in each program, so the compiler
 * keeps only its branches.
 */
#ifndef RIPSTOP_BPF_LIB_WALK_H
#define RIPSTOP_BPF_LIB_WALK_H

#include "bpf/lib/answer.h"
#include "bpf/lib/arrival.h"
#include "bpf/lib/deliver.h"
#include "bpf/lib/drop.h"
#include "bpf/lib/flow_touch.h"
#include "bpf/lib/fragment.h"
#include "bpf/lib/judge.h"
#include "bpf/lib/martian.h"
#include "bpf/lib/next_hop.h"
#include "bpf/lib/parse.h"
#include "bpf/lib/translated.h"
#include "bpf/lib/walk_state.h"

/* Of interfaces of the host, which may have no Ethernet header. */
static __always_inline enum drop_reason
walk_parse(struct __sk_buff *skb, struct walk *w)
{
	if (interface_flags(skb->ifindex) & INTERFACE_HEADLESS)
		return parse_headless(skb, &w->p);
	return parse(skb, &w->p);
}

static __always_inline struct flow_value *
walk_find_flow(struct walk *w)
{
	struct flow_value *flow;

	w->life = 0;
	w->source_end = flow_key_of(&w->p, &w->key);
	if (w->unresolved || !has_flow(&w->p))
		return NULL;
	flow = bpf_map_lookup_elem(&rs_flows_v3, &w->key);
	if (!flow)
		return NULL;
	w->life = flow_life(flow);
	if (FLOW_LIFE_STATE(w->life) != FLOW_DEAD)
		return flow;
	w->life = 0;
	return NULL;
}

/* To the host's stack, with the mark that the hooks behind it ask for. What limits a pod's
 * sending is a filter of the same interface, which comes next.
 */
static __always_inline int
walk_pass(struct __sk_buff *skb, const struct walk *w, const struct datapath_state *state,
          enum hook hook, int from_shaped)
{
	if (state->flags & STATE_MARKS)
		mark_write(skb, state, w->mark);
	return from_shaped || hook == FROM_ELSEWHERE ? TC_ACT_UNSPEC : TC_ACT_OK;
}

/* As sent by this pod and judged, for a flow that does not know its number. */
static __always_inline void
walk_mark_judged(struct walk *w, const struct datapath_state *state)
{
	w->mark.kind = MARK_JUDGED;
	w->mark.number = 0;
	if (!lookup_address(active_generation_get(state).slot, &w->address_key, &w->p.source,
	                    &w->source) &&
	    w->source.ifindex)
		w->mark.number = w->source.number;
}

/* To another machine, by the next hop that the flow knows. A new flow does not yet. */
static __always_inline int
walk_deliver_routed(struct __sk_buff *skb, struct walk *w, const struct datapath_state *state,
                    struct flow_value *flow)
{
	int marks = (state->flags & STATE_MARKS) != 0;
	int action;
	__u64 stamp;

	if (!flow)
		return deliver_routed(skb, &w->p, NULL, 0, marks);
	stamp = NEXT_HOP_STAMP(state->routes_epoch, flow->seen_ns);
	action = deliver_noted(skb, w, state, flow, stamp);
	if (action != TC_ACT_UNSPEC)
		return action;
	return deliver_routed(skb, &w->p, flow, stamp, marks);
}

static __always_inline int
walk_deliver(struct __sk_buff *skb, struct walk *w, const struct datapath_state *state,
             enum hook hook, const struct flow_side *source, const struct flow_side *destination,
             struct flow_value *flow)
{
	int from_shaped = hook == FROM_WORKLOAD && (source->flags & FLOW_SIDE_SHAPED);
	int action;

	if (w->p.fragment == FRAGMENT_FIRST)
		fragment_remember(&w->p);
	if (hook == TO_WORKLOAD)
		return TC_ACT_OK;
	if (hook == TO_HOST)
		w->mark.kind = MARK_JUDGED;
	else if (from_shaped && !w->by_stack && (state->flags & STATE_MARKS))
		walk_mark_judged(w, state);
	if (w->by_stack || from_shaped || hook == TO_HOST || hook == FROM_ELSEWHERE)
		return walk_pass(skb, w, state, hook, from_shaped);
	if (destination->ifindex)
		return deliver_local(skb, &w->p, state, destination);
	if (is_from_outside(hook))
		return TC_ACT_OK;
	if (destination->flags & FLOW_SIDE_HOST) {
		w->mark.number = 0;
		return walk_pass(skb, w, state, hook, 0);
	}
	action = walk_deliver_routed(skb, w, state, flow);
	if (action != TC_ACT_OK || !(state->flags & STATE_MARKS))
		return action;
	walk_mark_judged(w, state);
	return walk_pass(skb, w, state, hook, 0);
}

#define NOT_ESTABLISHED (-2) /* no TC_ACT_* is this */

/* The way of a packet of a flow that is known: nothing is looked up but the flow and
 * the epochs. Returns NOT_ESTABLISHED when it is not such a packet.
 */
static __always_inline int
walk_established(struct __sk_buff *skb, struct walk *w, const struct datapath_state *state,
                 struct flow_value *flow, enum hook hook)
{
	struct flow_side *source, *destination;
	enum drop_reason reason;
	__u64 life;
	int action;

	if (!flow || is_opening(&w->p, flow, w->source_end))
		return NOT_ESTABLISHED;
	life = w->life;
	source = &flow->side[w->source_end & 1];
	destination = &flow->side[~w->source_end & 1];
	/* The flow knows where its ends live. Another interface is a spoofer, or a new
	 * owner of the address: the slow path tells which.
	 */
	if (hook == FROM_WORKLOAD && source->ifindex != skb->ifindex)
		return NOT_ESTABLISHED;
	if (hook == TO_WORKLOAD && destination->ifindex != skb->ifindex)
		return NOT_ESTABLISHED;
	if (is_from_outside(hook) && (source->ifindex || (source->flags & FLOW_SIDE_HOST)))
		return NOT_ESTABLISHED;
	if ((hook == TO_HOST || (hook == TO_WORKLOAD && (state->flags & STATE_MARKS)) ||
	     (flow->flags & FLOW_BY_STACK)) &&
	    !mark_fits_flow(skb, w, state, flow, hook))
		return NOT_ESTABLISHED;
	if (hook == FROM_WORKLOAD && is_vxlan(&w->p, state) &&
	    !(destination->flags & FLOW_SIDE_POD))
		return NOT_ESTABLISHED;
	if (!flow_is_current(flow, state))
		return NOT_ESTABLISHED;
	if (hook != FROM_WORKLOAD && hook != TO_HOST) {
		reason = check_arrival(w, state, flow);
		if (reason)
			return drop(skb, reason);
	}
	flow_touch(flow, w->source_end, &w->p, skb->len);
	skb->cb[RUN_EGRESS_VERDICT] = flow->side[flow->initiator & 1].verdict;
	skb->cb[RUN_INGRESS_VERDICT] = flow->side[~flow->initiator & 1].verdict;
	walk_take_way(w, flow);
	action = walk_deliver(skb, w, state, hook, source, destination, flow);
	/* Gone meanwhile, and its memory another flow's: what was read may be of either. */
	if ((flow_life(flow) ^ life) >> 8)
		return drop(skb, DROP_NO_FLOW);
	if (FLOW_LIFE_STATE(life) == FLOW_HALF_OPEN)
		flow_answered(flow, life, w->source_end, &w->p);
	return action;
}

/* May this packet be here at all? Spoofing, martians, tunnels, foreign receivers. */
static __always_inline enum drop_reason
walk_admit(struct __sk_buff *skb, const struct walk *w, const struct datapath_state *state,
           enum hook hook)
{
	const struct packet *p = &w->p;

	if (hook == FROM_WORKLOAD) {
		if (is_neighbor_discovery(p))
			return DROP_NEIGHBOR_DISCOVERY;
		if (w->source.ifindex != skb->ifindex)
			return DROP_SPOOFED;
		if (is_martian(&p->destination) || address_equal(&p->source, &p->destination) ||
		    (!(w->destination.flags & ADDRESS_THIS_HOST) && is_unroutable(&p->destination)))
			return DROP_MARTIAN;
		/* Whatever is no pod may be an address of a node, or of several. */
		if (is_vxlan(p, state) && !is_pod(&w->destination))
			return DROP_VXLAN_FROM_WORKLOAD;
		if (is_tunnel(p->protocol) && !is_pod(&w->destination))
			return DROP_TUNNEL_FROM_WORKLOAD;
		if (is_dhcp(p, w->destination.flags & (ADDRESS_THIS_HOST | ADDRESS_OTHER_NODE)))
			return DROP_DHCP_FROM_WORKLOAD;
	}
	if (hook == TO_WORKLOAD) {
		if (w->destination.ifindex != skb->ifindex)
			return DROP_UNKNOWN_ENDPOINT;
		if (!w->host_origin && !w->sender && (w->source.flags & ADDRESS_LOCAL_ENDPOINT) &&
		    w->source.ifindex != skb->ingress_ifindex)
			return DROP_SPOOFED;
	}
	if (hook == TO_HOST && is_vxlan(p, state) && !is_pod(&w->destination))
		return DROP_VXLAN_FROM_WORKLOAD;
	if (is_from_outside(hook)) {
		if (w->source.flags & (ADDRESS_LOCAL_ENDPOINT | ADDRESS_THIS_HOST))
			return DROP_SPOOFED;
		if (is_martian(&p->source))
			return DROP_MARTIAN;
	}
	if (w->unresolved)
		return DROP_FRAGMENT_UNKNOWN;
	if (p->protocol == IPPROTO_TCP && p->fragment != FRAGMENT_LATER &&
	    (!(p->tcp_flags & (TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK)) ||
	     ((p->tcp_flags & TCP_SYN) && (p->tcp_flags & (TCP_FIN | TCP_RST)))))
		return DROP_BAD_TCP_FLAGS;
	return DROP_NONE;
}

/* Whether both ends of the known flow are still who they were when it was admitted. An address
 * that is at another interface now, or at one for the first time, or at none any more, has a new
 * holder, whom that flow gives nothing. Who began a translated flow is named by its number.
 */
static __always_inline int
has_same_holders(const struct walk *w, const struct flow_value *flow)
{
	__u32 end = w->source_end & 1, named = 2;

	if (flow->flags & FLOW_HAS_SENDER)
		named = flow->initiator & 1;
	return (end == named || flow->side[end].ifindex == w->source.ifindex) &&
	       ((end ^ 1) == named || flow->side[end ^ 1].ifindex == w->destination.ifindex);
}

static __always_inline int
walk_slow(struct __sk_buff *skb, struct walk *w, const struct datapath_state *state,
          struct flow_value *flow, enum hook hook, walk_prepare_function prepare)
{
	enum drop_reason reason;

	w->answers = 0;
	/* For whomever it is. What comes natively and is for no pod of this node is the stack's. */
	if (hook == FROM_TUNNEL) {
		reason = check_arrival(w, state, flow);
		if (reason)
			return drop(skb, reason);
	}
	w->sender = 0;
	w->socket.port = 0;
	/* What the stack brought here it may have translated; so its answers go there. */
	w->new_flags = hook == TO_HOST || (hook == TO_WORKLOAD && (state->flags & STATE_HOST_NAT))
	                   ? FLOW_BY_STACK
	                   : 0;
	w->active = active_generation_get(state);
	if (!w->active.l4_table) {
		/* Nothing is known, not even which addresses are pods here. Their own
		 * interfaces judge what the stack forwards to them.
		 */
		return is_from_outside(hook) ? TC_ACT_OK : drop(skb, DROP_NO_GENERATION);
	}
	if (lookup_address(w->active.slot, &w->address_key, &w->p.source, &w->source) ||
	    lookup_address(w->active.slot, &w->address_key, &w->p.destination, &w->destination))
		return is_from_outside(hook) ? TC_ACT_OK : drop(skb, DROP_NO_GENERATION);
	if (flow && !has_same_holders(w, flow)) {
		walk_end_flow(FLOW_CLOSED_ENDPOINT);
		flow = NULL;
		w->life = 0;
	}
	if (state->flags & STATE_MARKS) {
		reason = walk_find_sender(skb, state, flow, hook);
		if (reason)
			return drop(skb, reason);
	}
	if (is_from_outside(hook) && !(w->destination.flags & ADDRESS_LOCAL_ENDPOINT))
		return TC_ACT_OK;
	reason = walk_admit(skb, w, state, hook);
	if (!reason && (hook == FROM_HOST || hook == FROM_ELSEWHERE || hook == TO_WORKLOAD))
		reason = check_arrival(w, state, flow);
	if (!reason) {
		if (hook == FROM_WORKLOAD && walk_waits(w, state, flow))
			w->new_flags |= FLOW_AS_SENT;
		reason = walk_decide(skb, w, state, hook, prepare);
	}
	if (reason) {
		drop_at(skb, reason, walk_loser(w, is_from_outside(hook), skb->ifindex, reason));
		return w->answers ? answer(skb, &w->p, hook) : TC_ACT_SHOT;
	}
	return walk_deliver(skb, w, state, hook, &w->value.side[w->source_end & 1],
	                    &w->value.side[~w->source_end & 1], NULL);
}

/* Packet whose flow, if any, has been looked up: all the rest of its way. */
static __always_inline int
walk_packet_of(struct __sk_buff *skb, struct walk *w, const struct datapath_state *state,
               struct flow_value *flow, enum hook hook, walk_prepare_function prepare)
{
	int action = walk_established(skb, w, state, flow, hook);

	return action == NOT_ESTABLISHED ? walk_slow(skb, w, state, flow, hook, prepare) : action;
}

static __always_inline void
walk_resolve_fragment(struct walk *w)
{
	if (w->p.fragment == FRAGMENT_LATER && !fragment_resolve(&w->p))
		w->unresolved = 1;
}

/* Parsed packet in @w->p. */
static __always_inline int
walk_packet(struct __sk_buff *skb, struct walk *w, const struct datapath_state *state,
            enum hook hook, walk_prepare_function prepare)
{
	walk_resolve_fragment(w);
	return walk_packet_of(skb, w, state, walk_find_flow(w), hook, prepare);
}

/* What every program does first. */
static __always_inline struct walk *
walk_begin(struct __sk_buff *skb)
{
	struct walk *w = walk_get();

	skb->cb[RUN_EGRESS_VERDICT] = 0;
	skb->cb[RUN_INGRESS_VERDICT] = 0;
	skb->cb[RUN_DROP_REASON] = DROP_NONE;
	skb->cb[RUN_SENDER] = 0;
	if (!w)
		return NULL;
	w->p.family = 0; /* not parsed */
	w->unresolved = 0;
	w->host_origin = 0;
	w->mark = (struct mark){};
	w->arrival = ARRIVAL_UNKNOWN;
	w->owners_epoch = 0;
	w->by_stack = 0;
	return w;
}

#endif
