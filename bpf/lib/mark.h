/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Reading and writing marks; abi/marks.h says what they mean. */
#ifndef RIPSTOP_BPF_LIB_MARK_H
#define RIPSTOP_BPF_LIB_MARK_H

#include "bpf/lib/maps.h"

/* What the packet's traffic class is for the programs that come behind. Where a program lets a
 * packet through, the kernel makes skb->tc_index of what skb->tc_classid says (tcx_action_code,
 * cls_bpf), which on tcx is whatever the sender's side has left there.
 */
static __always_inline void
class_set(struct __sk_buff *skb, __u16 class)
{
	skb->tc_index = class;
	skb->tc_classid = class;
}

struct mark {
	__u16 number;
	__u8 kind; /* enum mark_kind */
};

static __always_inline __u32
mark_unit(__u32 mask)
{
	return mask & -mask;
}

/* What kinds are multiples of. */
static __always_inline __u32
mark_kind_unit(__u32 mask)
{
	return mask & ~(mask >> 2) & (mask >> 1);
}

/* The largest number that a mark has room for. */
static __always_inline __u32
mark_number_max(__u32 mask)
{
	__u32 max = mask ? (mask >> 2) / mark_unit(mask) : 0;

	return max < MARK_NUMBER_MAX ? max : MARK_NUMBER_MAX;
}

static __always_inline struct mark
mark_read(const struct __sk_buff *skb, const struct datapath_state *state)
{
	__u32 mask = state->mark_mask, value = skb->mark & mask;
	struct mark mark = {};

	if (!value)
		return mark;
	mark.kind = value / mark_kind_unit(mask);
	mark.number = value % mark_kind_unit(mask) / mark_unit(mask);
	return mark;
}

/* Number 0: takes the mark away. */
static __always_inline void
mark_write(struct __sk_buff *skb, const struct datapath_state *state, struct mark mark)
{
	__u32 mask = state->mark_mask, value = 0;

	if (mark.number)
		value = (mark.kind * mark_kind_unit(mask) + mark.number * mark_unit(mask)) & mask;
	skb->mark = (skb->mark & ~mask) | value;
}

/* Whose @number is; NULL: nobody's. */
static __always_inline const struct sender_value *
sender_of(__u32 number)
{
	const struct sender_value *sender = bpf_map_lookup_elem(&rs_senders_v1, &number);

	return sender && number && sender->ifindex ? sender : NULL;
}

static __always_inline __u32
interface_flags(__u32 ifindex)
{
	const struct interface_value *value = bpf_map_lookup_elem(&rs_interfaces_v1, &ifindex);

	return value ? value->flags : 0;
}

static __always_inline int
is_workload(__u32 ifindex)
{
	return (interface_flags(ifindex) & INTERFACE_WORKLOAD) != 0;
}

#endif
