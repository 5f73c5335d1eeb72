/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Policy as tables: the layout that policy/ writes and bpf/lib/verdict.h reads.
 *
 *   addresses[remote]        -> address class     (hash, else cidr_table.h)
 *   l4[protocol, port]       -> L4 class          (array)
 *   set.rows[address class]  -> row               (array)
 *   set.columns[L4 class]    -> column            (array)
 *   set.verdicts[row, column]-> verdict           (array)
 *
 * All arrays live in the *arena*: an array of maps, each inner map a *chunk* of
 * CHUNK_LINES lines of 64 bytes. A handle names a line: chunk << 16 | line. A
 * policy set lives in one chunk, its header first; the header's fields are line
 * numbers in the same chunk. Chunks are of one size, so inner array reads are
 * inlined by the verifier, and the arena grows by adding a chunk.
 *
 * A *generation* is one whole set of these tables, begun empty by each start of
 * the agent in map slots the running one does not use, and put in force by one
 * store to `active`. Inside a generation, a change follows the order of
 * policy/DESIGN.md, so that a reader sees the old or the new verdict, never
 * another.
 *
 * Writer: agent/dataplane. Readers: bpf/lib/verdict.h, policy/table_image.h.
 */
#ifndef RIPSTOP_BPF_ABI_TABLES_H
#define RIPSTOP_BPF_ABI_TABLES_H

#include "bpf/abi/abi.h"

#define ARENA_LINE_BYTES 64
#define ARENA_LINE_WORDS 16
#define ARENA_LINE_HALVES 32
#define ARENA_CHUNK_LINES 65536 /* 4 MiB */
#define ARENA_CHUNKS_MAX 1024
#define ARENA_HANDLE(chunk, line) (((__u32)(chunk) << 16) | (__u32)(line))
#define ARENA_HANDLE_CHUNK(handle) ((handle) >> 16)
#define ARENA_HANDLE_LINE(handle) ((handle)&0xffffu)

/* One line of the arena, seen as words or as halves (host order). */
struct arena_line {
	union {
		__u32 words[ARENA_LINE_WORDS];
		__u16 halves[ARENA_LINE_HALVES];
	};
};
ABI_ASSERT(sizeof(struct arena_line) == ARENA_LINE_BYTES);

/* The word in force: one aligned 64-bit store switches generations. */
struct active_generation {
	__u32 slot;     /* 0 or 1: which inner maps of addresses and rule hits */
	__u32 l4_table; /* handle of the L4 class table, which the roots of cidr_table.h
			 * follow; 0: nothing in force, drop all
			 */
};
ABI_ASSERT(sizeof(struct active_generation) == 8);

/* Where an address's policy is. `ifindex` and the sets are those of a local
 * endpoint. They sit here and not in a map by interface, because this read is
 * made for the class and the spoof check anyway, and because "near" conditions
 * that differ between the addresses of one endpoint then fold into the set.
 */
struct address_value {
	__u32 address_class; /* 0: no predicate matches */
	__u32 ifindex;       /* host-side interface of a local endpoint; else 0 */
	__u32 egress_set;    /* handle; 0 on a local endpoint: deny, DROP_NO_POLICY_SET */
	__u32 ingress_set;
	__u32 flags;         /* ADDRESS_* */
	__u8 mac[6];         /* the endpoint's own, for delivery; zero when remote */
	__u16 reserved;
};
ABI_ASSERT(sizeof(struct address_value) == 28);

enum address_flag {
	ADDRESS_LOCAL_ENDPOINT = 1u << 0, /* an endpoint of this node: has ifindex and sets */
	ADDRESS_THIS_HOST = 1u << 1,      /* an address of this node itself */
	ADDRESS_OTHER_NODE = 1u << 2,     /* an address of another node of the cluster */
	ADDRESS_REMOTE_ENDPOINT = 1u << 3, /* an endpoint of another node */
};

/* The L4 class table: halves, indexed by L4_INDEX. Protocols with ports have
 * 65536 entries each, ICMP and ICMPv6 are indexed by type << 8 | code, and every
 * other protocol has one entry.
 */
enum l4_block {
	L4_TCP = 0,
	L4_UDP = 1,
	L4_SCTP = 2,
	L4_UDPLITE = 3,
	L4_ICMP = 4,
	L4_ICMPV6 = 5,
	L4_OTHER = 6, /* 256 entries, by protocol number */
};
#define L4_INDEX(block, port) (((__u32)(block) << 16) | (__u32)(port))
#define L4_TABLE_ENTRIES (L4_INDEX(L4_OTHER, 256))
#define L4_TABLE_LINES ((L4_TABLE_ENTRIES + ARENA_LINE_HALVES - 1) / ARENA_LINE_HALVES)

/* First line of a policy set. Immutable once an address refers to it, except
 * that rows and columns of classes not yet in use are filled in.
 */
struct policy_set_header {
	__u32 set_index;            /* index into epochs; 0 is never allocated */
	__u32 representation;       /* enum policy_set_representation */
	__u32 rows;                 /* line: halves, row of each address class */
	__u32 row_capacity;         /* address classes the row table has room for */
	__u32 columns;              /* line: halves, column of each L4 class */
	__u32 column_capacity;      /* L4 classes the column tables have room for */
	__u32 source_columns;       /* line: halves, by L4 class of the source port; 0: unused */
	__u32 column_count;         /* columns of one row and source column */
	__u32 source_column_count;  /* 1 when source_columns is 0 */
	__u32 verdicts;             /* line: words, [(row * source_column_count + source_column)
				     * column_count + column] */
	__u32 verdict_count;        /* dense: row count * source_column_count * column_count */
	__u32 reserved[5];
};
ABI_ASSERT(sizeof(struct policy_set_header) == ARENA_LINE_BYTES);

enum policy_set_representation {
	POLICY_SET_DENSE = 1,
	/* 2 is kept for aggregated bit vectors. */
};

/* A verdict word. 0 was never written: deny, DROP_NO_VERDICT. */
#define VERDICT_ALLOW (1u << 31)
#define VERDICT_LOG (1u << 30)
#define VERDICT_NEXT_GROUP (1u << 29) /* a host endpoint's group leaves it to the next; without ALLOW */
#define VERDICT_RULE_MASK 0x00ffffffu /* rule id; 0 is never allocated */

/* What a rule decided so far on one CPU; index: rule id. */
struct rule_hits {
	__u64 packets;
	__u64 bytes;
	__u64 last_hit_ns; /* CLOCK_MONOTONIC, coarse */
};
ABI_ASSERT(sizeof(struct rule_hits) == 24);

/* Hits live in chunks of one size, so that the table grows by adding a chunk
 * (no counter is lost or copied) and reads stay inlined.
 * Outer index: HITS_CHUNK(slot, rule id); inner index: rule id % HITS_CHUNK_RULES.
 */
#define HITS_CHUNK_RULES 4096u
#define HITS_CHUNKS_PER_SLOT ((VERDICT_RULE_MASK + 1u) / HITS_CHUNK_RULES)
#define HITS_CHUNK(slot, rule) ((slot) * HITS_CHUNKS_PER_SLOT + (rule) / HITS_CHUNK_RULES)

#define EPOCHS_MAX 65536 /* policy sets alive at once; set_index is below it */

#endif
