/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* What is known of a packet on its way through a program. */
#ifndef RIPSTOP_BPF_LIB_WALK_STATE_H
#define RIPSTOP_BPF_LIB_WALK_STATE_H

#include "bpf/lib/flow.h"
#include "bpf/lib/mark.h"
#include "bpf/lib/parse.h"
#include "bpf/lib/verdict.h"

enum hook { FROM_WORKLOAD, TO_WORKLOAD, FROM_HOST, FROM_TUNNEL, FROM_ELSEWHERE, TO_HOST };

/* Other machines' packets, where they come in. */
static __always_inline int
is_from_outside(enum hook hook)
{
	return hook == FROM_HOST || hook == FROM_TUNNEL || hook == FROM_ELSEWHERE;
}

#define ARRIVED_NATIVELY FLOW_ARRIVAL_NATIVE
#define ARRIVAL_UNKNOWN FLOW_ARRIVAL_UNKNOWN

/* Egress and ingress verdict words of one judgement. */
struct judgement {
	struct verdict egress, ingress;
	enum drop_reason reason;
};

/* Whether policy is asked. */
enum settled {
	NOT_SETTLED = 0,
	SETTLED,         /* the packet passes, and no flow is written */
	SETTLED_UNASKED, /* what it becomes is judged; the flow is written */
};

/* Lives in a per-CPU map, being too large for the stack. No program of ours runs
 * inside another on one CPU: all of them run with bottom halves off.
 */
struct walk {
	struct packet p;
	struct flow_key key;
	struct address_value source, destination; /* slow path only */
	struct active_generation active;          /* slow path only */
	struct address_key address_key;           /* working room; network 0 */
	struct owner_key owner_key;               /* working room */
	__u32 arrival;                            /* FLOW_ARRIVAL_* */
	__u32 owners_epoch;                       /* when that was checked */
	__u32 source_end;                         /* enum flow_end */
	__u8 unresolved;                          /* a later fragment whose first is not known */
	__u8 host_origin;                         /* TO_WORKLOAD: sent by this node's own stack */
	__u8 by_stack;                            /* goes through this host's stack */
	__u8 new_flags;                           /* of the flow to write: FLOW_* */
	__u8 known;                               /* the flow's verdict is of such packets */
	__u8 renewed;                             /* a SYN of the known flow's initiator */
	__u8 opening, bypass;                     /* see walk_prepare_at */
	__u8 settled;                             /* enum settled */
	__u8 icmp_type, icmp_code;                /* of the flow's initiator */
	__u8 quiet;                               /* judged for an answer's sake: counts no hit */
	__u8 answers;                             /* the drop is answered */
	__u32 initiator;                          /* enum flow_end */
	__u16 sender;     /* slow path: number of the local address that began it; 0 */
	struct mark mark; /* to write, if by_stack */
	struct ip_address sender_address;
	struct socket_value socket; /* port 0: the flow was not translated to one */
	struct judgement judgement;
	struct flow_key shown;         /* in events */
	struct flow_key evicted;       /* working room */
	struct masquerade_key claimed; /* working room */
	__u64 life;                    /* of the known flow, when it was looked up */
	struct flow_value value;
	struct packet quoted; /* by an ICMP error */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct walk);
} rs_walk_v6 SEC(".maps");

static __always_inline struct walk *
walk_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&rs_walk_v6, &zero);
}

/* A packet that asks for something new is judged in its own direction, whatever
 * flow is known: a SYN, an INIT, or an echo request from the end that used to answer.
 */
static __always_inline int
is_opening(const struct packet *p, const struct flow_value *flow, __u32 source_end)
{
	if (p->protocol == IPPROTO_TCP)
		return (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
	if (p->protocol == IPPROTO_SCTP)
		return p->sctp_chunk == SCTP_INIT;
	return is_icmp_echo_request(p) && flow && flow->initiator != source_end;
}

/* VXLAN on the port of the tunnel, whosever network it is. */
static __always_inline int
is_vxlan(const struct packet *p, const struct datapath_state *state)
{
	return p->protocol == IPPROTO_UDP && state->vxlan_port &&
	       p->destination_port == state->vxlan_port;
}

/* An endpoint, here or on another node, and no node's own address. */
static __always_inline int
is_pod(const struct address_value *value)
{
	return (value->flags & (ADDRESS_LOCAL_ENDPOINT | ADDRESS_REMOTE_ENDPOINT)) &&
	       !(value->flags & (ADDRESS_THIS_HOST | ADDRESS_OTHER_NODE));
}

/* Only echo has flows among ICMP messages; each other one is judged by itself. */
static __always_inline int
has_flow(const struct packet *p)
{
	return !has_icmp_type(p->protocol) || p->fragment == FRAGMENT_LATER || is_icmp_echo(p);
}

/* Whether the packet is of a connection that must have begun before. An association's further
 * paths begin with a HEARTBEAT (RFC 9260 section 8.3).
 */
static __always_inline int
needs_flow(const struct packet *p)
{
	if (p->protocol == IPPROTO_TCP)
		return (p->tcp_flags & (TCP_SYN | TCP_ACK)) != TCP_SYN;
	return p->protocol == IPPROTO_SCTP && p->sctp_chunk != SCTP_INIT &&
	       p->sctp_chunk != SCTP_HEARTBEAT;
}

/* Whether the packet may begin a flow: an echo reply may only continue one. */
static __always_inline int
begins_flow(const struct packet *p)
{
	return !has_icmp_type(p->protocol) || is_icmp_echo_request(p);
}

#endif
