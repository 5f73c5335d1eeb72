/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Lines of the arena (bpf/abi/tables.h). Both reads are inlined by the verifier. */
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

#endif
