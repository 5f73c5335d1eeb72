// SPDX-License-Identifier: Apache-2.0
//
// What apply, create and replace do to a store.
//
//   spool + what the store has ──plan──▶ mutations ──Txn──▶ outcomes
//
// Nothing is written when any part of the plan is refused. Up to kBatch is one transaction;
// more is planned as a whole first and then written in transactions of that size, tiers,
// namespaces, profiles and sets before what refers to them. What another writer does between
// the two can stop it in the middle; the error then says how much is written, and the same
// command again does the rest.
#ifndef RIPSTOP_API_CTL_STORE_WRITER_H_
#define RIPSTOP_API_CTL_STORE_WRITER_H_

#include <functional>
#include <string>
#include <vector>

#include "api/ctl/resource_spool.h"
#include "api/store/store.h"

namespace ripstop::ctl {

// How much is changed at once: enough that people never meet the bound, little enough that
// other writers and every agent's watch wait for milliseconds.
struct Batch {
  size_t documents = 10'000;
  size_t bytes = 16 << 20;
};
inline constexpr Batch kBatch;

struct WriteOptions {
  enum class Verb {
    kApply,    // create, or update where something differs
    kCreate,   // refuse what exists
    kReplace,  // refuse what does not exist
  };
  Verb verb = Verb::kApply;
  bool skip_existing = false;  // kCreate: leave what exists as it is
  bool dry_run = false;        // plan only
  Batch batch = kBatch;
};

struct WriteOutcome {
  api::ResourceKey key;
  std::string what;  // created, configured, replaced, unchanged, deleted, skipped, …
};
using ReportOutcome = std::function<void(const WriteOutcome&)>;

// metadata.resourceVersion in a resource that exists means compare-and-swap: kAborted when
// the store has another revision. A policy of a tier that neither the store nor the input
// has is refused (kFailedPrecondition): it would deny everything it selects. So are pools
// and nodes that do not go together with what is stored (pool_rules.h).
//
// `report` gets each outcome once it is certain, in the order of the input as far as one
// transaction goes. Returns what was refused; any: nothing, or what was reported, is written.
std::vector<absl::Status> WriteResources(api::Store& store, ResourceSpool& spool,
                                         const WriteOptions& options, const ReportOutcome& report);

// Tiers, namespaces, profiles and sets (0) before the policies that refer to them (1), so
// that a reader that splits the changes meets nothing that refers to what is not there yet.
// Pools and nodes are by themselves: they are judged together.
inline constexpr int kRankOfPools = 2;
int Rank(const std::string& store_kind);

inline constexpr int kWriteAttempts = 5;

}  // namespace ripstop::ctl

#endif  // RIPSTOP_API_CTL_STORE_WRITER_H_
