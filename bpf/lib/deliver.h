/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* An admitted packet into the pod that it is for, and what a router owes it on the way. */
#ifndef RIPSTOP_BPF_LIB_DELIVER_H
#define RIPSTOP_BPF_LIB_DELIVER_H

#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>

#include "bpf/lib/flow_life.h"
#include "bpf/lib/maps.h"
#include "bpf/lib/packet.h"
#include "bpf/lib/walk_state.h"

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

#endif
