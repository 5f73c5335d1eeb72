/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Which part of the arena has chunks, for the agent. To ask for an element of a map of
 * maps by system call waits for a grace period each time before Linux 6.8: seconds for the
 * whole arena. A program may look for nothing.
 */
#include "bpf/lib/arena.h"

static long
arena_used_one(__u32 i, struct arena_range *range)
{
	if (arena_chunk(range->first + i))
		range->used = i + 1;
	return 0;
}

SEC("syscall")
int
arena_used(struct arena_range *context)
{
	struct arena_range range = *context;

	range.used = 0;
	bpf_loop(range.count, arena_used_one, &range, 0);
	context->used = range.used;
	return 0;
}
