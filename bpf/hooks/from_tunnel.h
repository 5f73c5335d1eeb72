/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* tcx ingress of the VXLAN device: what the kernel has taken out of VXLAN of our network.
 * Who sent it is no longer in the packet, but from_host has put the node's number into the
 * traffic class. What took another way to the tunnel's socket has none: reassembled where
 * no program sees, sent to a group, by a pod, by this host, in at an interface that leads
 * to no node.
 */
#include "bpf/lib/hook.h"
#include "bpf/lib/walk.h"

WALK_PREPARE(prepare_from_tunnel, FROM_TUNNEL)

HOOK_PROGRAM(from_tunnel)
{
	enum drop_reason reason;
	struct datapath_state *state = state_get();
	struct walk *w = walk_begin(skb);
	__u32 sender = skb->tc_index;

	if (!w || !state)
		return drop(skb, DROP_NO_GENERATION);
	if (!sender)
		return drop(skb, DROP_VXLAN_FOREIGN);
	if (names_loopback(skb))
		return drop(skb, DROP_MARTIAN);
	reason = parse(skb, &w->p);
	if (reason)
		return drop(skb, reason);
	if (skb->pkt_type != PACKET_HOST)
		return drop(skb, DROP_NOT_FOR_US);
	w->arrival = sender;
	return walk_packet(skb, w, state, FROM_TUNNEL, prepare_from_tunnel);
}
