/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Finding, making and ageing flows. */
#ifndef RIPSTOP_BPF_LIB_FLOW_H
#define RIPSTOP_BPF_LIB_FLOW_H

#include "bpf/lib/maps.h"
#include "bpf/lib/packet.h"

static __always_inline __u64
address_half(const struct ip_address *a, int half)
{
	__u64 value;

	__builtin_memcpy(&value, &a->words[half * 2], sizeof(value));
	return value;
}

/* Any total order does; this one compares halves as this machine loads them. */
static __always_inline int
source_is_high(const struct packet *p)
{
	__u64 a = address_half(&p->source, 0), b = address_half(&p->destination, 0);

	if (a != b)
		return a > b;
	a = address_half(&p->source, 1);
	b = address_half(&p->destination, 1);
	if (a != b)
		return a > b;
	return p->source_port > p->destination_port;
}

/* Fills @ret and returns which end the packet comes from. */
static __always_inline enum flow_end
flow_key_of(const struct packet *p, struct flow_key *ret)
{
	__builtin_memset(ret, 0, sizeof(*ret));
	ret->protocol = p->protocol;
	if (source_is_high(p)) {
		ret->address[FLOW_LOW] = p->destination;
		ret->port[FLOW_LOW] = p->destination_port;
		ret->address[FLOW_HIGH] = p->source;
		ret->port[FLOW_HIGH] = p->source_port;
		return FLOW_HIGH;
	}
	ret->address[FLOW_LOW] = p->source;
	ret->port[FLOW_LOW] = p->source_port;
	ret->address[FLOW_HIGH] = p->destination;
	ret->port[FLOW_HIGH] = p->destination_port;
	return FLOW_LOW;
}

/* FLOW_ARRIVAL_* of a remote end, which has no MAC here. */
static __always_inline __u32
flow_side_arrival(const struct flow_side *side)
{
	return *(const volatile __u16 *)side->mac;
}

static __always_inline void
flow_side_set_arrival(struct flow_side *side, __u32 arrival)
{
	*(volatile __u16 *)side->mac = arrival;
}

/* Number of a local end of a flow of FLOW_BY_STACK, which needs no MAC; else 0. */
static __always_inline __u32
flow_number(const struct flow_value *flow, __u32 end)
{
	const struct flow_side *side = &flow->side[end & 1];

	if (!(flow->flags & FLOW_BY_STACK) || !side->ifindex)
		return 0;
	return *(const volatile __u16 *)side->mac;
}

static __always_inline void
flow_set_number(struct flow_value *flow, __u32 end, __u32 number)
{
	struct flow_side *side = &flow->side[end & 1];

	if ((flow->flags & FLOW_BY_STACK) && side->ifindex)
		*(volatile __u16 *)side->mac = number;
}

/* Number of the local address that began @flow, where translation may hide it; 0: none. */
static __always_inline __u32
flow_sender(const struct flow_value *flow)
{
	return flow->flags & FLOW_HAS_SENDER ? flow_number(flow, flow->initiator) : 0;
}

static __always_inline int
side_is_current(const struct flow_side *side)
{
	__u32 index = side->set_index;
	__u32 *epoch;

	if (!index)
		return 1;
	epoch = bpf_map_lookup_elem(&rs_epochs_v1, &index);
	return epoch && *(volatile __u32 *)epoch == side->epoch;
}

/* Whether the policies that admitted the flow still stand as they were. */
static __always_inline int
flow_is_current(const struct flow_value *flow, const struct datapath_state *state)
{
	if ((flow->flags & FLOW_HOST_BYPASS) && (state->flags & STATE_HOST_OBEYS_POLICY))
		return 0;
	return side_is_current(&flow->side[0]) && side_is_current(&flow->side[1]);
}

static __always_inline int
flow_is_closed(const struct flow_value *flow)
{
	return (flow->flags & FLOW_RESET) ||
	       (flow->side[0].tcp_flags & flow->side[1].tcp_flags & TCP_FIN);
}

/* Notes a packet from @source of a current flow. RST and FIN only shorten the time
 * it may idle, so a forged one cannot cut a flow that goes on talking.
 */
static __always_inline void
flow_touch(struct flow_value *flow, enum flow_end source, const struct packet *p)
{
	struct flow_side *side = &flow->side[source & 1];
	__u64 now = bpf_ktime_get_coarse_ns();

	if (now - flow->seen_ns > FLOW_SEEN_STEP_NS)
		flow->seen_ns = now;
	if (p->protocol != IPPROTO_TCP)
		return;
	if ((side->tcp_flags | p->tcp_flags) != side->tcp_flags)
		side->tcp_flags |= p->tcp_flags;
	if (p->tcp_flags & TCP_RST)
		flow->flags |= FLOW_RESET;
	else if (flow->flags & FLOW_RESET)
		flow->flags &= ~FLOW_RESET;
}

static __always_inline __u64
limit_pressed(__u64 limit, __u64 pressed_limit, int pressed)
{
	return pressed && pressed_limit < limit ? pressed_limit : limit;
}

static __always_inline __u64
tcp_idle_limit(const struct flow_value *flow, const struct flow_timeouts *limits, int answered,
               int pressed)
{
	if (!flow_is_closed(flow))
		return answered ? limits->tcp_established_ns : limits->tcp_syn_sent_ns;
	return limit_pressed(flow->flags & FLOW_RESET ? limits->tcp_reset_seen_ns
	                                              : limits->tcp_fins_seen_ns,
	                     FLOW_PRESSED_TCP_CLOSED_IDLE_NS, pressed);
}

/* How long a flow may idle before the sweep removes it. */
static __always_inline __u64
flow_idle_limit(const struct flow_key *key, const struct flow_value *flow,
                const struct flow_timeouts *limits, int answered, int pressed)
{
	switch (key->protocol) {
	case IPPROTO_TCP:
		return tcp_idle_limit(flow, limits, answered, pressed);
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
		return limit_pressed(limits->udp_ns, FLOW_PRESSED_UDP_IDLE_NS, pressed);
	case IPPROTO_ICMP:
	case PROTOCOL_ICMPV6:
		return limit_pressed(limits->icmp_ns, FLOW_PRESSED_ICMP_IDLE_NS, pressed);
	default:
		return limit_pressed(limits->other_ns, FLOW_PRESSED_OTHER_IDLE_NS, pressed);
	}
}

/* Whether @p, from the responder of an embryo, makes it a flow to keep. A reset does not:
 * whoever is refused all the time would fill the table with what never was.
 */
static __always_inline int
flow_is_answered_by(const struct packet *p)
{
	return p->protocol != IPPROTO_TCP || !(p->tcp_flags & TCP_RST);
}

/* The responder has answered: from the LRU to the table that is never evicted. When
 * that one is full the flow stays where it is, at the mercy of the LRU.
 */
static __always_inline void
flow_promote(const struct flow_key *key, const struct flow_value *flow)
{
	if (bpf_map_update_elem(&rs_flows_v1, key, flow, BPF_NOEXIST) == 0)
		bpf_map_delete_elem(&rs_embryo_v1, key);
	else
		count_lost(LOST_FLOW_ROOM);
}

#endif
