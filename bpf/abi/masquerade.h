/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Masquerade: pods of pools with natOutgoing leave the host under an address of it.
 *
 *   rs_pools_v1       longest prefix of an address -> whether its pool is masqueraded
 *   rs_exits_v1       interface index -> under which address packets leave there
 *   rs_nat_v1         one element: ports, and what is asked of every packet
 *   rs_masquerade_v1  what a packet from elsewhere shows -> the pod that it is for
 *
 * What a flow is translated to is kept in the flow (flow_value.translation), so that its
 * packets need no other lookup on their way out. The entry here is the way back, and the claim
 * of the port: whoever inserts it has the port towards that remote end. It is its flow's, by
 * masquerade_value.life, and goes with it; one whose flow is gone, or has another port, is
 * taken over by whoever needs the port.
 *
 * Writer of the first three: bpf/loader/masquerade_store.cc; of the last one and reader of
 * all: bpf/lib/masquerade.h.
 */
#ifndef RIPSTOP_BPF_ABI_MASQUERADE_H
#define RIPSTOP_BPF_ABI_MASQUERADE_H

#include "bpf/abi/abi.h"
#include "bpf/abi/owners.h"

/* By struct owner_key, a prefix. */
struct pool_value {
	__u32 flags; /* POOL_* */
};
#define POOL_MASQUERADED 1u
#define POOLS_MAX 16384

/* All zero: the host has no address of that family, and pods' packets are dropped there, as they
 * are where there is no entry. The tunnel needs none: what goes there is for pods.
 */
struct exit_value {
	struct ip_address v4;
	struct ip_address v6;
};
ABI_ASSERT(sizeof(struct exit_value) == 32);
#define EXITS_MAX 4096

struct nat_settings {
	__u64 seed; /* of where the search for a port begins: nobody is to guess it */
	/* Bits of NAT_ADDRESS_BIT of all addresses that were ever used. A packet to another one
	 * is not looked up.
	 */
	__u64 addresses;
	__u32 first_port; /* host order */
	__u32 ports;      /* how many from there on; 0: none */
	/* The search goes round so many of them: all, or the largest prime that there is room for,
	 * so that every stride comes by each.
	 */
	__u32 period;
	__u32 flags; /* NAT_* */
};
ABI_ASSERT(sizeof(struct nat_settings) == 32);
#define NAT_SPARES_NODES 1u /* addresses of nodes see pods' own */

/* @last: the last four bytes of an address, as in memory. */
#define NAT_ADDRESS_BIT(last) (1ull << ((((__u32)(last)) * 2654435761u) >> 26))

/* ICMP echo: our_port is the identifier, and remote_port zero. Protocols without ports: both
 * zero, so one flow for each remote address.
 */
struct masquerade_key {
	struct ip_address remote;
	struct ip_address ours;
	__be16 remote_port;
	__be16 our_port;
	__u8 protocol;
	__u8 reserved[3];
};
ABI_ASSERT(sizeof(struct masquerade_key) == 40);

struct masquerade_value {
	__u64 life; /* MASQUERADE_LIFE of the flow; 0: somebody writes to it or takes it away */
	struct ip_address pod;
	__be16 port;
	__u16 reserved;
	__u32 reserved_2;
};
ABI_ASSERT(sizeof(struct masquerade_value) == 32);

/* Which flow, whatever its state. */
#define MASQUERADE_LIFE(life) ((life) | 0xff)

#define MASQUERADE_TRIES 128

/* flow_translation.kind. Only a flow's initiator is translated. */
enum translation_kind {
	TRANSLATION_UNDECIDED = 0, /* until its first packet leaves this host */
	TRANSLATION_NONE = 1,
	TRANSLATION_MASQUERADED = 2,
};

#endif
