/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* ICMP errors pass when they quote a packet of a known flow (RFC 5508 section 4). */
#ifndef RIPSTOP_BPF_LIB_RELATED_H
#define RIPSTOP_BPF_LIB_RELATED_H

#include "bpf/lib/flow.h"
#include "bpf/lib/parse.h"

/* Reads the quoted packet of the ICMP error @p into @ret. IPv6 extension headers in
 * it are not followed: such an error counts as unrelated.
 */
static __always_inline enum drop_reason
parse_quote(struct __sk_buff *skb, const struct packet *p, struct packet *ret)
{
	__u32 offset = p->l4_offset + 8;
	__u8 l4[8];
	__u32 skip;

	__builtin_memset(ret, 0, sizeof(*ret));
	ret->family = p->family;
	if (p->family == 4) {
		struct iphdr ip;

		if (bpf_skb_load_bytes(skb, offset, &ip, sizeof(ip)))
			return DROP_TRUNCATED;
		if (ip.version != 4 || ip.ihl < IPV4_IHL_MIN || (ip.frag_off & bpf_htons(0x1fff)))
			return DROP_ICMP_UNRELATED;
		address_from_v4(&ret->source, ip.saddr);
		address_from_v4(&ret->destination, ip.daddr);
		ret->protocol = ip.protocol;
		skip = ip.ihl * 4;
	} else {
		struct ipv6hdr ip;

		if (bpf_skb_load_bytes(skb, offset, &ip, sizeof(ip)))
			return DROP_TRUNCATED;
		if (ip.version != 6)
			return DROP_ICMP_UNRELATED;
		__builtin_memcpy(&ret->source, &ip.saddr, sizeof(ret->source));
		__builtin_memcpy(&ret->destination, &ip.daddr, sizeof(ret->destination));
		ret->protocol = ip.nexthdr;
		skip = sizeof(ip);
	}
	if (bpf_skb_load_bytes(skb, offset + skip, l4, sizeof(l4)))
		return DROP_TRUNCATED;
	if (has_ports(ret->protocol)) {
		__builtin_memcpy(&ret->source_port, l4, 2);
		__builtin_memcpy(&ret->destination_port, l4 + 2, 2);
	} else if (has_icmp_type(ret->protocol)) {
		ret->icmp_type = l4[0];
		if (!is_icmp_echo(ret))
			return DROP_ICMP_UNRELATED;
		__builtin_memcpy(&ret->source_port, l4 + 4, 2);
		ret->destination_port = ret->source_port;
	}
	return DROP_NONE;
}

enum relation {
	UNRELATED = 0,
	RELATED,
	RELATED_BY_STACK, /* so that what translated the flow translates the error too */
	RELATED_AS_SENT,  /* to a flow whose packets nobody has judged in this form */
};

/* Whether the ICMP error @p is about a flow that policy admits now. It must go to
 * whoever sent the quoted packet; from a pod (@from_endpoint), which is no router,
 * it must also come from whom that packet was for. @quoted is working room. Returns
 * enum relation.
 */
__noinline int
relation_of(struct __sk_buff *skb, const struct packet *p, struct packet *quoted,
            const struct datapath_state *state, int from_endpoint)
{
	struct flow_value *flow;
	struct flow_key key;

	if (!p || !quoted || !state || parse_quote(skb, p, quoted))
		return UNRELATED;
	if (!address_equal(&quoted->source, &p->destination))
		return UNRELATED;
	if (from_endpoint && !address_equal(&quoted->destination, &p->source))
		return UNRELATED;
	flow_key_of(quoted, &key);
	flow = bpf_map_lookup_elem(&rs_flows_v3, &key);
	if (!flow || flow_state(flow) == FLOW_DEAD || !flow_is_current(flow, state))
		return UNRELATED;
	if (flow->flags & FLOW_AS_SENT)
		return RELATED_AS_SENT;
	return flow->flags & FLOW_BY_STACK ? RELATED_BY_STACK : RELATED;
}

#endif
