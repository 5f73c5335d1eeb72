/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* tcx egress of every interface by which packets leave this host, other than pods' own and
 * loopback: what pods sent to a service address, or to any other whose verdict waited, is
 * judged here as what the host's stack has made of it. Then what must not show a pod's address
 * is masqueraded. What says that both are done (TC_INDEX_FINISHED) is let through. Attached only
 * once host's NAT is on, or some pool is masqueraded.
 */
#include "bpf/lib/hook.h"
#include "bpf/lib/masquerade.h"
#include "bpf/lib/walk.h"

/* Whether the packet is one of these. What is judged already has its mark, and whatever is
 * no pod's is none of our business.
 */
static __always_inline int
is_to_be_judged(struct __sk_buff *skb, const struct datapath_state *state)
{
	const struct sender_value *sender;
	struct mark mark;

	if (!(state->flags & STATE_MARKS))
		return 0;
	if (skb->tc_index == TC_INDEX_REDIRECTED)
		return 0;
	mark = mark_read(skb, state);
	if (!skb->ingress_ifindex)
		return mark.number && mark.kind == MARK_SENT; /* is_host_origin */
	if (!is_workload(skb->ingress_ifindex))
		return 0;
	if (mark.kind != MARK_JUDGED)
		return 1;
	sender = sender_of(mark.number);
	return !sender || sender->ifindex != skb->ingress_ifindex;
}

WALK_PREPARE(prepare_to_host, TO_HOST)

static __always_inline int
judge_at_exit(struct __sk_buff *skb, const struct datapath_state *state)
{
	enum drop_reason reason;
	struct walk *w;

	if (!is_to_be_judged(skb, state))
		return TC_ACT_OK;
	w = walk_begin(skb);
	if (!w)
		return drop(skb, DROP_NO_GENERATION);
	reason = walk_parse(skb, w);
	w->host_origin = is_host_origin(skb, w, state);
	if (w->host_origin)
		return TC_ACT_OK;
	if (reason)
		return drop(skb, reason);
	return walk_packet(skb, w, state, TO_HOST, prepare_to_host);
}

HOOK_PROGRAM(to_host)
{
	struct datapath_state *state = state_get();
	int action;

	if (!state)
		return TC_ACT_OK;
	action = TC_ACT_OK;
	if (skb->tc_index != TC_INDEX_FINISHED) {
		action = judge_at_exit(skb, state);
		if (action == TC_ACT_OK && (state->flags & STATE_MASQUERADE))
			action = masquerade(skb);
	}
	/* For the exit below, where this one is a bridge, a VLAN or a bond. */
	class_set(skb, TC_INDEX_FINISHED);
	return action;
}
