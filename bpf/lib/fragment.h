/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Ports for the fragments that have none. Only an admitted first fragment makes an
 * entry, so a later one without it is dropped.
 */
#ifndef RIPSTOP_BPF_LIB_FRAGMENT_H
#define RIPSTOP_BPF_LIB_FRAGMENT_H

#include "bpf/lib/maps.h"
#include "bpf/lib/packet.h"

static __always_inline void
fragment_key_of(const struct packet *p, struct fragment_key *ret)
{
	__builtin_memset(ret, 0, sizeof(*ret));
	ret->source = p->source;
	ret->destination = p->destination;
	ret->id = p->fragment_id;
	ret->protocol = p->protocol;
}

static __always_inline void
fragment_remember(const struct packet *p)
{
	struct fragment_value value = {
	    .source_port = p->source_port,
	    .destination_port = p->destination_port,
	};
	struct fragment_key key;

	fragment_key_of(p, &key);
	bpf_map_update_elem(&rs_frags_v1, &key, &value, BPF_ANY);
}

/* Fills the ports of a later fragment. Returns 0 when its first is not known. */
static __always_inline int
fragment_resolve(struct packet *p)
{
	struct fragment_value *value;
	struct fragment_key key;

	if (!has_ports(p->protocol) && !has_icmp_type(p->protocol))
		return 1;
	fragment_key_of(p, &key);
	value = bpf_map_lookup_elem(&rs_frags_v1, &key);
	if (!value)
		return 0;
	p->source_port = value->source_port;
	p->destination_port = value->destination_port;
	return 1;
}

#endif
