/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* What the programs tell the agent: records of the ring buffer rs_events_v1. Only of
 * flows that somebody asked about: a Log rule (VERDICT_LOG) or the agent (STATE_WATCH_*).
 * At most state.events_per_second of them per CPU; the others, and those that find the
 * buffer full, are counted in rs_lost_v2.
 */
#ifndef RIPSTOP_BPF_ABI_EVENTS_H
#define RIPSTOP_BPF_ABI_EVENTS_H

#include "bpf/abi/abi.h"

enum flow_event_type {
	FLOW_EVENT_NEW = 1,
	FLOW_EVENT_DENIED = 2, /* by policy: a new flow, or a live one judged again */
	FLOW_EVENT_CLOSED = 3, /* removed by the sweep */
};

/* rs_lost_v2: what there was no room for, by CPU. */
enum lost {
	LOST_EVENTS = 0,    /* over the rate, or the buffer was full */
	LOST_FLOW_ROOM = 1, /* flows that found the table full */
	LOST_MAX,
};

/* Source and destination are those of the flow's initiator, whatever packet
 * caused the event.
 */
struct flow_event {
	__u64 time_ns; /* CLOCK_MONOTONIC_COARSE */
	struct ip_address source;
	struct ip_address destination;
	__be16 source_port;
	__be16 destination_port;
	__u32 egress_verdict; /* verdict words; 0: no policy in this direction */
	__u32 ingress_verdict;
	__u8 type;   /* enum flow_event_type */
	__u8 reason; /* enum drop_reason */
	__u8 protocol;
	__u8 icmp_type;
	__u8 icmp_code;
	__u8 slot; /* generation in force: which engine's rule ids these are */
	__u8 reserved[6];
};
ABI_ASSERT(sizeof(struct flow_event) == 64);

#endif
