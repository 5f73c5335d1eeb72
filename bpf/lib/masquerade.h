/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Masquerade (abi/masquerade.h): where a pod's packet leaves the host, and where an answer
 * comes in.
 *
 *   pod ─▶ from_workload, perhaps the stack and to_host ─▶ masquerade ─▶ uplink
 *          policy sees the pod                             then nobody does
 *   pod ◀─ from_host ◀─ unmasquerade ◀─ uplink
 *
 * Whether a flow is masqueraded is decided when a packet leaves, as long as nobody has answered:
 * so who has asked in vain under the pod's own address is not left with that. One that was
 * answered is left as it is: who answers knows the way to the pod. So of an answered flow
 * from_workload knows all that is to do, and where it knows the next hop too does it
 * (next_hop.h): the packet is parsed and its flow at hand.
 */
#ifndef RIPSTOP_BPF_LIB_MASQUERADE_H
#define RIPSTOP_BPF_LIB_MASQUERADE_H

#include "bpf/lib/masquerade_port.h"
#include "bpf/lib/rewrite.h"
#include "bpf/lib/walk.h"

static __always_inline __u32
pool_flags(struct owner_key *key, const struct ip_address *address, int *ret_found)
{
	const struct pool_value *pool;

	key->bits = 128;
	key->address = *address;
	pool = bpf_map_lookup_elem(&rs_pools_v1, key);
	*ret_found = pool != NULL;
	return pool ? pool->flags : 0;
}

/* Whether the walk's packet is one that must not show its source. */
static __always_inline int
is_to_be_masqueraded(struct walk *w, const struct datapath_state *state,
                     const struct nat_settings *nat)
{
	int found;

	if (!(pool_flags(&w->owner_key, &w->p.source, &found) & POOL_MASQUERADED))
		return 0;
	pool_flags(&w->owner_key, &w->p.destination, &found);
	if (found)
		return 0;
	if (!(nat->flags & NAT_SPARES_NODES))
		return 1;
	return lookup_address(active_generation_get(state).slot, &w->address_key, &w->p.destination,
	                      &w->destination) ||
	       !(w->destination.flags & (ADDRESS_THIS_HOST | ADDRESS_OTHER_NODE));
}

/* Frames of some interfaces begin with the IP header. */
static __always_inline __u32
ip_offset_at(__u32 ifindex)
{
	return interface_flags(ifindex) & INTERFACE_HEADLESS ? 0 : ETH_HLEN;
}

static __always_inline void
rewrite_end_of(struct rewrite *r, const struct packet *p, __u32 ip_offset, __u8 end)
{
	r->ip_offset = ip_offset;
	r->l4_offset = p->l4_offset;
	r->protocol = p->protocol;
	r->family = p->family;
	r->bare = p->fragment == FRAGMENT_LATER;
	r->end = end;
	r->from = end == DESTINATION ? p->destination : p->source;
	r->from_port = end == DESTINATION ? p->destination_port : p->source_port;
}

/* Rewrites the packet of the walk and, if it is an ICMP error, the other end of the one that it
 * quotes, to what work->rewrite says.
 */
static __always_inline enum drop_reason
rewrite_walk(struct __sk_buff *skb, const struct walk *w, struct masquerade_work *work,
             __u32 ip_offset, __u8 end)
{
	struct rewrite *r = &work->rewrite;
	__u32 quote = w->p.l4_offset + 8;
	__u8 first = 0;
	int is_error = is_icmp_error(&w->p);
	__be16 port = r->to_port;

	rewrite_end_of(r, &w->p, ip_offset, end);
	if (is_error)
		r->to_port = r->from_port;
	if (rewrite_packet(skb, r))
		return DROP_TRUNCATED;
	if (!is_error)
		return DROP_NONE;
	if (bpf_skb_load_bytes(skb, quote, &first, sizeof(first)))
		return DROP_TRUNCATED;
	rewrite_end_of(r, &w->quoted, quote, end == DESTINATION ? SOURCE : DESTINATION);
	r->to_port = port;
	r->l4_offset = quote + (r->family == 4 ? (first & 15) * 4 : sizeof(struct ipv6hdr));
	return rewrite_quote(skb, r, w->p.l4_offset + 2) ? DROP_TRUNCATED : DROP_NONE;
}

/* Whose packet it is, for the count of drops. */
static __always_inline int
masquerade_drop(struct __sk_buff *skb, const struct flow_value *flow, enum drop_reason reason)
{
	__u32 ifindex = flow ? flow->side[flow->initiator & 1].ifindex : 0;

	return drop_at(skb, reason, ifindex ? ifindex : skb->ifindex);
}

/* The flow's translation, decided now if it has not been. */
static __always_inline enum drop_reason
masquerade_flow(struct __sk_buff *skb, struct walk *w, const struct datapath_state *state,
                struct flow_value *flow, struct masquerade_work *work,
                const struct exit_value *exit)
{
	const struct nat_settings *nat = nat_settings_get();
	enum drop_reason reason;

	if (!nat)
		return DROP_NAT_PORTS;
	work->masqueraded = 0;
	if (is_to_be_masqueraded(w, state, nat)) {
		work->masqueraded = 1;
		if (!exit)
			return DROP_NAT_ADDRESS;
		work->key.ours = w->p.family == 4 ? exit->v4 : exit->v6;
		if (!work->key.ours.words[3] && !work->key.ours.words[0])
			return DROP_NAT_ADDRESS;
		reason = masquerade_claim(skb);
		if (reason)
			return reason;
	}
	if (!flow_hold(&w->key, flow, w->life)) {
		if (!((flow_life(flow) ^ w->life) >> 8))
			/* Another CPU writes to it, or has: then it has found the same port. */
			return flow->translation.kind ? DROP_NONE : DROP_NO_FLOW;
		if (work->masqueraded)
			masquerade_release(&work->key, work->value.life);
		return DROP_NO_FLOW;
	}
	if (work->masqueraded) {
		flow->translation.address = work->key.ours;
		flow->translation.port = work->key.our_port;
		asm volatile("" ::: "memory");
		*(volatile __u16 *)&flow->translation.kind = TRANSLATION_MASQUERADED;
	} else {
		*(volatile __u16 *)&flow->translation.kind = TRANSLATION_NONE;
	}
	flow_let_go(flow, w->life);
	return DROP_NONE;
}

/* A packet of no flow, if a pod of this node sends it; the reset that answers a segment of no flow
 * does not. An error that a pod sends about what it was sent shows what that was.
 */
static __always_inline int
masquerade_flowless(struct __sk_buff *skb, struct walk *w, const struct datapath_state *state,
                    struct masquerade_work *work, __u32 ip_offset)
{
	const struct nat_settings *nat = nat_settings_get();
	const struct flow_value *flow;
	enum drop_reason reason;

	if (!nat || !is_workload(skb->ingress_ifindex) || !is_to_be_masqueraded(w, state, nat))
		return TC_ACT_OK;
	if (!is_icmp_error(&w->p))
		return drop(skb, w->p.protocol == IPPROTO_ICMP || w->p.protocol == PROTOCOL_ICMPV6
		                     ? DROP_NAT_PROTOCOL
		                     : DROP_NO_FLOW);
	if (parse_quote(skb, &w->p, &w->quoted))
		return drop(skb, DROP_ICMP_UNRELATED);
	flow_key_of(&w->quoted, &w->key);
	flow = bpf_map_lookup_elem(&rs_flows_v3, &w->key);
	if (!flow || flow_state(flow) == FLOW_DEAD)
		return drop(skb, DROP_ICMP_UNRELATED);
	if (flow->translation.kind != TRANSLATION_MASQUERADED)
		return TC_ACT_OK;
	work->rewrite.to = flow->translation.address;
	work->rewrite.to_port = flow->translation.port;
	reason = rewrite_walk(skb, w, work, ip_offset, SOURCE);
	return reason ? drop(skb, reason) : TC_ACT_OK;
}

/* This node's own stack made it; but what it has divided anew (IPv6) it did not. */
static __always_inline int
is_hosts_own(struct __sk_buff *skb, __u32 ip_offset)
{
	__u8 next = 0;

	if (skb->ingress_ifindex)
		return 0;
	if (skb->protocol != bpf_htons(ETH_P_IPV6))
		return 1;
	return bpf_skb_load_bytes(skb, ip_offset + offsetof(struct ipv6hdr, nexthdr), &next,
	                          sizeof(next)) ||
	       next != EXTENSION_FRAGMENT;
}

/* A packet that leaves this host by the interface where this runs. */
__noinline int
masquerade(struct __sk_buff *skb)
{
	struct masquerade_work *work = masquerade_work_get();
	struct datapath_state *state = state_get();
	__u32 ifindex = skb->ifindex, ip_offset;
	const struct exit_value *exit;
	enum drop_reason reason;
	struct flow_value *flow;
	struct walk *w;

	exit = bpf_map_lookup_elem(&rs_exits_v1, &ifindex);
	if (!state || !work || (!exit && ifindex == state->tunnel_ifindex))
		return TC_ACT_OK;
	ip_offset = ip_offset_at(ifindex);
	if (is_hosts_own(skb, ip_offset))
		return TC_ACT_OK;
	w = walk_begin(skb);
	if (!w)
		return drop(skb, DROP_NO_GENERATION);
	/* No pod's: those have been parsed where they were sent. */
	if (ip_offset ? parse(skb, &w->p) : parse_headless(skb, &w->p))
		return TC_ACT_OK;
	walk_resolve_fragment(w);
	flow = walk_find_flow(w);
	if (!flow)
		return masquerade_flowless(skb, w, state, work, ip_offset);
	if (w->source_end != flow->initiator)
		return TC_ACT_OK;
	if (flow->translation.kind != TRANSLATION_MASQUERADED &&
	    FLOW_LIFE_STATE(w->life) == FLOW_HALF_OPEN && flow->side[w->source_end & 1].ifindex) {
		reason = masquerade_flow(skb, w, state, flow, work, exit);
		if (reason)
			return masquerade_drop(skb, flow, reason);
	}
	if (*(volatile __u16 *)&flow->translation.kind != TRANSLATION_MASQUERADED)
		return TC_ACT_OK;
	/* One that the host's stack has divided nobody has seen before. */
	if (w->p.fragment == FRAGMENT_FIRST)
		fragment_remember(&w->p);
	work->rewrite.to = flow->translation.address;
	work->rewrite.to_port = flow->translation.port;
	/* Gone meanwhile, and its memory another flow's. */
	if ((flow_life(flow) ^ w->life) >> 8)
		return masquerade_drop(skb, NULL, DROP_NO_FLOW);
	reason = rewrite_walk(skb, w, work, ip_offset, SOURCE);
	return reason ? drop(skb, reason) : TC_ACT_OK;
}

/* Whether a packet to the walk's destination could be for a masqueraded pod. */
static __always_inline int
may_be_masqueraded(const struct walk *w, const struct datapath_state *state)
{
	const struct nat_settings *nat;

	if (!(state->flags & STATE_MASQUERADE))
		return 0;
	nat = nat_settings_get();
	return nat && (nat->addresses & NAT_ADDRESS_BIT(w->p.destination.words[3]));
}

enum unmasqueraded {
	NOT_MASQUERADED = 0,
	UNMASQUERADED,       /* the packet is the pod's now, and the walk's too */
	UNMASQUERADED_ERROR, /* likewise; an ICMP error, which has no flow of its own */
	UNMASQUERADED_BADLY, /* it cannot be rewritten */
};

/* Gives a packet from elsewhere back to the pod that it is for, if there is one. What begins
 * something is for this host itself. The parsed packet is in the walk.
 */
__noinline int
unmasquerade(struct __sk_buff *skb, __u32 ip_offset)
{
	struct masquerade_work *work = masquerade_work_get();
	const struct masquerade_value *entry;
	struct walk *w = walk_get();
	int is_error;

	if (!w || !work)
		return NOT_MASQUERADED;
	is_error = is_icmp_error(&w->p);
	if (is_error) {
		if (parse_quote(skb, &w->p, &w->quoted) ||
		    !address_equal(&w->quoted.source, &w->p.destination))
			return NOT_MASQUERADED;
	} else if (!has_flow(&w->p) || is_icmp_echo_request(&w->p) || is_opening(&w->p, NULL, 0)) {
		return NOT_MASQUERADED;
	}
	if (w->p.fragment == FRAGMENT_LATER && !fragment_resolve(&w->p))
		return NOT_MASQUERADED;
	masquerade_key_of_packet(&work->key, is_error ? &w->quoted : &w->p, is_error);
	entry = bpf_map_lookup_elem(&rs_masquerade_v1, &work->key);
	if (!entry)
		return NOT_MASQUERADED;
	work->value.life = masquerade_life(entry);
	work->rewrite.to = entry->pod;
	work->rewrite.to_port = entry->port;
	asm volatile("" ::: "memory");
	/* Being taken over or away: whom it was for is gone. */
	if (!work->value.life || masquerade_life(entry) != work->value.life)
		return NOT_MASQUERADED;
	if (w->p.fragment == FRAGMENT_FIRST)
		fragment_remember(&w->p);
	if (rewrite_walk(skb, w, work, ip_offset, DESTINATION))
		return UNMASQUERADED_BADLY;
	w->p.destination = work->rewrite.to;
	if (is_error)
		return UNMASQUERADED_ERROR;
	w->p.destination_port = work->rewrite.to_port;
	if (has_icmp_type(w->p.protocol))
		w->p.source_port = work->rewrite.to_port;
	return UNMASQUERADED;
}

/* Whether the flow of the restored packet is the one that the entry is of. */
static __always_inline int
is_restored_for(const struct flow_value *flow)
{
	const struct masquerade_work *work = masquerade_work_get();

	return flow && work && MASQUERADE_LIFE(flow_life(flow)) == work->value.life;
}

/* Gives a packet from elsewhere, parsed, back to the masqueraded pod that it is for, if there is
 * one, and looks its flow up.
 */
static __always_inline enum drop_reason
walk_restore(struct __sk_buff *skb, struct walk *w, const struct datapath_state *state,
             __u32 ip_offset, struct flow_value **ret_flow)
{
	int found = NOT_MASQUERADED;

	if (may_be_masqueraded(w, state))
		found = unmasquerade(skb, ip_offset);
	if (found == UNMASQUERADED_BADLY)
		return DROP_TRUNCATED;
	if (!found)
		walk_resolve_fragment(w);
	*ret_flow = walk_find_flow(w);
	return found == UNMASQUERADED && !is_restored_for(*ret_flow) ? DROP_NO_FLOW : DROP_NONE;
}

#endif
