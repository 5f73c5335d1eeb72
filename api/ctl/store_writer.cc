// SPDX-License-Identifier: Apache-2.0
#include "api/ctl/store_writer.h"

#include <algorithm>
#include <optional>
#include <set>

#include "absl/strings/str_cat.h"
#include "api/ctl/ipam_state.h"
#include "api/ctl/kind_words.h"
#include "api/ctl/pool_rules.h"
#include "policy/status_macros.h"
#include "policy/world.h"

namespace ripstop::ctl {
namespace {

using api::Mutation;
using api::Resource;
using api::ResourceKey;
using api::StoredResource;
using Verb = WriteOptions::Verb;

absl::Status At(const SpooledResource& spooled, const absl::Status& status) {
  if (spooled.file.empty()) return status;
  return absl::Status(status.code(),
                      absl::StrCat(spooled.file, ":", spooled.line, ": ", status.message()));
}

// The bytes to store: what only the first writer knew stays.
absl::StatusOr<std::string> NewValue(const SpooledResource& spooled,
                                     const StoredResource* existing) {
  const bool pool = spooled.key.kind == api::kKindIPPool;
  if (existing == nullptr && !pool) return spooled.value;
  ASSIGN_OR_RETURN(Resource merged, spooled.Parse());
  auto& metadata = merged.mutable_metadata();
  // A pool's says what delete did; to apply it takes that back. A Pod's is its own.
  if (pool) metadata.clear_deletion_timestamp();
  if (existing == nullptr) return api::Serialize(merged);
  const absl::StatusOr<Resource> old = api::Deserialize(*existing);
  if (!old.ok()) return api::Serialize(merged);  // damaged: replace it whole
  if (metadata.uid().empty()) metadata.set_uid(old->metadata().uid());
  if (metadata.creation_timestamp().empty())
    metadata.set_creation_timestamp(old->metadata().creation_timestamp());
  return api::Serialize(merged);
}

bool IsPoolOrNode(const SpooledResource& spooled) { return Rank(spooled.key.kind) == kRankOfPools; }

struct Step {
  std::string what;
  bool write = false;
  Mutation mutation;
};

absl::StatusOr<Step> PlanOne(const SpooledResource& spooled, const StoredResource* existing,
                             const WriteOptions& options) {
  const ResourceKey& key = spooled.key;
  if (existing == nullptr) {
    if (options.verb == Verb::kReplace)
      return absl::NotFoundError(absl::StrCat(Label(key), " not found; create or apply makes it"));
    ASSIGN_OR_RETURN(std::string value, NewValue(spooled, nullptr));
    return Step{"created", true, {Mutation::Type::kCreate, key, std::move(value), 0}};
  }
  if (options.verb == Verb::kCreate) {
    if (options.skip_existing) return Step{"skipped", false, {}};
    return absl::AlreadyExistsError(
        absl::StrCat(Label(key), " already exists; apply or replace changes it"));
  }
  ASSIGN_OR_RETURN(std::string value, NewValue(spooled, existing));
  if (options.verb == Verb::kApply && value == existing->value) return Step{"unchanged", false, {}};
  if (spooled.revision != 0 && spooled.revision != existing->revision)
    return absl::AbortedError(
        absl::StrCat(Label(key), " was changed since it was read: metadata.resourceVersion is ",
                     spooled.revision, ", the store has ", existing->revision,
                     "; read it again, or leave resourceVersion out to overwrite"));
  return Step{options.verb == Verb::kApply ? "configured" : "replaced",
              true,
              {Mutation::Type::kUpdate, key, std::move(value), existing->revision}};
}

class Writer {
 public:
  Writer(api::Store& store, ResourceSpool& spool, const WriteOptions& options,
         const ReportOutcome& report)
      : store_(store), spool_(spool), options_(options), report_(report) {}

  std::vector<absl::Status> Write() {
    if (absl::Status status = CheckTiers(); !status.ok()) return {status};
    if (!errors_.empty()) return errors_;
    if (spool_.size() <= options_.batch.documents && spool_.bytes() <= options_.batch.bytes)
      return WriteRanks({std::nullopt});
    if (absl::Status status = CheckPlan(); !status.ok()) return {status};
    if (!errors_.empty()) return errors_;
    return WriteRanks({0, 1, kRankOfPools});
  }

 private:
  // Policies of tiers that are nowhere.
  absl::Status CheckTiers() {
    std::set<std::string> missing = spool_.named_tiers();
    for (const auto& [name, tier] : policy::BuiltInTiers()) missing.erase(name);
    for (const std::string& name : spool_.tiers()) missing.erase(name);
    if (missing.empty()) return absl::OkStatus();
    ASSIGN_OR_RETURN(const api::Listing listing, store_.List({api::kKindTier, ""}));
    for (const StoredResource& item : listing.items) missing.erase(item.key.name);
    if (missing.empty()) return absl::OkStatus();
    return ForEach([&](const SpooledResource& spooled) {
      if (missing.count(spooled.tier) == 0) return absl::OkStatus();
      errors_.push_back(
          At(spooled, absl::FailedPreconditionError(absl::StrCat(
                          spooled.key.ToString(), ": spec.tier: \"", spooled.tier,
                          "\" does not exist; apply that Tier first, or together with this"))));
      return absl::OkStatus();
    });
  }

  // Everything that can be refused, before the first of several transactions.
  absl::Status CheckPlan() {
    RETURN_IF_ERROR(CheckAllPools());
    if (options_.verb == Verb::kApply && !spool_.has_revisions()) return absl::OkStatus();
    return ForEach([&](const SpooledResource& spooled) {
      const auto step = Plan(spooled);
      if (!step.ok()) errors_.push_back(At(spooled, step.status()));
      return absl::OkStatus();
    });
  }

  absl::Status CheckAllPools() {
    if (!spool_.has_pools_or_nodes()) return absl::OkStatus();
    std::vector<Resource> resources;
    RETURN_IF_ERROR(
        ForEach([&](const SpooledResource& spooled) { return Take(spooled, &resources); }));
    ASSIGN_OR_RETURN(PoolPlan plan, CheckPools(store_, resources));
    for (absl::Status& error : plan.errors) errors_.push_back(std::move(error));
    return absl::OkStatus();
  }

  static absl::Status Take(const SpooledResource& spooled, std::vector<Resource>* resources) {
    if (!IsPoolOrNode(spooled)) return absl::OkStatus();
    ASSIGN_OR_RETURN(Resource resource, spooled.Parse());
    resources->push_back(std::move(resource));
    return absl::OkStatus();
  }

  // Adds what pools ask for beside themselves, if they are written at all.
  absl::Status PlanPools(const std::vector<SpooledResource>& batch,
                         std::vector<Mutation>* mutations) {
    std::vector<Resource> resources;
    for (const SpooledResource& spooled : batch) RETURN_IF_ERROR(Take(spooled, &resources));
    ASSIGN_OR_RETURN(PoolPlan plan, CheckPools(store_, resources));
    for (absl::Status& error : plan.errors) errors_.push_back(std::move(error));
    if (mutations->empty()) return absl::OkStatus();
    for (Mutation& mutation : plan.mutations) mutations->push_back(std::move(mutation));
    return absl::OkStatus();
  }

  template <typename F>
  absl::Status ForEach(F&& f) {
    RETURN_IF_ERROR(spool_.Rewind());
    SpooledResource spooled;
    for (;;) {
      ASSIGN_OR_RETURN(const bool more, spool_.Next(&spooled));
      if (!more) return absl::OkStatus();
      RETURN_IF_ERROR(f(spooled));
    }
  }

  absl::StatusOr<Step> Plan(const SpooledResource& spooled) {
    const absl::StatusOr<StoredResource> existing = store_.Get(spooled.key);
    if (!existing.ok() && !absl::IsNotFound(existing.status())) return existing.status();
    return PlanOne(spooled, existing.ok() ? &*existing : nullptr, options_);
  }

  // One pass over the spool for each rank; no rank: all.
  std::vector<absl::Status> WriteRanks(const std::vector<std::optional<int>>& ranks) {
    for (const std::optional<int>& rank : ranks) {
      std::vector<SpooledResource> batch;
      size_t bytes = 0;
      absl::Status status = ForEach([&](SpooledResource& spooled) {
        if (rank && Rank(spooled.kind->store_kind) != *rank) return absl::OkStatus();
        bytes += spooled.value.size();
        batch.push_back(std::move(spooled));
        // Without a rank, order within the transaction is by rank: it must be one.
        if (!rank || (batch.size() < options_.batch.documents && bytes < options_.batch.bytes))
          return absl::OkStatus();
        bytes = 0;
        return WriteBatch(std::exchange(batch, {}));
      });
      if (status.ok()) status = WriteBatch(std::move(batch));
      if (!status.ok()) return Stopped(status);
    }
    return errors_;
  }

  // OK also when something was refused: then errors_ says what.
  absl::Status WriteBatch(const std::vector<SpooledResource>& batch) {
    for (int attempt = 1;; ++attempt) {
      std::vector<Mutation> mutations;
      std::vector<WriteOutcome> outcomes;
      errors_.clear();
      for (const SpooledResource& spooled : batch) {
        absl::StatusOr<Step> step = Plan(spooled);
        if (!step.ok()) {
          errors_.push_back(At(spooled, step.status()));
          continue;
        }
        outcomes.push_back({spooled.key, step->what});
        if (step->write) mutations.push_back(std::move(step->mutation));
      }
      RETURN_IF_ERROR(PlanPools(batch, &mutations));
      if (!errors_.empty()) return errors_.front();
      std::stable_sort(
          mutations.begin(), mutations.end(),
          [](const Mutation& a, const Mutation& b) { return Rank(a.key.kind) < Rank(b.key.kind); });
      absl::Status status;
      if (!options_.dry_run && !mutations.empty()) status = store_.Txn(mutations).status();
      if (!status.ok() && attempt < kWriteAttempts && Raced(status)) continue;  // plan anew
      RETURN_IF_ERROR(status);
      written_ += outcomes.size();
      for (const WriteOutcome& outcome : outcomes) report_(outcome);
      return absl::OkStatus();
    }
  }

  std::vector<absl::Status> Stopped(const absl::Status& status) {
    if (errors_.empty()) errors_.push_back(status);
    if (written_ > 0) {
      errors_.push_back(absl::Status(
          errors_.front().code(),
          absl::StrCat(
              written_, " of ", spool_.size(), " documents are written, as said above; ",
              options_.verb == Verb::kCreate ? "create --skip-exists" : "the same command again",
              " does the rest")));
    }
    return errors_;
  }

  api::Store& store_;
  ResourceSpool& spool_;
  const WriteOptions& options_;
  const ReportOutcome& report_;
  std::vector<absl::Status> errors_;
  size_t written_ = 0;
};

}  // namespace

int Rank(const std::string& store_kind) {
  for (const char* kind : {api::kKindTier, api::kKindNamespace, api::kKindServiceAccount,
                           api::kKindProfile, api::kKindNetworkSet, api::kKindGlobalNetworkSet})
    if (store_kind == kind) return 0;
  return store_kind == api::kKindIPPool || store_kind == api::kKindNode ? kRankOfPools : 1;
}

std::vector<absl::Status> WriteResources(api::Store& store, ResourceSpool& spool,
                                         const WriteOptions& options, const ReportOutcome& report) {
  return Writer(store, spool, options, report).Write();
}

}  // namespace ripstop::ctl
