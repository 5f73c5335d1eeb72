/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Where an admitted packet goes, and what a router owes it on the way. */
#ifndef RIPSTOP_BPF_LIB_DELIVER_H
#define RIPSTOP_BPF_LIB_DELIVER_H

#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>

#include "bpf/lib/flow_life.h"
#include "bpf/lib/maps.h"
#include "bpf/lib/packet.h"
#include "bpf/lib/walk_state.h"

#ifndef AF_INET
#define AF_INET 2
#define AF_INET6 10
#endif

/* Decrements TTL or hop limit, RFC 1624 for the checksum. Returns 0 on success. */
static __always_inline int
decrement_ttl(struct __sk_buff *skb, const struct packet *p)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;

	if (p->family == 4) {
		struct iphdr *ip = data + ETH_HLEN;
		__u32 check;

		if ((void *)(ip + 1) > end)
			return -1;
		check = ip->check + bpf_htons(0x0100);
		ip->check = check + (check >= 0xffff);
		ip->ttl--;
	} else {
		struct ipv6hdr *ip = data + ETH_HLEN;

		if ((void *)(ip + 1) > end)
			return -1;
		ip->hop_limit--;
	}
	return 0;
}

/* Into the pod at that end, past the host's stack. */
static __always_inline int
deliver_local(struct __sk_buff *skb, const struct packet *p, const struct datapath_state *state,
              const struct flow_side *to)
{
	struct ethhdr *eth;

	if (!p || p->ttl <= 1)
		return TC_ACT_OK; /* the stack answers: time exceeded */
	if (decrement_ttl(skb, p))
		return TC_ACT_SHOT;
	eth = (void *)(long)skb->data;
	if ((void *)(eth + 1) > (void *)(long)skb->data_end)
		return TC_ACT_SHOT;
	__builtin_memcpy(eth->h_dest, to->mac, ETH_ALEN);
	__builtin_memcpy(eth->h_source, state->host_mac, ETH_ALEN);
	/* By way of the queueing discipline of the host's side, where one limits the pod. */
	if (to->flags & FLOW_SIDE_SHAPED)
		return bpf_redirect(to->ifindex, 0);
	return bpf_redirect_peer(to->ifindex, 0);
}

/* Largest IP packet this becomes on the wire; segments of an offloaded one count
 * one by one.
 */
static __always_inline __u16
wire_length(struct __sk_buff *skb, const struct packet *p)
{
	/* The jumbo option is not in its segments. */
	if (skb->gso_size && !p->ip_length && p->family == 6)
		return sizeof(struct ipv6hdr) + p->l4_header + skb->gso_size;
	if (skb->gso_size)
		return p->l4_offset - ETH_HLEN + p->l4_header + skb->gso_size;
	return p->ip_length;
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
deliver_noted(struct __sk_buff *skb, const struct packet *p, const struct flow_next_hop *noted,
              __u64 stamp, int marks)
{
	struct flow_next_hop hop;
	struct ethhdr *eth;

	/* Before what is read and after it, or it may be of two. */
	if (*(const volatile __u64 *)&noted->stamp != stamp || p->ttl <= 1)
		return TC_ACT_UNSPEC;
	asm volatile("" ::: "memory");
	hop = *noted;
	asm volatile("" ::: "memory");
	if (*(const volatile __u64 *)&noted->stamp != stamp || wire_length(skb, p) > hop.mtu)
		return TC_ACT_UNSPEC;
	if (decrement_ttl(skb, p))
		return TC_ACT_SHOT;
	eth = (void *)(long)skb->data;
	if ((void *)(eth + 1) > (void *)(long)skb->data_end)
		return TC_ACT_SHOT;
	__builtin_memcpy(eth->h_dest, hop.destination_mac, ETH_ALEN);
	__builtin_memcpy(eth->h_source, hop.source_mac, ETH_ALEN);
	if (marks)
		skb->tc_index = TC_INDEX_REDIRECTED;
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
