/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* What a dropped packet's sender is told, instead of silence: of a TCP segment a reset (RFC 9293
 * section 3.5.2), of others that they are prohibited (RFC 1812 section 5.2.7.1, RFC 4443 section
 * 3.1). The answer is made of the packet's own frame and goes back to where that came from.
 */
#ifndef RIPSTOP_BPF_LIB_ANSWER_H
#define RIPSTOP_BPF_LIB_ANSWER_H

#include <linux/pkt_cls.h>

#include "bpf/lib/maps.h"
#include "bpf/lib/parse.h"
#include "bpf/lib/walk_state.h"

#define ANSWER_TTL 64
#define ANSWER_QUOTED 8 /* bytes of the transport header in an ICMP error */
#define ICMP_UNREACHABLE 3
#define ICMP_PROHIBITED 13
#define ICMPV6_UNREACHABLE 1
#define ICMPV6_PROHIBITED 1

/* No answers to answers, to parts of a datagram, or past headers that are not followed here; nor to
 * SCTP, whose checksum the device still has to make: its frame cannot be cut to what is quoted.
 */
static __always_inline int
is_answerable(const struct packet *p)
{
	__u32 plain = ETH_HLEN + (p->family == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));

	if (p->fragment || p->l4_offset != plain || is_icmp_error(p) || p->protocol == IPPROTO_SCTP)
		return 0;
	return p->protocol != IPPROTO_TCP || !(p->tcp_flags & TCP_RST);
}

/* Whether this CPU may still answer in this second. */
static __always_inline int
answer_allowed(void)
{
	__u64 now = bpf_ktime_get_coarse_ns();
	struct answer_budget *budget;
	__u32 zero = 0;

	budget = bpf_map_lookup_elem(&rs_answers_v1, &zero);
	if (!budget)
		return 0;
	if (now - budget->since_ns > 1000000000ull) {
		budget->since_ns = now;
		budget->sent = 0;
	}
	return budget->sent++ < ANSWERS_PER_SECOND;
}

static __always_inline __u16
fold_sum(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/* Of an answer with @bytes of @protocol. IPv4's mapped prefix adds nothing. */
static __always_inline __u16
pseudo_sum(const struct packet *p, __u8 protocol, __u32 bytes)
{
	struct ip_address ends[2] = {p->source, p->destination};
	__be32 rest = bpf_htonl(protocol + bytes);
	__s64 sum = bpf_csum_diff(NULL, 0, (__be32 *)ends, sizeof(ends), 0);

	sum = bpf_csum_diff(NULL, 0, &rest, sizeof(rest), fold_sum(sum));
	return fold_sum(sum);
}

/* Ethernet and IP headers from the packet's destination to its source. */
static __always_inline int
write_headers(struct __sk_buff *skb, const struct packet *p, __u8 protocol, __u32 bytes)
{
	struct ethhdr eth;
	__u8 from[ETH_ALEN];

	if (bpf_skb_load_bytes(skb, 0, &eth, sizeof(eth)))
		return -1;
	__builtin_memcpy(from, eth.h_source, ETH_ALEN);
	__builtin_memcpy(eth.h_source, eth.h_dest, ETH_ALEN);
	__builtin_memcpy(eth.h_dest, from, ETH_ALEN);
	if (bpf_skb_store_bytes(skb, 0, &eth, sizeof(eth), BPF_F_RECOMPUTE_CSUM))
		return -1;
	if (p->family == 4) {
		struct iphdr ip = {.version = 4, .ihl = IPV4_IHL_MIN, .ttl = ANSWER_TTL};

		ip.tot_len = bpf_htons(sizeof(ip) + bytes);
		ip.protocol = protocol;
		ip.saddr = p->destination.words[3];
		ip.daddr = p->source.words[3];
		ip.check = ~fold_sum(bpf_csum_diff(NULL, 0, (__be32 *)&ip, sizeof(ip), 0));
		return bpf_skb_store_bytes(skb, ETH_HLEN, &ip, sizeof(ip), BPF_F_RECOMPUTE_CSUM);
	} else {
		struct ipv6hdr ip = {.version = 6, .hop_limit = ANSWER_TTL};

		ip.payload_len = bpf_htons(bytes);
		ip.nexthdr = protocol;
		__builtin_memcpy(&ip.saddr, &p->destination, sizeof(ip.saddr));
		__builtin_memcpy(&ip.daddr, &p->source, sizeof(ip.daddr));
		return bpf_skb_store_bytes(skb, ETH_HLEN, &ip, sizeof(ip), BPF_F_RECOMPUTE_CSUM);
	}
}

static __always_inline __u32
segment_length(const struct __sk_buff *skb, const struct packet *p)
{
	__u32 end = p->ip_length ? ETH_HLEN + p->ip_length : skb->len;

	return end - p->l4_offset - p->l4_header + !!(p->tcp_flags & TCP_SYN) +
	       !!(p->tcp_flags & TCP_FIN);
}

/* Where the frame's sender left the checksum to the device (CHECKSUM_PARTIAL), which a program
 * cannot see, the field must hold the sum of the pseudo header, and else the checksum. A reset's
 * window means nothing, so it is chosen to make both the same.
 */
static __always_inline int
write_reset(struct __sk_buff *skb, const struct packet *p)
{
	struct tcphdr tcp = {.doff = sizeof(tcp) / 4, .rst = 1};
	__u32 length = segment_length(skb, p);
	__u16 pseudo;

	tcp.source = p->destination_port;
	tcp.dest = p->source_port;
	if (p->tcp_flags & TCP_ACK) {
		tcp.seq = bpf_htonl(p->tcp_acknowledged);
	} else {
		tcp.ack = 1;
		tcp.ack_seq = bpf_htonl(p->tcp_sequence + length);
	}
	if (bpf_skb_change_tail(skb, p->l4_offset + sizeof(tcp), 0) ||
	    write_headers(skb, p, IPPROTO_TCP, sizeof(tcp)))
		return -1;
	pseudo = pseudo_sum(p, IPPROTO_TCP, sizeof(tcp));
	tcp.window = ~fold_sum(bpf_csum_diff(NULL, 0, (__be32 *)&tcp, sizeof(tcp), 0) + 2 * pseudo);
	tcp.check = pseudo;
	return bpf_skb_store_bytes(skb, p->l4_offset, &tcp, sizeof(tcp), BPF_F_RECOMPUTE_CSUM);
}

struct icmp_error {
	__u8 type, code;
	__sum16 checksum;
	__be32 unused;
};

static __always_inline int
write_prohibited_v4(struct __sk_buff *skb, const struct packet *p)
{
	struct {
		struct icmp_error error;
		__u8 quote[sizeof(struct iphdr) + ANSWER_QUOTED];
	} icmp = {.error = {.type = ICMP_UNREACHABLE, .code = ICMP_PROHIBITED}};
	__u32 room = sizeof(struct iphdr) + sizeof(icmp.error);

	if (bpf_skb_load_bytes(skb, ETH_HLEN, icmp.quote, sizeof(icmp.quote)) ||
	    bpf_skb_change_tail(skb, ETH_HLEN + sizeof(icmp.quote), 0) ||
	    bpf_skb_adjust_room(skb, room, BPF_ADJ_ROOM_MAC, 0) ||
	    write_headers(skb, p, IPPROTO_ICMP, sizeof(icmp)))
		return -1;
	icmp.error.checksum = ~fold_sum(bpf_csum_diff(NULL, 0, (__be32 *)&icmp, sizeof(icmp), 0));
	return bpf_skb_store_bytes(skb, ETH_HLEN + sizeof(struct iphdr), &icmp, sizeof(icmp),
	                           BPF_F_RECOMPUTE_CSUM);
}

static __always_inline int
write_prohibited_v6(struct __sk_buff *skb, const struct packet *p)
{
	struct {
		struct icmp_error error;
		__u8 quote[sizeof(struct ipv6hdr) + ANSWER_QUOTED];
	} icmp = {.error = {.type = ICMPV6_UNREACHABLE, .code = ICMPV6_PROHIBITED}};
	__u32 room = sizeof(struct ipv6hdr) + sizeof(icmp.error);
	__u16 sum;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, icmp.quote, sizeof(icmp.quote)) ||
	    bpf_skb_change_tail(skb, ETH_HLEN + sizeof(icmp.quote), 0) ||
	    bpf_skb_adjust_room(skb, room, BPF_ADJ_ROOM_MAC, 0) ||
	    write_headers(skb, p, PROTOCOL_ICMPV6, sizeof(icmp)))
		return -1;
	sum = pseudo_sum(p, PROTOCOL_ICMPV6, sizeof(icmp));
	icmp.error.checksum = ~fold_sum(bpf_csum_diff(NULL, 0, (__be32 *)&icmp, sizeof(icmp), sum));
	return bpf_skb_store_bytes(skb, ETH_HLEN + sizeof(struct ipv6hdr), &icmp, sizeof(icmp),
	                           BPF_F_RECOMPUTE_CSUM);
}

/* Makes the answer of the frame. What the parser knows of the packet is in the walk. */
__noinline int
write_answer(struct __sk_buff *skb)
{
	struct walk *w = walk_get();
	const struct packet *p;

	if (!w)
		return -1;
	p = &w->p;
	if (p->protocol == IPPROTO_TCP)
		return write_reset(skb, p);
	return p->family == 4 ? write_prohibited_v4(skb, p) : write_prohibited_v6(skb, p);
}

/* Returns TC_ACT_SHOT where there is no answer, or no way back from this hook: what comes out of
 * the stack cannot be given back to it here.
 */
static __always_inline int
answer(struct __sk_buff *skb, const struct packet *p, enum hook hook)
{
	if ((hook != FROM_WORKLOAD && hook != FROM_HOST && hook != FROM_TUNNEL) ||
	    !is_answerable(p) || !answer_allowed() || write_answer(skb))
		return TC_ACT_SHOT;
	/* Else clang keeps the address of the field from an earlier read, which no verifier takes.
	 */
	asm volatile("" : "+r"(skb));
	if (hook == FROM_WORKLOAD)
		return bpf_redirect_peer(skb->ifindex, 0);
	skb->tc_index = TC_INDEX_REDIRECTED;
	return bpf_redirect(skb->ifindex, 0);
}

#endif
