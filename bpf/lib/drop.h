/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
#ifndef RIPSTOP_BPF_LIB_DROP_H
#define RIPSTOP_BPF_LIB_DROP_H

#include <linux/pkt_cls.h>

#include <asm-generic/errno-base.h>

#include "bpf/lib/event.h"
#include "bpf/lib/walk_state.h"

/* Counts a packet of @bytes that @ifindex lost for @reason. */
static __always_inline void
count_drop(__u32 reason, __u32 ifindex, __u32 bytes)
{
	struct interface_drop_key place = {.ifindex = ifindex, .reason = reason};
	struct drop_count first = {.packets = 1, .bytes = bytes};
	struct drop_count *count = bpf_map_lookup_elem(&rs_drops_v1, &reason);

	if (count) {
		count->packets++;
		count->bytes += bytes;
	}
	count = bpf_map_lookup_elem(&rs_interface_drops_v1, &place);
	/* Another CPU may be first; then this one's count is there, and zero. */
	if (!count && bpf_map_update_elem(&rs_interface_drops_v1, &place, &first, BPF_NOEXIST))
		count = bpf_map_lookup_elem(&rs_interface_drops_v1, &place);
	if (count) {
		count->packets++;
		count->bytes += bytes;
	}
}

/* Of what policy denies the walk tells (tell.h). */
static __always_inline int
is_told_as_denied(__u32 reason)
{
	return reason == DROP_POLICY_EGRESS || reason == DROP_POLICY_INGRESS ||
	       reason == DROP_NO_POLICY_SET || reason == DROP_BAD_POLICY_SET ||
	       reason == DROP_NO_VERDICT;
}

/* A sample of what is dropped, as far as the packet has been parsed. */
static __always_inline void
drop_tell(const struct packet *p, __u32 reason, __u32 ifindex)
{
	const struct datapath_state *state = state_get();
	__u64 now, wake = 0;
	struct flow_event *event;

	if (!state || is_told_as_denied(reason) || DROP_IS_EXPECTED(reason))
		return;
	now = bpf_ktime_get_coarse_ns();
	event = event_begin(state, now, FLOW_EVENT_DROPPED, EVENT_SAMPLED, &wake);
	if (!event)
		return;
	__builtin_memset(event, 0, sizeof(*event));
	event->time_ns = now;
	event->type = FLOW_EVENT_DROPPED;
	event->reason = reason;
	event->slot = state->active.slot;
	event->ifindex = ifindex;
	if (p->family) {
		event->source = p->source;
		event->destination = p->destination;
		event->source_port = p->source_port;
		event->destination_port = p->destination_port;
		event->protocol = p->protocol;
		event->icmp_type = p->icmp_type;
		event->icmp_code = p->icmp_code;
	}
	bpf_ringbuf_submit(event, wake);
}

/* Counts the packet under @reason and names it in cb for test runs. A function of its own, so
 * that the verifier looks at it once and not at each place where a packet may end.
 */
__noinline int
drop_at(struct __sk_buff *skb, __u32 reason, __u32 ifindex)
{
	const struct walk *w = walk_get();

	count_drop(reason, ifindex, skb->len);
	if (w)
		drop_tell(&w->p, reason, ifindex);
	skb->cb[RUN_DROP_REASON] = reason;
	return TC_ACT_SHOT;
}

static __always_inline int
drop(struct __sk_buff *skb, enum drop_reason reason)
{
	drop_at(skb, reason, skb->ifindex);
	return TC_ACT_SHOT;
}

/* Whose loss it is that the slow path lets the walk's packet, at @ifindex, go no further: see
 * abi/drops.h. @from_outside: no pod has sent it.
 */
static __always_inline __u32
walk_loser(const struct walk *w, int from_outside, __u32 ifindex, enum drop_reason reason)
{
	int forward = w->initiator == w->source_end;
	__u32 near = ifindex;

	if (reason == DROP_POLICY_EGRESS)
		near = forward ? w->source.ifindex : w->destination.ifindex;
	else if (reason == DROP_POLICY_INGRESS)
		near = forward ? w->destination.ifindex : w->source.ifindex;
	else if (from_outside)
		near = w->destination.ifindex;
	return near ? near : ifindex;
}

#endif
