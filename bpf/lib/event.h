/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
#ifndef RIPSTOP_BPF_LIB_EVENT_H
#define RIPSTOP_BPF_LIB_EVENT_H

#include "bpf/lib/maps.h"
#include "bpf/lib/packet.h"

/* What an event tells of a flow. */
struct event_subject {
	const struct flow_key *key;    /* on the stack, or in a map */
	const struct flow_count *sent; /* by enum flow_end; NULL: nothing is counted yet */
	__u32 initiator;               /* enum flow_end */
	__u32 egress_verdict;
	__u32 ingress_verdict;
	__u32 ifindex;
	__u8 type;
	__u8 reason; /* enum drop_reason */
	__u8 icmp_type;
	__u8 icmp_code;
	__u8 closed_by;
	__u8 outdated;
};

enum event_interest { EVENT_UNWANTED, EVENT_SAMPLED, EVENT_WANTED };

/* Whether anybody asked about such a flow. One of no interest costs two loads. */
static __always_inline enum event_interest
event_interest(const struct datapath_state *state, __u8 type, enum drop_reason reason,
               __u32 verdicts)
{
	if (type == FLOW_EVENT_CLOSED || type == FLOW_EVENT_HEARTBEAT)
		return state->flags & STATE_WATCH_CLOSED ? EVENT_WANTED : EVENT_UNWANTED;
	if (state->flags & STATE_WATCH_FLOWS)
		return EVENT_WANTED;
	/* A rule that logs logs flows, not what becomes of them. */
	if ((verdicts & VERDICT_LOG) && (type != FLOW_EVENT_CHANGED || reason))
		return EVENT_WANTED;
	return reason ? EVENT_SAMPLED : EVENT_UNWANTED;
}

/* Whether this CPU may still send such an event this second. @now: the callers have clocks of
 * their own; syscall programs may not ask for the coarse one.
 */
static __always_inline int
event_allowed(struct event_budget *budget, const struct datapath_state *state, __u64 now, __u8 type,
              enum event_interest interest)
{
	if (now - budget->since_ns > 1000000000ull) {
		budget->since_ns = now;
		budget->sent = 0;
		budget->denied = 0;
		budget->dropped = 0;
	}
	if (interest == EVENT_WANTED)
		return budget->sent++ < state->events_per_second;
	if (type == FLOW_EVENT_DROPPED)
		return budget->dropped++ < EVENT_SAMPLES_PER_SECOND;
	return budget->denied++ < EVENT_SAMPLES_PER_SECOND;
}

/* Room for an event, or NULL; the caller fills all of it and submits it. @wake: for the submit. To
 * wake somebody costs more than all the rest.
 */
static __always_inline struct flow_event *
event_begin(const struct datapath_state *state, __u64 now, __u8 type, enum event_interest interest,
            __u64 *wake)
{
	struct flow_event *event = NULL;
	struct event_budget *budget;
	__u32 zero = 0;

	if (interest == EVENT_UNWANTED)
		return NULL;
	budget = bpf_map_lookup_elem(&rs_budget_v2, &zero);
	if (!budget)
		return NULL;
	if (event_allowed(budget, state, now, type, interest))
		event = bpf_ringbuf_reserve(&rs_events_v2, sizeof(*event), 0);
	else if (interest == EVENT_SAMPLED)
		return NULL;
	if (!event) {
		count_lost(LOST_EVENTS);
		return NULL;
	}
	*wake = now - budget->woken_ns < EVENT_WAKE_NS ? BPF_RB_NO_WAKEUP : 0;
	if (!*wake)
		budget->woken_ns = now;
	return event;
}

static __always_inline void
event_send(const struct datapath_state *state, __u64 now, const struct event_subject *subject)
{
	const struct flow_key *key = subject->key;
	enum event_interest interest =
	    event_interest(state, subject->type, subject->reason,
	                   subject->egress_verdict | subject->ingress_verdict);
	__u64 wake = 0;
	struct flow_event *event = event_begin(state, now, subject->type, interest, &wake);

	if (!event)
		return;
	event->time_ns = now;
	event->type = subject->type;
	event->reason = subject->reason;
	event->slot = state->active.slot;
	/* Constant indexes: the key may be on the stack. */
	if (subject->initiator == FLOW_HIGH) {
		event->source = key->address[FLOW_HIGH];
		event->destination = key->address[FLOW_LOW];
		event->source_port = key->port[FLOW_HIGH];
		event->destination_port = key->port[FLOW_LOW];
	} else {
		event->source = key->address[FLOW_LOW];
		event->destination = key->address[FLOW_HIGH];
		event->source_port = key->port[FLOW_LOW];
		event->destination_port = key->port[FLOW_HIGH];
	}
	if (subject->sent && subject->initiator == FLOW_HIGH) {
		event->sent[0] = subject->sent[FLOW_HIGH];
		event->sent[1] = subject->sent[FLOW_LOW];
	} else if (subject->sent) {
		event->sent[0] = subject->sent[FLOW_LOW];
		event->sent[1] = subject->sent[FLOW_HIGH];
	} else {
		__builtin_memset(event->sent, 0, sizeof(event->sent));
	}
	event->egress_verdict = subject->egress_verdict;
	event->ingress_verdict = subject->ingress_verdict;
	event->ifindex = subject->ifindex;
	event->protocol = key->protocol;
	event->icmp_type = subject->icmp_type;
	event->icmp_code = subject->icmp_code;
	event->closed_by = subject->closed_by;
	event->outdated = subject->outdated;
	bpf_ringbuf_submit(event, wake);
}

#endif
