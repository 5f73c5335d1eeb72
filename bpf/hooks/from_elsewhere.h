/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* tcx ingress of the host's other interfaces, where no node is. Whoever sits there with a
 * network namespace of his own can give his packets a traffic class; from_tunnel would take
 * it for the word of from_host. What comes here for pods the stack takes, and to_workload
 * judges it; but the answer to a flow that a pod began and the stack translated is known by
 * its tuple here only; the answer to a masqueraded pod is given the pod's address; and loopback
 * is nowhere's but lo's. Programs and filters of others go on.
 */
#include "bpf/lib/hook.h"
#include "bpf/lib/masquerade.h"
#include "bpf/lib/walk.h"

static __always_inline int
is_answer_to_sender(const struct walk *w, const struct flow_value *flow)
{
	return flow && flow_sender(flow) && !(flow->flags & FLOW_AS_SENT) &&
	       w->source_end != flow->initiator && !is_opening(&w->p, flow, w->source_end);
}

WALK_PREPARE(prepare_from_elsewhere, FROM_ELSEWHERE)

HOOK_PROGRAM(from_elsewhere)
{
	struct datapath_state *state = state_get();
	enum drop_reason reason;
	struct flow_value *flow;
	struct walk *w;
	int action;

	class_set(skb, 0);
	if (names_loopback(skb)) {
		walk_begin(skb);
		return drop(skb, DROP_MARTIAN);
	}
	if (!state || !(state->flags & (STATE_MARKS | STATE_MASQUERADE)) ||
	    skb->pkt_type != PACKET_HOST)
		return TC_ACT_UNSPEC;
	w = walk_begin(skb);
	if (!w || walk_parse(skb, w))
		return TC_ACT_UNSPEC;
	w->arrival = ARRIVED_NATIVELY;
	reason = walk_restore(skb, w, state, ip_offset_at(skb->ifindex), &flow);
	if (reason)
		return drop(skb, reason);
	if (!(state->flags & STATE_MARKS) || !is_answer_to_sender(w, flow))
		return TC_ACT_UNSPEC;
	action = walk_established(skb, w, state, flow, FROM_ELSEWHERE);
	if (action != NOT_ESTABLISHED)
		return action;
	return walk_slow(skb, w, state, flow, FROM_ELSEWHERE, prepare_from_elsewhere);
}
