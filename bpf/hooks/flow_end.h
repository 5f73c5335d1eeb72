/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Ends one flow, as the programs do: its account is told. Run by the agent. */
#include "bpf/lib/flow_life.h"

SEC("syscall")
int
flow_end(struct end_request *context)
{
	struct flow_key key = context->key;
	struct flow_value *flow = bpf_map_lookup_elem(&rs_flows_v2, &key);

	context->ended = flow ? flow_kill(&key, flow, context->life) : 0;
	return 0;
}
