/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* One packet's way through a program.
 *
 *   parse ─▶ fragment ports ─▶ flow known and current? ─yes─▶ touch ─▶ deliver
 *                                    │ no                                ▲
 *                                    ▼                                   │
 *                       who are the two ends, may they? ─▶ judge ─▶ write flow
 *
 * The three hooks share it; `hook` is a constant in each program, so the compiler
 * keeps only its branches.
 */
#ifndef RIPSTOP_BPF_LIB_WALK_H
#define RIPSTOP_BPF_LIB_WALK_H

#include "bpf/lib/deliver.h"
#include "bpf/lib/drop.h"
#include "bpf/lib/event.h"
#include "bpf/lib/flow.h"
#include "bpf/lib/fragment.h"
#include "bpf/lib/martian.h"
#include "bpf/lib/parse.h"
#include "bpf/lib/related.h"
#include "bpf/lib/verdict.h"

enum hook { FROM_WORKLOAD, TO_WORKLOAD, FROM_HOST };

/* Egress and ingress verdict words of one judgement. */
struct judgement {
	struct verdict egress, ingress;
	enum drop_reason reason;
};

/* Lives in a per-CPU map, being too large for the stack. No program of ours runs
 * inside another on one CPU: all of them run with bottom halves off.
 */
struct walk {
	struct packet p;
	struct flow_key key;
	struct address_value source, destination; /* slow path only */
	struct active_generation active;          /* slow path only */
	__u32 source_end;  /* enum flow_end */
	__u8 embryo;       /* the flow is in rs_embryo_v1 */
	__u8 unresolved;   /* a later fragment whose first is not known */
	__u8 host_origin;  /* TO_WORKLOAD: sent by this node's own stack */
	__u8 reserved;
	struct judgement judgement;
	struct flow_value value;
	struct packet quoted; /* by an ICMP error */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct walk);
} rs_walk_v2 SEC(".maps");

static __always_inline struct walk *
walk_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&rs_walk_v2, &zero);
}

/* A packet that asks for something new is judged in its own direction, whatever
 * flow is known: a SYN, or an echo request from the end that used to answer.
 */
static __always_inline int
is_opening(const struct packet *p, const struct flow_value *flow, __u32 source_end)
{
	if (p->protocol == IPPROTO_TCP)
		return (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
	return is_icmp_echo_request(p) && flow && flow->initiator != source_end;
}

/* Only echo has flows among ICMP messages; each other one is judged by itself. */
static __always_inline int
has_flow(const struct packet *p)
{
	return !has_icmp_type(p->protocol) || p->fragment == FRAGMENT_LATER || is_icmp_echo(p);
}

/* Whether the packet may begin a flow: an echo reply may only continue one. */
static __always_inline int
begins_flow(const struct packet *p)
{
	return !has_icmp_type(p->protocol) || is_icmp_echo_request(p);
}

static __always_inline struct flow_value *
walk_find_flow(struct walk *w)
{
	struct flow_value *flow;

	w->source_end = flow_key_of(&w->p, &w->key);
	if (w->unresolved || !has_flow(&w->p))
		return NULL;
	flow = bpf_map_lookup_elem(&rs_flows_v1, &w->key);
	if (flow)
		return flow;
	flow = bpf_map_lookup_elem(&rs_embryo_v1, &w->key);
	w->embryo = flow != NULL;
	return flow;
}

static __always_inline int
walk_deliver(struct __sk_buff *skb, struct walk *w, const struct datapath_state *state,
	     enum hook hook, __u32 ifindex, const __u8 *mac, int to_host)
{
	if (w->p.fragment == FRAGMENT_FIRST)
		fragment_remember(&w->p);
	if (hook == TO_WORKLOAD)
		return TC_ACT_OK;
	if (ifindex)
		return deliver_local(skb, &w->p, state, ifindex, mac);
	if (hook == FROM_HOST || to_host)
		return TC_ACT_OK;
	return deliver_routed(skb, &w->p);
}

/* The way of a packet of a flow that is known: nothing is looked up but the flow and
 * the epochs. Returns -1 when it is not such a packet.
 */
static __always_inline int
walk_established(struct __sk_buff *skb, struct walk *w, const struct datapath_state *state,
		 struct flow_value *flow, enum hook hook)
{
	struct flow_side *source, *destination;

	if (!flow || is_opening(&w->p, flow, w->source_end))
		return -1;
	source = &flow->side[w->source_end & 1];
	destination = &flow->side[~w->source_end & 1];
	/* The flow knows where its ends live. Another interface is a spoofer, or a new
	 * owner of the address: the slow path tells which.
	 */
	if (hook == FROM_WORKLOAD && source->ifindex != skb->ifindex)
		return -1;
	if (hook == TO_WORKLOAD && destination->ifindex != skb->ifindex)
		return -1;
	if (hook == FROM_HOST && (source->ifindex || (source->flags & FLOW_SIDE_HOST)))
		return -1;
	if (!flow_is_current(flow, state))
		return -1;
	flow_touch(flow, w->source_end, &w->p);
	if (w->embryo && w->source_end != flow->initiator)
		flow_promote(&w->key, flow);
	skb->cb[RUN_EGRESS_VERDICT] = flow->side[flow->initiator & 1].verdict;
	skb->cb[RUN_INGRESS_VERDICT] = flow->side[~flow->initiator & 1].verdict;
	return walk_deliver(skb, w, state, hook, destination->ifindex, destination->mac,
			    destination->flags & FLOW_SIDE_HOST);
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
		if (is_martian(&p->destination) || address_equal(&p->source, &p->destination))
			return DROP_MARTIAN;
		if (p->protocol == IPPROTO_UDP && state->vxlan_port &&
		    p->destination_port == state->vxlan_port &&
		    (w->destination.flags & (ADDRESS_THIS_HOST | ADDRESS_OTHER_NODE)))
			return DROP_VXLAN_FROM_WORKLOAD;
	}
	if (hook == TO_WORKLOAD) {
		if (w->destination.ifindex != skb->ifindex)
			return DROP_UNKNOWN_ENDPOINT;
		if (!w->host_origin && (w->source.flags & ADDRESS_LOCAL_ENDPOINT))
			return DROP_SPOOFED;
	}
	if (hook == FROM_HOST) {
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

/* One direction of a judgement; keeps the first reason to drop. */
static __always_inline void
judge_side(struct __sk_buff *skb, struct verdict_query *query, __u32 set,
	   const struct address_value *near_value, const struct ip_address *far,
	   const struct address_value *far_value, enum drop_reason denied,
	   struct verdict *ret, enum drop_reason *reason)
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
walk_judge(struct __sk_buff *skb, struct walk *w, __u32 initiator, __u8 icmp_type,
	   __u8 icmp_code, struct judgement *ret)
{
	int forward = initiator == w->source_end;
	const struct address_value *from = forward ? &w->source : &w->destination;
	const struct address_value *to = forward ? &w->destination : &w->source;
	struct verdict_query query = {};
	const struct ip_address *from_address = forward ? &w->p.source : &w->p.destination;
	const struct ip_address *to_address = forward ? &w->p.destination : &w->p.source;

	ret->reason = classify_l4(w->active, w->p.protocol,
				  forward ? w->p.source_port : w->p.destination_port,
				  forward ? w->p.destination_port : w->p.source_port, icmp_type,
				  icmp_code, &query);
	if (ret->reason)
		return;
	if (from->flags & ADDRESS_LOCAL_ENDPOINT)
		judge_side(skb, &query, from->egress_set, from, to_address, to,
			   DROP_POLICY_EGRESS, &ret->egress, &ret->reason);
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
	value->reserved = 0;
	side_fill(source, &w->source, forward ? &judgement->egress : &judgement->ingress);
	side_fill(destination, &w->destination,
		  forward ? &judgement->ingress : &judgement->egress);
	if (flags & FLOW_HOST_BYPASS)
		value->side[initiator & 1].flags = FLOW_SIDE_HOST;
	if (known && flow) {
		source->tcp_flags = flow->side[w->source_end & 1].tcp_flags;
		destination->tcp_flags = flow->side[~w->source_end & 1].tcp_flags;
		embryo = w->embryo && forward;
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

static __always_inline int
walk_slow(struct __sk_buff *skb, struct walk *w, const struct datapath_state *state,
	  struct flow_value *flow, enum hook hook)
{
	enum drop_reason reason;

	w->active = active_generation_get(state);
	if (!w->active.l4_table) {
		/* Nothing is known, not even which addresses are pods here. Their own
		 * interfaces judge what the stack forwards to them.
		 */
		return hook == FROM_HOST ? TC_ACT_OK : drop(skb, DROP_NO_GENERATION);
	}
	if (lookup_address(w->active.slot, &w->p.source, &w->source) ||
	    lookup_address(w->active.slot, &w->p.destination, &w->destination))
		return hook == FROM_HOST ? TC_ACT_OK : drop(skb, DROP_NO_GENERATION);
	if (hook == FROM_HOST && !(w->destination.flags & ADDRESS_LOCAL_ENDPOINT))
		return TC_ACT_OK;
	reason = walk_admit(skb, w, state, hook);
	if (!reason)
		reason = walk_decide(skb, state, flow, hook);
	if (reason)
		return drop(skb, reason);
	return walk_deliver(skb, w, state, hook, w->destination.ifindex, w->destination.mac,
			    w->destination.flags & ADDRESS_THIS_HOST);
}

/* Parsed packet in @w->p: all the rest of its way. */
static __always_inline int
walk_packet(struct __sk_buff *skb, struct walk *w, const struct datapath_state *state,
	    enum hook hook)
{
	struct flow_value *flow;
	int action;

	if (w->p.fragment == FRAGMENT_LATER && !fragment_resolve(&w->p))
		w->unresolved = 1;
	flow = walk_find_flow(w);
	action = walk_established(skb, w, state, flow, hook);
	return action >= 0 ? action : walk_slow(skb, w, state, flow, hook);
}

/* What every program does first. */
static __always_inline struct walk *
walk_begin(struct __sk_buff *skb)
{
	struct walk *w = walk_get();

	skb->cb[RUN_EGRESS_VERDICT] = 0;
	skb->cb[RUN_INGRESS_VERDICT] = 0;
	skb->cb[RUN_DROP_REASON] = DROP_NONE;
	if (!w)
		return NULL;
	w->embryo = 0;
	w->unresolved = 0;
	w->host_origin = 0;
	return w;
}

#endif
