/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* What a packet of a flow that stands does to it. */
#ifndef RIPSTOP_BPF_LIB_FLOW_TOUCH_H
#define RIPSTOP_BPF_LIB_FLOW_TOUCH_H

#include "bpf/lib/tell.h"

/* Whether a segment's number is one that its sender may be at: of what shortens a flow's life
 * others are not believed (RFC 9293 section 3.10.7.4, RFC 5961 section 3).
 */
static __always_inline int
sequence_is_near(__s32 ahead)
{
	return ahead >= -FLOW_SEQUENCE_BEHIND && ahead <= FLOW_SEQUENCE_AHEAD;
}

/* Follows the numbers of one end, in steps, so that most packets only read. */
static __always_inline void
touch_tcp(struct flow_value *flow, struct flow_side *side, const struct packet *p)
{
	__s32 ahead = p->tcp_sequence - side->sequence;
	int half_open = flow_state(flow) == FLOW_HALF_OPEN;
	__u8 flags = p->tcp_flags;

	/* Of a half-open flow only the refusal that names its SYN counts (refuses_flow). */
	if ((flags & TCP_RST) && half_open)
		return;
	/* A SYN on an open flow proves nothing; the answer to it does (touch_answer). */
	if (!side->tcp_flags || ((flags & TCP_SYN) && half_open))
		side->sequence = p->tcp_sequence;
	if (!side->tcp_flags || !sequence_is_near(ahead))
		flags &= ~(TCP_FIN | TCP_RST);
	if (ahead > FLOW_SEQUENCE_STEP && ahead <= FLOW_SEQUENCE_AHEAD)
		side->sequence = p->tcp_sequence;
	if ((side->tcp_flags | flags) != side->tcp_flags)
		side->tcp_flags |= flags;
	if (flags & TCP_RST)
		flow->flags |= FLOW_RESET;
	else if (flow->flags & FLOW_RESET)
		flow->flags &= ~FLOW_RESET;
}

/* What ends an association counts if it has a tag that was seen before: its receiver's, or by
 * the T bit the sender's (RFC 9260 section 8.5.1). Whoever forges another one shortens nothing
 * of a flow that goes on.
 */
static __always_inline void
touch_sctp(struct flow_value *flow, __u32 source_end, const struct packet *p)
{
	struct flow_side *side = &flow->side[source_end & 1];
	__u32 tag = p->tcp_sequence;

	if (p->sctp_chunk == SCTP_ABORT || p->sctp_chunk == SCTP_SHUTDOWN_COMPLETE) {
		if (tag && (tag == side->sequence || tag == flow->side[~source_end & 1].sequence))
			flow->flags |= FLOW_RESET;
		return;
	}
	if (!side->sequence || p->sctp_chunk == SCTP_INIT_ACK || p->sctp_chunk == SCTP_COOKIE_ECHO)
		side->sequence = tag;
	if (flow->flags & FLOW_RESET)
		flow->flags &= ~FLOW_RESET;
}

/* On an open flow: the responder takes the SYN of a new connection under the same ports. Where one
 * end is a pod of this node, nobody else can have sent both.
 */
static __always_inline void
touch_answer(struct flow_value *flow, __u32 source_end, const struct packet *p)
{
	struct flow_side *asked = &flow->side[flow->initiator & 1];
	struct flow_side *answers = &flow->side[source_end & 1];

	if ((p->tcp_flags & (TCP_SYN | TCP_ACK)) != (TCP_SYN | TCP_ACK) ||
	    source_end == flow->initiator || p->tcp_acknowledged != flow->asked_sequence + 1)
		return;
	asked->sequence = flow->asked_sequence;
	asked->tcp_flags = TCP_SYN;
	answers->sequence = p->tcp_sequence;
	answers->tcp_flags = TCP_SYN | TCP_ACK;
}

/* Whether the packet, which touched the half-open flow, is the one that opens it. */
static __always_inline int
opens_flow(const struct flow_value *flow, __u32 source_end, const struct packet *p)
{
	const struct flow_side *responder = &flow->side[~flow->initiator & 1];
	int forward = source_end == flow->initiator;
	__s32 ahead = p->tcp_acknowledged - responder->sequence;

	/* A refusal opens nothing. */
	if (p->protocol == IPPROTO_SCTP && p->sctp_chunk == SCTP_ABORT)
		return 0;
	if (p->protocol != IPPROTO_TCP)
		return !forward;
	/* The responder has answered, and the packet says that it has seen the answer, and does not
	 * give up at once.
	 */
	return forward && (p->tcp_flags & (TCP_ACK | TCP_RST)) == TCP_ACK && responder->tcp_flags &&
	       ahead >= 0 && ahead <= FLOW_SEQUENCE_AHEAD;
}

/* A refusal of the SYN that began a half-open flow: it names its number, which a blind guess
 * does not.
 */
static __always_inline int
refuses_flow(const struct flow_value *flow, __u32 source_end, const struct packet *p)
{
	return p->protocol == IPPROTO_TCP && source_end != flow->initiator &&
	       (p->tcp_flags & (TCP_RST | TCP_ACK)) == (TCP_RST | TCP_ACK) &&
	       p->tcp_acknowledged == flow->side[flow->initiator & 1].sequence + 1;
}

/* Notes a packet from @source_end of a flow of @life that stands. RST and FIN only shorten the
 * time it may idle, so one that was guessed well does not cut a flow that goes on talking.
 */
static __always_inline void
flow_touch(struct flow_value *flow, __u32 source_end, const struct packet *p, __u32 bytes)
{
	__u64 now = bpf_ktime_get_coarse_ns();

	if (now - flow->seen_ns > FLOW_SEEN_STEP_NS)
		flow->seen_ns = now;
	flow->sent[source_end & 1].packets++;
	flow->sent[source_end & 1].bytes += bytes;
	if (p->protocol == IPPROTO_SCTP && p->fragment != FRAGMENT_LATER)
		touch_sctp(flow, source_end, p);
	if (p->protocol != IPPROTO_TCP || p->fragment == FRAGMENT_LATER)
		return;
	if ((p->tcp_flags & TCP_SYN) && flow_state(flow) == FLOW_OPEN)
		touch_answer(flow, source_end, p);
	touch_tcp(flow, &flow->side[source_end & 1], p);
}

/* What becomes of the walk's half-open flow, of @life, after its packet touched it. */
static __always_inline void
flow_answered(struct flow_value *flow, __u64 life, __u32 source_end, const struct packet *p)
{
	if (p->fragment == FRAGMENT_LATER && p->protocol == IPPROTO_TCP)
		return;
	if (refuses_flow(flow, source_end, p)) {
		walk_end_flow(FLOW_CLOSED_REFUSED);
		return;
	}
	if (!opens_flow(flow, source_end, p))
		return;
	/* Of the initiator this is the first number that nobody can have guessed. */
	if (p->protocol == IPPROTO_TCP)
		flow->side[source_end & 1].sequence = p->tcp_sequence;
	flow_opened(flow, life);
}

#endif
