/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Another address and port in a packet, whoever computes its checksum, and when: this host long
 * ago, its device later (CHECKSUM_PARTIAL), a device that has received it (CHECKSUM_COMPLETE).
 *
 * The sum that a device gave (skb->csum) is of all bytes behind the Ethernet header. What
 * changes in IPv4's header is undone by its own checksum; IPv6 has none, so its address is
 * stored with BPF_F_RECOMPUTE_CSUM, and BPF_F_PSEUDO_HDR takes back what the transport's checksum
 * changes. Ports are undone by that.
 */
#ifndef RIPSTOP_BPF_LIB_REWRITE_H
#define RIPSTOP_BPF_LIB_REWRITE_H

#include <asm-generic/errno-base.h>

#include "bpf/lib/parse.h"

enum end { SOURCE = 0, DESTINATION = 1 };

struct rewrite {
	struct ip_address from, to; /* addresses of one family */
	__be16 from_port, to_port;  /* of ICMP echo the identifier */
	__u16 ip_offset;            /* from the start of the frame */
	__u16 l4_offset;
	__u8 protocol;
	__u8 family;
	__u8 end;  /* enum end */
	__u8 bare; /* a later fragment: the address is all there is */
};

/* Where the transport's checksum is that covers addresses; 0: none does. */
static __always_inline __u32
pseudo_checksum_at(__u8 protocol)
{
	switch (protocol) {
	case IPPROTO_TCP:
		return offsetof(struct tcphdr, check);
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
		return offsetof(struct udphdr, check);
	case PROTOCOL_ICMPV6:
		return 2;
	default:
		return 0;
	}
}

static __always_inline int
is_udp(__u8 protocol)
{
	return protocol == IPPROTO_UDP || protocol == IPPROTO_UDPLITE;
}

static __always_inline __u32
address_offset(__u8 family, __u8 end)
{
	if (family == 4)
		return end == DESTINATION ? offsetof(struct iphdr, daddr)
		                          : offsetof(struct iphdr, saddr);
	return end == DESTINATION ? offsetof(struct ipv6hdr, daddr)
	                          : offsetof(struct ipv6hdr, saddr);
}

static __always_inline __u32
port_offset(__u8 protocol, __u8 end)
{
	if (has_icmp_type(protocol))
		return 4;
	return end == DESTINATION ? 2 : 0;
}

static __always_inline __s64
address_difference(const struct rewrite *r)
{
	struct ip_address from = r->from, to = r->to;

	return bpf_csum_diff(from.words, sizeof(from), to.words, sizeof(to), 0);
}

/* IPv4, with the header's own checksum. */
static __always_inline int
store_v4(struct __sk_buff *skb, const struct rewrite *r)
{
	__u32 at = r->ip_offset;
	__be32 to = r->to.words[3];

	return bpf_l3_csum_replace(skb, at + offsetof(struct iphdr, check), r->from.words[3], to,
	                           sizeof(to)) ||
	       bpf_skb_store_bytes(skb, at + address_offset(4, r->end), &to, sizeof(to), 0);
}

static __always_inline int
store_v6(struct __sk_buff *skb, const struct rewrite *r, __u64 flags)
{
	struct ip_address to = r->to;

	return bpf_skb_store_bytes(skb, r->ip_offset + address_offset(6, r->end), &to, sizeof(to),
	                           flags);
}

/* @checksum: where the sum is that covers the port; 0: none does. */
static __always_inline int
store_port(struct __sk_buff *skb, const struct rewrite *r, __u32 checksum, __u64 flags)
{
	__be16 to = r->to_port;

	if (r->from_port == to)
		return 0;
	if (checksum && bpf_l4_csum_replace(skb, checksum, r->from_port, to, flags | sizeof(to)))
		return -1;
	return bpf_skb_store_bytes(skb, r->l4_offset + port_offset(r->protocol, r->end), &to,
	                           sizeof(to), 0);
}

/* Gives one end of the packet another address and port. */
static __always_inline int
rewrite_packet(struct __sk_buff *skb, const struct rewrite *r)
{
	__u32 covers = r->bare ? 0 : pseudo_checksum_at(r->protocol);
	__u32 port_sum = r->protocol == IPPROTO_ICMP ? 2 : covers;
	/* Of UDP zero says that there is none. */
	__u64 flags = is_udp(r->protocol) ? BPF_F_MARK_MANGLED_0 : 0;

	if (r->family == 4 ? store_v4(skb, r) : store_v6(skb, r, BPF_F_RECOMPUTE_CSUM))
		return -1;
	if (covers && bpf_l4_csum_replace(skb, r->l4_offset + covers, 0, address_difference(r),
	                                  flags | BPF_F_PSEUDO_HDR))
		return -1;
	if (r->bare)
		return 0;
	return store_port(skb, r, port_sum ? r->l4_offset + port_sum : 0, flags);
}

/* One's complement, folded to 32 bits. */
static __always_inline __u32
sum_difference(const __be32 *from, const __be32 *to, __u32 words)
{
	__u64 sum = 0;

	for (__u32 i = 0; i < words; i++)
		sum += (__u64)(__u32)~from[i] + to[i];
	sum = (sum & 0xffffffff) + (sum >> 32);
	return sum + (sum >> 32);
}

/* The source of IPv4, in its place, and what the header's own checksum makes of it. */
static __always_inline int
store_source_v4(struct __sk_buff *skb, __be32 to, __u32 difference)
{
	struct iphdr *ip = (void *)(long)skb->data + ETH_HLEN;
	__u32 sum;

	if ((void *)(ip + 1) > (void *)(long)skb->data_end)
		return -1;
	sum = (__u16)~ip->check + (difference & 0xffff) + (difference >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	ip->check = ~(sum + (sum >> 16));
	ip->saddr = to;
	return 0;
}

static __always_inline int
store_source_v6(struct __sk_buff *skb, const struct ip_address *to)
{
	struct ipv6hdr *ip = (void *)(long)skb->data + ETH_HLEN;

	if ((void *)(ip + 1) > (void *)(long)skb->data_end)
		return -1;
	for (__u32 i = 0; i < 4; i++)
		ip->saddr.in6_u.u6_addr32[i] = to->words[i];
	return 0;
}

/* What rewrite_source takes: most of all packets. */
#define REWRITE_L4_OFFSET_MAX 256

static __always_inline int
can_rewrite_source(const struct packet *p)
{
	return !p->fragment && p->l4_offset <= REWRITE_L4_OFFSET_MAX &&
	       (p->protocol == IPPROTO_TCP || is_udp(p->protocol));
}

/* rewrite_packet of the source, of a packet as from_workload has parsed it, on the way that has to
 * be short: what no checksum covers that the device computes is written in place. A pod's packet
 * has no sum that a device gave: what a router or a bridge sends on has lost it.
 */
static __always_inline int
rewrite_source(struct __sk_buff *skb, const struct packet *p, const struct flow_translation *to)
{
	__u64 flags = is_udp(p->protocol) ? BPF_F_MARK_MANGLED_0 : 0;
	__be16 from_port = p->source_port, to_port = to->port, *port;
	__u32 l4 = p->l4_offset, checksum, difference;

	/* The compiler knows that it is, from what it has read before; 6.1's verifier does not. */
	asm volatile("" : "+r"(l4));
	if (l4 > REWRITE_L4_OFFSET_MAX)
		return -1;
	checksum = l4 + pseudo_checksum_at(p->protocol);
	difference = p->family == 4 ? sum_difference(&p->source.words[3], &to->address.words[3], 1)
	                            : sum_difference(p->source.words, to->address.words, 4);
	/* Makes the packet writable, and linear up to the checksum, which stands behind the ports.
	 */
	if (bpf_l4_csum_replace(skb, checksum, 0, difference, flags | BPF_F_PSEUDO_HDR))
		return -1;
	if (from_port != to_port &&
	    bpf_l4_csum_replace(skb, checksum, from_port, to_port, flags | sizeof(to_port)))
		return -1;
	if (p->family == 4 ? store_source_v4(skb, to->address.words[3], difference)
	                   : store_source_v6(skb, &to->address))
		return -1;
	if (from_port == to_port)
		return 0;
	port = (void *)(long)skb->data + l4;
	if ((void *)(port + 1) > (void *)(long)skb->data_end)
		return -1;
	*port = to_port;
	return 0;
}

/* The same of the packet that an ICMP error quotes, whose checksum is at @checksum. The quoted
 * transport's own is left: all of what it covers is rarely there, and nobody looks.
 */
static __always_inline int
rewrite_quote(struct __sk_buff *skb, const struct rewrite *r, __u32 checksum)
{
	if (r->family == 4) {
		/* Address and header checksum cancel out in the sum. */
		if (store_v4(skb, r))
			return -1;
	} else if (bpf_l4_csum_replace(skb, checksum, 0, address_difference(r), 0) ||
	           store_v6(skb, r, 0)) {
		return -1;
	}
	return store_port(skb, r, checksum, 0);
}

#endif
