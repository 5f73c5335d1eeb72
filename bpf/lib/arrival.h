/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* How a packet came here, and whether its source may come that way (bpf/abi/owners.h).
 *
 * A flow remembers the way of each remote end, so that the prefix is looked up for the
 * first packet and when the way or the table has changed.
 */
#ifndef RIPSTOP_BPF_LIB_ARRIVAL_H
#define RIPSTOP_BPF_LIB_ARRIVAL_H

#include "bpf/lib/flow_life.h"
#include "bpf/lib/walk_state.h"

/* The number of the node whose address the source is; 0: of none that sends VXLAN. */
static __always_inline __u32
vtep_number(struct walk *w)
{
	struct vtep_value *vtep = bpf_map_lookup_elem(&rs_vteps_v1, &w->p.source);

	if (vtep)
		return *(volatile __u32 *)&vtep->node;
	w->owner_key.bits = 128;
	w->owner_key.address = w->p.source;
	return bpf_map_lookup_elem(&rs_external_v1, &w->owner_key) ? OWNER_EXTERNAL : 0;
}

/* Copies what is known of the owner of @address; node 0 when it has none. */
static __always_inline struct owner_value
owner_of(struct owner_key *key, const struct ip_address *address)
{
	struct owner_value none = {}, *found;

	key->bits = 128;
	key->address = *address;
	found = bpf_map_lookup_elem(&rs_owners_v1, key);
	return found ? *found : none;
}

/* Whether the source of the packet may come the way it came. It asks for the walk again,
 * as walk_decide does.
 */
__noinline int
check_owner(void)
{
	struct owner_value owner, receiver;
	struct walk *w = walk_get();
	__u32 tunnel;

	if (!w)
		return DROP_NO_GENERATION;
	owner = owner_of(&w->owner_key, &w->p.source);
	if (!owner.node)
		return DROP_NONE;
	if (w->arrival != ARRIVED_NATIVELY)
		return owner.node == w->arrival ? DROP_NONE : DROP_VXLAN_SPOOFED;
	if (owner.node == OWNER_THIS_NODE || (owner.flags & OWNER_HOST))
		return DROP_NONE;
	receiver = owner_of(&w->owner_key, &w->p.destination);
	if (receiver.node != OWNER_THIS_NODE)
		return DROP_NONE;
	tunnel = owner.flags & OWNER_ACROSS ? OWNER_TUNNEL_ACROSS : OWNER_TUNNEL_NEAR;
	return receiver.flags & tunnel ? DROP_SPOOFED : DROP_NONE;
}

/* The same for a packet of @flow, unless the flow has it on record. A packet that came by
 * no way to be checked (out of a pod, from this host, checked before) has none.
 */
static __always_inline enum drop_reason
check_arrival(struct walk *w, const struct datapath_state *state, struct flow_value *flow)
{
	__u32 epoch = *(volatile __u32 *)&state->owners_epoch;
	struct flow_side *source = NULL;
	enum drop_reason reason;

	w->owners_epoch = epoch;
	if (w->arrival == ARRIVAL_UNKNOWN || !epoch)
		return DROP_NONE;
	if (flow && !flow->side[w->source_end & 1].ifindex)
		source = &flow->side[w->source_end & 1];
	if (source && source->number == w->arrival && flow->owners_epoch == epoch)
		return DROP_NONE;
	reason = check_owner();
	if (!reason && source && !((flow_life(flow) ^ w->life) >> 8)) {
		source->number = w->arrival;
		flow->owners_epoch = epoch;
	}
	return reason;
}

#endif
