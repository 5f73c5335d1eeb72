/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Removes flows that have idled too long, or those of some addresses, where they are:
 * nothing is copied out, and all flows are walked once however many addresses there are.
 * Run by the agent; SEC("syscall") works since 5.14 and map iteration in it since 5.13.
 */
#include "bpf/lib/mark.h"
#include "bpf/lib/tell.h"

/* Filled by the agent for one run; not pinned. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FORGOTTEN_MAX);
	__type(key, struct ip_address);
	__type(value, __u8);
} forgotten SEC(".maps");

/* One run. */
struct sweep {
	struct sweep_request request;
	struct flow_timeouts limits;
};

static __always_inline __u64
limit_or(__u64 set, __u64 usual)
{
	return set ? set : usual;
}

static __always_inline void
limits_get(struct flow_timeouts *ret)
{
	__u32 zero = 0;
	struct flow_timeouts *set = bpf_map_lookup_elem(&rs_timeouts_v1, &zero);

	if (set)
		*ret = *set;
	ret->tcp_syn_sent_ns = limit_or(ret->tcp_syn_sent_ns, FLOW_TCP_SYN_SENT_IDLE_NS);
	ret->tcp_established_ns = limit_or(ret->tcp_established_ns, FLOW_TCP_IDLE_NS);
	ret->tcp_fins_seen_ns = limit_or(ret->tcp_fins_seen_ns, FLOW_TCP_CLOSED_IDLE_NS);
	ret->tcp_reset_seen_ns = limit_or(ret->tcp_reset_seen_ns, FLOW_TCP_RESET_IDLE_NS);
	ret->udp_ns = limit_or(ret->udp_ns, FLOW_UDP_IDLE_NS);
	ret->icmp_ns = limit_or(ret->icmp_ns, FLOW_ICMP_IDLE_NS);
	ret->other_ns = limit_or(ret->other_ns, FLOW_OTHER_IDLE_NS);
}

/* @key is on the stack. */
static __always_inline int
is_forgotten(const struct flow_key *key, const struct ip_address *sender)
{
	struct ip_address copy;

	if (bpf_map_lookup_elem(&forgotten, &key->address[0]) ||
	    bpf_map_lookup_elem(&forgotten, &key->address[1]))
		return 1;
	if (!sender)
		return 0;
	copy = *sender;
	return bpf_map_lookup_elem(&forgotten, &copy) != NULL;
}

/* Each flow has its own moment within FLOW_HEARTBEAT_SECONDS, so that they are not all told of at
 * once. One that is quiet says nothing.
 */
static __always_inline int
is_heartbeat_due(const struct flow_value *flow, __u64 life, const struct sweep_request *request)
{
	__u64 second = 1000000000ull;
	__u64 moment = ((life >> 32) * 2654435761u >> 16) % FLOW_HEARTBEAT_SECONDS;

	return request->last_ns &&
	       (request->now_ns / second + moment) / FLOW_HEARTBEAT_SECONDS !=
	           (request->last_ns / second + moment) / FLOW_HEARTBEAT_SECONDS &&
	       flow->seen_ns + FLOW_HEARTBEAT_SECONDS * second > request->now_ns;
}

/* What there is to tell of a flow that stays: that it is over, or that it goes on. */
static __always_inline void
sweep_tell(const struct datapath_state *state, const struct flow_key *shown,
           struct flow_value *flow, __u64 life, const struct sweep_request *request)
{
	__u32 initiator = flow->initiator & 1;
	struct event_subject subject = {.key = shown,
	                                .sent = flow->sent,
	                                .initiator = initiator,
	                                .egress_verdict = flow->side[initiator].verdict,
	                                .ingress_verdict = flow->side[initiator ^ 1].verdict,
	                                .icmp_type = flow->icmp_type,
	                                .icmp_code = flow->icmp_code,
	                                .closed_by = flow_closed_by(flow, 0)};

	if (!(state->flags & STATE_WATCH_CLOSED) || (flow->flags & FLOW_AS_SENT))
		return;
	if (!subject.closed_by && (flow->told & FLOW_TOLD_CLOSED))
		flow->told &= ~FLOW_TOLD_CLOSED; /* by a reset that was none */
	if (subject.closed_by) {
		if ((flow->told & FLOW_TOLD_CLOSED) ||
		    flow->seen_ns + FLOW_CLOSED_QUIET_NS > request->now_ns)
			return;
		flow->told |= FLOW_TOLD_CLOSED;
		subject.type = FLOW_EVENT_CLOSED;
	} else if (is_heartbeat_due(flow, life, request)) {
		subject.type = FLOW_EVENT_HEARTBEAT;
	} else {
		return;
	}
	subject.outdated = !flow_is_current(flow, state);
	event_send(state, request->now_ns, &subject);
}

static long
sweep_one(void *map __attribute__((unused)), struct flow_key *key, struct flow_value *flow,
          struct sweep *sweep)
{
	struct datapath_state *state = state_get();
	const struct sender_value *value = sender_of(flow_sender(flow));
	const struct ip_address *sender = value ? &value->address : NULL;
	const struct sweep_request *request = &sweep->request;
	struct flow_key copy = *key, shown = copy;
	__u64 life = flow_life(flow);
	struct masquerade_key room;
	__u8 closed_by;

	sweep->request.visited++;
	if (!state)
		return 0;
	if (sender)
		flow_show_sender(&shown, flow, sender);
	if (request->forget) {
		if (!is_forgotten(&copy, sender))
			return 0;
		closed_by = FLOW_CLOSED_ENDPOINT;
	} else if (flow->seen_ns + flow_idle_limit(&copy, flow, &sweep->limits, request->pressed) <
	           request->now_ns) {
		closed_by = flow_closed_by(flow, FLOW_CLOSED_IDLE);
	} else {
		sweep_tell(state, &shown, flow, life, request);
		return 0;
	}
	sweep->request.removed +=
	    flow_end_told(state, &copy, &shown, flow, life, closed_by, request->now_ns, &room);
	return 0;
}

SEC("syscall")
int
flow_sweep(struct sweep_request *context)
{
	struct sweep sweep = {.request = *context};

	if (!sweep.request.now_ns)
		sweep.request.now_ns = bpf_ktime_get_ns();
	sweep.request.visited = 0;
	sweep.request.removed = 0;
	limits_get(&sweep.limits);
	bpf_for_each_map_elem(&rs_flows_v3, sweep_one, &sweep, 0);
	context->visited = sweep.request.visited;
	context->removed = sweep.request.removed;
	return 0;
}

/* The flows of a workload whose traffic is shaped from now on, or no more. */
static long
reshape_one(void *map __attribute__((unused)), struct flow_key *key __attribute__((unused)),
            struct flow_value *flow, struct reshape_request *request)
{
	for (int i = 0; i < 2; i++) {
		if (flow->side[i].ifindex != request->ifindex)
			continue;
		request->changed++;
		if (request->shaped)
			flow->side[i].flags |= FLOW_SIDE_SHAPED;
		else
			flow->side[i].flags &= ~FLOW_SIDE_SHAPED;
	}
	return 0;
}

SEC("syscall")
int
flow_reshape(struct reshape_request *context)
{
	struct reshape_request request = *context;

	request.changed = 0;
	bpf_for_each_map_elem(&rs_flows_v3, reshape_one, &request, 0);
	context->changed = request.changed;
	return 0;
}
