/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Reading flows: which one, whether it stands, how long it may idle. flow_life.h makes and ends
 * them, flow_touch.h notes their packets.
 */
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

/* Number of a local end; 0 of a remote one. */
static __always_inline __u32
flow_number(const struct flow_value *flow, __u32 end)
{
	const struct flow_side *side = &flow->side[end & 1];

	return side->ifindex ? side->number : 0;
}

/* Number of the local address that began @flow, where translation may hide it; 0: none. */
static __always_inline __u32
flow_sender(const struct flow_value *flow)
{
	return flow->flags & FLOW_HAS_SENDER ? flow_number(flow, flow->initiator) : 0;
}

static __always_inline __u32
flow_state(const struct flow_value *flow)
{
	return FLOW_LIFE_STATE(*(const volatile __u64 *)&flow->life);
}

static __always_inline int
side_is_current(const struct flow_side *side)
{
	__u32 index = side->set_index;
	__u32 *epoch;

	if (!index)
		return 1;
	epoch = bpf_map_lookup_elem(&rs_epochs_v1, &index);
	return epoch && *(volatile __u32 *)epoch == *(const volatile __u32 *)&side->epoch;
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

static __always_inline __u64
limit_pressed(__u64 limit, __u64 pressed_limit, int pressed)
{
	return pressed && pressed_limit < limit ? pressed_limit : limit;
}

static __always_inline __u64
tcp_idle_limit(const struct flow_value *flow, const struct flow_timeouts *limits, int pressed)
{
	if (!flow_is_closed(flow))
		return flow_state(flow) == FLOW_HALF_OPEN ? limits->tcp_syn_sent_ns
		                                          : limits->tcp_established_ns;
	return limit_pressed(flow->flags & FLOW_RESET ? limits->tcp_reset_seen_ns
	                                              : limits->tcp_fins_seen_ns,
	                     FLOW_PRESSED_TCP_CLOSED_IDLE_NS, pressed);
}

static __always_inline __u64
sctp_idle_limit(const struct flow_value *flow, const struct flow_timeouts *limits, int pressed)
{
	if (flow->flags & FLOW_RESET)
		return limit_pressed(limits->tcp_reset_seen_ns, FLOW_PRESSED_TCP_CLOSED_IDLE_NS,
		                     pressed);
	if (flow_state(flow) == FLOW_HALF_OPEN)
		return limits->tcp_syn_sent_ns;
	return limit_pressed(limits->other_ns, FLOW_PRESSED_OTHER_IDLE_NS, pressed);
}

/* How long a flow may idle before the sweep removes it. */
static __always_inline __u64
flow_idle_limit(const struct flow_key *key, const struct flow_value *flow,
                const struct flow_timeouts *limits, int pressed)
{
	switch (key->protocol) {
	case IPPROTO_TCP:
		return tcp_idle_limit(flow, limits, pressed);
	case IPPROTO_SCTP:
		return sctp_idle_limit(flow, limits, pressed);
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

#endif
