/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Addresses that are never routed between machines (RFC 6890). 169.254/16 is not
 * among them: metadata services and node-local DNS answer there.
 */
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

#endif
