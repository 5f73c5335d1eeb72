/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Flows: what was admitted, under which policy, and where to send it.
 *
 *   rs_embryo_v1  flows not answered yet, or refused (LRU: a flood evicts only its like)
 *   rs_flows_v1   flows answered once; only the sweep and policy remove them
 *   rs_frags_v1   ports of a datagram's first fragment, for the later ones
 *   rs_sockets_v1 where flows of FLOW_TO_SOCKET end
 *
 * What netfilter translates is two flows: one as sent (FLOW_AS_SENT), which is let through
 * as far as the stack, and one of what the packets have become, which is judged. The first
 * lets an answer into the pod only if the second has admitted that very packet, as its mark
 * says (abi/marks.h); so it stands as long as the second does.
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
	__u8 reserved[3];
};
ABI_ASSERT(sizeof(struct flow_key) == 40);

/* One end of a flow. The initiator's end is judged by its egress set, the
 * responder's by its ingress set.
 */
struct flow_side {
	__u32 ifindex;   /* host-side interface of a local endpoint; else 0 */
	__u32 set_index; /* index into epochs of the set that admitted it; 0: none applies */
	__u32 epoch;     /* of that set, read before the verdict was */
	__u32 verdict;   /* verdict word; 0 when no set applies */
	__u8 mac[6];     /* the endpoint's own, for delivery. Remote: FLOW_ARRIVAL_* in two of them.
	                  * With FLOW_BY_STACK, local: the number in two of them (abi/marks.h).
	                  */
	__u8 tcp_flags;  /* seen from this end since the flow began */
	__u8 flags;      /* FLOW_SIDE_* */
};
ABI_ASSERT(sizeof(struct flow_side) == 24);

#define FLOW_SIDE_HOST 1u   /* this node's own stack */
#define FLOW_SIDE_POD 2u    /* an endpoint, here or on another node */
#define FLOW_SIDE_SHAPED 4u /* an endpoint of INTERFACE_SHAPED */

/* How packets of a remote end came last: natively, or by the tunnel from the node of this
 * number (abi/owners.h).
 */
#define FLOW_ARRIVAL_NATIVE 0u
#define FLOW_ARRIVAL_UNKNOWN 65535u

/* One cache line. */
struct flow_value {
	__u64 seen_ns;  /* CLOCK_MONOTONIC_COARSE, at most FLOW_SEEN_STEP_NS behind */
	__u8 initiator; /* enum flow_end */
	__u8 flags;     /* FLOW_* */
	__u8 icmp_type; /* of the initiator's message */
	__u8 icmp_code;
	__u32 owners_epoch;       /* when the arrival of the remote ends was checked */
	struct flow_side side[2]; /* by enum flow_end */
};
ABI_ASSERT(sizeof(struct flow_value) == 64);

#define FLOW_RESET 1u       /* an RST was the last thing seen */
#define FLOW_HOST_BYPASS 2u /* admitted because this host began it, not by policy */
#define FLOW_BY_STACK 4u    /* its packets pass through this host's stack, both ways */
#define FLOW_AS_SENT 8u     /* not judged: what its packets become is, where they show */
#define FLOW_HAS_SENDER                                                                            \
	16u                /* the local address whose number is in the initiator's mac began it    \
	                    */
#define FLOW_TO_SOCKET 32u /* translated to a socket of this host, and judged so */

#define FLOW_SEEN_STEP_NS 1000000000ull
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
	__u8 reserved[3];
};
ABI_ASSERT(sizeof(struct fragment_key) == 40);

struct fragment_value {
	__be16 source_port;
	__be16 destination_port;
};

/* Context of the flow_sweep program (SEC("syscall")). */
struct sweep_request {
	__u64 now_ns;  /* zero: ask the clock */
	__u32 forget;  /* drop the flows of the addresses in `forgotten`; zero: only idle ones */
	__u32 pressed; /* the table is nearly full: FLOW_PRESSED_* */
	__u32 visited; /* out: answered flows */
	__u32 removed; /* out: of these, and with `forget` of all */
};
ABI_ASSERT(sizeof(struct sweep_request) == 24);

/* Addresses whose flows one walk of flow_sweep drops. */
#define FORGOTTEN_MAX 1024

/* Context of the flow_reshape program (SEC("syscall")). */
struct reshape_request {
	__u32 ifindex;
	__u32 shaped;
	__u32 changed; /* out: ends of flows */
};
ABI_ASSERT(sizeof(struct reshape_request) == 12);

#endif
