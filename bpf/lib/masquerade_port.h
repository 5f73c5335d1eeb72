/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Which port a masqueraded flow leaves under. The pod's own if it is in the range and free;
 * else a walk through the range, of which start and stride are hashes of the flow (RFC 6056
 * section 3.3.3). That finds a free port as fast as random tries do; among neighbours, which clump,
 * a third of the searches fail when 95 % are taken.
 */
#ifndef RIPSTOP_BPF_LIB_MASQUERADE_PORT_H
#define RIPSTOP_BPF_LIB_MASQUERADE_PORT_H

#include "bpf/lib/flow_life.h"
#include "bpf/lib/masquerade_entry.h"
#include "bpf/lib/rewrite.h"
#include "bpf/lib/walk_state.h"

/* What is known while a packet is translated. As of struct walk, there is one at a time on a CPU;
 * the two hold different packets of one run never.
 */
struct masquerade_work {
	struct masquerade_key key;
	struct masquerade_value value; /* what is to be written under it */
	struct rewrite rewrite;
	struct packet other; /* of the flow that holds a port */
	struct flow_key other_key;
	__u32 start, stride; /* of the search */
	__u8 masqueraded;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct masquerade_work);
} masquerade_works SEC(".maps");

static __always_inline struct masquerade_work *
masquerade_work_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&masquerade_works, &zero);
}

static __always_inline const struct nat_settings *
nat_settings_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&rs_nat_v1, &zero);
}

/* Of a packet from elsewhere to us; or, with @outward, of one that we have sent. */
static __always_inline void
masquerade_key_of_packet(struct masquerade_key *key, const struct packet *p, int outward)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->protocol = p->protocol;
	key->remote = outward ? p->destination : p->source;
	key->ours = outward ? p->source : p->destination;
	key->remote_port =
	    masquerade_remote_port(p->protocol, outward ? p->destination_port : p->source_port);
	key->our_port = outward ? p->source_port : p->destination_port;
}

static __always_inline __u64
nat_mix(__u64 hash, __u64 word)
{
	hash = (hash ^ word) * 0x9e3779b97f4a7c15ull;
	return hash ^ hash >> 29;
}

static __always_inline __u64
nat_hash(const struct packet *p, __u64 seed)
{
	__u64 hash = nat_mix(seed, (__u64)p->source_port << 32 | (__u32)p->destination_port << 8 |
	                               p->protocol);

	hash = nat_mix(hash, address_half(&p->source, 0));
	hash = nat_mix(hash, address_half(&p->source, 1));
	hash = nat_mix(hash, address_half(&p->destination, 0));
	return nat_mix(hash, address_half(&p->destination, 1));
}

/* Whether the flow stands that the entry under work->key says it is of. */
static __always_inline int
is_claim_live(struct masquerade_work *work, const struct masquerade_value *entry, __u64 life)
{
	struct packet *p = &work->other;
	const struct flow_value *flow;

	p->protocol = work->key.protocol;
	p->source = entry->pod;
	p->source_port = entry->port;
	p->destination = work->key.remote;
	p->destination_port = has_icmp_type(p->protocol) ? entry->port : work->key.remote_port;
	flow_key_of(p, &work->other_key);
	flow = bpf_map_lookup_elem(&rs_flows_v3, &work->other_key);
	if (!flow || flow_state(flow) == FLOW_DEAD || MASQUERADE_LIFE(flow_life(flow)) != life)
		return 0;
	/* One that is undecided is about to write that it has it. */
	return *(volatile __u16 *)&flow->translation.kind != TRANSLATION_MASQUERADED ||
	       (flow->translation.port == work->key.our_port &&
	        address_equal(&flow->translation.address, &work->key.ours));
}

/* Whether a socket of this host would get what comes for the flow of work->key. */
static __always_inline int
is_sockets(struct __sk_buff *skb, const struct masquerade_key *key, __u8 family)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *socket;
	__u32 size;

	if (key->protocol != IPPROTO_TCP && key->protocol != IPPROTO_UDP)
		return 0;
	if (family == 4) {
		tuple.ipv4.saddr = key->remote.words[3];
		tuple.ipv4.daddr = key->ours.words[3];
		tuple.ipv4.sport = key->remote_port;
		tuple.ipv4.dport = key->our_port;
		size = sizeof(tuple.ipv4);
	} else {
		__builtin_memcpy(tuple.ipv6.saddr, &key->remote, sizeof(tuple.ipv6.saddr));
		__builtin_memcpy(tuple.ipv6.daddr, &key->ours, sizeof(tuple.ipv6.daddr));
		tuple.ipv6.sport = key->remote_port;
		tuple.ipv6.dport = key->our_port;
		size = sizeof(tuple.ipv6);
	}
	socket = key->protocol == IPPROTO_TCP
	             ? bpf_sk_lookup_tcp(skb, &tuple, size, BPF_F_CURRENT_NETNS, 0)
	             : bpf_sk_lookup_udp(skb, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	if (!socket)
		return 0;
	bpf_sk_release(socket);
	return 1;
}

enum attempt { CLAIMED = 0, TAKEN, NO_ROOM };

/* Tries to claim work->key for the flow of work->value. */
__noinline int
masquerade_try(struct __sk_buff *skb)
{
	struct masquerade_work *work = masquerade_work_get();
	struct masquerade_value *entry;
	struct walk *w = walk_get();
	__u64 life;
	int error; /* before 6.4 an inlined map operation returns no more bits */

	if (!w || !work)
		return NO_ROOM;
	error = bpf_map_update_elem(&rs_masquerade_v1, &work->key, &work->value, BPF_NOEXIST);
	if (error && error != -EEXIST)
		return NO_ROOM;
	if (error) {
		entry = bpf_map_lookup_elem(&rs_masquerade_v1, &work->key);
		if (!entry)
			return TAKEN;
		life = masquerade_life(entry);
		/* Another CPU, with a packet of the same flow. */
		if (life == work->value.life)
			return CLAIMED;
		if (!life || is_claim_live(work, entry, life) ||
		    __sync_val_compare_and_swap(&entry->life, life, 0) != life)
			return TAKEN;
		entry->pod = work->value.pod;
		entry->port = work->value.port;
		__sync_val_compare_and_swap(&entry->life, 0, work->value.life);
	}
	if (!is_sockets(skb, &work->key, w->p.family))
		return CLAIMED;
	masquerade_release(&work->key, work->value.life);
	return TAKEN;
}

/* The port that is tried then; 0, before all others: the pod's own. */
static __always_inline __be16
port_of_try(const struct masquerade_work *work, const struct nat_settings *nat, __u32 i)
{
	__u32 period = nat->period;

	if (!i || !period)
		return work->value.port;
	return bpf_htons(nat->first_port + (work->start + (__u64)(i - 1) * work->stride) % period);
}

static __always_inline int
is_in_range(const struct nat_settings *nat, __be16 port)
{
	return bpf_ntohs(port) - nat->first_port < nat->ports;
}

/* DCCP (RFC 4340) and AH (RFC 4302) cover addresses with what cannot be changed here. */
static __always_inline int
is_untranslatable(__u8 protocol)
{
	return protocol == 33 || protocol == IPPROTO_AH;
}

/* Claims a port for the flow of the walk's packet, under the address that work->key has; the port
 * is in it then.
 */
__noinline int
masquerade_claim(struct __sk_buff *skb)
{
	struct masquerade_work *work = masquerade_work_get();
	const struct nat_settings *nat = nat_settings_get();
	struct walk *w = walk_get();
	int own_only, result;
	__u64 hash;

	if (!work || !nat || !w)
		return DROP_NAT_PORTS;
	if (is_untranslatable(w->p.protocol))
		return DROP_NAT_PROTOCOL;
	work->key.protocol = w->p.protocol;
	work->key.remote = w->p.destination;
	work->key.remote_port = masquerade_remote_port(w->p.protocol, w->p.destination_port);
	work->value.life = MASQUERADE_LIFE(w->life);
	work->value.pod = w->p.source;
	work->value.port = w->p.source_port;
	/* SCTP's checksum covers ports and not addresses, and takes all of the packet. */
	own_only = w->p.protocol == IPPROTO_SCTP ||
	           (!has_ports(w->p.protocol) && !has_icmp_type(w->p.protocol));
	hash = nat_hash(&w->p, nat->seed);
	if (nat->period) {
		work->start = (__u32)hash % nat->period;
		work->stride = nat->period <= MASQUERADE_TRIES
		                   ? 1
		                   : 1 + (__u32)(hash >> 32) % (nat->period - 1);
	}
	for (__u32 i = 0; i <= MASQUERADE_TRIES; i++) {
		if (i > nat->ports || (i && own_only))
			break;
		work->key.our_port = port_of_try(work, nat, i);
		if (!own_only && !is_in_range(nat, work->key.our_port))
			continue;
		result = masquerade_try(skb);
		if (result == CLAIMED)
			return DROP_NONE;
		if (result == NO_ROOM)
			return DROP_FLOW_TABLE_FULL;
	}
	return DROP_NAT_PORTS;
}

#endif
