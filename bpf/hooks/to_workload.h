/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* tcx egress of a pod's host-side veth: what the stack sends to a pod. Packets that
 * another program redirected into the pod do not come by here.
 */
#include "bpf/lib/hook.h"
#include "bpf/lib/walk.h"

WALK_PREPARE(prepare_to_workload, TO_WORKLOAD)

HOOK_PROGRAM(to_workload)
{
	enum drop_reason reason;
	struct datapath_state *state = state_get();
	struct walk *w = walk_begin(skb);

	if (!w || !state)
		return drop(skb, DROP_NO_GENERATION);
	reason = parse(skb, &w->p);
	w->host_origin = is_host_origin(skb, w, state);
	/* from_tunnel has looked at what came out of the tunnel. */
	if (!w->host_origin && skb->ingress_ifindex != state->tunnel_ifindex)
		w->arrival = ARRIVED_NATIVELY;
	/* The host may resolve its pods' addresses; no harm in the asking. Nor is there in which
	 * groups its kernel listens to, which it says on every link.
	 */
	if (w->host_origin && (reason == DROP_ARP || (!reason && (is_neighbor_discovery(&w->p) ||
	                                                          is_listener_report(&w->p)))))
		return TC_ACT_OK;
	if (reason)
		return drop(skb, reason);
	return walk_packet(skb, w, state, TO_WORKLOAD, prepare_to_workload);
}
