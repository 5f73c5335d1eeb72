/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* One verdict from the tables of bpf/abi/tables.h: a few array reads, whatever the
 * policy. Anything that cannot be read denies, with its own reason.
 *
 *   verdict_read ─▶ header ─┬─ dense ───────▶ row, column ─▶ word
 *                           └─ bit vectors ─▶ bitmap_verdict (bitmap.h)
 */
#ifndef RIPSTOP_BPF_LIB_VERDICT_H
#define RIPSTOP_BPF_LIB_VERDICT_H

#include "bpf/lib/address_class.h"
#include "bpf/lib/arena.h"
#include "bpf/lib/bitmap.h"
#include "bpf/lib/packet.h"

/* The part of a verdict that both directions share. */
struct verdict_query {
	struct active_generation active;
	__u32 destination_class; /* L4 class */
	__u32 source_index;      /* L4_INDEX of the source port, L4_NONE without one */
	__u32 near_class;        /* address class of the near address */
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

/* L4 class of the source port; class 0 is of protocols without ports. */
static __always_inline enum drop_reason
read_source_class(const struct verdict_query *query, __u32 *ret)
{
	*ret = 0;
	if (query->source_index == L4_NONE)
		return DROP_NONE;
	return read_l4_class(query->active, query->source_index, ret);
}

/* The verdict word of a dense set. Returns false when it cannot be read. */
static __always_inline int
read_dense(void *chunk, const struct policy_set_header *header, const struct verdict_query *query,
           __u32 address_class, __u32 source_class, __u32 *ret_word)
{
	__u32 index, column, source = 0;
	struct arena_line *line;

	line = arena_half(chunk, header->rows, address_class, &index);
	if (!line)
		return 0;
	if (header->near_rows) {
		__u32 near;

		line = arena_half(chunk, header->near_rows, query->near_class, &near);
		if (!line)
			return 0;
		index = index * header->near_count + near;
	}
	line = arena_half(chunk, header->columns, query->destination_class, &column);
	if (!line)
		return 0;
	if (header->source_columns) {
		line = arena_half(chunk, header->source_columns, source_class, &source);
		if (!line)
			return 0;
	}
	index = (index * header->source_column_count + source) * header->column_count + column;
	if (index >= header->verdict_count)
		return 0;
	return arena_word(chunk, header->verdicts, index, ret_word) != NULL;
}

/* The same of a set of bit vectors. */
static __always_inline int
read_bit_vectors(void *chunk, const struct policy_set_header *header, __u32 set_handle,
                 const struct verdict_query *query, __u32 address_class, __u32 source_class,
                 __u32 *ret_word)
{
	struct bitmap_search search = {};

	search.rule_words = (set_handle & ~0xffffu) | (header->verdicts & 0xffffu);
	search.rule_count = header->verdict_count;
	if (!arena_word(chunk, header->rows, address_class, &search.side[0]) ||
	    !arena_word(chunk, header->columns, query->destination_class, &search.side[1]))
		return 0;
	if (header->near_rows || header->source_columns) {
		/* A side that is not looked at repeats the column, which changes nothing; the
		 * row would take away the rules that need no row.
		 */
		search.side[2] = search.side[3] = search.side[1];
		if (header->near_rows &&
		    !arena_word(chunk, header->near_rows, query->near_class, &search.side[2]))
			return 0;
		if (header->source_columns &&
		    !arena_word(chunk, header->source_columns, source_class, &search.side[3]))
			return 0;
		*ret_word = bitmap_verdict(&search, 1);
	} else {
		*ret_word = bitmap_verdict(&search, 0);
	}
	return 1;
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
	__u32 source_class = 0, set_index;
	__u32 *epoch;
	void *chunk;
	int read;

	if (!query || !ret)
		return DROP_BAD_POLICY_SET;
	if (!handle)
		return DROP_NO_POLICY_SET;
	chunk = arena_chunk(ARENA_HANDLE_CHUNK(handle));
	if (!chunk)
		return DROP_BAD_POLICY_SET;
	header = (struct policy_set_header *)arena_line(chunk, first);
	if (!header)
		return DROP_BAD_POLICY_SET;
	/* A copy: 6.1 takes no map key from memory that a global function was given. */
	set_index = header->set_index;
	ret->set_index = set_index;
	epoch = bpf_map_lookup_elem(&rs_epochs_v1, &set_index);
	if (!epoch || !set_index)
		return DROP_BAD_POLICY_SET;
	ret->epoch = *(volatile __u32 *)epoch;

	if (address_class >= header->row_capacity ||
	    query->destination_class >= header->column_capacity)
		return DROP_BAD_POLICY_SET;
	if (header->source_columns &&
	    (read_source_class(query, &source_class) || source_class >= header->column_capacity))
		return DROP_BAD_POLICY_SET;
	if (header->near_rows && query->near_class >= header->row_capacity)
		return DROP_BAD_POLICY_SET;
	if (header->representation == POLICY_SET_DENSE)
		read = read_dense(chunk, header, query, address_class, source_class, &ret->word);
	else if (header->representation == POLICY_SET_BITVECTOR)
		read = read_bit_vectors(chunk, header, handle, query, address_class, source_class,
		                        &ret->word);
	else
		read = 0;
	if (!read)
		return DROP_BAD_POLICY_SET;
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
