/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Frame -> struct packet, as returns of enum drop_reason.
 *
 * Headers at constant offsets are read in place. What follows IPv4 options or IPv6
 * extension headers, and what a sender left outside the linear part, is loaded by
 * bpf_skb_load_bytes: the packet is the same to the parser wherever its bytes are,
 * and the verifier has no variable packet pointers to follow.
 */
#ifndef RIPSTOP_BPF_LIB_PARSE_H
#define RIPSTOP_BPF_LIB_PARSE_H

#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include "bpf/abi/drops.h"
#include "bpf/lib/packet.h"

#define IPV4_IHL_MIN 5 /* 32-bit words, RFC 791 section 3.1 */
#define IPV4_OPTIONS_MAX 40
#define IPV6_EXTENSIONS_MAX 8

#define IPV4_OPTION_END 0
#define IPV4_OPTION_NOP 1
#define IPV4_OPTION_LSRR 131
#define IPV4_OPTION_SSRR 137

#define EXTENSION_HOP_BY_HOP 0
#define EXTENSION_ROUTING 43
#define EXTENSION_FRAGMENT 44
#define EXTENSION_DESTINATION 60

/* The first bytes of any transport header. */
union l4_header {
	__u8 bytes[16];
	struct {
		__be16 source;
		__be16 destination;
		__be16 udp_length;
		__be16 checksum;
	} ports;
	struct {
		__u8 type;
		__u8 code;
		__be16 checksum;
		__be16 echo_id;
		__be16 echo_sequence;
	} icmp;
	struct {
		__be32 ports;
		__be32 sequence;
		__be32 acknowledged;
		__u8 data_offset; /* upper half: in 32-bit words */
		__u8 flags;
	} tcp;
	struct {
		__be32 ports;
		__u32 tag;
		__be32 checksum;
		__u8 chunk;
	} sctp;
};

/* Bytes that a first packet must have of its transport header. */
static __always_inline __u32
l4_header_min(__u8 protocol)
{
	switch (protocol) {
	case IPPROTO_TCP:
		return sizeof(struct tcphdr);
	case IPPROTO_SCTP:
		return 16; /* with the header of a chunk: RFC 9260 sections 3.1 and 3.2 */
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
	case IPPROTO_ICMP:
	case PROTOCOL_ICMPV6:
		return 8;
	default:
		return 0;
	}
}

/* @bytes: of this IP packet after its headers. */
static __always_inline int
read_l4(const union l4_header *header, struct packet *ret, __u32 bytes)
{
	if (has_icmp_type(ret->protocol)) {
		ret->icmp_type = header->icmp.type;
		ret->icmp_code = header->icmp.code;
		if (is_icmp_echo(ret)) {
			ret->source_port = header->icmp.echo_id;
			ret->destination_port = header->icmp.echo_id;
		}
		return DROP_NONE;
	}
	ret->source_port = header->ports.source;
	ret->destination_port = header->ports.destination;
	if (ret->protocol == IPPROTO_TCP) {
		ret->l4_header = (header->tcp.data_offset >> 4) * 4;
		if (ret->l4_header < sizeof(struct tcphdr) || ret->l4_header > bytes)
			return DROP_BAD_LENGTH;
		ret->tcp_flags = header->tcp.flags;
		ret->tcp_sequence = bpf_ntohl(header->tcp.sequence);
		ret->tcp_acknowledged = bpf_ntohl(header->tcp.acknowledged);
	} else if (ret->protocol == IPPROTO_SCTP) {
		ret->sctp_chunk = header->sctp.chunk;
		ret->tcp_sequence = header->sctp.tag;
	} else if (ret->protocol == IPPROTO_UDP) {
		__u16 length = bpf_ntohs(header->ports.udp_length);

		/* A first fragment's UDP length is that of the whole datagram. */
		if (length < sizeof(struct udphdr) || (!ret->fragment && length > bytes))
			return DROP_BAD_LENGTH;
	}
	return DROP_NONE;
}

/* A later fragment must not reach back into the transport header (RFC 3128), nor
 * beyond the largest datagram.
 */
static __always_inline int
check_later_fragment(const struct packet *p, __u32 offset, __u32 bytes)
{
	if (offset + bytes > 65535)
		return DROP_BAD_LENGTH;
	if (p->protocol == IPPROTO_TCP && offset < sizeof(struct tcphdr))
		return DROP_FRAGMENT_OVERLAP;
	return DROP_NONE;
}

/* The transport header of @ret, @bytes long with its payload. @fixed: a constant
 * offset to try in place first, or 0.
 */
static __always_inline int
parse_l4(struct __sk_buff *skb, struct packet *ret, __u32 bytes, __u32 fixed)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	__u32 need = l4_header_min(ret->protocol);
	union l4_header header = {};

	if (!need)
		return DROP_NONE;
	if (bytes < need)
		return ret->fragment ? DROP_FRAGMENT_OVERLAP : DROP_TRUNCATED;
	ret->l4_header = need;
	if (fixed && data + fixed + sizeof(header) <= end) {
		__builtin_memcpy(&header, data + fixed, sizeof(header));
	} else if (need >= sizeof(header)) {
		if (bpf_skb_load_bytes(skb, ret->l4_offset, &header, sizeof(header)))
			return DROP_TRUNCATED;
	} else if (bpf_skb_load_bytes(skb, ret->l4_offset, &header, 8)) {
		return DROP_TRUNCATED;
	}
	return read_l4(&header, ret, bytes);
}

/* Source routes ask routers to send the packet elsewhere than its destination says
 * (RFC 7126 section 4.3). @bytes of options follow the fixed header, from @first on.
 */
__noinline int
check_ipv4_options(struct __sk_buff *skb, __u32 first, __u32 bytes)
{
	__u32 at = 0;

	for (int i = 0; i < IPV4_OPTIONS_MAX; i++) {
		__u8 option[2] = {};

		if (at >= bytes)
			break;
		if (bpf_skb_load_bytes(skb, first + at, option, 1))
			return DROP_TRUNCATED;
		if (option[0] == IPV4_OPTION_END)
			break;
		if (option[0] == IPV4_OPTION_NOP) {
			at++;
			continue;
		}
		if (option[0] == IPV4_OPTION_LSRR || option[0] == IPV4_OPTION_SSRR)
			return DROP_SOURCE_ROUTE;
		if (bpf_skb_load_bytes(skb, first + at, option, 2))
			return DROP_TRUNCATED;
		if (option[1] < 2 || at + option[1] > bytes)
			return DROP_BAD_IP_HEADER;
		at += option[1];
	}
	return DROP_NONE;
}

/* Packets of more than 64 KiB, which only kernels make and hand to each other, say no length:
 * BIG TCP, of IPv6 since Linux 5.19, with or without the jumbo option (RFC 2675), and of IPv4
 * since 6.3. Segments of one stream, and nothing else, may go without.
 */
static __always_inline int
is_big_tcp(const struct packet *p)
{
	return p->protocol == IPPROTO_TCP && !p->fragment;
}

static __always_inline int
parse_ipv4(struct __sk_buff *skb, struct packet *ret, __u32 l2)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data + l2;
	__u32 header, total, fragment, offset;

	if ((void *)(ip + 1) > end)
		return DROP_TRUNCATED;
	if (ip->version != 4 || ip->ihl < IPV4_IHL_MIN)
		return DROP_BAD_IP_HEADER;
	header = ip->ihl * 4;
	total = bpf_ntohs(ip->tot_len);
	if (!total && skb->gso_size)
		total = skb->len - l2; /* BIG TCP */
	if (total < header || total > skb->len - l2)
		return DROP_BAD_LENGTH;
	address_from_v4(&ret->source, ip->saddr);
	address_from_v4(&ret->destination, ip->daddr);
	ret->family = 4;
	ret->protocol = ip->protocol;
	ret->ttl = ip->ttl;
	ret->tos = ip->tos;
	ret->ip_length = bpf_ntohs(ip->tot_len);
	ret->l4_offset = l2 + header;
	fragment = bpf_ntohs(ip->frag_off);
	offset = (fragment & 0x1fff) * 8;
	if (fragment & 0x3fff) { /* more to come, or not the first */
		ret->fragment_id = ip->id;
		ret->fragment = offset ? FRAGMENT_LATER : FRAGMENT_FIRST;
	}
	if (header > sizeof(*ip)) {
		int reason = check_ipv4_options(skb, l2 + sizeof(*ip), header - sizeof(*ip));

		if (reason)
			return reason;
	}
	if (!ret->ip_length && !is_big_tcp(ret))
		return DROP_BAD_LENGTH;
	if (offset)
		return check_later_fragment(ret, offset, total - header);
	return parse_l4(skb, ret, total - header, header == sizeof(*ip) ? l2 + sizeof(*ip) : 0);
}

struct ipv6_extension {
	__u8 next;
	__u8 units; /* of 8 bytes, the first not counted; reserved in a fragment header */
	__u8 type;  /* routing header: its type; fragment header: offset, upper byte */
	__u8 rest;  /* fragment header: offset, lower bits, and M */
	__be32 id;  /* fragment header */
};

static __always_inline int
is_extension(__u8 next)
{
	return next == EXTENSION_HOP_BY_HOP || next == EXTENSION_ROUTING ||
	       next == EXTENSION_FRAGMENT || next == EXTENSION_DESTINATION;
}

/* Follows the extension headers from @next on, the first of them @at. Any other header is
 * taken for the transport and judged by its number, AH and ESP included.
 */
__noinline int
parse_ipv6_chain(struct __sk_buff *skb, struct packet *ret, __u32 at, __u32 next, __u32 payload)
{
	__u32 end = at + payload;
	__u32 offset = 0;

	if (!ret)
		return DROP_TRUNCATED;
	for (int i = 0; i < IPV6_EXTENSIONS_MAX; i++) {
		struct ipv6_extension extension;
		__u32 word;

		if (!is_extension(next) || offset)
			break;
		if (bpf_skb_load_bytes(skb, at, &extension, sizeof(extension)))
			return DROP_TRUNCATED;
		at += next == EXTENSION_FRAGMENT ? 8 : (extension.units + 1) * 8;
		if (at > end)
			return DROP_TRUNCATED;
		if (next == EXTENSION_ROUTING && extension.type == 0)
			return DROP_SOURCE_ROUTE;
		if (next == EXTENSION_FRAGMENT) {
			if (ret->fragment)
				return DROP_EXTENSION_HEADERS; /* one is enough */
			word = extension.type << 8 | extension.rest;
			offset = word & 0xfff8;
			if (word & 0xfff9) { /* else atomic, RFC 6946 */
				ret->fragment_id = extension.id;
				ret->fragment = offset ? FRAGMENT_LATER : FRAGMENT_FIRST;
			}
		}
		next = extension.next;
	}
	ret->protocol = next;
	ret->l4_offset = at;
	if (offset)
		/* What is fragmented may begin with more extension headers. Then the
		 * transport is unknown, and so is the flow: nothing will match it.
		 */
		return check_later_fragment(ret, offset, end - at);
	if (is_extension(next))
		return DROP_EXTENSION_HEADERS;
	return parse_l4(skb, ret, end - at, 0);
}

static __always_inline int
parse_ipv6(struct __sk_buff *skb, struct packet *ret, __u32 l2)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct ipv6hdr *ip = data + l2;
	__u32 payload, big;

	if ((void *)(ip + 1) > end)
		return DROP_TRUNCATED;
	if (ip->version != 6)
		return DROP_BAD_IP_HEADER;
	payload = bpf_ntohs(ip->payload_len);
	if (!payload && skb->gso_size)
		payload = skb->len - l2 - sizeof(*ip); /* BIG TCP */
	if (payload + l2 + sizeof(*ip) > skb->len)
		return DROP_BAD_LENGTH;
	__builtin_memcpy(&ret->source, &ip->saddr, sizeof(ret->source));
	__builtin_memcpy(&ret->destination, &ip->daddr, sizeof(ret->destination));
	if (address_is_mapped(&ret->source) || address_is_mapped(&ret->destination))
		return DROP_MAPPED_ADDRESS;
	ret->family = 6;
	ret->ttl = ip->hop_limit;
	ret->tos = (ip->priority << 4) | (ip->flow_lbl[0] >> 4);
	big = !ip->payload_len && payload;
	ret->ip_length = big ? 0 : sizeof(*ip) + payload;
	if (is_extension(ip->nexthdr)) {
		int reason = parse_ipv6_chain(skb, ret, l2 + sizeof(*ip), ip->nexthdr, payload);

		return !reason && big && !is_big_tcp(ret) ? DROP_BAD_LENGTH : reason;
	}
	ret->protocol = ip->nexthdr;
	ret->l4_offset = l2 + sizeof(*ip);
	if (big && !is_big_tcp(ret))
		return DROP_BAD_LENGTH;
	return parse_l4(skb, ret, payload, l2 + sizeof(*ip));
}

/* Parses the frame of @skb; returns enum drop_reason, @ret is meaningful only for
 * DROP_NONE. A global function: the verifier looks at it once, not once for each way
 * through it times each way through the rest.
 */
__noinline int
parse(struct __sk_buff *skb, struct packet *ret)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct ethhdr *eth = data;

	if (!ret || (void *)(eth + 1) > end)
		return DROP_TRUNCATED;
	__builtin_memset(ret, 0, sizeof(*ret));
	/* The length that a sender left outside the linear part is rare enough here. */
	if (data + ETH_HLEN + sizeof(struct ipv6hdr) > end &&
	    skb->len >= ETH_HLEN + sizeof(struct ipv6hdr)) {
		if (bpf_skb_pull_data(skb, ETH_HLEN + sizeof(struct ipv6hdr)))
			return DROP_TRUNCATED;
		data = (void *)(long)skb->data;
		end = (void *)(long)skb->data_end;
		eth = data;
		if ((void *)(eth + 1) > end)
			return DROP_TRUNCATED;
	}
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		return parse_ipv4(skb, ret, ETH_HLEN);
	if (eth->h_proto == bpf_htons(ETH_P_IPV6))
		return parse_ipv6(skb, ret, ETH_HLEN);
	return eth->h_proto == bpf_htons(ETH_P_ARP) ? DROP_ARP : DROP_ETHERTYPE;
}

/* The same of a frame that begins with its IP header (INTERFACE_HEADLESS). */
__noinline int
parse_headless(struct __sk_buff *skb, struct packet *ret)
{
	if (!ret)
		return DROP_TRUNCATED;
	__builtin_memset(ret, 0, sizeof(*ret));
	if ((void *)(long)skb->data + sizeof(struct ipv6hdr) > (void *)(long)skb->data_end &&
	    skb->len >= sizeof(struct ipv6hdr) && bpf_skb_pull_data(skb, sizeof(struct ipv6hdr)))
		return DROP_TRUNCATED;
	if (skb->protocol == bpf_htons(ETH_P_IP))
		return parse_ipv4(skb, ret, 0);
	return skb->protocol == bpf_htons(ETH_P_IPV6) ? parse_ipv6(skb, ret, 0) : DROP_ETHERTYPE;
}

#endif
