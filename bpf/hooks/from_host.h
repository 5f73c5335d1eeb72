/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* tcx ingress of uplinks: what other machines send. Packets that are not for a pod of
 * this node are none of its business, except that it says which node sent them where that
 * matters: to the tunnel, which drops what nobody vouches for.
 */
#include "bpf/lib/hook.h"
#include "bpf/lib/masquerade.h"
#include "bpf/lib/walk.h"

#define VLAN_ID_MASK 0xfff

static __always_inline void
vouch(struct __sk_buff *skb, struct walk *w)
{
	__u32 node = vtep_number(w);

	skb->tc_classid = node;
	skb->cb[RUN_SENDER] = node;
}

/* Names the sender of what could be VXLAN to this node. Fragments go by their source: if
 * that is a node's address, all of the datagram is that node's.
 */
static __always_inline void
vouch_for_vxlan(struct __sk_buff *skb, struct walk *w, const struct datapath_state *state)
{
	if (is_vxlan(&w->p, state) ||
	    (state->vxlan_port && w->p.fragment && w->p.protocol == IPPROTO_UDP))
		vouch(skb, w);
}

/* On a device without Ethernet headers (a tunnel that nodes are reached by), whose packets
 * are the stack's and to_workload's: by the source alone, whatever it is.
 */
static __always_inline int
from_bare_device(struct __sk_buff *skb, struct walk *w, const struct datapath_state *state)
{
	struct ip_address *source = &w->p.source;
	enum drop_reason reason;
	struct flow_value *flow;
	__be32 v4;

	if ((state->flags & STATE_MASQUERADE) && !parse_headless(skb, &w->p)) {
		reason = walk_restore(skb, w, state, 0, &flow);
		if (reason)
			return drop(skb, reason);
	}
	if (!state->vxlan_port)
		return TC_ACT_OK;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if (bpf_skb_load_bytes_relative(skb, offsetof(struct iphdr, saddr), &v4, sizeof(v4),
		                                BPF_HDR_START_NET))
			return TC_ACT_OK;
		address_from_v4(source, v4);
	} else if (skb->protocol != bpf_htons(ETH_P_IPV6) ||
	           bpf_skb_load_bytes_relative(skb, offsetof(struct ipv6hdr, saddr), source,
	                                       sizeof(*source), BPF_HDR_START_NET)) {
		return TC_ACT_OK;
	} else if (address_is_mapped(source)) {
		return TC_ACT_OK; /* no IPv4 node sent that */
	}
	vouch(skb, w);
	return TC_ACT_OK;
}

/* The stack has taken the type of an Ethernet frame from its header. */
static __always_inline int
has_ethernet(struct __sk_buff *skb)
{
	struct ethhdr *eth = (void *)(long)skb->data;

	return (void *)(eth + 1) <= (void *)(long)skb->data_end && eth->h_proto == skb->protocol;
}

/* A whole VXLAN packet to an address of this host: the stack's, and what is in it is
 * from_tunnel's. To know that costs one lookup; to look for a flow first would be two more.
 */
static __always_inline int
is_for_tunnel(struct walk *w, const struct datapath_state *state)
{
	return !w->p.fragment && is_vxlan(&w->p, state) &&
	       !lookup_address(active_generation_get(state).slot, &w->address_key,
	                       &w->p.destination, &w->destination) &&
	       (w->destination.flags & ADDRESS_THIS_HOST);
}

WALK_PREPARE(prepare_from_host, FROM_HOST)

HOOK_PROGRAM(from_host)
{
	enum drop_reason reason;
	struct datapath_state *state = state_get();
	struct walk *w = walk_begin(skb);
	struct flow_value *flow;

	class_set(skb, 0);
	if (!w || !state)
		return TC_ACT_OK;
	if (names_loopback(skb))
		return drop(skb, DROP_MARTIAN);
	/* A frame of a VLAN is for that VLAN's own interface (VLAN 0 is none: a priority). */
	if (skb->pkt_type != PACKET_HOST || (skb->vlan_present && (skb->vlan_tci & VLAN_ID_MASK)))
		return TC_ACT_OK;
	if (!has_ethernet(skb))
		return from_bare_device(skb, w, state);
	reason = parse(skb, &w->p);
	if (reason == DROP_MAPPED_ADDRESS)
		return drop(skb, reason);
	/* Not understood: the stack's. Should it forward this to a pod, to_workload
	 * parses it again and drops it.
	 */
	if (reason)
		return TC_ACT_OK;
	vouch_for_vxlan(skb, w, state);
	if (is_for_tunnel(w, state))
		return TC_ACT_OK;
	w->arrival = ARRIVED_NATIVELY;
	reason = walk_restore(skb, w, state, ETH_HLEN, &flow);
	if (reason)
		return drop(skb, reason);
	return walk_packet_of(skb, w, state, flow, FROM_HOST, prepare_from_host);
}
