/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Addresses that are never routed between machines (RFC 6890). */
#ifndef RIPSTOP_BPF_LIB_MARTIAN_H
#define RIPSTOP_BPF_LIB_MARTIAN_H

#include "bpf/lib/packet.h"

static __always_inline int
is_martian(const struct ip_address *a)
{
	const __u8 *byte = (const __u8 *)a->words;

	if (address_is_mapped(a))
		return byte[12] == 0 || byte[12] == 127 || byte[12] >= 224;
	if (byte[0] == 0xff || (byte[0] == 0xfe && (byte[1] & 0xc0) == 0x80))
		return 1; /* multicast; fe80::/10 */
	return a->words[0] == 0 && a->words[1] == 0 && a->words[2] == 0 &&
	       (a->words[3] == 0 || a->words[3] == bpf_htonl(1));
}

/* Whether an end of the packet is in 127.0.0.0/8, which only the loopback device has (RFC 1122
 * section 3.2.1.3). The kernel takes it from anywhere where route_localnet is set, in pieces and in
 * frames to everybody too, so this comes before all that a packet may be let through for. ::1 no
 * kernel takes from another device.
 */
static __always_inline int
names_loopback(struct __sk_buff *skb)
{
	__be32 ends[2]; /* source, destination */

	return skb->protocol == bpf_htons(ETH_P_IP) &&
	       !bpf_skb_load_bytes_relative(skb, offsetof(struct iphdr, saddr), ends, sizeof(ends),
	                                    BPF_HDR_START_NET) &&
	       (bpf_ntohl(ends[0]) >> 24 == 127 || bpf_ntohl(ends[1]) >> 24 == 127);
}

/* Private, shared, link-local and what is_martian says of IPv4; @v4 in host order. */
static __always_inline int
is_not_global_v4(__u32 v4)
{
	return v4 >> 24 == 0 || v4 >> 24 == 10 || v4 >> 24 == 127 || v4 >> 28 >= 14 ||
	       v4 >> 16 == 0xa9fe || v4 >> 20 == 0xac1 || v4 >> 16 == 0xc0a8 || v4 >> 22 == 0x191;
}

/* Of 169.254/16 a pod may ask who answers there by convention: metadata services, and
 * NodeLocal DNSCache where the common installers put it.
 */
static __always_inline int
is_known_link_local(__u32 v4)
{
	switch (v4 & 0xffff) {
	case 20 << 8 | 10:   /* DNS */
	case 25 << 8 | 10:   /* DNS */
	case 169 << 8 | 253: /* DNS and time of a cloud */
	case 169 << 8 | 123:
	case 169 << 8 | 254: /* metadata */
	case 170 << 8 | 2:   /* credentials */
	case 170 << 8 | 23:
		return 1;
	default:
		return 0;
	}
}

/* What a pod asks nobody for, besides is_martian: link-local IPv4 that is not known, site-local
 * (RFC 3879), discard-only (RFC 6666), IPv4-compatible (RFC 4291 section 2.5.5.1); and forms
 * that carry an IPv4 address which must not be in them, since rules for that address would not
 * see it: NAT64 (RFC 6052 section 3.1) and 6to4 (RFC 3056 section 2) of one that is not global.
 */
static __always_inline int
is_unroutable(const struct ip_address *a)
{
	__u32 first = bpf_ntohl(a->words[0]), second = bpf_ntohl(a->words[1]);
	__u32 last = bpf_ntohl(a->words[3]);

	if (address_is_mapped(a))
		return last >> 16 == 0xa9fe && !is_known_link_local(last);
	if (first >> 22 == 0xfec0 >> 6)
		return 1;
	if (first == 0x01000000 && !second)
		return 1;
	if (!first && !second && !a->words[2])
		return 1;
	if (first == 0x0064ff9b && !second && !a->words[2])
		return is_not_global_v4(last);
	if (first >> 16 == 0x2002)
		return is_not_global_v4(first << 16 | second >> 16);
	return 0;
}

#endif
