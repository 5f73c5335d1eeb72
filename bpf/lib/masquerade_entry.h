/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Entries of rs_masquerade_v1: whose they are, and how they go. An entry's life is changed by
 * compare and exchange only, and whoever made it zero, and nobody else, writes to the entry or
 * takes it out; so one that looks at memory which the kernel has given to another entry since
 * changes nothing.
 */
#ifndef RIPSTOP_BPF_LIB_MASQUERADE_ENTRY_H
#define RIPSTOP_BPF_LIB_MASQUERADE_ENTRY_H

#include "bpf/lib/flow.h"

static __always_inline __u64
masquerade_life(const struct masquerade_value *entry)
{
	return *(const volatile __u64 *)&entry->life;
}

/* ICMP has its identifier in both ports of a flow. */
static __always_inline __be16
masquerade_remote_port(__u8 protocol, __be16 port)
{
	return has_icmp_type(protocol) ? 0 : port;
}

/* Takes the entry of @life out, if it is still there. */
static __always_inline void
masquerade_release(const struct masquerade_key *key, __u64 life)
{
	struct masquerade_value *entry = bpf_map_lookup_elem(&rs_masquerade_v1, key);

	if (!entry || __sync_val_compare_and_swap(&entry->life, life, 0) != life)
		return;
	if (bpf_map_delete_elem(&rs_masquerade_v1, key))
		__sync_val_compare_and_swap(&entry->life, 0, life);
}

/* What the masqueraded @flow, under @key, has claimed. */
static __always_inline void
masquerade_key_of(const struct flow_key *key, const struct flow_value *flow,
                  struct masquerade_key *ret)
{
	__builtin_memset(ret, 0, sizeof(*ret));
	ret->protocol = key->protocol;
	ret->ours = flow->translation.address;
	ret->our_port = flow->translation.port;
	/* The stack, where a key may be, is indexed by constants only. */
	if (flow->initiator & 1) {
		ret->remote = key->address[FLOW_LOW];
		ret->remote_port = masquerade_remote_port(key->protocol, key->port[FLOW_LOW]);
	} else {
		ret->remote = key->address[FLOW_HIGH];
		ret->remote_port = masquerade_remote_port(key->protocol, key->port[FLOW_HIGH]);
	}
}

#endif
