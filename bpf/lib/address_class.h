/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* What is known of an address: its own entry in a hash, else the class of the longest
 * prefix that contains it, from the trie of bpf/abi/cidr_table.h.
 */
#ifndef RIPSTOP_BPF_LIB_ADDRESS_CLASS_H
#define RIPSTOP_BPF_LIB_ADDRESS_CLASS_H

#include "bpf/abi/cidr_table.h"
#include "bpf/lib/arena.h"
#include "bpf/lib/packet.h"

#define NOT_IN_HASH 0xffffu /* as address_value.number */

/* Copies at once what is known of @address; zeros when nothing is. A copy, because
 * the kernel may give a deleted element to another key while a program holds it. @key: room for
 * the key, whose network is the caller's to say.
 */
static __always_inline enum drop_reason
lookup_address(__u32 slot, struct address_key *key, const struct ip_address *address,
               struct address_value *ret)
{
	void *inner = bpf_map_lookup_elem(&rs_addresses_v2, &slot);
	struct address_value *value;

	__builtin_memset(ret, 0, sizeof(*ret));
	if (!inner)
		return DROP_NO_GENERATION;
	key->address = *address;
	value = bpf_map_lookup_elem(inner, key);
	if (value)
		*ret = *value;
	else
		ret->number = NOT_IN_HASH; /* class by CIDR, if asked */
	return DROP_NONE;
}

/* Whether @address has the bits that all prefixes below the node share. */
static __always_inline int
cidr_path_leads(const struct cidr_path *path, const __u64 *address)
{
	return !(((address[0] ^ path->bits[0]) & path->mask[0]) |
	         ((address[1] ^ path->bits[1]) & path->mask[1]));
}

/* Class of @address by the longest prefix that contains it; 0 when none does, and
 * CIDR_NO_ROOM or CIDR_UNREADABLE, which no set has a row for, when it cannot be told.
 *
 * The counter has 64 bits because clang would put one of 32 bits beside a map key in
 * one slot of the stack, where the verifier (6.18 too) does not follow its value.
 */
__noinline __u32
cidr_class(const struct ip_address *address, __u32 l4_table)
{
	__u32 first, index, entry, expected, position, handle;
	const struct cidr_path *path;
	struct arena_line *line;
	__u64 halves[2];
	void *chunk;

	if (!address)
		return CIDR_UNREADABLE;
	__builtin_memcpy(halves, address, sizeof(halves));
	if (address_is_mapped(address)) {
		index = bpf_ntohl(address->words[3]) >> (32 - CIDR_ROOT_BITS);
		first = CIDR_ROOT_LINE_V4;
		expected = CIDR_FIRST_POSITION_V4;
	} else {
		index = bpf_ntohl(address->words[0]) >> (32 - CIDR_ROOT_BITS);
		first = CIDR_ROOT_LINE_V6;
		expected = CIDR_FIRST_POSITION_V6;
	}
	chunk = arena_chunk(ARENA_HANDLE_CHUNK(l4_table));
	if (!chunk)
		return CIDR_UNREADABLE;
	line = arena_line(chunk, ARENA_HANDLE_LINE(l4_table) + first + index / ARENA_LINE_WORDS);
	if (!line)
		return CIDR_UNREADABLE;
	entry = *(volatile __u32 *)&line->words[index % ARENA_LINE_WORDS];
	for (__u64 left = CIDR_POSITIONS - CIDR_FIRST_POSITION_V6; entry & CIDR_NODE; left--) {
		if (!left)
			return CIDR_UNREADABLE;
		position = entry >> CIDR_POSITION_SHIFT & CIDR_POSITION_MASK;
		handle = entry & CIDR_HANDLE_MASK;
		chunk = arena_chunk(ARENA_HANDLE_CHUNK(handle));
		if (!chunk)
			return CIDR_UNREADABLE;
		index = ((const __u8 *)address)[position / 2];
		index = index >> (~position % 2 * 4) & 15;
		line = arena_line(chunk, ARENA_HANDLE_LINE(handle));
		if (!line)
			return CIDR_UNREADABLE;
		entry = *(volatile __u32 *)&line->words[index];
		if (position != expected) {
			line = arena_line(chunk, ARENA_HANDLE_LINE(handle) + 1);
			if (!line)
				return CIDR_UNREADABLE;
			path = (const struct cidr_path *)line;
			if (!cidr_path_leads(path, halves))
				return *(const volatile __u32 *)&path->otherwise;
		}
		expected = position + 1;
	}
	return entry;
}

/* Address class of @address, whose hash entry is @value. */
static __always_inline __u32
class_of(struct active_generation active, const struct ip_address *address,
         const struct address_value *value)
{
	return value->number == NOT_IN_HASH ? cidr_class(address, active.l4_table)
	                                    : value->address_class;
}

#endif
