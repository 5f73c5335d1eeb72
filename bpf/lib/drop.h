/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
#ifndef RIPSTOP_BPF_LIB_DROP_H
#define RIPSTOP_BPF_LIB_DROP_H

#include <linux/pkt_cls.h>

#include "bpf/lib/maps.h"

/* Counts the packet under @reason and names it in cb for test runs. */
static __always_inline int
drop(struct __sk_buff *skb, enum drop_reason reason)
{
	__u32 key = reason;
	struct drop_count *count = bpf_map_lookup_elem(&rs_drops_v1, &key);

	if (count) {
		count->packets++;
		count->bytes += skb->len;
	}
	skb->cb[RUN_DROP_REASON] = reason;
	return TC_ACT_SHOT;
}

#endif
