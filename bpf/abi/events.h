/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* What the programs tell the agent: records of the ring buffer rs_events_v2.
 *
 *   wanted    of flows that somebody asked about: a Log rule (VERDICT_LOG) or the agent
 *             (STATE_WATCH_*). At most state.events_per_second of them per CPU; the others,
 *             and those that find the buffer full, are counted in rs_lost_v2.
 *   samples   of what is dropped, always: at most EVENT_SAMPLES_PER_SECOND per CPU of what
 *             policy denies, and as many of the rest. The others are only counted as drops.
 *
 * No packet waits for an event, or is lost for one.
 */
#ifndef RIPSTOP_BPF_ABI_EVENTS_H
#define RIPSTOP_BPF_ABI_EVENTS_H

#include "bpf/abi/abi.h"
#include "bpf/abi/flows.h"

enum flow_event_type {
	FLOW_EVENT_NEW = 1,
	FLOW_EVENT_DENIED = 2,    /* by policy; no flow begins, or a live one stands still */
	FLOW_EVENT_CLOSED = 3,    /* see closed_by */
	FLOW_EVENT_CHANGED = 4,   /* a live flow judged again, by another rule or otherwise */
	FLOW_EVENT_HEARTBEAT = 5, /* each FLOW_HEARTBEAT_SECONDS of a flow that has packets */
	FLOW_EVENT_DROPPED = 6,   /* a packet, not by policy: its own addresses; a sample */
};

enum flow_closed_by {
	FLOW_CLOSED_FIN = 1,        /* both ends have said so */
	FLOW_CLOSED_RST = 2,        /* the last thing seen was a reset */
	FLOW_CLOSED_IDLE = 3,       /* quiet for too long (abi/timeouts.h) */
	FLOW_CLOSED_UNANSWERED = 4, /* the same, and nobody had ever answered */
	FLOW_CLOSED_REFUSED = 5,    /* its SYN was answered by a reset */
	FLOW_CLOSED_REPLACED = 6,   /* another flow began under the same addresses and ports */
	FLOW_CLOSED_FLUSHED = 7,    /* somebody ended it (conntrack flush) */
	FLOW_CLOSED_ENDPOINT = 8,   /* one of its ends is gone, or somebody else */
};

#define EVENT_SAMPLES_PER_SECOND 10u
#define FLOW_HEARTBEAT_SECONDS 60u
/* A flow that both ends have ended stands for a while longer, but is told of once it has been
 * quiet for so long.
 */
#define FLOW_CLOSED_QUIET_NS (FLOW_SEEN_STEP_NS + 1000000000ull)

/* A CPU wakes its reader once in so long. Whoever was woken, or has found events, reads again after
 * more than that.
 */
#define EVENT_WAKE_NS 20000000ull

/* rs_lost_v2: what there was no room for, by CPU. */
enum lost {
	LOST_EVENTS = 0,    /* over the rate, or the buffer was full */
	LOST_FLOW_ROOM = 1, /* flows that found the table full */
	LOST_MAX,
};

/* Source and destination are those of the flow's initiator, whatever packet
 * caused the event; of FLOW_EVENT_DROPPED those of the packet.
 */
struct flow_event {
	__u64 time_ns; /* CLOCK_MONOTONIC_COARSE */
	struct ip_address source;
	struct ip_address destination;
	__be16 source_port;
	__be16 destination_port;
	__u32 egress_verdict; /* verdict words; 0: no policy in this direction */
	__u32 ingress_verdict;
	__u32 ifindex; /* whose loss it was (abi/drops.h); 0: nothing was dropped */
	__u8 type;     /* enum flow_event_type */
	__u8 reason;   /* enum drop_reason */
	__u8 protocol;
	__u8 icmp_type;
	__u8 icmp_code;
	__u8 slot;      /* generation in force: which engine's rule ids these are */
	__u8 closed_by; /* enum flow_closed_by; 0: it was not closed */
	__u8 outdated;  /* the verdicts are an earlier policy's: their rule ids may be others' */
	struct flow_count sent[2]; /* by source and by destination, so far */
};
ABI_ASSERT(sizeof(struct flow_event) == 96);

#endif
