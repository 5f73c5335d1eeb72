/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
#ifndef RIPSTOP_BPF_LIB_EVENT_H
#define RIPSTOP_BPF_LIB_EVENT_H

#include "bpf/lib/maps.h"
#include "bpf/lib/packet.h"

/* Whether anybody asked about such a flow. A flow of no interest costs two loads. */
static __always_inline int
event_wanted(const struct datapath_state *state, __u8 type, __u32 egress_verdict,
             __u32 ingress_verdict)
{
	if (type == FLOW_EVENT_CLOSED)
		return (state->flags & STATE_WATCH_CLOSED) != 0;
	return (state->flags & STATE_WATCH_FLOWS) ||
	       ((egress_verdict | ingress_verdict) & VERDICT_LOG);
}

/* Whether this CPU may still send an event this second. */
static __always_inline int
event_allowed(const struct datapath_state *state, __u64 now)
{
	struct event_budget *budget;
	__u32 zero = 0;

	if (!state->events_per_second)
		return 0;
	budget = bpf_map_lookup_elem(&rs_budget_v1, &zero);
	if (!budget)
		return 0;
	if (now - budget->since_ns > 1000000000ull) {
		budget->since_ns = now;
		budget->sent = 0;
	}
	return budget->sent++ < state->events_per_second;
}

/* Sends an event about the flow of @key that @initiator began. @now: the callers have
 * clocks of their own; syscall programs may not ask for the coarse one.
 */
static __always_inline void
event_send(const struct datapath_state *state, __u64 now, __u8 type, enum drop_reason reason,
           const struct flow_key *key, __u32 initiator, __u8 icmp_type, __u8 icmp_code,
           __u32 egress_verdict, __u32 ingress_verdict)
{
	struct flow_event *event;

	if (!event_wanted(state, type, egress_verdict, ingress_verdict))
		return;
	if (!event_allowed(state, now)) {
		count_lost(LOST_EVENTS);
		return;
	}
	event = bpf_ringbuf_reserve(&rs_events_v1, sizeof(*event), 0);
	if (!event) {
		count_lost(LOST_EVENTS);
		return;
	}
	event->time_ns = now;
	/* Constant indexes: the key is on the stack. */
	if (initiator == FLOW_HIGH) {
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
	event->egress_verdict = egress_verdict;
	event->ingress_verdict = ingress_verdict;
	event->type = type;
	event->reason = reason;
	event->protocol = key->protocol;
	event->icmp_type = icmp_type;
	event->icmp_code = icmp_code;
	event->slot = state->active.slot;
	__builtin_memset(event->reserved, 0, sizeof(event->reserved));
	bpf_ringbuf_submit(event, 0);
}

#endif
