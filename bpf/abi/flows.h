/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Flows: what was admitted, under which policy, and where to send it.
 *
 *   rs_flows_v3     every flow, answered or not; preallocated, so that one is written and
 *                   taken away without asking for memory
 *   rs_accounts_v2  how many flows a local address has begun, and how many were begun to it
 *                   from elsewhere; so no one fills the table for all
 *   rs_half_open_v1 the latest of each account, by which the unanswered are evicted
 *   rs_frags_v1     ports of a datagram's first fragment, for the later ones
 *   rs_sockets_v1   where flows of FLOW_TO_SOCKET end
 *
 * What netfilter translates is two flows: one as sent (FLOW_AS_SENT), which is let through
 * as far as the stack, and one of what the packets have become, which is judged. The first
 * lets an answer into the pod only if the second has admitted that very packet, as its mark
 * says (abi/marks.h); so it stands as long as the second does.
 *
 * Flows outlive an agent of another layout too, older or newer: each layout of flow_value is the
 * one before with something appended, in a map of the next version, and flow_key stays. Whoever
 * begins takes over what the other knew of its own (bpf/loader: AdoptFlows). The accounts are of
 * the flows in one table, so their version goes with it.
 *
 * Writer and reader: bpf/lib/flow.h. Reader: bpf/loader.
 */
#ifndef RIPSTOP_BPF_ABI_FLOWS_H
#define RIPSTOP_BPF_ABI_FLOWS_H

#include "bpf/abi/abi.h"

enum flow_end { FLOW_LOW = 0, FLOW_HIGH = 1 };

/* Both directions have one key: the lower (address, port), as big-endian 64-bit
 * halves loaded in host order, comes first. ICMP echo has its identifier in both
 * ports; protocols without ports have zeros.
 */
struct flow_key {
	struct ip_address address[2]; /* by enum flow_end */
	__be16 port[2];
	__u8 protocol;
	__u8 network[3]; /* which network the addresses are of; 0: the node's own */
};
ABI_ASSERT(sizeof(struct flow_key) == 40);

/* One end of a flow. The initiator's end is judged by its egress set, the
 * responder's by its ingress set.
 */
struct flow_side {
	__u32 ifindex;   /* host-side interface of a local endpoint; else 0 */
	__u32 set_index; /* index into epochs of the set that admitted it; 0: none applies */
	__u32 epoch;     /* of that set, read before the verdict was; written last */
	__u32 verdict;   /* verdict word; 0 when no set applies */
	__u8 mac[6];     /* the endpoint's own, for delivery; zero when remote */
	__u8 tcp_flags;  /* seen from this end since the flow began; FIN if its number was right */
	__u8 flags;      /* FLOW_SIDE_* */
	__u32
	    sequence; /* TCP: the highest sent, at most FLOW_SEQUENCE_STEP behind; SCTP: the tag */
	__u16 number; /* local: its address's (abi/marks.h). Remote: FLOW_ARRIVAL_* */
	__u16 reserved;
};
ABI_ASSERT(sizeof(struct flow_side) == 32);

#define FLOW_SIDE_HOST 1u   /* this node's own stack */
#define FLOW_SIDE_POD 2u    /* an endpoint, here or on another node */
#define FLOW_SIDE_SHAPED 4u /* an endpoint of INTERFACE_SHAPED */

/* How packets of a remote end came last: natively, or by the tunnel from the node of this
 * number (abi/owners.h).
 */
#define FLOW_ARRIVAL_NATIVE 0u
#define FLOW_ARRIVAL_UNKNOWN 65535u

/* What was sent from one end, of packets that were let through. */
struct flow_count {
	__u64 packets;
	__u64 bytes; /* of frames, as the interface shows them */
};
ABI_ASSERT(sizeof(struct flow_count) == 16);

/* What this node's programs make of the initiator where its packets leave the host
 * (abi/masquerade.h). Written while the flow is held, the kind last; once that says masqueraded,
 * never again.
 */
struct flow_translation {
	struct ip_address address;
	__be16 port;
	__u16 kind; /* enum translation_kind */
	__u32 reserved;
};
ABI_ASSERT(sizeof(struct flow_translation) == 24);

/* Where packets of a local end to the remote one go, as routes and neighbours said last. Each
 * packet goes by it that finds the stamp of now: of state.routes_epoch and flow.seen_ns. So it
 * is asked anew once in FLOW_SEEN_STEP_NS, by which the kernel knows that the neighbour is in
 * use and sees that it still is there.
 */
struct flow_next_hop {
	__u64 stamp; /* NEXT_HOP_STAMP, or NEXT_HOP_WRITTEN */
	__u32 ifindex;
	__u16 mtu; /* of the route */
	__u8 destination_mac[6];
	__u8 source_mac[6];
	__u8 reserved[6];
};
ABI_ASSERT(sizeof(struct flow_next_hop) == 32);
#define NEXT_HOP_STAMP(epoch, seen_ns) ((__u64)(epoch) << 32 | (__u32)((seen_ns) >> 20))
#define NEXT_HOP_WRITTEN (~0ull) /* somebody writes to it, and nobody else may */

/* First what each packet of a known flow reads. */
struct flow_value {
	__u64 life;     /* FLOW_LIFE; changed by compare and exchange only */
	__u64 seen_ns;  /* CLOCK_MONOTONIC_COARSE, at most FLOW_SEEN_STEP_NS behind */
	__u8 initiator; /* enum flow_end */
	__u8 icmp_type; /* of the initiator's message */
	__u8 icmp_code;
	__u8 told;   /* FLOW_TOLD_*: of what is told once */
	__u16 flags; /* FLOW_* */
	__u16 reserved_2;
	__u32 owners_epoch;        /* when the arrival of the remote ends was checked */
	__u32 asked_sequence;      /* TCP: of the initiator's last SYN */
	struct flow_side side[2];  /* by enum flow_end */
	struct flow_count sent[2]; /* by enum flow_end */
	struct flow_translation translation;
	struct flow_next_hop next_hop;
#ifdef RIPSTOP_NEXT_LAYOUT
	__u64 appended[2];
#endif
};
ABI_ASSERT(sizeof(struct flow_value) == 184 + NEXT_LAYOUT_BYTES);

/* A flow's life: its state, whose account it is on, and the how many-eth flow of that account
 * it is. The kernel gives the memory of a flow that is gone to the next one at once, perhaps
 * while a program still looks at it: that program sees another life. Who changes the state
 * changes the account; who makes it dead, and nobody else, takes it out of the table.
 */
enum flow_state {
	FLOW_HALF_OPEN = 1, /* not answered; of TCP: the handshake is not complete */
	FLOW_OPEN = 2,
	FLOW_DEAD = 3, /* being taken away: not there */
};
#define FLOW_HELD 0x80u /* beside the state: somebody writes to it, and nobody else may */
#define FLOW_LIFE(state, account, nth) ((__u64)(nth) << 32 | (__u64)(account) << 8 | (state))
#define FLOW_LIFE_STATE(life) ((__u32)(life) & 0x7f)
#define FLOW_LIFE_ACCOUNT(life) ((__u32)(life) >> 8)

/* Accounts: two for each local address, by its number. */
#define FLOW_ACCOUNT_NUMBERS 1024u /* addresses of larger numbers share that of number 0 */
#define FLOW_ACCOUNTS (2 * FLOW_ACCOUNT_NUMBERS)
#define FLOW_ACCOUNT_BEGUN(number) (2 * ((number) < FLOW_ACCOUNT_NUMBERS ? (number) : 0u))
#define FLOW_ACCOUNT_RECEIVED(number) (FLOW_ACCOUNT_BEGUN(number) + 1)

struct flow_account {
	__u64 counts; /* flows in the lower half, those of them half open in the upper */
	__u32 begun;  /* ever; of it, modulo FLOW_HALF_OPEN_RING, the place in rs_half_open_v1 */
	__u32 evicted;
	__u64 reserved[6]; /* a cache line: other CPUs write to the next one */
};
ABI_ASSERT(sizeof(struct flow_account) == 64);
#define FLOW_COUNT_HALF_OPEN (1ull << 32)

/* Which of the latest flows may make room for another one, when as many as may be are half
 * open. Older ones wait for their time.
 */
#define FLOW_HALF_OPEN_RING 128u
#define FLOW_EVICTION_TRIES 8

#define FLOW_RESET 1u       /* an RST was the last thing seen */
#define FLOW_HOST_BYPASS 2u /* admitted because this host began it, not by policy */
#define FLOW_BY_STACK 4u    /* its packets pass through this host's stack, both ways */
#define FLOW_AS_SENT 8u     /* not judged: what its packets become is, where they show */
#define FLOW_HAS_SENDER 16u /* the local address of the initiator's number began it */
#define FLOW_TO_SOCKET 32u  /* translated to a socket of this host, and judged so */

#define FLOW_TOLD_DENIED 1u /* policy denies it since */
#define FLOW_TOLD_CLOSED 2u /* it is over, and waits to be removed */

#define FLOW_SEEN_STEP_NS 1000000000ull
/* How far from the highest number of its end the one of an RST or a FIN may be that counts.
 * Ahead: what is sent at once, BIG TCP included; a segment that is farther ahead is not
 * followed either. A blind guess hits once in 7,000.
 */
#define FLOW_SEQUENCE_STEP 4096
#define FLOW_SEQUENCE_BEHIND 65536
#define FLOW_SEQUENCE_AHEAD 524288
/* How long a flow may be quiet, where abi/timeouts.h does not say otherwise. Of TCP longer
 * than the two hours after which keepalives begin (tcp_keepalive_time).
 */
#define FLOW_TCP_IDLE_NS (8100ull * 1000000000)
#define FLOW_TCP_SYN_SENT_IDLE_NS (20ull * 1000000000) /* not answered yet */
#define FLOW_TCP_CLOSED_IDLE_NS (30ull * 1000000000)   /* both ends have sent FIN */
#define FLOW_TCP_RESET_IDLE_NS (40ull * 1000000000)    /* one packet, and it may be forged */
#define FLOW_UDP_IDLE_NS (60ull * 1000000000)
#define FLOW_ICMP_IDLE_NS (5ull * 1000000000)
#define FLOW_OTHER_IDLE_NS (600ull * 1000000000)
/* While the table is nearly full, what is over goes at once and what has said all it will
 * goes soon. Connections stay.
 */
#define FLOW_PRESSED_TCP_CLOSED_IDLE_NS (2ull * 1000000000)
#define FLOW_PRESSED_UDP_IDLE_NS (20ull * 1000000000)
#define FLOW_PRESSED_ICMP_IDLE_NS (2ull * 1000000000)
#define FLOW_PRESSED_OTHER_IDLE_NS (60ull * 1000000000)

/* What a flow of FLOW_TO_SOCKET was translated to. */
struct socket_value {
	struct ip_address address;
	__be16 port;
	__u16 reserved;
};
ABI_ASSERT(sizeof(struct socket_value) == 20);

struct fragment_key {
	struct ip_address source;
	struct ip_address destination;
	__be32 id; /* IPv4: the 16-bit identification, in the low half of the word */
	__u8 protocol;
	__u8 network[3]; /* as in flow_key */
};
ABI_ASSERT(sizeof(struct fragment_key) == 40);

struct fragment_value {
	__be16 source_port;
	__be16 destination_port;
};

/* Context of the flow_sweep program (SEC("syscall")). */
struct sweep_request {
	__u64 now_ns;  /* zero: ask the clock */
	__u64 last_ns; /* of the sweep before; zero: none, and no flow is due a heartbeat */
	__u32 forget;  /* drop the flows of the addresses in `forgotten`; zero: only idle ones */
	__u32 pressed; /* the table is nearly full: FLOW_PRESSED_* */
	__u32 visited; /* out: answered flows */
	__u32 removed; /* out: of these, and with `forget` of all */
};
ABI_ASSERT(sizeof(struct sweep_request) == 32);

/* Addresses whose flows one walk of flow_sweep drops. */
#define FORGOTTEN_MAX 1024

/* Context of the flow_end program (SEC("syscall")). */
struct end_request {
	__u64 life; /* of that flow and of none that took its place since */
	struct flow_key key;
	__u32 ended; /* out: whether it was there */
	__u32 reserved;
};
ABI_ASSERT(sizeof(struct end_request) == 56);

/* Context of the flow_reshape program (SEC("syscall")). */
struct reshape_request {
	__u32 ifindex;
	__u32 shaped;
	__u32 changed; /* out: ends of flows */
};
ABI_ASSERT(sizeof(struct reshape_request) == 12);

#endif
