/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Longest prefix to address class: a trie in the arena, for addresses that have no
 * entry of their own in rs_addresses_v2.
 *
 *   root: 65536 entries, by the first 16 bits of the family's address
 *     entry ─▶ leaf: an address class
 *          └─▶ node: 16 entries, by 4 bits further on ─▶ ...
 *
 * Shorter prefixes are written into all that they cover, so the walk ends at one leaf
 * and nothing is carried along. A node says at which 4 bits of the 128-bit form it
 * looks; when that is not where the walk stands, the bits between are those of every
 * prefix below it, and its second line says which: an address that has others gets
 * the leaf `otherwise`. So depth follows the prefixes that share their first bits and
 * not their length: an IPv4 walk reads a root and 4 nodes at most, an IPv6 walk a root
 * and 28, and 10,000 random prefixes need a few.
 *
 * Each address is decided by one word, so one aligned 32-bit store moves it. What a
 * stored entry names was written before; it is reused after a grace period.
 *
 * Writer: policy/tables/cidr_table.cc. Readers: bpf/lib/address_class.h,
 * policy/tables/cidr_lookup.h.
 */
#ifndef RIPSTOP_BPF_ABI_CIDR_TABLE_H
#define RIPSTOP_BPF_ABI_CIDR_TABLE_H

#include "bpf/abi/tables.h"

/* An entry: bit 31 clear is a leaf, else position of the node << 26 | its handle. */
#define CIDR_NODE (1u << 31)
#define CIDR_POSITION_SHIFT 26
#define CIDR_POSITION_MASK 31u
#define CIDR_HANDLE_MASK ((1u << CIDR_POSITION_SHIFT) - 1)
ABI_ASSERT(ARENA_HANDLE(ARENA_CHUNKS_MAX - 1, 0xffff) == CIDR_HANDLE_MASK);

/* The leaf where the arena had no room for a prefix, and the answer of a walk that
 * could not be made: no class has these numbers, so no set has a row: deny.
 */
#define CIDR_NO_ROOM (CIDR_NODE - 1)
#define CIDR_UNREADABLE (CIDR_NODE - 2)

/* Positions count 4 bits each from the start of the 128-bit form. */
#define CIDR_POSITIONS 32
#define CIDR_FIRST_POSITION_V4 28 /* after 96 bits of ::ffff:0:0/96 and the root's 16 */
#define CIDR_FIRST_POSITION_V6 4
#define CIDR_NODE_ENTRIES 16
#define CIDR_NODE_LINES 2 /* the entries, then struct cidr_path */
ABI_ASSERT(CIDR_NODE_ENTRIES == ARENA_LINE_WORDS);

/* The bits of every address before the node's position; those after are zero. */
struct cidr_path {
	__u64 bits[2]; /* address bytes as they lie in memory */
	__u64 mask[2];
	__u32 otherwise;
	__u32 reserved[7];
};
ABI_ASSERT(sizeof(struct cidr_path) == ARENA_LINE_BYTES);

/* Both roots follow the L4 class table, so that `active_generation` names them too. */
#define CIDR_ROOT_BITS 16
#define CIDR_ROOT_ENTRIES (1u << CIDR_ROOT_BITS)
#define CIDR_ROOT_LINES (CIDR_ROOT_ENTRIES / ARENA_LINE_WORDS)
#define CIDR_ROOT_LINE_V4 L4_TABLE_LINES
#define CIDR_ROOT_LINE_V6 (CIDR_ROOT_LINE_V4 + CIDR_ROOT_LINES)
#define GENERATION_LINES (CIDR_ROOT_LINE_V6 + CIDR_ROOT_LINES)

#endif
