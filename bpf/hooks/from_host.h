/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* tcx ingress of uplinks and of the VXLAN device: what other machines send. Packets
 * that are not for a pod of this node are none of its business, except VXLAN of our
 * network from strangers.
 */
#include "bpf/lib/walk.h"

/* RFC 7348 section 5: flags, reserved, VNI in the upper 24 bits of the last word. */
static __always_inline int
is_our_vxlan(struct __sk_buff *skb, const struct walk *w, const struct datapath_state *state)
{
	__be32 word;

	if (w->p.protocol != IPPROTO_UDP || !state->vxlan_port ||
	    w->p.destination_port != state->vxlan_port || w->p.fragment == FRAGMENT_LATER)
		return 0;
	if (bpf_skb_load_bytes(skb, w->p.l4_offset + sizeof(struct udphdr) + 4, &word,
	                       sizeof(word)))
		return 0;
	return bpf_ntohl(word) >> 8 == state->vxlan_vni;
}

static __always_inline enum drop_reason
check_vxlan_sender(struct walk *w, const struct datapath_state *state)
{
	struct active_generation active = active_generation_get(state);

	if (!active.l4_table)
		return DROP_NO_GENERATION;
	if (lookup_address(active.slot, &w->p.destination, &w->destination) ||
	    lookup_address(active.slot, &w->p.source, &w->source))
		return DROP_NO_GENERATION;
	if (!(w->destination.flags & ADDRESS_THIS_HOST))
		return DROP_NONE;
	return w->source.flags & ADDRESS_OTHER_NODE ? DROP_NONE : DROP_VXLAN_FOREIGN;
}

SEC("tc")
int
from_host(struct __sk_buff *skb)
{
	enum drop_reason reason;
	struct datapath_state *state = state_get();
	struct walk *w = walk_begin(skb);

	if (!w || !state)
		return TC_ACT_OK;
	if (skb->pkt_type != PACKET_HOST)
		return TC_ACT_OK;
	reason = parse(skb, &w->p);
	if (reason == DROP_MAPPED_ADDRESS)
		return drop(skb, reason);
	/* Not understood: the stack's. Should it forward this to a pod, to_workload
	 * parses it again and drops it.
	 */
	if (reason)
		return TC_ACT_OK;
	if (is_our_vxlan(skb, w, state)) {
		reason = check_vxlan_sender(w, state);
		if (reason)
			return drop(skb, reason);
	}
	return walk_packet(skb, w, state, FROM_HOST);
}
