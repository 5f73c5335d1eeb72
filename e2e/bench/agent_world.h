// SPDX-License-Identifier: Apache-2.0
//
// A large cluster as the store holds it: for what the real agent makes of it.
#ifndef RIPSTOP_E2E_BENCH_AGENT_WORLD_H_
#define RIPSTOP_E2E_BENCH_AGENT_WORLD_H_

#include <string>

#include "absl/status/status.h"
#include "agent/cni/endpoint.h"
#include "api/store/store.h"

namespace ripstop::bench {

// Nodes of 200 pods; namespaces of twenty deployments, fifty pods each; every policy selects one
// deployment and admits another, of any namespace, by selector (policy/testing/cluster.h). Node 0
// is the one measured, and has no pods yet.
struct AgentWorld {
  static constexpr int kPodsOfNode = 200;

  int nodes = 500;
  int policies = 10'000;
  int pods() const { return (nodes - 1) * kPodsOfNode; }
  int deployments() const { return pods() < 50 ? 1 : pods() / 50; }
};

inline constexpr char kMeasuredNode[] = "node-0";
inline constexpr char kMeasuredAddress[] = "172.20.0.1/16";

// Writes all of it, blocks of addresses included, straight into a store.
absl::Status Fill(const AgentWorld& world, api::Store& store);

// The `number`th pod, dual-stack, as its own node's agent publishes it.
agent::LocalEndpoint PodOf(const AgentWorld& world, int number);

}  // namespace ripstop::bench

#endif  // RIPSTOP_E2E_BENCH_AGENT_WORLD_H_
