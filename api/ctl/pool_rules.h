// SPDX-License-Identifier: Apache-2.0
//
// What a store's pools and nodes forbid: pools that overlap each other or a node's subnet,
// and changes of a pool whose addresses are in use.
#ifndef RIPSTOP_API_CTL_POOL_RULES_H_
#define RIPSTOP_API_CTL_POOL_RULES_H_

#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "api/resource.h"
#include "api/store/store.h"

namespace ripstop::ctl {

// What writing or deleting pools asks for beside the documents themselves.
struct PoolPlan {
  std::vector<absl::Status> errors;      // each names the document and what is stored
  std::vector<api::Mutation> mutations;  // empty blocks that go with the old form of a pool
};

// Whether `resources` may be written into this store. Reads it only where there is a pool
// or a node among them, and blocks only where a pool changes its cidr or blockSize.
absl::StatusOr<PoolPlan> CheckPools(api::Store& store, const std::vector<api::Resource>& resources);

// How a pool is deleted. One whose addresses are in use is marked, as Kubernetes marks what
// still has a finalizer, and goes when agents see its last block go: `what` says so.
struct PoolRemoval {
  std::string what = "deleted";
  std::vector<api::Mutation> mutations;  // of the pool and its empty blocks
};
absl::StatusOr<PoolRemoval> RemovePool(api::Store& store, const api::StoredResource& pool);

// What stays behind of nodes that are deleted, and what to do about it; empty: nothing.
absl::StatusOr<std::vector<std::string>> LeftOfNodes(api::Store& store,
                                                     const std::set<std::string>& nodes);

}  // namespace ripstop::ctl

#endif  // RIPSTOP_API_CTL_POOL_RULES_H_
