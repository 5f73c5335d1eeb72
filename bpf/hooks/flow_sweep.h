/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Removes flows that have idled too long, or those of one address, where they are:
 * nothing is copied out. Run by the agent; SEC("syscall") works since 5.14 and map
 * iteration in it since 5.13.
 */
#include "bpf/lib/event.h"
#include "bpf/lib/flow.h"

static const struct ip_address no_address;

static long
sweep_one(void *map, struct flow_key *key, struct flow_value *flow, struct sweep_request *request)
{
	struct datapath_state *state = state_get();
	int forget = !address_equal(&request->forget, &no_address);
	struct flow_key copy = *key;

	request->visited++;
	if (forget) {
		if (!address_equal(&copy.address[0], &request->forget) &&
		    !address_equal(&copy.address[1], &request->forget))
			return 0;
	} else if (flow->seen_ns + flow_idle_limit(&copy, flow, request->pressed) >=
	           request->now_ns) {
		return 0;
	}
	if (state)
		event_send(state, request->now_ns, FLOW_EVENT_CLOSED, DROP_NONE, &copy,
		           flow->initiator & 1, flow->icmp_type, flow->icmp_code,
		           flow->side[flow->initiator & 1].verdict,
		           flow->side[~flow->initiator & 1].verdict);
	bpf_map_delete_elem(map, &copy);
	request->removed++;
	return 0;
}

SEC("syscall")
int
flow_sweep(struct sweep_request *context)
{
	struct sweep_request request = *context;

	if (!request.now_ns)
		request.now_ns = bpf_ktime_get_ns();
	request.visited = 0;
	request.removed = 0;
	bpf_for_each_map_elem(&rs_flows_v1, sweep_one, &request, 0);
	/* Embryos age by LRU; only a forgotten address takes them out early. */
	if (!address_equal(&request.forget, &no_address))
		bpf_for_each_map_elem(&rs_embryo_v1, sweep_one, &request, 0);
	context->visited = request.visited;
	context->removed = request.removed;
	return 0;
}
