/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Reads of the arena (bpf/abi/tables.h). All return NULL for what is not there. */
#ifndef RIPSTOP_BPF_LIB_ARENA_H
#define RIPSTOP_BPF_LIB_ARENA_H

#include "bpf/lib/maps.h"

static __always_inline void *
arena_chunk(__u32 chunk)
{
	return bpf_map_lookup_elem(&rs_arena_v2, &chunk);
}

static __always_inline struct arena_line *
arena_line(void *chunk, __u32 line)
{
	return bpf_map_lookup_elem(chunk, &line);
}

/* Entry @index of the table of halves that begins at @first. */
static __always_inline struct arena_line *
arena_half(void *chunk, __u32 first, __u32 index, __u32 *ret)
{
	struct arena_line *line = arena_line(chunk, first + index / ARENA_LINE_HALVES);

	if (line)
		*ret = line->halves[index % ARENA_LINE_HALVES];
	return line;
}

/* Entry @index of the table of words that begins at @first. */
static __always_inline struct arena_line *
arena_word(void *chunk, __u32 first, __u32 index, __u32 *ret)
{
	struct arena_line *line = arena_line(chunk, first + index / ARENA_LINE_WORDS);

	if (line)
		*ret = line->words[index % ARENA_LINE_WORDS];
	return line;
}

/* The line that @handle names. */
static __always_inline struct arena_line *
arena_at(__u32 handle)
{
	void *chunk = arena_chunk(ARENA_HANDLE_CHUNK(handle));

	return chunk ? arena_line(chunk, ARENA_HANDLE_LINE(handle)) : NULL;
}

#endif
