/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* What the programs tell each other about a packet that goes through this host's stack
 * between them, where netfilter may translate it: one field of skb->mark.
 *
 *   from_workload            ──mark──▶ netfilter, routing ──▶ to_host, to_workload
 *   from_host, from_workload ──mark──▶ netfilter, routing ──▶ to_workload
 *
 * The field is state.mark_mask: adjacent bits, at least MARK_BITS_MIN; no other bit is
 * written, and none is when the mask is 0. Its two upper bits are enum mark_kind, the others
 * the number of a local address. All zero: not marked by us.
 *
 * A mark alone proves nothing: others on the host can write marks. A sender's must fit the
 * interface that the packet came in by, and an answer's a flow that the receiver began.
 *
 * Writer of rs_senders_v1 (by number) and rs_interfaces_v1: bpf/loader, agent/dataplane.
 * Reader: bpf/lib/mark.h.
 */
#ifndef RIPSTOP_BPF_ABI_MARKS_H
#define RIPSTOP_BPF_ABI_MARKS_H

#include "bpf/abi/abi.h"

enum mark_kind {
	/* Sent by that address. What the packet has become is judged where it shows: at the
	 * receiver's interface or on its way out.
	 */
	MARK_SENT = 0,
	/* An answer to that address, of a flow that it began and that policy admits as it is
	 * now.
	 */
	MARK_ANSWER = 1,
	MARK_JUDGED = 2, /* sent by that address, and judged already */
};

#define MARK_KINDS 4u
#define MARK_BITS_MIN 10u     /* 255 local addresses */
#define MARK_NUMBER_MAX 8191u /* numbers that there are; a narrow mask has room for fewer */

/* In skb->tc_index of what was judged and redirected out of this host. from_workload clears what
 * a pod has put there, and in skb->tc_classid, of which the kernel would make it again; no part of
 * the stack is on the way that could write to it. Nodes' numbers (abi/owners.h) are smaller, and
 * OWNER_* are others.
 */
#define TC_INDEX_REDIRECTED 65535u
/* Likewise, and translated too, or not to be. */
#define TC_INDEX_FINISHED 65100u

/* Whose a number is. It is not given to another address while the first is local, and then
 * to the one whose turn is last.
 */
struct sender_value {
	struct ip_address address;
	__u32 ifindex; /* host-side interface; 0: nobody's yet */
};
ABI_ASSERT(sizeof(struct sender_value) == 20);

/* rs_interfaces_v1: interface index -> this, where there is something to say. */
struct interface_value {
	__u32 flags; /* INTERFACE_* */
};

#define INTERFACE_WORKLOAD 1u /* a pod's; it carries from_workload */
/* Somebody limits a pod's traffic with queueing disciplines of the host's side, which a
 * redirect into the pod would pass by.
 */
#define INTERFACE_SHAPED 2u
#define INTERFACE_HEADLESS 4u /* frames without Ethernet header: tun, WireGuard, IPIP */

#endif
