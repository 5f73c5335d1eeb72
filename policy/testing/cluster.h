// SPDX-License-Identifier: Apache-2.0
//
// A large cluster seen from one node, and what can happen in it: the rows of the table
// "Changes, and what they may cost" of the policy engine. For benchmarks.
//
//   namespaces of twenty deployments, fifty pods each; every policy selects one
//   deployment of its namespace and admits another by selector; half of the local pods
//   also have one global policy that admits a network set
#ifndef RIPSTOP_POLICY_TESTING_CLUSTER_H_
#define RIPSTOP_POLICY_TESTING_CLUSTER_H_

#include <functional>
#include <string>
#include <vector>

#include "policy/engine/engine.h"

namespace ripstop::policy {

struct ClusterShape {
  int endpoints = 100'000;
  int policies = 10'000;
  int local = 200;
  bool dual_stack = false;  // each pod has an IPv6 address too
  int deployments() const { return endpoints < 50 ? 1 : endpoints / 50; }
};

void PutCluster(const ClusterShape& shape, Engine& engine);

// One kind of event. `happen(engine, i)` is its i-th instance, `repeat` of them differ from
// each other; after all of them the cluster is much as before.
struct ClusterEvent {
  std::string name;
  std::string promise;  // what it may cost in map writes
  int repeat = 1;
  std::function<void(Engine&, int)> happen;
};

// The event of ClusterEvents that edits the policy of every second local endpoint.
inline constexpr char kHalfEdited[] = "policy of half of the local pods edited";

// The event that brings so many classes that policy sets outgrow their place.
inline constexpr char kOutgrown[] = "pods elsewhere, of more classes than sets have room for";

std::vector<ClusterEvent> ClusterEvents(const ClusterShape& shape);

// Table writes by what they are in the kernel.
struct WriteCount {
  size_t addresses = 0;  // map updates and removals
  size_t stores = 0;     // runs of words stored to mapped memory
  size_t words = 0;
  size_t graces = 0;  // waits for a grace period
  size_t epochs = 0;  // moved
};
WriteCount Count(const TableWrites& writes);

}  // namespace ripstop::policy

#endif  // RIPSTOP_POLICY_TESTING_CLUSTER_H_
