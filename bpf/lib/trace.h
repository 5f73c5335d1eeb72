/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Tells the traces that there are of a packet, once its program is done with it. Not part of
 * the datapath's own programs: only of those of bpf/traced.bpf.c.
 */
#ifndef RIPSTOP_BPF_LIB_TRACE_H
#define RIPSTOP_BPF_LIB_TRACE_H

#include <linux/pkt_cls.h>

#include "bpf/abi/trace.h"
#include "bpf/lib/walk.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, TRACE_SLOTS);
	__type(key, __u32);
	__type(value, struct trace_slot);
} trace_slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, TRACE_SLOTS);
	__type(key, __u32);
	/* clang-format off */
	__array(values, struct {
		__uint(type, BPF_MAP_TYPE_RINGBUF);
		__uint(max_entries, TRACE_RING_BYTES);
	});
	/* clang-format on */
} trace_rings SEC(".maps");

/* A record while it is made; no two are at a time on one CPU, as of struct walk. */
struct trace_work {
	struct trace_record record;
	__u8 bytes[TRACE_SNAP_MAX];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct trace_work);
} trace_work SEC(".maps");

static __always_inline struct trace_work *
trace_work_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&trace_work, &zero);
}

/* What a program leaves alone when it has nothing to do is not to be taken for its word. A
 * function of its own, since the compiler would keep the address of cb for both, which the
 * verifier has no name for.
 */
__noinline int
trace_before(struct __sk_buff *skb)
{
	struct walk *w = walk_get();

	skb->cb[RUN_EGRESS_VERDICT] = 0;
	skb->cb[RUN_INGRESS_VERDICT] = 0;
	skb->cb[RUN_DROP_REASON] = DROP_NONE;
	if (w)
		__builtin_memset(&w->p, 0, sizeof(w->p));
	return 0;
}

static __always_inline __u32
trace_mix(__u32 hash, __u32 word)
{
	hash ^= word;
	hash *= 0x9e3779b1;
	return hash ^ hash >> 15;
}

/* The same wherever the packet shows: of the IPv4 identification, what TCP counts, and the
 * first bytes of what is carried. Addresses, ports, checksums and TTL may change on the way.
 */
static __always_inline __u32
trace_packet_hash(struct __sk_buff *skb, const struct packet *p, __u32 ip_offset)
{
	__u32 words[2] = {}, hash = trace_mix(0x517cc1b7, p->protocol);
	__u16 id = 0;

	if (p->family == 4 &&
	    !bpf_skb_load_bytes(skb, ip_offset + offsetof(struct iphdr, id), &id, sizeof(id)))
		hash = trace_mix(hash, id);
	hash = trace_mix(hash, p->tcp_sequence);
	hash = trace_mix(hash, p->tcp_acknowledged);
	hash = trace_mix(hash, p->tcp_flags | p->icmp_type << 8 | p->icmp_code << 16);
	hash = trace_mix(hash, skb->len - p->l4_offset);
	if (p->protocol != IPPROTO_TCP && p->fragment != FRAGMENT_LATER &&
	    !bpf_skb_load_bytes(skb, p->l4_offset + 8, words, sizeof(words))) {
		hash = trace_mix(hash, words[0]);
		hash = trace_mix(hash, words[1]);
	}
	return hash;
}

static __always_inline void
trace_describe(struct __sk_buff *skb, const struct packet *p, int headless, struct trace_record *r)
{
	r->time_ns = bpf_ktime_get_ns();
	r->ifindex = skb->ifindex;
	r->ingress_ifindex = skb->ingress_ifindex;
	r->length = skb->len;
	r->egress_verdict = skb->cb[RUN_EGRESS_VERDICT];
	r->ingress_verdict = skb->cb[RUN_INGRESS_VERDICT];
	r->reason = skb->cb[RUN_DROP_REASON];
	r->gso_size = skb->gso_size;
	r->source = p->source;
	r->destination = p->destination;
	r->source_port = p->source_port;
	r->destination_port = p->destination_port;
	r->family = p->family;
	r->protocol = p->protocol;
	r->tcp_flags = p->tcp_flags;
	r->icmp_type = p->icmp_type;
	r->icmp_code = p->icmp_code;
	r->ttl = p->ttl;
	r->flags = headless ? TRACE_HEADLESS : 0;
	if (p->fragment == FRAGMENT_LATER)
		r->flags |= TRACE_LATER_FRAGMENT;
	/* A later fragment has those of its first one, where that was seen. */
	if (has_ports(p->protocol) &&
	    (p->fragment != FRAGMENT_LATER || p->source_port || p->destination_port))
		r->flags |= TRACE_HAS_PORTS;
	else if (has_icmp_type(p->protocol) && p->fragment != FRAGMENT_LATER)
		r->flags |= TRACE_HAS_ICMP;
}

/* Whether the record's source (@end 0) or destination is that party. A function of its own, as
 * the next one is: the verifier follows each once.
 */
__noinline int
trace_is_party(__u32 index, __u32 party, __u32 end)
{
	struct trace_slot *slot = bpf_map_lookup_elem(&trace_slots, &index);
	struct trace_work *work = trace_work_get();
	const struct ip_address *address;
	const struct trace_end *wanted;

	if (!slot || !work || party >= TRACE_PARTIES)
		return 0;
	wanted = &slot->filter.ends[party];
	address = end ? &work->record.destination : &work->record.source;
	if (!wanted->count)
		return 1;
	for (__u32 i = 0; i < TRACE_ADDRESSES_MAX; i++) {
		if (i < wanted->count && address_equal(&wanted->addresses[i], address))
			return 1;
	}
	return 0;
}

__noinline int
trace_fits(__u32 index)
{
	struct trace_slot *slot = bpf_map_lookup_elem(&trace_slots, &index);
	struct trace_work *work = trace_work_get();
	const struct trace_filter *filter;
	const struct trace_record *r;
	int dropped;

	if (!slot || !work)
		return 0;
	filter = &slot->filter;
	r = &work->record;
	/* What is answered goes back as another packet. */
	dropped = r->action == TC_ACT_SHOT || r->reason != DROP_NONE;
	if (r->time_ns >= slot->until_ns)
		return 0;
	if (filter->verdict && (filter->verdict == TRACE_DROPPED) != dropped)
		return 0;
	if (filter->reason && filter->reason != r->reason)
		return 0;
	if (filter->has_protocol && (!r->family || filter->protocol != r->protocol))
		return 0;
	if (filter->port && !(r->flags & TRACE_HAS_PORTS))
		return 0;
	if (!trace_is_party(index, TRACE_POD, 0) && !trace_is_party(index, TRACE_POD, 1))
		return 0;
	if ((!filter->port || filter->port == r->destination_port) &&
	    trace_is_party(index, TRACE_FROM, 0) && trace_is_party(index, TRACE_TO, 1))
		return 1;
	return (!filter->port || filter->port == r->source_port) &&
	       trace_is_party(index, TRACE_FROM, 1) && trace_is_party(index, TRACE_TO, 0);
}

static __always_inline void
trace_send(struct __sk_buff *skb, struct trace_work *work, __u32 index)
{
	struct trace_slot *slot = bpf_map_lookup_elem(&trace_slots, &index);
	void *ring = bpf_map_lookup_elem(&trace_rings, &index);
	__u32 snap, last;

	if (!slot || !ring)
		return;
	snap = slot->filter.snap < skb->len ? slot->filter.snap : skb->len;
	/* 6.1 does not see that what is not zero is more; and the compiler would check another
	 * register than the one that it uses.
	 */
	last = snap - 1;
	asm volatile("" : "+r"(last));
	if (last >= TRACE_SNAP_MAX || bpf_skb_load_bytes(skb, 0, work->bytes, last + 1))
		snap = 0;
	work->record.captured = snap;
	asm volatile("" : "+r"(snap));
	if (snap > TRACE_SNAP_MAX)
		return;
	if (bpf_ringbuf_output(ring, work, sizeof(work->record) + snap, 0))
		__sync_fetch_and_add(&slot->lost, 1);
}

__noinline int
trace_after(struct __sk_buff *skb, int action, __u32 hook)
{
	struct trace_work *work = trace_work_get();
	struct walk *w = walk_get();
	int headless, hashed = 0;

	if (!work || !w)
		return 0;
	headless = (interface_flags(skb->ifindex) & INTERFACE_HEADLESS) != 0;
	/* By a program that has let it pass unread: not its business, but perhaps the trace's. */
	if (!w->p.family)
		walk_parse(skb, w);
	work->record.action = action;
	work->record.hook = hook;
	trace_describe(skb, &w->p, headless, &work->record);
	for (__u32 i = 0; i < TRACE_SLOTS; i++) {
		if (!trace_fits(i))
			continue;
		/* Reads the packet once more: only of those that are told of. */
		if (!hashed)
			work->record.packet =
			    trace_packet_hash(skb, &w->p, headless ? 0 : ETH_HLEN);
		hashed = 1;
		trace_send(skb, work, i);
	}
	return 0;
}

#endif
