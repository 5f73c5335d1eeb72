/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* What the programs know of a packet after parsing: one form for both families. */
#ifndef RIPSTOP_BPF_LIB_PACKET_H
#define RIPSTOP_BPF_LIB_PACKET_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/abi/abi.h"

#ifndef IPPROTO_UDPLITE
#define IPPROTO_UDPLITE 136
#endif
#define PROTOCOL_ICMPV6 58

#define MAPPED_PREFIX bpf_htonl(0xffff)

enum fragment_kind {
	FRAGMENT_NONE = 0,
	FRAGMENT_FIRST = 1,
	FRAGMENT_LATER = 2, /* no transport header; ports come from rs_frags_v1 */
};

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

/* RFC 9260 section 3.2 */
#define SCTP_INIT 1
#define SCTP_INIT_ACK 2
#define SCTP_HEARTBEAT 4
#define SCTP_ABORT 6
#define SCTP_COOKIE_ECHO 10
#define SCTP_SHUTDOWN_COMPLETE 14

struct packet {
	struct ip_address source;
	struct ip_address destination;
	__be16 source_port; /* ICMP echo: the identifier, in both; else zero */
	__be16 destination_port;
	__u8 protocol;
	__u8 family;   /* 4 or 6 */
	__u8 fragment; /* enum fragment_kind */
	__u8 tcp_flags;
	__u8 icmp_type;
	__u8 icmp_code;
	__u8 ttl;
	__u8 tos;
	__u16 l4_offset; /* from the start of the frame */
	__u16 l4_header; /* bytes of the transport header, where known */
	__u16 ip_length; /* of the IP packet, header included; 0 of BIG TCP */
	__u8 sctp_chunk; /* type of the first; 0, DATA's, where there is none */
	__u8 reserved;
	__be32 fragment_id;
	__u32 tcp_sequence; /* host order; of SCTP the verification tag, as it is */
	__u32 tcp_acknowledged;
};

static __always_inline void
address_from_v4(struct ip_address *ret, __be32 v4)
{
	ret->words[0] = 0;
	ret->words[1] = 0;
	ret->words[2] = MAPPED_PREFIX;
	ret->words[3] = v4;
}

static __always_inline int
address_is_mapped(const struct ip_address *a)
{
	return a->words[0] == 0 && a->words[1] == 0 && a->words[2] == MAPPED_PREFIX;
}

static __always_inline int
address_equal(const struct ip_address *a, const struct ip_address *b)
{
	return a->words[0] == b->words[0] && a->words[1] == b->words[1] &&
	       a->words[2] == b->words[2] && a->words[3] == b->words[3];
}

static __always_inline int
has_ports(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP ||
	       protocol == IPPROTO_UDPLITE;
}

/* The protocols whose L4 class is chosen by type and code; their meaning (echo,
 * error) holds in their own family only.
 */
static __always_inline int
has_icmp_type(__u8 protocol)
{
	return protocol == IPPROTO_ICMP || protocol == PROTOCOL_ICMPV6;
}

static __always_inline int
is_own_icmp(const struct packet *p)
{
	return p->fragment != FRAGMENT_LATER &&
	       p->protocol == (p->family == 4 ? IPPROTO_ICMP : PROTOCOL_ICMPV6);
}

static __always_inline int
is_icmp_echo(const struct packet *p)
{
	if (!is_own_icmp(p))
		return 0;
	return p->family == 4 ? p->icmp_type == 8 || p->icmp_type == 0
	                      : p->icmp_type == 128 || p->icmp_type == 129;
}

static __always_inline int
is_icmp_echo_request(const struct packet *p)
{
	return is_own_icmp(p) && p->icmp_type == (p->family == 4 ? 8 : 128);
}

/* Errors quote the packet they are about (RFC 792, RFC 4443 section 2.1). */
static __always_inline int
is_icmp_error(const struct packet *p)
{
	if (!is_own_icmp(p))
		return 0;
	if (p->family == 6)
		return p->icmp_type >= 1 && p->icmp_type <= 4;
	return p->icmp_type == 3 || p->icmp_type == 4 || p->icmp_type == 11 || p->icmp_type == 12;
}

/* RFC 4861 messages: router and neighbour solicitation and advertisement, redirect. */
static __always_inline int
is_neighbor_discovery(const struct packet *p)
{
	if (!is_own_icmp(p))
		return 0;
	if (p->family == 6)
		return p->icmp_type >= 133 && p->icmp_type <= 137;
	return p->icmp_type == 5 || p->icmp_type == 9; /* redirect, RFC 1256 */
}

/* IPIP, 6in4, GRE: whoever has such a device takes the inner packet for its own. */
static __always_inline int
is_tunnel(__u8 protocol)
{
	return protocol == IPPROTO_IPIP || protocol == IPPROTO_IPV6 || protocol == IPPROTO_GRE;
}

/* DHCP (RFC 2131, RFC 8415) to a node, or from a server to anybody. */
static __always_inline int
is_dhcp(const struct packet *p, int to_node)
{
	__u16 from = bpf_ntohs(p->source_port), to = bpf_ntohs(p->destination_port);

	if (p->protocol != IPPROTO_UDP)
		return 0;
	if (to_node && (to == 67 || to == 68 || to == 546 || to == 547))
		return 1;
	return (from == 67 && to == 68) || (from == 547 && to == 546);
}

/* MLD (RFC 3810): which groups of its link, ff02::/16, a kernel listens to. */
static __always_inline int
is_listener_report(const struct packet *p)
{
	const __u8 *destination = (const __u8 *)p->destination.words;

	return p->family == 6 && is_own_icmp(p) && destination[0] == 0xff && destination[1] == 2 &&
	       ((p->icmp_type >= 130 && p->icmp_type <= 132) || p->icmp_type == 143);
}

#endif
