/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* rs_timeouts_v1: how long flows may be quiet before the sweep takes them away.
 * Writer: bpf/loader, by stores to the mapped page. Reader: bpf/hooks/flow_sweep.h.
 */
#ifndef RIPSTOP_BPF_ABI_TIMEOUTS_H
#define RIPSTOP_BPF_ABI_TIMEOUTS_H

#include "bpf/abi/abi.h"

/* Each word for itself: the sweep may meet some of the old ones and some of the new. Zero:
 * what abi/flows.h has. While the table is nearly full FLOW_PRESSED_* count where they are
 * shorter.
 */
struct flow_timeouts {
	__u64 tcp_syn_sent_ns; /* not answered yet */
	__u64 tcp_established_ns;
	__u64 tcp_fins_seen_ns;  /* from both ends */
	__u64 tcp_reset_seen_ns; /* one packet, and it may be forged */
	__u64 udp_ns;            /* and UDPLite */
	__u64 icmp_ns;           /* and ICMPv6 */
	__u64 other_ns;
};
ABI_ASSERT(sizeof(struct flow_timeouts) == 56);

#endif
