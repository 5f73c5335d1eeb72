/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* One verdict from the tables of bpf/abi/tables.h: a few array reads, whatever the
 * policy. Anything that cannot be read denies, with its own reason.
 */
#ifndef RIPSTOP_BPF_LIB_VERDICT_H
#define RIPSTOP_BPF_LIB_VERDICT_H

#include "bpf/lib/address_class.h"
#include "bpf/lib/arena.h"
#include "bpf/lib/packet.h"

/* The part of a verdict that both directions share. */
struct verdict_query {
	struct active_generation active;
	__u32 destination_class; /* L4 class */
	__u32 source_index;      /* L4_INDEX of the source port, L4_NONE without one */
};

#define L4_NONE 0xffffffffu

struct verdict {
	__u32 word; /* 0 unless the table was read */
	__u32 set_index;
	__u32 epoch; /* read before the word */
};

static __always_inline struct active_generation
active_generation_get(const struct datapath_state *state)
{
	union {
		__u64 word;
		struct active_generation active;
	} u;

	u.word = *(const volatile __u64 *)&state->active;
	return u.active;
}

static __always_inline __u32
l4_block(__u8 protocol)
{
	switch (protocol) {
	case IPPROTO_TCP:
		return L4_TCP;
	case IPPROTO_UDP:
		return L4_UDP;
	case IPPROTO_SCTP:
		return L4_SCTP;
	case IPPROTO_UDPLITE:
		return L4_UDPLITE;
	case IPPROTO_ICMP:
		return L4_ICMP;
	case PROTOCOL_ICMPV6:
		return L4_ICMPV6;
	default:
		return L4_OTHER;
	}
}

/* L4 class of @index; sets that ignore source ports never ask for theirs. */
static __always_inline enum drop_reason
read_l4_class(struct active_generation active, __u32 index, __u32 *ret)
{
	void *chunk = arena_chunk(ARENA_HANDLE_CHUNK(active.l4_table));
	struct arena_line *line;

	if (!chunk)
		return DROP_BAD_POLICY_SET;
	line = arena_line(chunk, ARENA_HANDLE_LINE(active.l4_table) + index / ARENA_LINE_HALVES);
	if (!line)
		return DROP_BAD_POLICY_SET;
	*ret = line->halves[index % ARENA_LINE_HALVES];
	return DROP_NONE;
}

/* Fills @ret for a flow whose first packet has these fields. */
static __always_inline enum drop_reason
classify_l4(struct active_generation active, __u8 protocol, __be16 source_port,
	    __be16 destination_port, __u8 icmp_type, __u8 icmp_code, struct verdict_query *ret)
{
	__u32 block = l4_block(protocol);
	__u32 index;

	ret->active = active;
	ret->source_index = L4_NONE;
	if (has_icmp_type(protocol)) {
		index = L4_INDEX(block, icmp_type << 8 | icmp_code);
	} else if (block == L4_OTHER) {
		index = L4_INDEX(block, protocol);
	} else {
		index = L4_INDEX(block, bpf_ntohs(destination_port));
		ret->source_index = L4_INDEX(block, bpf_ntohs(source_port));
	}
	return read_l4_class(active, index, &ret->destination_class);
}

/* The verdict of the set that @handle names about a far address of @address_class.
 * Returns DROP_NONE when @ret->word was read, whatever it says.
 */
__noinline int
verdict_read(const struct verdict_query *query, __u32 handle, __u32 address_class,
	     struct verdict *ret)
{
	__u32 first = ARENA_HANDLE_LINE(handle);
	struct policy_set_header *header;
	__u32 row, column, source = 0, index;
	struct arena_line *line;
	__u32 *epoch;
	void *chunk;

	if (!query || !ret)
		return DROP_BAD_POLICY_SET;
	if (!handle)
		return DROP_NO_POLICY_SET;
	chunk = arena_chunk(ARENA_HANDLE_CHUNK(handle));
	if (!chunk)
		return DROP_BAD_POLICY_SET;
	header = (struct policy_set_header *)arena_line(chunk, first);
	if (!header || header->representation != POLICY_SET_DENSE)
		return DROP_BAD_POLICY_SET;
	ret->set_index = header->set_index;
	epoch = bpf_map_lookup_elem(&rs_epochs_v1, &ret->set_index);
	if (!epoch || !ret->set_index)
		return DROP_BAD_POLICY_SET;
	ret->epoch = *(volatile __u32 *)epoch;

	if (address_class >= header->row_capacity ||
	    query->destination_class >= header->column_capacity)
		return DROP_BAD_POLICY_SET;
	line = arena_line(chunk, header->rows + address_class / ARENA_LINE_HALVES);
	if (!line)
		return DROP_BAD_POLICY_SET;
	row = line->halves[address_class % ARENA_LINE_HALVES];
	line = arena_line(chunk, header->columns + query->destination_class / ARENA_LINE_HALVES);
	if (!line)
		return DROP_BAD_POLICY_SET;
	column = line->halves[query->destination_class % ARENA_LINE_HALVES];
	if (header->source_columns) {
		__u32 l4_class = 0; /* of protocols without ports */

		if (query->source_index != L4_NONE &&
		    read_l4_class(query->active, query->source_index, &l4_class))
			return DROP_BAD_POLICY_SET;
		if (l4_class >= header->column_capacity)
			return DROP_BAD_POLICY_SET;
		line = arena_line(chunk, header->source_columns + l4_class / ARENA_LINE_HALVES);
		if (!line)
			return DROP_BAD_POLICY_SET;
		source = line->halves[l4_class % ARENA_LINE_HALVES];
	}
	index = (row * header->source_column_count + source) * header->column_count + column;
	if (index >= header->verdict_count)
		return DROP_BAD_POLICY_SET;
	line = arena_line(chunk, header->verdicts + index / ARENA_LINE_WORDS);
	if (!line)
		return DROP_BAD_POLICY_SET;
	ret->word = line->words[index % ARENA_LINE_WORDS];
	return ret->word ? DROP_NONE : DROP_NO_VERDICT;
}

static __always_inline void
count_hit(__u32 slot, __u32 word, __u32 bytes)
{
	__u32 rule = word & VERDICT_RULE_MASK;
	__u32 chunk = HITS_CHUNK(slot, rule);
	__u32 entry = rule % HITS_CHUNK_RULES;
	struct rule_hits *hits;
	void *inner;

	inner = bpf_map_lookup_elem(&rs_hits_v1, &chunk);
	if (!inner)
		return;
	hits = bpf_map_lookup_elem(inner, &entry);
	if (!hits)
		return;
	hits->packets++;
	hits->bytes += bytes;
	hits->last_hit_ns = bpf_ktime_get_coarse_ns();
}

#endif
