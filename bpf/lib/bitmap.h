/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* The first rule in several bitmaps of rules, by the format of bpf/abi/tables.h.
 *
 * A step intersects the summaries of each bitmap, then the first words of each that any
 * rule may be in. Where summaries meet but the words do not, a try has found nothing. The
 * worst case is one try for 64 rules, the usual one a few: as many as there are rules
 * whose far condition alone holds before the one that decides.
 */
#ifndef RIPSTOP_BPF_LIB_BITMAP_H
#define RIPSTOP_BPF_LIB_BITMAP_H

#include "bpf/lib/arena.h"

#define BITMAP_SIDES 4

struct bitmap_search {
	__u32 side[BITMAP_SIDES]; /* handles of blocks: far row, column, near row, source column */
	__u32 rule_words;         /* handle of the first verdict word */
	__u32 rule_count;
	__u32 rule;        /* no rule before it decides */
	__u32 block_first; /* first rule of the blocks */
	__u32 flags;       /* of Log rules met */
	__u32 word;        /* 0 until the search succeeds */
};

#define BITMAP_STOP 1
#define BITMAP_GO_ON 0

/* A block in the chunk that it lies in, all of it. */
struct bitmap_side {
	void *chunk;
	struct bitmap_block *block; /* NULL: there is none */
};

static __always_inline struct bitmap_block *
bitmap_open(__u32 handle, struct bitmap_side *ret)
{
	ret->block = NULL;
	ret->chunk = arena_chunk(ARENA_HANDLE_CHUNK(handle));
	if (ret->chunk)
		ret->block =
		    (struct bitmap_block *)arena_line(ret->chunk, ARENA_HANDLE_LINE(handle));
	return ret->block;
}

/* The word that bit @low of summary @s says is stored. Not by the number of the bit, which
 * takes as long to find as the count of those before it. With more than two sides there is
 * no stack for their chunks (6.1 counts the frames of all calls).
 */
static __always_inline struct arena_line *
bitmap_word(const struct bitmap_side *side, int sides, __u32 handle, __u32 s, __u64 low,
            __u64 *words)
{
	__u64 before = side->block->summary[s] & (low - 1);
	__u32 at = BITMAP_FIRST_LONG + side->block->rank[s] + __builtin_popcountll(before);
	struct arena_line *line;

	handle += at / ARENA_LINE_LONGS;
	line = sides > 2 ? arena_at(handle) : arena_line(side->chunk, ARENA_HANDLE_LINE(handle));
	if (line)
		*words &= line->longs[at % ARENA_LINE_LONGS];
	return line;
}

/* One step of a search of the first @sides bitmaps: all summaries of a block, of each the
 * first @tries words from @search->rule on in which the bitmaps meet.
 */
static __always_inline long
bitmap_step(struct bitmap_search *search, int sides, int tries)
{
	struct bitmap_side side[BITMAP_SIDES], always = {};
	__u64 both, summary, low = 0, first, more, rules;
	__u32 rule = search->rule, s, bit, word;
	struct arena_line *line;

	if (rule >= search->rule_count)
		return BITMAP_STOP;
#pragma unroll
	for (int i = 0; i < sides; i++) {
		if (!bitmap_open(search->side[i], &side[i]))
			return BITMAP_STOP;
	}
	if (rule - search->block_first >= BITMAP_BLOCK_RULES) {
#pragma unroll
		for (int i = 0; i < sides; i++)
			search->side[i] = side[i].block->next;
		search->block_first += BITMAP_BLOCK_RULES;
		return BITMAP_GO_ON;
	}

	if (side[1].block->always && !bitmap_open(side[1].block->always, &always))
		return BITMAP_STOP;
	bit = (rule / BITMAP_WORD_RULES) & 255;
	rules = 0;
#pragma unroll
	for (s = 0; s < 4; s++) {
		if (bit >= 64 * (s + 1))
			continue;
		both = side[0].block->summary[s] & side[1].block->summary[s];
		summary = always.block ? both | always.block->summary[s] : both;
#pragma unroll
		for (int i = 2; i < sides; i++)
			summary &= side[i].block->summary[s];
		first = 0;
		if (bit >= 64 * s) {
			first = 1ull << (bit & 63);
			summary &= -first;
		}
#pragma unroll
		for (int i = 0; i < tries && summary; i++) {
			low = summary & -summary;
			if (both & low) {
				rules = ~0ull;
				if (!bitmap_word(&side[0], sides, search->side[0], s, low,
				                 &rules) ||
				    !bitmap_word(&side[1], sides, search->side[1], s, low, &rules))
					return BITMAP_STOP;
			}
			if (always.block && (always.block->summary[s] & low)) {
				more = ~0ull;
				if (!bitmap_word(&always, sides, side[1].block->always, s, low,
				                 &more))
					return BITMAP_STOP;
				rules |= more;
			}
#pragma unroll
			for (int j = 2; j < sides; j++) {
				if (!bitmap_word(&side[j], sides, search->side[j], s, low, &rules))
					return BITMAP_STOP;
			}
			/* The word of @rule is looked at from @rule on. */
			if (i == 0 && low == first)
				rules &= ~0ull << (rule & 63);
			if (rules)
				goto found;
			summary &= ~low;
		}
		if (summary) {
			search->rule = search->block_first + s * BITMAP_SUMMARY_RULES +
			               __builtin_ctzll(summary) * BITMAP_WORD_RULES;
			return BITMAP_GO_ON;
		}
	}
	search->rule = search->block_first + BITMAP_BLOCK_RULES;
	return BITMAP_GO_ON;
found:
	rule = search->block_first + s * BITMAP_SUMMARY_RULES +
	       __builtin_ctzll(low) * BITMAP_WORD_RULES + __builtin_ctzll(rules);
	line = arena_at(search->rule_words + rule / ARENA_LINE_WORDS);
	if (!line)
		return BITMAP_STOP;
	word = line->words[rule % ARENA_LINE_WORDS];
	if (word & VERDICT_JUMP) {
		search->flags |= word & VERDICT_LOG;
		word &= VERDICT_RULE_MASK;
		search->rule = word;
		return word > rule ? BITMAP_GO_ON : BITMAP_STOP;
	}
	search->word = word ? word | search->flags : 0;
	return BITMAP_STOP;
}

static long
bitmap_step_two(__u32 step __attribute__((unused)), struct bitmap_search *search)
{
	return bitmap_step(search, 2, 2);
}

static long
bitmap_step_four(__u32 step __attribute__((unused)), struct bitmap_search *search)
{
	return bitmap_step(search, BITMAP_SIDES, 1);
}

/* The verdict word of the first rule in all bitmaps of @search; 0: none, or something
 * could not be read. Most sets look at two sides, and those do not pay for four.
 */
static __always_inline __u32
bitmap_verdict(struct bitmap_search *search, int four_sides)
{
	if (four_sides)
		bpf_loop(BITMAP_STEPS_MAX, bitmap_step_four, search, 0);
	else
		bpf_loop(BITMAP_STEPS_MAX, bitmap_step_two, search, 0);
	return search->word;
}

#endif
