// SPDX-License-Identifier: Apache-2.0
//
// What apply, create, replace and delete do to a store: one plan, one transaction.
//
//   resources + what the store has ──plan──▶ mutations ──Txn──▶ outcomes
//
// Nothing is written when any part of the plan is refused.
#ifndef RIPSTOP_API_CTL_STORE_WRITER_H_
#define RIPSTOP_API_CTL_STORE_WRITER_H_

#include <string>
#include <vector>

#include "api/resource.h"
#include "api/store/store.h"

namespace ripstop::ctl {

struct WriteOptions {
  enum class Verb {
    kApply,    // create, or update where something differs
    kCreate,   // refuse what exists
    kReplace,  // refuse what does not exist
  };
  Verb verb = Verb::kApply;
  bool skip_existing = false;  // kCreate: leave what exists as it is
  bool dry_run = false;        // plan only
};

struct WriteOutcome {
  api::ResourceKey key;
  std::string what;  // created, configured, replaced, unchanged, deleted, skipped, …
};

struct WriteResult {
  std::vector<WriteOutcome> outcomes;  // in the order of the input
  std::vector<absl::Status> errors;    // any: nothing was written
  std::vector<std::string> notes;      // of what was done: what is left to do by hand
};

// metadata.resourceVersion in a resource that exists means compare-and-swap: kAborted when
// the store has another revision. A policy of a tier that neither the store nor the input
// has is refused (kFailedPrecondition): it would deny everything it selects. So are pools
// and nodes that do not go together with what is stored (pool_rules.h).
WriteResult WriteResources(api::Store& store, const std::vector<api::Resource>& resources,
                           const WriteOptions& options);

// Keys that are not there are errors (kNotFound) but do not keep the others from being
// deleted; outcomes say what was done. A tier that still has policies is refused (kAborted),
// and then nothing is. A pool in use is marked (pool_rules.h).
WriteResult DeleteResources(api::Store& store, const std::vector<api::ResourceKey>& keys);

// The tier a policy names, or "" for what is no policy of projectcalico.org/v3.
std::string TierOf(const api::Resource& resource);

}  // namespace ripstop::ctl

#endif  // RIPSTOP_API_CTL_STORE_WRITER_H_
