/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* How flows begin and end, and on whose account they are (abi/flows.h).
 *
 *   flow_insert ─▶ half open ─flow_opened─▶ open
 *                      └────────flow_kill──────┴──▶ dead ─▶ not in the table
 */
#ifndef RIPSTOP_BPF_LIB_FLOW_LIFE_H
#define RIPSTOP_BPF_LIB_FLOW_LIFE_H

#include "bpf/abi/drops.h"
#include "bpf/lib/flow.h"

static __always_inline __u64
flow_life(const struct flow_value *flow)
{
	return *(const volatile __u64 *)&flow->life;
}

static __always_inline struct flow_account *
account_of(__u64 life)
{
	__u32 index = FLOW_LIFE_ACCOUNT(life);

	return bpf_map_lookup_elem(&rs_accounts_v1, &index);
}

static __always_inline void
account_add(__u64 life, __u64 counts)
{
	struct flow_account *account = account_of(life);

	if (account)
		__sync_fetch_and_add(&account->counts, counts);
}

/* Whether this was the one that took the flow of @life to @state. */
static __always_inline int
flow_change(struct flow_value *flow, __u64 life, enum flow_state state)
{
	__u64 next = (life & ~0xffull) | state;

	return __sync_val_compare_and_swap(&flow->life, life, next) == life;
}

/* Whoever began it has been answered. */
static __always_inline void
flow_opened(struct flow_value *flow, __u64 life)
{
	if (FLOW_LIFE_STATE(life) == FLOW_HALF_OPEN && flow_change(flow, life, FLOW_OPEN))
		account_add(life, -FLOW_COUNT_HALF_OPEN);
}

/* Takes the flow of @life out of the table, unless somebody else does or it has become another
 * one. Returns whether it did.
 */
static __always_inline int
flow_kill(const struct flow_key *key, struct flow_value *flow, __u64 life)
{
	__u32 state = FLOW_LIFE_STATE(life);

	if ((state != FLOW_HALF_OPEN && state != FLOW_OPEN) || !flow_change(flow, life, FLOW_DEAD))
		return 0;
	account_add(life, state == FLOW_HALF_OPEN ? -(FLOW_COUNT_HALF_OPEN + 1) : -1ull);
	bpf_map_delete_elem(&rs_flows_v2, key);
	return 1;
}

/* The place of the account's @nth flow among its latest. */
static __always_inline struct flow_key *
latest_place(__u32 account, __u32 nth)
{
	__u32 index = account * FLOW_HALF_OPEN_RING + nth % FLOW_HALF_OPEN_RING;

	return bpf_map_lookup_elem(&rs_half_open_v1, &index);
}

/* Gives up the oldest that is still half open of the account's latest flows, @limit of them at
 * most, before the @nth. @room: for its key, which another CPU may overwrite in its place.
 * Returns whether there was one.
 */
static __always_inline int
evict_half_open(__u32 account, __u32 nth, __u32 limit, struct flow_key *room)
{
	__u32 first = nth - (limit < FLOW_HALF_OPEN_RING ? limit : FLOW_HALF_OPEN_RING);

	for (int i = 0; i < FLOW_EVICTION_TRIES; i++) {
		const struct flow_key *place = latest_place(account, first + i);
		struct flow_value *flow;
		__u64 life;

		if (!place)
			return 0;
		*room = *place;
		flow = bpf_map_lookup_elem(&rs_flows_v2, room);
		if (!flow)
			continue;
		life = flow_life(flow);
		if (FLOW_LIFE_STATE(life) == FLOW_HALF_OPEN && FLOW_LIFE_ACCOUNT(life) == account &&
		    flow_kill(room, flow, life))
			return 1;
	}
	return 0;
}

/* How many flows may be on @account. That of the addresses without number is many pods'. */
static __always_inline __u32
account_room(__u32 account, __u32 one)
{
	return account < 2 && one < 0x40000000 ? 4 * one : one;
}

/* Puts the new flow, on @account, into the table. @room: for a key. */
static __always_inline enum drop_reason
flow_insert(const struct flow_key *key, struct flow_value *value, __u32 account,
            struct flow_key *room, const struct datapath_state *state)
{
	struct flow_account *counted = bpf_map_lookup_elem(&rs_accounts_v1, &account);
	__u32 limit = account_room(account, state->account_half_open);
	enum drop_reason reason = DROP_NONE;
	struct flow_key *place;
	__u64 before;
	__u32 nth;

	if (!counted)
		return DROP_FLOW_TABLE_FULL;
	before = __sync_fetch_and_add(&counted->counts, FLOW_COUNT_HALF_OPEN + 1);
	nth = __sync_fetch_and_add(&counted->begun, 1);
	if ((__s32)(before >> 32) >= (__s32)limit) {
		if (evict_half_open(account, nth, limit, room))
			__sync_fetch_and_add(&counted->evicted, 1);
		else
			reason = DROP_POD_HALF_OPEN;
	} else if ((__s32)before >= (__s32)account_room(account, state->account_flows)) {
		reason = DROP_POD_FLOWS;
	}
	value->life = FLOW_LIFE(FLOW_HALF_OPEN, account, nth);
	if (!reason && bpf_map_update_elem(&rs_flows_v2, key, value, BPF_NOEXIST)) {
		count_lost(LOST_FLOW_ROOM);
		reason = DROP_FLOW_TABLE_FULL;
	}
	if (reason) {
		__sync_fetch_and_add(&counted->counts, -(FLOW_COUNT_HALF_OPEN + 1));
		return reason;
	}
	place = latest_place(account, nth);
	if (place)
		*place = *key;
	return DROP_NONE;
}

#endif
