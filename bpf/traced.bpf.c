/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* ripstopctl trace: the datapath's programs once more, each inside one that tells of the
 * packet when it is done. What is masqueraded is so by to_host alone: the same packets leave, and
 * from_workload tells of the pod's.
 *
 *   packet ─▶ [ from_workload of bpf/hooks ─▶ trace_after ] ─▶ same verdict
 *
 * While anybody traces these stand in the place of the datapath's own, with the same maps; so
 * whoever does not trace does not pay. fexit programs would need nobody's place, but not
 * every kernel lets BPF programs be traced.
 */
#include <linux/bpf.h>
#include <linux/if_packet.h>

#include <bpf/bpf_helpers.h>

#define TRANSLATES_AT_EXIT 1
#define HOOK_PROGRAM(name) static __always_inline int name##_body(struct __sk_buff *skb)

#include "bpf/hooks/from_elsewhere.h"
#include "bpf/hooks/from_host.h"
#include "bpf/hooks/from_tunnel.h"
#include "bpf/hooks/from_workload.h"
#include "bpf/hooks/to_host.h"
#include "bpf/hooks/to_workload.h"

#include "bpf/lib/trace.h"

#define TRACED_PROGRAM(name, hook)                                                                 \
	SEC("tc")                                                                                  \
	int name(struct __sk_buff *skb)                                                            \
	{                                                                                          \
		int action;                                                                        \
                                                                                                   \
		trace_before(skb);                                                                 \
		action = name##_body(skb);                                                         \
		trace_after(skb, action, hook);                                                    \
		return action;                                                                     \
	}

TRACED_PROGRAM(from_workload, TRACE_FROM_WORKLOAD)
TRACED_PROGRAM(from_host, TRACE_FROM_HOST)
TRACED_PROGRAM(from_tunnel, TRACE_FROM_TUNNEL)
TRACED_PROGRAM(from_elsewhere, TRACE_FROM_ELSEWHERE)
TRACED_PROGRAM(to_workload, TRACE_TO_WORKLOAD)
TRACED_PROGRAM(to_host, TRACE_TO_HOST)

char traced_license[] SEC("license") = "Dual BSD/GPL"; /* the helpers used are GPL only */
