/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Which node may speak for which address.
 *
 *   rs_vteps_v1   outer address of another node  -> its number
 *   rs_owners_v1  longest prefix of an address   -> who owns it, how its packets come
 *   rs_external_v1  prefixes of outer addresses of senders that are no nodes of the cluster
 *
 * from_host looks up who sent a VXLAN packet and puts that node's number beside the
 * packet, as its traffic class; from_tunnel finds it there, after the kernel has taken the
 * outer headers away. What comes out of the tunnel without a number was not sent by a node,
 * whatever way it took to the tunnel's socket.
 *
 * Owned are the address blocks of all nodes, single borrowed addresses, the nodes' own
 * addresses, and the pools as a whole (by nobody, so what no block covers is nobody's).
 *
 * Writer: bpf/loader/owner_store.cc. Reader: bpf/lib/arrival.h.
 */
#ifndef RIPSTOP_BPF_ABI_OWNERS_H
#define RIPSTOP_BPF_ABI_OWNERS_H

#include "bpf/abi/abi.h"

/* A node number; those of other nodes are 1 to OWNER_NODES_MAX. */
#define OWNER_NODES_MAX 65000u
/* All senders of rs_external_v1: owners of nothing, so they may speak for what has no owner. */
#define OWNER_EXTERNAL 65533u
#define OWNER_NOBODY 65534u
#define OWNER_THIS_NODE 65535u

struct vtep_value {
	__u32 node;
};

struct owner_key {
	__u32 bits; /* of the prefix, in 128; host order */
	struct ip_address address;
};
ABI_ASSERT(sizeof(struct owner_key) == 20);

struct owner_value {
	__u32 node;
	__u32 flags; /* OWNER_* */
};
ABI_ASSERT(sizeof(struct owner_value) == 8);

#define OWNER_HOST 1u /* a node's own address: its packets come either way */
/* Of another node's block: that node is in another subnet than this one. */
#define OWNER_ACROSS 2u
/* Of a block of this node: what pods of other nodes send to it comes by the tunnel only,
 * from nodes in this subnet; from those in others.
 */
#define OWNER_TUNNEL_NEAR 4u
#define OWNER_TUNNEL_ACROSS 8u

struct external_value {
	__u32 present; /* 1 */
};

#define EXTERNALS_MAX 4096
#define OWNERS_MAX 262144
#define VTEPS_MAX OWNER_NODES_MAX

#endif
