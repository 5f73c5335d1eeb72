/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* tcx ingress of a pod's host-side veth: everything a pod sends. */
#include "bpf/lib/hook.h"
#include "bpf/lib/walk.h"

WALK_PREPARE(prepare_from_workload, FROM_WORKLOAD)

HOOK_PROGRAM(from_workload)
{
	enum drop_reason reason;
	struct datapath_state *state = state_get();
	struct walk *w = walk_begin(skb);

	if (!w || !state)
		return drop(skb, DROP_NO_GENERATION);
	class_set(skb, 0); /* to_host believes it */
	if (skb->vlan_present)
		return drop(skb, DROP_ETHERTYPE);
	reason = parse(skb, &w->p);
	if (reason)
		return drop(skb, reason);
	if (skb->pkt_type != PACKET_HOST)
		return drop(skb, is_neighbor_discovery(&w->p) ? DROP_NEIGHBOR_DISCOVERY
		                 : is_listener_report(&w->p)  ? DROP_MULTICAST_LISTENER
		                                              : DROP_NOT_FOR_US);
	return walk_packet(skb, w, state, FROM_WORKLOAD, prepare_from_workload);
}
