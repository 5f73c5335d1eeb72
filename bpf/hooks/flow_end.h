/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Ends one flow, as the programs do: its account is told, and whoever watches. Run by the agent. */
#include "bpf/lib/tell.h"

SEC("syscall")
int
flow_end(struct end_request *context)
{
	struct flow_key key = context->key, shown = key;
	struct flow_value *flow = bpf_map_lookup_elem(&rs_flows_v3, &key);
	const struct sender_value *sender;
	struct masquerade_key room;

	context->ended = 0;
	if (!flow)
		return 0;
	sender = sender_of(flow_sender(flow));
	if (sender)
		flow_show_sender(&shown, flow, &sender->address);
	context->ended = flow_end_told(state_get(), &key, &shown, flow, context->life,
	                               FLOW_CLOSED_FLUSHED, bpf_ktime_get_ns(), &room);
	return 0;
}
