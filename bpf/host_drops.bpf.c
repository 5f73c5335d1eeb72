/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Packets of this node's pods that the kernel itself drops, counted by its own reason.
 *
 *   kfree_skb(skb, reason) ──▶ IP? ──▶ not one of our programs' ──▶ from or to a pod here? ─▶ count
 *
 * An object of its own, on the tracepoint of packets that are dropped: whoever drops nothing
 * does not pay. What has arrived is freed by another way (consume_skb).
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/abi/host_drops.h"
#include "bpf/lib/maps.h"
#include "bpf/lib/packet.h"

/* As the running kernel has them; libbpf puts in where the fields are. */
#define KERNEL_STRUCT __attribute__((preserve_access_index))

struct ns_common {
	unsigned int inum;
} KERNEL_STRUCT;
struct net {
	struct ns_common ns;
} KERNEL_STRUCT;
typedef struct {
	struct net *net;
} possible_net_t;
struct net_device {
	possible_net_t nd_net;
} KERNEL_STRUCT;
struct proto {
	char name[32];
} KERNEL_STRUCT;
struct sock_common {
	possible_net_t skc_net;
	struct proto *skc_prot;
} KERNEL_STRUCT;
struct sock {
	struct sock_common __sk_common;
} KERNEL_STRUCT;
struct sk_buff {
	struct net_device *dev;
	struct sock *sk;
	char cb[48];
	unsigned int len;
	__be16 protocol;
	__u16 network_header;
	__u16 inner_network_header;
	unsigned char *head;
} KERNEL_STRUCT;
/* Behind it `cb` of struct __sk_buff begins. */
struct qdisc_skb_cb {
	unsigned char data[20];
} KERNEL_STRUCT;

#define HEADER_UNSET 0xffff

/* Written before the program is loaded: of this kernel, and of this node. */
const volatile __u32 tc_ingress_reason = 0;
const volatile __u32 tc_egress_reason = 0;
const volatile __u32 own_namespace = 0; /* its inode number */

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct host_drop_key);
	__type(value, struct host_drop_count);
} host_drops SEC(".maps");

/* The reason is that of any program of type tc; ours say theirs in cb. */
static __always_inline int
is_of_our_programs(struct sk_buff *skb, __u32 reason)
{
	__u32 ours = 0;

	if (reason != tc_ingress_reason && reason != tc_egress_reason)
		return 0;
	bpf_probe_read_kernel(&ours, sizeof(ours),
	                      skb->cb + bpf_core_field_offset(struct qdisc_skb_cb, data) +
	                          RUN_DROP_REASON * sizeof(ours));
	return ours != DROP_NONE && ours < DROP_REASONS_MAX;
}

static __always_inline int
is_pod_of_this_node(void *addresses, const struct ip_address *address)
{
	struct address_key key = {.address = *address};
	const struct address_value *value = bpf_map_lookup_elem(addresses, &key);

	return value && (value->flags & ADDRESS_LOCAL_ENDPOINT);
}

/* Whether an IP header at @at is of a packet from or to a pod of this node. */
static __always_inline int
is_ours(const unsigned char *at)
{
	struct datapath_state *state = state_get();
	struct ip_address source, destination;
	struct ipv6hdr ip6;
	void *addresses;
	__u32 slot;

	if (!state)
		return 0;
	slot = *(const volatile __u32 *)&state->active.slot;
	addresses = bpf_map_lookup_elem(&rs_addresses_v2, &slot);
	if (!addresses || bpf_probe_read_kernel(&ip6, sizeof(ip6), at))
		return 0;
	if (ip6.version == 4) {
		const struct iphdr *ip = (const struct iphdr *)&ip6;

		address_from_v4(&source, ip->saddr);
		address_from_v4(&destination, ip->daddr);
	} else if (ip6.version == 6) {
		__builtin_memcpy(&source, &ip6.saddr, sizeof(source));
		__builtin_memcpy(&destination, &ip6.daddr, sizeof(destination));
	} else {
		return 0;
	}
	return is_pod_of_this_node(addresses, &source) ||
	       is_pod_of_this_node(addresses, &destination);
}

/* The packet, or the one that it carries: VXLAN of the kernel's own making knows where. */
static __always_inline int
is_packet_ours(struct sk_buff *skb)
{
	__u16 outer = skb->network_header, inner = skb->inner_network_header;
	const unsigned char *head = skb->head;

	if (outer != HEADER_UNSET && is_ours(head + outer))
		return 1;
	return inner && inner != outer && inner != HEADER_UNSET && is_ours(head + inner);
}

static __always_inline enum host_drop_place
place_of(struct sk_buff *skb)
{
	unsigned int namespace = BPF_CORE_READ(skb, dev, nd_net.net, ns.inum);

	if (!namespace)
	namespace = BPF_CORE_READ(skb, sk, __sk_common.skc_net.net, ns.inum);
	if (!namespace)
		return HOST_DROP_UNKNOWN;
	return namespace == own_namespace ? HOST_DROP_HERE : HOST_DROP_ELSEWHERE;
}

/* One of a test run (why --probe), which is nobody's: its socket is of a protocol of its own
 * (net/bpf/test_run.c).
 */
static __always_inline int
is_of_test_run(struct sk_buff *skb)
{
	static const char dummy[] = "bpf_dummy";
	char name[sizeof(dummy)] = {};
	struct proto *prot = BPF_CORE_READ(skb, sk, __sk_common.skc_prot);

	if (!prot || bpf_probe_read_kernel(name, sizeof(name), prot->name))
		return 0;
	for (__u32 i = 0; i < sizeof(dummy); i++)
		if (name[i] != dummy[i])
			return 0;
	return 1;
}

/* Arguments: the packet, who drops it, and why. */
SEC("tp_btf/kfree_skb")
int
host_drop(__u64 *context)
{
	struct sk_buff *skb = (struct sk_buff *)context[0];
	struct host_drop_count *count, first = {};
	struct host_drop_key key = {.reason = context[2]};

	if (!skb ||
	    (skb->protocol != bpf_htons(ETH_P_IP) && skb->protocol != bpf_htons(ETH_P_IPV6)))
		return 0;
	if (is_of_our_programs(skb, key.reason) || is_of_test_run(skb) || !is_packet_ours(skb))
		return 0;
	key.place = place_of(skb);
	count = bpf_map_lookup_elem(&host_drops, &key);
	if (!count) {
		bpf_map_update_elem(&host_drops, &key, &first, BPF_NOEXIST);
		count = bpf_map_lookup_elem(&host_drops, &key);
	}
	if (!count)
		return 0;
	__sync_fetch_and_add(&count->packets, 1);
	__sync_fetch_and_add(&count->bytes, skb->len);
	return 0;
}

char host_drops_license[] SEC("license") = "Dual BSD/GPL"; /* the helpers used are GPL only */
