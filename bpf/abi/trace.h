/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* What is asked of bpf/traced.bpf.c, and what it answers: a record for each packet that leaves
 * one of the datapath's programs and fits.
 *
 *   trace_slots  what each trace asks for
 *   trace_rings  where it finds the answers: a ring buffer each
 *
 * Writer of slots: bpf/loader. Writer of records: bpf/lib/trace.h.
 */
#ifndef RIPSTOP_BPF_ABI_TRACE_H
#define RIPSTOP_BPF_ABI_TRACE_H

#include "bpf/abi/abi.h"

#define TRACE_SLOTS 4 /* traces at a time */
#define TRACE_RING_BYTES (1u << 20)
#define TRACE_ADDRESSES_MAX 8
#define TRACE_SNAP_MAX 1024

/* The programs that are traced, in the order in which a packet may meet them. */
enum trace_hook {
	TRACE_FROM_WORKLOAD = 0,
	TRACE_FROM_HOST,
	TRACE_FROM_TUNNEL,
	TRACE_FROM_ELSEWHERE,
	TRACE_TO_WORKLOAD,
	TRACE_TO_HOST,
	TRACE_HOOKS,
};

enum trace_verdict {
	TRACE_ANY_VERDICT = 0,
	TRACE_DROPPED = 1,
	TRACE_NOT_DROPPED = 2,
};

enum trace_party { TRACE_POD, TRACE_FROM, TRACE_TO, TRACE_PARTIES };

/* One of the parties that are asked for. */
struct trace_end {
	__u32 count; /* 0: anybody */
	struct ip_address addresses[TRACE_ADDRESSES_MAX];
};

/* All that is given must fit. A conversation has two directions: packets from `from` to `to`
 * and its port, and those that answer; `pod` is either end.
 */
struct trace_filter {
	struct trace_end ends[TRACE_PARTIES];
	__be16 port;   /* of `to`; 0: any */
	__u8 protocol; /* where has_protocol */
	__u8 has_protocol;
	__u8 verdict; /* enum trace_verdict */
	__u8 reserved[3];
	__u32 reason; /* enum drop_reason; 0: any */
	__u32 snap;   /* bytes of each packet, TRACE_SNAP_MAX at most */
};
ABI_ASSERT(sizeof(struct trace_filter) == 412);

struct trace_slot {
	__u64 until_ns; /* CLOCK_MONOTONIC; the reader moves it on. Past: nobody reads */
	__u64 lost;     /* records that found the ring full */
	struct trace_filter filter;
	__u32 reserved;
};
ABI_ASSERT(sizeof(struct trace_slot) == 432);

/* How far a reader moves until_ns on, each time that it looks. Nobody is told of packets for
 * longer than that, should the agent die.
 */
#define TRACE_LEASE_NS 60000000000ull

enum trace_flag {
	TRACE_HAS_PORTS = 1, /* ports, and of TCP its flags */
	TRACE_HAS_ICMP = 2,  /* type and code; the ports are an echo's identifier */
	TRACE_LATER_FRAGMENT = 4,
	TRACE_HEADLESS = 8, /* the frame begins with the IP header */
};

struct trace_record {
	__u64 time_ns;         /* CLOCK_MONOTONIC */
	__u32 packet;          /* a hash of what no router and no translation changes in it */
	__u32 ifindex;         /* where the program ran */
	__u32 ingress_ifindex; /* where the packet came in; 0: sent by this host */
	__u32 length;          /* of the frame */
	__u32 captured;        /* bytes that follow this record */
	__s32 action;          /* TC_ACT_*; with a reason: of the answer */
	__u32 egress_verdict;  /* verdict words; 0: none in this direction */
	__u32 ingress_verdict;
	__u32 reason; /* enum drop_reason */
	struct ip_address source;
	struct ip_address destination;
	__be16 source_port;
	__be16 destination_port;
	__u32 gso_size; /* bytes of payload in each segment, where it is several */
	__u8 hook;      /* enum trace_hook */
	__u8 family;    /* 4, 6; 0: no IP packet that the parser understands */
	__u8 protocol;
	__u8 tcp_flags;
	__u8 icmp_type;
	__u8 icmp_code;
	__u8 ttl;
	__u8 flags; /* TRACE_* */
	__u32 reserved;
};
ABI_ASSERT(sizeof(struct trace_record) == 96);

#endif
