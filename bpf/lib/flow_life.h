/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* How flows begin and end, and on whose account they are (abi/flows.h).
 *
 *   flow_insert ─▶ half open ─flow_opened─▶ open
 *                      └────────flow_kill──────┴──▶ dead ─▶ not in the table
 */
#ifndef RIPSTOP_BPF_LIB_FLOW_LIFE_H
#define RIPSTOP_BPF_LIB_FLOW_LIFE_H

#include <asm-generic/errno-base.h>

#include "bpf/abi/drops.h"
#include "bpf/lib/flow.h"
#include "bpf/lib/masquerade_entry.h"

static __always_inline __u64
flow_life(const struct flow_value *flow)
{
	return *(const volatile __u64 *)&flow->life;
}

static __always_inline struct flow_account *
account_of(__u64 life)
{
	__u32 index = FLOW_LIFE_ACCOUNT(life);

	return bpf_map_lookup_elem(&rs_accounts_v2, &index);
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
flow_change(struct flow_value *flow, __u64 life, __u32 state)
{
	__u64 next = (life & ~0xffull) | state;

	return __sync_val_compare_and_swap(&flow->life, life, next) == life;
}

/* Whoever began it has been answered. */
static __always_inline void
flow_opened(struct flow_value *flow, __u64 life)
{
	if (((__u32)life & 0xff) == FLOW_HALF_OPEN && flow_change(flow, life, FLOW_OPEN))
		account_add(life, -FLOW_COUNT_HALF_OPEN);
}

/* Whether what the table has under @key is the flow that now has @life, and not a later one of
 * that key or of that memory.
 */
static __always_inline int
flow_is_there(const struct flow_key *key, __u64 life)
{
	const struct flow_value *flow = bpf_map_lookup_elem(&rs_flows_v3, key);

	return flow && flow_life(flow) == life;
}

/* Takes the flow of @life, as it was when it was looked up, out of the table, unless somebody
 * else does or it has become another one. Returns whether it did. The delete may fail, where a
 * lock of the map is held below this program. @room: for the key of what the flow has claimed.
 */
static __always_inline int
flow_kill(const struct flow_key *key, struct flow_value *flow, __u64 life,
          struct masquerade_key *room)
{
	__u64 dead = (life & ~0xffull) | FLOW_DEAD;
	__u32 state = (__u32)life & 0xff;
	int masqueraded;

	if ((state != FLOW_HALF_OPEN && state != FLOW_OPEN) || !flow_change(flow, life, FLOW_DEAD))
		return 0;
	masqueraded = flow->translation.kind == TRANSLATION_MASQUERADED;
	if (masqueraded)
		masquerade_key_of(key, flow, room);
	if (!flow_is_there(key, dead) || bpf_map_delete_elem(&rs_flows_v3, key)) {
		__sync_val_compare_and_swap(&flow->life, dead, life);
		return 0;
	}
	/* After the flow: it would go on without. */
	if (masqueraded)
		masquerade_release(room, MASQUERADE_LIFE(life));
	account_add(life, state == FLOW_HALF_OPEN ? -(FLOW_COUNT_HALF_OPEN + 1) : -1ull);
	return 1;
}

/* Nobody else changes the flow of @life until it is let go. Returns whether it is held. */
static __always_inline int
flow_hold(const struct flow_key *key, struct flow_value *flow, __u64 life)
{
	__u32 state = (__u32)life & 0xff;

	if ((state != FLOW_HALF_OPEN && state != FLOW_OPEN) ||
	    !flow_change(flow, life, state | FLOW_HELD))
		return 0;
	if (flow_is_there(key, life | FLOW_HELD))
		return 1;
	__sync_val_compare_and_swap(&flow->life, life | FLOW_HELD, life);
	return 0;
}

static __always_inline void
flow_let_go(struct flow_value *flow, __u64 life)
{
	__sync_val_compare_and_swap(&flow->life, life | FLOW_HELD, life);
}

/* The place of the account's @nth flow among its latest. */
static __always_inline struct flow_key *
latest_place(__u32 account, __u32 nth)
{
	__u32 index = account * FLOW_HALF_OPEN_RING + nth % FLOW_HALF_OPEN_RING;

	return bpf_map_lookup_elem(&rs_half_open_v1, &index);
}

/* Gives up the oldest that is still half open of the account's latest flows, @limit of them at
 * most, before the @nth. @room: for its key, which another CPU may overwrite in its place;
 * @claimed: for that of flow_kill.
 * Returns whether there was one.
 */
static __always_inline int
evict_half_open(__u32 account, __u32 nth, __u32 limit, struct flow_key *room,
                struct masquerade_key *claimed)
{
	__u32 first = nth - (limit < FLOW_HALF_OPEN_RING ? limit : FLOW_HALF_OPEN_RING);

	for (int i = 0; i < FLOW_EVICTION_TRIES; i++) {
		const struct flow_key *place = latest_place(account, first + i);
		struct flow_value *flow;
		__u64 life;

		if (!place)
			return 0;
		*room = *place;
		flow = bpf_map_lookup_elem(&rs_flows_v3, room);
		if (!flow)
			continue;
		life = flow_life(flow);
		if (FLOW_LIFE_STATE(life) == FLOW_HALF_OPEN && FLOW_LIFE_ACCOUNT(life) == account &&
		    flow_kill(room, flow, life, claimed))
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

/* Puts the new flow, on @account, into the table. @room, @claimed: for keys. */
static __always_inline enum drop_reason
flow_insert(const struct flow_key *key, struct flow_value *value, __u32 account,
            struct flow_key *room, struct masquerade_key *claimed,
            const struct datapath_state *state)
{
	struct flow_account *counted = bpf_map_lookup_elem(&rs_accounts_v2, &account);
	__u32 limit = account_room(account, state->account_half_open);
	enum drop_reason reason = DROP_NONE;
	struct flow_key *place;
	int error = 0; /* before 6.4 an inlined map operation returns no more bits */
	__u64 before;
	__u32 nth;

	if (!counted)
		return DROP_FLOW_TABLE_FULL;
	before = __sync_fetch_and_add(&counted->counts, FLOW_COUNT_HALF_OPEN + 1);
	nth = __sync_fetch_and_add(&counted->begun, 1);
	if ((__s32)(before >> 32) >= (__s32)limit)
		reason = DROP_POD_HALF_OPEN;
	else if ((__s32)before >= (__s32)account_room(account, state->account_flows))
		reason = DROP_POD_FLOWS;
	if (reason && evict_half_open(account, nth, limit, room, claimed)) {
		__sync_fetch_and_add(&counted->evicted, 1);
		reason = DROP_NONE;
	}
	/* The host's own, such as a kubelet's probes. */
	if (value->flags & FLOW_HOST_BYPASS)
		reason = DROP_NONE;
	value->life = FLOW_LIFE(FLOW_HALF_OPEN, account, nth);
	if (!reason)
		error = bpf_map_update_elem(&rs_flows_v3, key, value, BPF_NOEXIST);
	if (reason || error) {
		__sync_fetch_and_add(&counted->counts, -(FLOW_COUNT_HALF_OPEN + 1));
		/* Another CPU was first with a packet of the same flow, and judged it. */
		if (reason || error == -EEXIST)
			return reason;
		count_lost(LOST_FLOW_ROOM);
		return DROP_FLOW_TABLE_FULL;
	}
	place = latest_place(account, nth);
	if (place)
		*place = *key;
	return DROP_NONE;
}

#endif
