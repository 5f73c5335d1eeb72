/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Policy as tables: the layout that policy/ writes and bpf/lib/verdict.h reads.
 *
 *   addresses[remote]        -> address class     (hash, else cidr_table.h)
 *   l4[protocol, port]       -> L4 class          (array)
 *   set.rows[address class]  -> row, or a bitmap of rules   (array)
 *   set.columns[L4 class]    -> column, or a bitmap         (array)
 *   set.verdicts[row, column]-> verdict; or first rule in both bitmaps -> verdict
 *
 * All arrays live in the *arena*: an array of maps, each inner map a *chunk* of
 * CHUNK_LINES lines of 64 bytes. A handle names a line: chunk << 16 | line. A
 * policy set lives in one chunk, its header first; the header's fields are line
 * numbers in the same chunk. Only bitmaps may lie in other chunks. Chunks are of one
 * size, so inner array reads are inlined by the verifier, and the arena grows by
 * adding a chunk.
 *
 * A *generation* is one whole set of these tables, begun empty by each start of
 * the agent in map slots the running one does not use, and put in force by one
 * store to `active`. Inside a generation, a change follows the order of
 * policy/DESIGN.md, so that a reader sees the old or the new verdict, never
 * another.
 *
 * Writer: bpf/loader. Readers: bpf/lib/verdict.h, policy/tables/table_image.h.
 */
#ifndef RIPSTOP_BPF_ABI_TABLES_H
#define RIPSTOP_BPF_ABI_TABLES_H

#include "bpf/abi/abi.h"

#define ARENA_LINE_BYTES 64
#define ARENA_LINE_WORDS 16
#define ARENA_LINE_HALVES 32
#define ARENA_LINE_LONGS 8
#define ARENA_CHUNK_LINES 65536 /* 4 MiB */
#define ARENA_CHUNKS_MAX 1024
#define ARENA_HANDLE(chunk, line) (((__u32)(chunk) << 16) | (__u32)(line))
#define ARENA_HANDLE_CHUNK(handle) ((handle) >> 16)
#define ARENA_HANDLE_LINE(handle) ((handle) & 0xffffu)

/* One line of the arena, seen as words or as halves (host order). */
struct arena_line {
	union {
		__u32 words[ARENA_LINE_WORDS];
		__u16 halves[ARENA_LINE_HALVES];
		__u64 longs[ARENA_LINE_LONGS];
	};
};
ABI_ASSERT(sizeof(struct arena_line) == ARENA_LINE_BYTES);

/* Context of the arena_used program (SEC("syscall")). */
struct arena_range {
	__u32 first; /* chunk */
	__u32 count;
	__u32 used; /* out: from the first chunk to the last one that is there */
};
ABI_ASSERT(sizeof(struct arena_range) == 12);

/* The word in force: one aligned 64-bit store switches generations. */
struct active_generation {
	__u32 slot;     /* 0 or 1: which inner maps of addresses and rule hits */
	__u32 l4_table; /* handle of the L4 class table, which the roots of cidr_table.h
	                 * follow; 0: nothing in force, drop all
	                 */
};
ABI_ASSERT(sizeof(struct active_generation) == 8);

/* Whose value it is. */
struct address_key {
	struct ip_address address;
	__u8 network[3]; /* as in flow_key */
	__u8 reserved;
};
ABI_ASSERT(sizeof(struct address_key) == 20);

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
	__u32 flags;  /* ADDRESS_* */
	__u8 mac[6];  /* the endpoint's own, for delivery; zero when remote */
	__u16 number; /* of a local address, in marks (abi/marks.h); 0: none */
};
ABI_ASSERT(sizeof(struct address_value) == 28);

enum address_flag {
	ADDRESS_LOCAL_ENDPOINT = 1u << 0,  /* an endpoint of this node: has ifindex and sets */
	ADDRESS_THIS_HOST = 1u << 1,       /* an address of this node itself */
	ADDRESS_OTHER_NODE = 1u << 2,      /* an address of another node of the cluster */
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
 *
 * A dense set has a verdict for each row and column; its row and column tables hold
 * numbers of them, as halves. A set of bit vectors has a verdict for each rule, and its
 * tables hold handles of bitmaps of rules, as words: the first rule in all bitmaps of a
 * packet decides.
 */
struct policy_set_header {
	__u32 set_index;           /* index into epochs; 0 is never allocated */
	__u32 representation;      /* enum policy_set_representation */
	__u32 rows;                /* line: row of each address class, of the far address */
	__u32 row_capacity;        /* address classes the row tables have room for */
	__u32 columns;             /* line: column of each L4 class */
	__u32 column_capacity;     /* L4 classes the column tables have room for */
	__u32 source_columns;      /* line: column by L4 class of the source port; 0: unused */
	__u32 column_count;        /* dense: columns of one row, near row and source column */
	__u32 source_column_count; /* dense: 1 when source_columns is 0 */
	__u32 verdicts;            /* line: words. Dense: [((row * near_count + near) *
	                            * source_column_count + source_column) * column_count
	                            * + column]. Bit vectors: by rule. */
	__u32 verdict_count;       /* words in verdicts */
	__u32 near_rows;           /* line: row by class of the near address; 0: unused */
	__u32 near_count;          /* dense: 1 when near_rows is 0 */
	__u32 reserved[3];
};
ABI_ASSERT(sizeof(struct policy_set_header) == ARENA_LINE_BYTES);

enum policy_set_representation {
	POLICY_SET_DENSE = 1,
	POLICY_SET_BITVECTOR = 2,
};

#define BITMAP_WORD_RULES 64u
#define BITMAP_SUMMARY_RULES 4096u
#define BITMAP_BLOCK_RULES 16384u
#define BITMAP_FIRST_LONG 6u /* where the words of a block begin, in longs */
#define BITMAP_RULES_MAX (16u * BITMAP_BLOCK_RULES)
/* Bound of a search: each step leaves a word, a summary, a block or a jump behind. */
#define BITMAP_STEPS_MAX (2u * BITMAP_RULES_MAX)

/* A bitmap of rules, aggregated (Baboescu and Varghese, SIGCOMM 2001): only words that
 * are not zero are stored, and a summary says which those are.
 *
 *   bitmap ─▶ block of rules 0..16383 ─next─▶ block of the next 16,384 ─▶ …
 *
 * A block is as many lines in a row as its words need; here is the first. Bit b of
 * summary[s] says that word 64 * s + b is stored, bit c of which is rule
 * 4096 * s + 64 * b + c of the block. Equal blocks are one.
 *
 * Rules for any far address would be in every row, and meet some rule of the column in
 * every word, though hardly ever the same rule. So where there are many, rows are without
 * them, and each block of a column names a block of those of its rules which need no row:
 * rules = far & column | always.
 */
struct bitmap_block {
	__u64 summary[4];
	__u16 rank[4];  /* words stored before those of summary[s] */
	__u32 next;     /* handle; 0 in the last block */
	__u32 always;   /* handle, in columns; 0: none */
	__u64 words[2]; /* the first of them; they go on in the next line */
};
ABI_ASSERT(sizeof(struct bitmap_block) == ARENA_LINE_BYTES);
ABI_ASSERT(offsetof(struct bitmap_block, words) == BITMAP_FIRST_LONG * sizeof(__u64));

/* A verdict word. 0 was never written: deny, DROP_NO_VERDICT. */
#define VERDICT_ALLOW (1u << 31)
#define VERDICT_LOG (1u << 30)
#define VERDICT_NEXT_GROUP                                                                         \
	(1u << 29) /* a host endpoint's group leaves it to the next; without ALLOW */
#define VERDICT_RULE_MASK 0x00ffffffu /* rule id; 0 is never allocated */

/* In the verdicts of bit vectors only: not a verdict, go on at the rule whose number is
 * in VERDICT_RULE_MASK, a later one. VERDICT_LOG with it stays set from there on.
 */
#define VERDICT_JUMP (1u << 28)

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
