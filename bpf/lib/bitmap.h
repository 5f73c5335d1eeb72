/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* The first rule in several bitmaps of rules, by the format of bpf/abi/tables.h.
 *
 * A step intersects the summaries of each bitmap, then one word of each: the first word
 * that any rule may be in. Where summaries meet but the words do not, a step has found
 * nothing. The worst case is one step for 64 rules, the usual one a few steps: as many
 * as there are rules whose far condition alone holds before the one that decides.
 */
#ifndef RIPSTOP_BPF_LIB_BITMAP_H
#define RIPSTOP_BPF_LIB_BITMAP_H

#include "bpf/lib/arena.h"

#define BITMAP_SIDES 4

struct bitmap_search {
	__u32 side[BITMAP_SIDES]; /* handles of blocks: far row, column, near row, source column */
	__u32 rule_words;         /* handle of the first verdict word */
	__u32 rule_count;
	__u32 rule;               /* no rule before it decides */
	__u32 block_first;        /* first rule of the blocks */
	__u32 flags;              /* of Log rules met */
	__u32 word;               /* 0 until the search succeeds */
};

#define BITMAP_STOP 1
#define BITMAP_GO_ON 0

/* Word @bit of summary @s, which says that it is stored. */
static __always_inline struct arena_line *
bitmap_word(__u32 handle, const struct bitmap_block *block, __u32 s, __u32 bit, __u64 *words)
{
	__u64 before = block->summary[s] & ((1ull << bit) - 1);
	__u32 at = BITMAP_FIRST_LONG + block->rank[s] + __builtin_popcountll(before);
	struct arena_line *line = arena_at(handle + at / ARENA_LINE_LONGS);

	if (line)
		*words &= line->longs[at % ARENA_LINE_LONGS];
	return line;
}

/* One step of a search of the first @sides bitmaps. */
static __always_inline long
bitmap_step(struct bitmap_search *search, int sides)
{
	struct bitmap_block *block[BITMAP_SIDES], *always = NULL;
	__u32 rule = search->rule, always_handle, s, bit, word;
	__u64 both, summary, rules = 0;
	struct arena_line *line;

	if (rule >= search->rule_count)
		return BITMAP_STOP;
#pragma unroll
	for (int i = 0; i < sides; i++) {
		block[i] = (struct bitmap_block *)arena_at(search->side[i]);
		if (!block[i])
			return BITMAP_STOP;
	}
	if (rule - search->block_first >= BITMAP_BLOCK_RULES) {
#pragma unroll
		for (int i = 0; i < sides; i++)
			search->side[i] = block[i]->next;
		search->block_first += BITMAP_BLOCK_RULES;
		return BITMAP_GO_ON;
	}

	always_handle = block[1]->always;
	if (always_handle) {
		always = (struct bitmap_block *)arena_at(always_handle);
		if (!always)
			return BITMAP_STOP;
	}
	/* The first summary from that of @rule on in which the bitmaps meet. */
	bit = (rule / BITMAP_WORD_RULES) & 255;
	summary = 0;
#pragma unroll
	for (s = 0; s < 4; s++) {
		if (bit >= 64 * (s + 1))
			continue;
		both = block[0]->summary[s] & block[1]->summary[s];
		summary = always ? both | always->summary[s] : both;
#pragma unroll
		for (int i = 2; i < sides; i++)
			summary &= block[i]->summary[s];
		if (bit > 64 * s)
			summary &= ~0ull << (bit & 63);
		if (summary)
			break;
	}
	if (!summary) {
		search->rule = (rule | (BITMAP_BLOCK_RULES - 1)) + 1;
		return BITMAP_GO_ON;
	}
	word = __builtin_ctzll(summary);
	if (both >> word & 1) {
		rules = ~0ull;
		if (!bitmap_word(search->side[0], block[0], s, word, &rules) ||
		    !bitmap_word(search->side[1], block[1], s, word, &rules))
			return BITMAP_STOP;
	}
	if (always && (always->summary[s] >> word & 1)) {
		__u64 more = ~0ull;

		if (!bitmap_word(always_handle, always, s, word, &more))
			return BITMAP_STOP;
		rules |= more;
	}
#pragma unroll
	for (int i = 2; i < sides; i++) {
		if (!bitmap_word(search->side[i], block[i], s, word, &rules))
			return BITMAP_STOP;
	}
	word += 64 * s;
	if (word == bit)
		rules &= ~0ull << (rule & 63);
	rule = (rule & ~(BITMAP_BLOCK_RULES - 1)) | word * BITMAP_WORD_RULES;
	if (!rules) {
		search->rule = rule + BITMAP_WORD_RULES;
		return BITMAP_GO_ON;
	}
	rule |= __builtin_ctzll(rules);
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
	return bitmap_step(search, 2);
}

static long
bitmap_step_four(__u32 step __attribute__((unused)), struct bitmap_search *search)
{
	return bitmap_step(search, BITMAP_SIDES);
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
