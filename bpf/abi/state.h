/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* rs_state_v4: the one word that puts tables in force, and the settings.
 * Writer: bpf/loader, by stores to the mapped page. Readers: all programs.
 */
#ifndef RIPSTOP_BPF_ABI_STATE_H
#define RIPSTOP_BPF_ABI_STATE_H

#include "bpf/abi/abi.h"
#include "bpf/abi/tables.h"

struct datapath_state {
	struct active_generation active; /* read and written as one aligned 64-bit word */
	__u32 flags;                     /* STATE_* */
	__u32 events_per_second;         /* per CPU; 0: none */
	__u32 tunnel_ifindex;            /* the VXLAN device; 0: none */
	__u32 owners_epoch;              /* moves with each change of rs_owners_v1; 0: empty */
	__be16 vxlan_port;               /* 0: no VXLAN in this network */
	__u8 host_mac[6];                /* of the host side of every pod's veth */
	__u32 mark_mask;                 /* abi/marks.h; 0: packets are not marked */
	__u32 account_flows;             /* how many flows an account may have (abi/flows.h) */
	__u32 account_half_open;         /* and how many of them half open */
	__u32 routes_epoch;              /* moves with routes, neighbours and links of this host */
};
ABI_ASSERT(sizeof(struct datapath_state) == 48);
ABI_ASSERT(offsetof(struct datapath_state, active) == 0);

#define STATE_HOST_OBEYS_POLICY 1u /* else this host reaches its own pods before policy */
/* Which flows the agent wants to hear of besides those that a Log rule marked. */
#define STATE_WATCH_FLOWS 2u  /* every one that begins, is denied or judged otherwise */
#define STATE_WATCH_CLOSED 4u /* every one that ends; and heartbeats */
/* Host's NAT. MARKS comes first, with to_host and to_socket in place; MARKS_TRUSTED once no
 * packet from before is on its way; then HOST_NAT may come and go.
 */
#define STATE_MARKS 8u          /* what pods send to the stack is marked */
#define STATE_MARKS_TRUSTED 16u /* a pod's packet without its mark has lost it to somebody */
#define STATE_HOST_NAT 32u      /* new flows to whatever is no pod and no node pass the stack */
#define STATE_SHAPED 64u        /* some interface is INTERFACE_SHAPED */
/* What is dropped is answered (lib/answer.h): segments of no known flow, where policy would let
 * their sender begin one, or be asked if it is a pod here; and what policy denies.
 */
#define STATE_RESET_UNKNOWN 128u
#define STATE_REJECT 256u
/* Some pool is masqueraded, or was: flows that began so go on (abi/masquerade.h). */
#define STATE_MASQUERADE 512u

/* What a run leaves in skb->cb, for callers of BPF_PROG_TEST_RUN. */
enum run_result {
	RUN_EGRESS_VERDICT = 0, /* verdict word; 0: not judged in this direction */
	RUN_INGRESS_VERDICT = 1,
	RUN_DROP_REASON = 2, /* enum drop_reason */
	RUN_SENDER = 3,      /* number of the node that sent the VXLAN packet, as passed on */
};

#endif
