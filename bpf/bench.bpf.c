/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* What benchmarks run beside the datapath: pieces of it by themselves, and what makes
 * one frame look like a new one each time. Never attached to an interface. Its maps are
 * those of a loaded datapath.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_helpers.h>

#include "bpf/lib/parse.h"
#include "bpf/lib/verdict.h"
#include "bpf/testing/bench_query.h"

volatile struct bench_query asked = {};

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} bench_next SEC(".maps");

/* What a test run costs by itself. */
SEC("tc")
int
bench_empty(struct __sk_buff *skb __attribute__((unused)))
{
	return TC_ACT_OK;
}

/* One verdict by itself: address class, L4 class, row, column, word. */
SEC("tc")
int
bench_verdict(struct __sk_buff *skb __attribute__((unused)))
{
	struct datapath_state *state = state_get();
	struct verdict_query query = {};
	struct verdict verdict = {};
	struct address_value value;
	struct address_key key = {};
	struct ip_address remote;

	if (!state)
		return TC_ACT_SHOT;
	for (int i = 0; i < 4; i++)
		remote.words[i] = asked.remote.words[i];
	query.active = active_generation_get(state);
	if (lookup_address(query.active.slot, &key, &remote, &value) ||
	    classify_l4(query.active, asked.protocol, asked.source_port, asked.destination_port, 0,
	                0, &query) ||
	    verdict_read(&query, asked.policy_set, class_of(query.active, &remote, &value),
	                 &verdict))
		return TC_ACT_SHOT;
	asked.word = verdict.word;
	return TC_ACT_OK;
}

/* Of a TCP segment without options: the way back, with the flags that belong there. */
static __always_inline int
turn_around(struct ethhdr *eth, __be16 *port, void *end)
{
	__u8 *flags = (void *)port + 13;
	__be16 first = port[0];

	if ((void *)(flags + 1) > end)
		return -1;
	port[0] = port[1];
	port[1] = first;
	*flags = asked.turn % 2 ? 0x12 : 0x02;
	if (eth->h_proto == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = (void *)(eth + 1);
		__be32 source = ip->saddr;

		ip->saddr = ip->daddr;
		ip->daddr = source;
	} else {
		struct ipv6hdr *ip = (void *)(eth + 1);
		struct in6_addr source = ip->saddr;

		ip->saddr = ip->daddr;
		ip->daddr = source;
	}
	return 0;
}

/* A test run gives every repetition the frame that the last one left: put the TTL
 * back, give it another source port if asked, and go on to the program that is timed.
 */
SEC("tc")
int
bench_renew(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct ethhdr *eth = data;
	__be16 *port;

	if (data + ETH_HLEN + sizeof(struct ipv6hdr) + 4 > end)
		return TC_ACT_SHOT;
	if (eth->h_proto == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = data + ETH_HLEN;

		ip->ttl = 64;
		port = (void *)(ip + 1);
	} else {
		struct ipv6hdr *ip = data + ETH_HLEN;

		ip->hop_limit = 64;
		port = (void *)(ip + 1);
	}
	if (asked.answered && turn_around(eth, port, end))
		return TC_ACT_SHOT;
	if (asked.resent) {
		if (eth->h_proto == bpf_htons(ETH_P_IP)) {
			((struct iphdr *)(eth + 1))->saddr = asked.source.words[3];
		} else {
			struct ipv6hdr *ip = (void *)(eth + 1);

			for (int i = 0; i < 4; i++)
				ip->saddr.in6_u.u6_addr32[i] = asked.source.words[i];
		}
		*port = asked.source_port;
	}
	if (asked.new_flow && !(asked.answered && asked.turn++ % 2))
		*port = bpf_htons(++asked.port);
	skb->tc_index = asked.tc_index;
	bpf_tail_call(skb, &bench_next, asked.next);
	return TC_ACT_SHOT;
}

char bench_license[] SEC("license") = "Dual BSD/GPL";
