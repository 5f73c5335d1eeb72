/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* sk_lookup of the node's network namespace: what pods sent to an address whose verdict
 * waited, and that turned out to be for this host itself, is judged here, before a socket
 * is looked for. TCP asks here for each connection, UDP for each datagram unless the
 * socket is connected to that very pod. Attached only once host's NAT is on.
 *
 * The packet is not seen, only its tuple and its interface: no mark is needed, since a
 * source that was translated too would not be an address of that interface.
 */
#include "bpf/lib/drop.h"
#include "bpf/lib/flow_life.h"
#include "bpf/lib/mark.h"
#include "bpf/lib/verdict.h"

/* A lookup may be interrupted by packets of the same CPU: not in struct walk. */
struct socket_walk {
	struct packet p;
	struct flow_key key;
	struct address_key address_key; /* working room; network 0 */
	struct address_value source, destination;
	struct verdict verdict;
	struct flow_value value;
	struct flow_key evicted;
	struct masquerade_key claimed;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct socket_walk);
} rs_asked_v3 SEC(".maps");

static __always_inline void
socket_packet(const struct bpf_sk_lookup *ctx, struct packet *ret)
{
	__builtin_memset(ret, 0, sizeof(*ret));
	ret->protocol = ctx->protocol;
	ret->source_port = ctx->remote_port;
	ret->destination_port = bpf_htons(ctx->local_port);
	if (ctx->family == AF_INET) {
		ret->family = 4;
		address_from_v4(&ret->source, ctx->remote_ip4);
		address_from_v4(&ret->destination, ctx->local_ip4);
		return;
	}
	ret->family = 6;
	for (int i = 0; i < 4; i++) {
		ret->source.words[i] = ctx->remote_ip6[i];
		ret->destination.words[i] = ctx->local_ip6[i];
	}
}

static __always_inline int
socket_drop(const struct bpf_sk_lookup *ctx, enum drop_reason reason)
{
	count_drop(reason, ctx->ingress_ifindex, 0); /* how long it was nobody knows here */
	return SK_DROP;
}

static __always_inline void
socket_tell(const struct bpf_sk_lookup *ctx, const struct socket_walk *w,
            const struct datapath_state *state, __u32 source_end, enum drop_reason reason)
{
	struct event_subject subject = {.key = &w->key,
	                                .initiator = source_end,
	                                .egress_verdict = w->verdict.word,
	                                .ifindex = reason ? ctx->ingress_ifindex : 0,
	                                .type = reason ? FLOW_EVENT_DENIED : FLOW_EVENT_NEW,
	                                .reason = reason};

	event_send(state, bpf_ktime_get_coarse_ns(), &subject);
}

static __always_inline enum drop_reason
socket_judge(struct socket_walk *w, struct active_generation active)
{
	struct verdict_query query = {};
	enum drop_reason reason;

	__builtin_memset(&w->verdict, 0, sizeof(w->verdict));
	reason = classify_l4(active, w->p.protocol, w->p.source_port, w->p.destination_port, 0, 0,
	                     &query);
	if (reason)
		return reason;
	query.near_class = w->source.address_class;
	reason = verdict_read(&query, w->source.egress_set,
	                      class_of(active, &w->p.destination, &w->destination), &w->verdict);
	if (reason)
		return reason;
	count_hit(active.slot, w->verdict.word, 0);
	return w->verdict.word & VERDICT_ALLOW ? DROP_NONE : DROP_POLICY_EGRESS;
}

/* So that what comes next of it is neither judged nor counted again. */
static __always_inline enum drop_reason
socket_write_flow(struct socket_walk *w, __u32 source_end, struct flow_value *known,
                  const struct datapath_state *state)
{
	struct flow_value *value = &w->value;
	struct flow_side *pod = &value->side[source_end & 1];

	__builtin_memset(value, 0, sizeof(*value));
	value->seen_ns = bpf_ktime_get_coarse_ns();
	value->initiator = source_end;
	value->flags = FLOW_BY_STACK | FLOW_HAS_SENDER;
	pod->ifindex = w->source.ifindex;
	pod->set_index = w->verdict.set_index;
	pod->epoch = w->verdict.epoch;
	pod->verdict = w->verdict.word;
	value->side[~source_end & 1].flags = FLOW_SIDE_HOST;
	pod->number = w->source.number;
	if (known)
		flow_kill(&w->key, known, flow_life(known), &w->claimed);
	return flow_insert(&w->key, value, FLOW_ACCOUNT_BEGUN(w->source.number), &w->evicted,
	                   &w->claimed, state);
}

SEC("sk_lookup")
int
to_socket(struct bpf_sk_lookup *ctx)
{
	struct datapath_state *state = state_get();
	struct active_generation active;
	enum drop_reason reason;
	struct socket_walk *w;
	struct flow_value *flow;
	__u32 zero = 0, source_end;

	if (!state || !(state->flags & STATE_MARKS) || !ctx->ingress_ifindex ||
	    !is_workload(ctx->ingress_ifindex))
		return SK_PASS;
	w = bpf_map_lookup_elem(&rs_asked_v3, &zero);
	active = active_generation_get(state);
	if (!w || !active.l4_table)
		return socket_drop(ctx, DROP_NO_GENERATION);
	socket_packet(ctx, &w->p);
	source_end = flow_key_of(&w->p, &w->key);
	flow = bpf_map_lookup_elem(&rs_flows_v3, &w->key);
	if (flow && flow_state(flow) != FLOW_DEAD && !(flow->flags & FLOW_AS_SENT) &&
	    flow_is_current(flow, state) &&
	    flow->side[source_end & 1].ifindex == ctx->ingress_ifindex)
		return SK_PASS;
	if (lookup_address(active.slot, &w->address_key, &w->p.source, &w->source) ||
	    lookup_address(active.slot, &w->address_key, &w->p.destination, &w->destination))
		return socket_drop(ctx, DROP_NO_GENERATION);
	if (w->source.ifindex != ctx->ingress_ifindex)
		return socket_drop(ctx, DROP_SPOOFED);
	if (w->p.protocol == IPPROTO_UDP && state->vxlan_port &&
	    w->p.destination_port == state->vxlan_port)
		return socket_drop(ctx, DROP_VXLAN_FROM_WORKLOAD);
	reason = socket_judge(w, active);
	if (reason) {
		socket_tell(ctx, w, state, source_end, reason);
		return socket_drop(ctx, reason);
	}
	reason = socket_write_flow(w, source_end, flow, state);
	if (reason)
		return socket_drop(ctx, reason);
	socket_tell(ctx, w, state, source_end, DROP_NONE);
	return SK_PASS;
}
