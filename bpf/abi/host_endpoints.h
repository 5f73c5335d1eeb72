/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* The policy sets of a host endpoint: an interface of the node itself.
 *
 *   interfaces[interface index] -> host_sets   (hash, else that of index 0, else none)
 *
 * The groups are asked in order; one whose verdict has VERDICT_NEXT_GROUP leaves it to
 * the next. Traffic that is forwarded is asked of untracked, pre-DNAT and forward;
 * traffic of the host itself of untracked, pre-DNAT and normal. An interface without an
 * entry has no host endpoint: nothing is asked.
 *
 * Writer: policy/engine, as SetHostSets. Reader: policy/tables/table_image.h. There is no map of
 * them yet, and no program at an uplink that would ask.
 */
#ifndef RIPSTOP_BPF_ABI_HOST_ENDPOINTS_H
#define RIPSTOP_BPF_ABI_HOST_ENDPOINTS_H

#include "bpf/abi/abi.h"

enum host_group {
	HOST_UNTRACKED = 0,
	HOST_PRE_DNAT = 1, /* no egress set */
	HOST_FORWARD = 2,
	HOST_NORMAL = 3,
	HOST_GROUPS = 4,
};

/* Handles; 0: deny, DROP_NO_POLICY_SET (the set did not fit). */
struct host_sets {
	__u32 ingress[HOST_GROUPS];
	__u32 egress[HOST_GROUPS];
};
ABI_ASSERT(sizeof(struct host_sets) == 32);

#endif
