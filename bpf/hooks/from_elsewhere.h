/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* tcx ingress of the host's other interfaces, where no node is. Whoever sits there with a
 * network namespace of his own can give his packets a traffic class; from_tunnel would take
 * it for the word of from_host. Nothing else happens to them here, and programs and filters
 * of others go on.
 */
#include <linux/pkt_cls.h>

#include "bpf/lib/maps.h"

SEC("tc")
int
from_elsewhere(struct __sk_buff *skb)
{
	skb->tc_index = 0;
	return TC_ACT_UNSPEC;
}
