/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Flows that pass this host's stack, where netfilter may translate them. For a pod's flow
 * to a service address, with the backend behind an uplink:
 *
 *   pod ─▶ from_workload ─▶ [stack: DNAT, perhaps masquerade] ─▶ to_host ─▶
 *          as sent; not judged                                  as it has become; judged
 *   pod ◀─ to_workload ◀─── [stack: back] ◀───────────────────── from_host ◀─
 *          as sent; by its mark                                 as it had become; judged
 *
 * With the backend behind another pod's interface, that one's to_workload and from_workload
 * stand for to_host and from_host; with a socket of this host, to_socket and the packet's
 * own socket do.
 */
#ifndef RIPSTOP_BPF_LIB_TRANSLATED_H
#define RIPSTOP_BPF_LIB_TRANSLATED_H

#include "bpf/lib/mark.h"
#include "bpf/lib/verdict.h"
#include "bpf/lib/walk_state.h"

/* Whether a packet of the known @flow is what its mark says: of the sender that began the
 * flow, or an answer that was let through for it.
 */
static __always_inline int
mark_fits_flow(const struct __sk_buff *skb, const struct walk *w,
               const struct datapath_state *state, const struct flow_value *flow, enum hook hook)
{
	int forward = w->source_end == flow->initiator;
	struct mark mark;

	if (hook == FROM_WORKLOAD)
		return (state->flags & STATE_MARKS) || !(flow->flags & FLOW_AS_SENT);
	if (is_from_outside(hook))
		return !(flow->flags & FLOW_AS_SENT);
	mark = mark_read(skb, state);
	if (flow->flags & FLOW_AS_SENT)
		return hook == TO_WORKLOAD && !forward &&
		       /* What the host's sockets are asked is judged each time (to_socket). */
		       (w->host_origin
		            ? w->p.protocol == IPPROTO_UDP
		            : mark.kind == MARK_ANSWER && mark.number == flow_sender(flow));
	if (!forward)
		return 1;
	return (mark.kind == MARK_SENT ? mark.number : 0) == flow_sender(flow);
}

/* How the packet goes on, for one of @flow. */
static __always_inline void
walk_take_way(struct walk *w, const struct flow_value *flow)
{
	if (!(flow->flags & FLOW_BY_STACK))
		return;
	w->by_stack = 1;
	w->mark.number = flow_sender(flow);
	w->mark.kind = w->source_end == flow->initiator ? MARK_SENT : MARK_ANSWER;
	if (w->mark.number)
		return;
	w->mark.number = flow_number(flow, w->source_end);
	w->mark.kind = MARK_JUDGED;
}

/* Only a packet that this node's stack made itself has no incoming interface; or one that
 * it divided anew (IPv6), but that has kept its mark.
 */
static __always_inline int
is_host_origin(const struct __sk_buff *skb, const struct walk *w,
               const struct datapath_state *state)
{
	if (skb->ingress_ifindex)
		return 0;
	return !w->p.fragment || !(state->flags & STATE_MARKS) || !(skb->mark & state->mark_mask);
}

/* Which local address sent a packet that came out of the stack: its mark says, and the
 * interface that it came in by must be that address's. Fills w->sender; 0: none did.
 */
static __always_inline enum drop_reason
find_sender_after_stack(struct __sk_buff *skb, struct walk *w, const struct datapath_state *state,
                        enum hook hook)
{
	struct mark mark = mark_read(skb, state);
	__u32 number = mark.kind == MARK_SENT ? mark.number : 0;
	__u32 came_by = skb->ingress_ifindex;
	const struct sender_value *sender;

	if (w->host_origin || (came_by && !is_workload(came_by)))
		return DROP_NONE;
	if (came_by && w->source.ifindex == came_by) {
		/* Not hidden by translation, so that no mark is needed to know it. */
		if (mark.kind == MARK_JUDGED && hook == TO_WORKLOAD)
			return DROP_NONE; /* under this very tuple */
		w->sender = w->source.number;
		w->sender_address = w->p.source;
		return DROP_NONE;
	}
	if (!mark.number && !(state->flags & STATE_MARKS_TRUSTED))
		return DROP_NONE;
	sender = sender_of(number);
	if (!sender || (came_by && sender->ifindex != came_by))
		return DROP_MARK_CHANGED;
	w->sender_address = sender->address;
	if (lookup_address(w->active.slot, &w->address_key, &sender->address, &w->source) ||
	    !(w->source.flags & ADDRESS_LOCAL_ENDPOINT) ||
	    (came_by && w->source.ifindex != came_by))
		return DROP_MARK_CHANGED;
	w->sender = number;
	return DROP_NONE;
}

/* Who began the flow of this packet, where translation may hide it. Puts what is known of
 * the sender in the place of what is known of the address that the packet shows.
 */
__noinline int
walk_find_sender(struct __sk_buff *skb, const struct datapath_state *state,
                 const struct flow_value *flow, enum hook hook)
{
	const struct sender_value *sender;
	struct walk *w = walk_get();
	int known;

	if (!w || !state)
		return DROP_NO_GENERATION;
	known = flow && !is_opening(&w->p, flow, w->source_end);
	if (hook == TO_WORKLOAD || hook == TO_HOST) {
		if (known && w->source_end != flow->initiator && !(flow->flags & FLOW_AS_SENT))
			return DROP_NONE;
		return find_sender_after_stack(skb, w, state, hook);
	}
	if (!known || (flow->flags & FLOW_AS_SENT))
		return DROP_NONE;
	sender = sender_of(flow_sender(flow));
	if (!sender)
		return DROP_NONE;
	w->sender = flow_sender(flow);
	w->sender_address = sender->address;
	if (w->source_end != flow->initiator &&
	    lookup_address(w->active.slot, &w->address_key, &sender->address, &w->destination))
		return DROP_NO_GENERATION;
	return DROP_NONE;
}

/* Whether a pod's packet begins a flow whose verdict must wait for what the stack makes of
 * it. Sets the way of all that passes the stack.
 */
static __always_inline int
walk_waits(struct walk *w, const struct datapath_state *state, const struct flow_value *flow)
{
	const struct packet *p = &w->p;
	int to_this_host = w->destination.flags & ADDRESS_THIS_HOST;

	if (!(state->flags & STATE_HOST_NAT) || !w->source.number ||
	    w->source.number > mark_number_max(state->mark_mask))
		return 0;
	if (w->destination.flags &
	    (ADDRESS_LOCAL_ENDPOINT | ADDRESS_REMOTE_ENDPOINT | ADDRESS_OTHER_NODE))
		return 0;
	if (flow && !(flow->flags & FLOW_AS_SENT) &&
	    (!is_opening(p, flow, w->source_end) || flow->initiator != w->source_end))
		return 0;
	if (!begins_flow(p) || (p->protocol == IPPROTO_TCP && !is_opening(p, flow, w->source_end)))
		return 0;
	w->sender = w->source.number;
	w->sender_address = p->source;
	w->new_flags = FLOW_BY_STACK;
	if (p->protocol == IPPROTO_TCP || p->protocol == IPPROTO_UDP)
		return 1;
	/* Nothing asks these at a socket, so where they may be for this host they are
	 * judged here, and again if they become something else.
	 */
	return (p->protocol == IPPROTO_SCTP || is_icmp_echo_request(p)) && !to_this_host;
}

/* Whether the flow's verdict is of packets such as this one. One as sent has none, except
 * where nothing behind judges it: once hosts' NAT is off, and of answers that come from a
 * socket of this host.
 */
static __always_inline int
is_judged(const struct walk *w, const struct flow_value *flow, enum hook hook)
{
	if (!(flow->flags & FLOW_AS_SENT) || hook == FROM_WORKLOAD)
		return 1;
	return hook == TO_WORKLOAD && w->host_origin && w->source_end != flow->initiator;
}

/* Which socket of this host the flow of @w was translated to, and what is known of its
 * address: as noted, or as the answering socket says. Only TCP: there a socket of the flow's
 * own answers, and its packets do not ask for one each time (to_socket). Returns
 * FLOW_TO_SOCKET when it is known.
 */
static __always_inline __u8
walk_find_socket(struct __sk_buff *skb, struct walk *w, const struct flow_value *flow)
{
	struct address_value *end = w->source_end == flow->initiator ? &w->destination : &w->source;
	const struct socket_value *noted = bpf_map_lookup_elem(&rs_sockets_v1, &w->key);
	struct bpf_sock *socket;

	if (noted) {
		w->socket = *noted;
	} else if ((socket = skb->sk) && w->p.protocol == IPPROTO_TCP && w->host_origin &&
	           socket->src_port) {
		w->socket.port = bpf_htons(socket->src_port);
		if (w->p.family == 4) {
			address_from_v4(&w->socket.address, socket->src_ip4);
		} else {
			w->socket.address.words[0] = socket->src_ip6[0];
			w->socket.address.words[1] = socket->src_ip6[1];
			w->socket.address.words[2] = socket->src_ip6[2];
			w->socket.address.words[3] = socket->src_ip6[3];
		}
		bpf_map_update_elem(&rs_sockets_v1, &w->key, &w->socket, BPF_ANY);
	} else {
		return 0;
	}
	lookup_address(w->active.slot, &w->address_key, &w->socket.address, end);
	return FLOW_TO_SOCKET;
}

#endif
