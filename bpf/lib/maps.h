/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Every map, with its default size; bpf/loader sets others before loading.
 * Inner maps here are templates: the agent makes the real ones. They give sizes and
 * not types, because clang leaves the types of inner maps incomplete in BTF.
 */
#ifndef RIPSTOP_BPF_LIB_MAPS_H
#define RIPSTOP_BPF_LIB_MAPS_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "bpf/abi/drops.h"
#include "bpf/abi/events.h"
#include "bpf/abi/flows.h"
#include "bpf/abi/marks.h"
#include "bpf/abi/masquerade.h"
#include "bpf/abi/owners.h"
#include "bpf/abi/state.h"
#include "bpf/abi/tables.h"
#include "bpf/abi/timeouts.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	/* clang-format off */
	__array(values, struct {
		__uint(type, BPF_MAP_TYPE_HASH);
		__uint(map_flags, BPF_F_NO_PREALLOC);
		__uint(max_entries, 16384);
		__uint(key_size, sizeof(struct address_key));
		__uint(value_size, sizeof(struct address_value));
	});
	/* clang-format on */
} rs_addresses_v2 SEC(".maps");

/* All chunks have one size and no BPF_F_INNER_MAP: then the verifier inlines the
 * reads of inner arrays. Version 2 has the roots of abi/cidr_table.h.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, ARENA_CHUNKS_MAX);
	__type(key, __u32);
	/* clang-format off */
	__array(values, struct {
		__uint(type, BPF_MAP_TYPE_ARRAY);
		__uint(map_flags, BPF_F_MMAPABLE);
		__uint(max_entries, ARENA_CHUNK_LINES);
		__uint(key_size, sizeof(__u32));
		__uint(value_size, sizeof(struct arena_line));
	});
	/* clang-format on */
} rs_arena_v2 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2 * HITS_CHUNKS_PER_SLOT);
	__type(key, __u32);
	/* clang-format off */
	__array(values, struct {
		__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
		__uint(max_entries, HITS_CHUNK_RULES);
		__uint(key_size, sizeof(__u32));
		__uint(value_size, sizeof(struct rule_hits));
	});
	/* clang-format on */
} rs_hits_v1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, EPOCHS_MAX);
	__type(key, __u32);
	__type(value, __u32);
} rs_epochs_v1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct datapath_state);
} rs_state_v4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 262144);
	__type(key, struct flow_key);
	__type(value, struct flow_value);
} rs_flows_v3 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, FLOW_ACCOUNTS);
	__type(key, __u32);
	__type(value, struct flow_account);
} rs_accounts_v2 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FLOW_ACCOUNTS *FLOW_HALF_OPEN_RING);
	__type(key, __u32);
	__type(value, struct flow_key);
} rs_half_open_v1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct fragment_key);
	__type(value, struct fragment_value);
} rs_frags_v1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct flow_timeouts);
} rs_timeouts_v1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, VTEPS_MAX);
	__type(key, struct ip_address);
	__type(value, struct vtep_value);
} rs_vteps_v1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, OWNERS_MAX);
	__type(key, struct owner_key);
	__type(value, struct owner_value);
} rs_owners_v1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, EXTERNALS_MAX);
	__type(key, struct owner_key);
	__type(value, struct external_value);
} rs_external_v1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct flow_key);
	__type(value, struct socket_value);
} rs_sockets_v1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, MARK_NUMBER_MAX + 1);
	__type(key, __u32);
	__type(value, struct sender_value);
} rs_senders_v1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, struct interface_value);
} rs_interfaces_v1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, POOLS_MAX);
	__type(key, struct owner_key);
	__type(value, struct pool_value);
} rs_pools_v1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, EXITS_MAX);
	__type(key, __u32);
	__type(value, struct exit_value);
} rs_exits_v1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct nat_settings);
} rs_nat_v1 SEC(".maps");

/* As many as flows; memory only for those that there are. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 262144);
	__type(key, struct masquerade_key);
	__type(value, struct masquerade_value);
} rs_masquerade_v1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, DROP_REASONS_MAX);
	__type(key, __u32);
	__type(value, struct drop_count);
} rs_drops_v1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, INTERFACE_DROPS_MAX);
	__type(key, struct interface_drop_key);
	__type(value, struct drop_count);
} rs_interface_drops_v1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} rs_events_v2 SEC(".maps");

/* How many events this CPU has sent in the current second. */
struct event_budget {
	__u64 since_ns;
	__u32 sent;   /* wanted ones */
	__u32 denied; /* samples */
	__u32 dropped;
	__u32 reserved;
	__u64 woken_ns; /* when it last woke the agent */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct event_budget);
} rs_budget_v2 SEC(".maps");

/* Answers to dropped packets, likewise. */
#define ANSWERS_PER_SECOND 1000
struct answer_budget {
	__u64 since_ns;
	__u64 sent;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct answer_budget);
} rs_answers_v1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, LOST_MAX);
	__type(key, __u32);
	__type(value, __u64);
} rs_lost_v2 SEC(".maps");

static __always_inline void
count_lost(enum lost what)
{
	__u32 key = what;
	__u64 *lost = bpf_map_lookup_elem(&rs_lost_v2, &key);

	if (lost)
		*lost += 1;
}

static __always_inline struct datapath_state *
state_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&rs_state_v4, &zero);
}

#endif
