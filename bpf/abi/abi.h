/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* What every header of bpf/abi/ needs: fixed-width types and ABI_ASSERT. Both
 * clang's BPF target and C++20 compile these headers, so they hold structs,
 * enums and constants and nothing else.
 */
#ifndef RIPSTOP_BPF_ABI_ABI_H
#define RIPSTOP_BPF_ABI_ABI_H

#include <linux/types.h>
#include <stddef.h>

#include "bpf/abi/next_layout.h"

#ifdef __cplusplus
#define ABI_ASSERT(condition) static_assert(condition)
#else
#define ABI_ASSERT(condition) _Static_assert(condition, #condition)
#endif

/* An IPv6 address, or an IPv4 address mapped into IPv6 as ::ffff:a.b.c.d
 * (RFC 4291 section 2.5.5.2). Network byte order throughout.
 */
struct ip_address {
	__be32 words[4];
};
ABI_ASSERT(sizeof(struct ip_address) == 16);

#endif
