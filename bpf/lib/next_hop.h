/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* An admitted packet out of this machine: to the next hop that its flow knows, or as routes and
 * neighbours say. By the first way it leaves under the address that the flow is translated to, so
 * that to_host has nothing to do.
 */
#ifndef RIPSTOP_BPF_LIB_NEXT_HOP_H
#define RIPSTOP_BPF_LIB_NEXT_HOP_H

#include "bpf/abi/masquerade.h"
#include "bpf/lib/deliver.h"
#include "bpf/lib/drop.h"
#include "bpf/lib/rewrite.h"

#ifndef AF_INET
#define AF_INET 2
#define AF_INET6 10
#endif

/* A trace shows packets before their translation and after it, so in its programs to_host does it.
 */
#ifndef TRANSLATES_AT_EXIT
#define TRANSLATES_AT_EXIT 0
#endif

/* Told to_host of what leaves by the next hop that is known. */
static __always_inline __u16
exit_tag(const struct walk *w, const struct datapath_state *state, const struct flow_value *flow,
         __u32 exit)
{
	int forward = w->source_end == flow->initiator;

	/* Only of an answered flow it is decided what becomes of it. */
	if (!TRANSLATES_AT_EXIT && (state->flags & STATE_MASQUERADE) &&
	    exit != state->tunnel_ifindex && can_rewrite_source(&w->p) &&
	    (!forward || FLOW_LIFE_STATE(w->life) == FLOW_OPEN))
		return TC_INDEX_FINISHED;
	return state->flags & STATE_MARKS ? TC_INDEX_REDIRECTED : 0;
}

/* Notes where packets go that find @stamp, unless somebody else does. The flow may be gone by now,
 * and its memory another one's, of whose time the stamp would be: then as it was. Whoever comes to
 * be there after that writes all of it, and the last exchange fails.
 */
static __always_inline void
next_hop_note(struct flow_value *flow, __u64 stamp, const struct bpf_fib_lookup *fib)
{
	struct flow_next_hop *hop = &flow->next_hop;
	const struct walk *w = walk_get();
	__u64 before = *(volatile __u64 *)&hop->stamp;

	if (!w || before == NEXT_HOP_WRITTEN ||
	    __sync_val_compare_and_swap(&hop->stamp, before, NEXT_HOP_WRITTEN) != before)
		return;
	if ((flow_life(flow) ^ w->life) >> 8) {
		__sync_val_compare_and_swap(&hop->stamp, NEXT_HOP_WRITTEN, before);
		return;
	}
	hop->ifindex = fib->ifindex;
	hop->mtu = fib->mtu_result;
	__builtin_memcpy(hop->destination_mac, fib->dmac, ETH_ALEN);
	__builtin_memcpy(hop->source_mac, fib->smac, ETH_ALEN);
	__sync_val_compare_and_swap(&hop->stamp, NEXT_HOP_WRITTEN, stamp);
}

/* Out of this machine to the next hop that was noted with @stamp. Returns TC_ACT_UNSPEC where
 * that is not known or does not suffice.
 */
static __always_inline int
deliver_noted(struct __sk_buff *skb, const struct walk *w, const struct datapath_state *state,
              const struct flow_value *flow, __u64 stamp)
{
	const struct flow_next_hop *noted = &flow->next_hop;
	struct flow_next_hop hop;
	struct ethhdr *eth;
	__u16 tag;

	/* Before what is read and after it, or it may be of two. */
	if (*(const volatile __u64 *)&noted->stamp != stamp || w->p.ttl <= 1)
		return TC_ACT_UNSPEC;
	asm volatile("" ::: "memory");
	hop = *noted;
	asm volatile("" ::: "memory");
	if (*(const volatile __u64 *)&noted->stamp != stamp || wire_length(skb, &w->p) > hop.mtu)
		return TC_ACT_UNSPEC;
	if (decrement_ttl(skb, &w->p))
		return TC_ACT_SHOT;
	tag = exit_tag(w, state, flow, hop.ifindex);
	if (tag == TC_INDEX_FINISHED && w->source_end == flow->initiator &&
	    flow->translation.kind == TRANSLATION_MASQUERADED &&
	    rewrite_source(skb, &w->p, &flow->translation))
		return drop(skb, DROP_TRUNCATED);
	eth = (void *)(long)skb->data;
	if ((void *)(eth + 1) > (void *)(long)skb->data_end)
		return TC_ACT_SHOT;
	__builtin_memcpy(eth->h_dest, hop.destination_mac, ETH_ALEN);
	__builtin_memcpy(eth->h_source, hop.source_mac, ETH_ALEN);
	if (tag)
		skb->tc_index = tag;
	return bpf_redirect(hop.ifindex, 0);
}

/* Out of this machine as the routing table says; @flow, if there is one, is told. Whatever needs
 * an answer goes to the stack, which gives it. What needs a neighbour does not: there the host's
 * netfilter may drop the packet (ufw, firewalld, Docker: a FORWARD chain whose policy is DROP), and
 * who is never asked for stays unknown. bpf_redirect_neigh asks, and the packet waits for the
 * answer. A function of its own, whose stack is not there while a packet is judged: 6.1 counts
 * calls together, up to 512 bytes.
 */
__noinline int
deliver_routed(struct __sk_buff *skb, const struct packet *p, struct flow_value *flow, __u64 stamp,
               int marks)
{
	struct bpf_redir_neigh next = {};
	struct bpf_fib_lookup fib = {};
	long found;

	if (!p || p->ttl <= 1)
		return TC_ACT_OK;
	fib.ifindex = skb->ifindex;
	fib.l4_protocol = p->protocol;
	fib.sport = p->source_port;
	fib.dport = p->destination_port;
	fib.tot_len = wire_length(skb, p);
	if (p->family == 4) {
		fib.family = AF_INET;
		fib.tos = p->tos;
		fib.ipv4_src = p->source.words[3];
		fib.ipv4_dst = p->destination.words[3];
	} else {
		fib.family = AF_INET6;
		__builtin_memcpy(fib.ipv6_src, &p->source, sizeof(fib.ipv6_src));
		__builtin_memcpy(fib.ipv6_dst, &p->destination, sizeof(fib.ipv6_dst));
	}
	found = bpf_fib_lookup(skb, &fib, sizeof(fib), 0);
	if (found != BPF_FIB_LKUP_RET_SUCCESS && found != BPF_FIB_LKUP_RET_NO_NEIGH)
		return TC_ACT_OK;
	if (flow && found == BPF_FIB_LKUP_RET_SUCCESS)
		next_hop_note(flow, stamp, &fib);
	if (decrement_ttl(skb, p))
		return TC_ACT_SHOT;
	/* An IPv4 route may have an IPv6 next hop (RFC 5549): fib.family says which. */
	next.nh_family = fib.family;
	if (fib.family == AF_INET)
		next.ipv4_nh = fib.ipv4_dst;
	else
		__builtin_memcpy(next.ipv6_nh, fib.ipv6_dst, sizeof(next.ipv6_nh));
	if (marks)
		skb->tc_index = TC_INDEX_REDIRECTED;
	return bpf_redirect_neigh(fib.ifindex, &next, sizeof(next), 0);
}

#endif
