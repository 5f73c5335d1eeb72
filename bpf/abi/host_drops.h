/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* What the kernel's own stack drops of pods' packets: bpf/host_drops.bpf.c counts, the agent
 * reads.
 */
#ifndef RIPSTOP_BPF_ABI_HOST_DROPS_H
#define RIPSTOP_BPF_ABI_HOST_DROPS_H

#include "bpf/abi/abi.h"

enum host_drop_place {
	HOST_DROP_UNKNOWN = 0,   /* the packet had no device and no socket any more */
	HOST_DROP_HERE = 1,      /* the node's network namespace */
	HOST_DROP_ELSEWHERE = 2, /* another: a pod's own */
};

struct host_drop_key {
	__u32 reason; /* enum skb_drop_reason of the running kernel */
	__u32 place;  /* enum host_drop_place */
};
ABI_ASSERT(sizeof(struct host_drop_key) == 8);

struct host_drop_count {
	__u64 packets;
	__u64 bytes;
};
ABI_ASSERT(sizeof(struct host_drop_count) == 16);

#endif
