// SPDX-License-Identifier: Apache-2.0
#include "api/ctl/store_writer.h"

#include <algorithm>
#include <optional>
#include <set>

#include "absl/strings/str_cat.h"
#include "api/ctl/kind_words.h"
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

// The bytes to store in place of `existing`: what only the first writer knew stays.
absl::StatusOr<std::string> Merged(const SpooledResource& spooled, const StoredResource& existing) {
  const absl::StatusOr<Resource> old = api::Deserialize(existing);
  if (!old.ok()) return spooled.value;  // damaged: replace it whole
  ASSIGN_OR_RETURN(Resource merged, spooled.Parse());
  auto& metadata = merged.mutable_metadata();
  if (metadata.uid().empty()) metadata.set_uid(old->metadata().uid());
  if (metadata.creation_timestamp().empty())
    metadata.set_creation_timestamp(old->metadata().creation_timestamp());
  return api::Serialize(merged);
}

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
    return Step{"created", true, {Mutation::Type::kCreate, key, spooled.value, 0}};
  }
  if (options.verb == Verb::kCreate) {
    if (options.skip_existing) return Step{"skipped", false, {}};
    return absl::AlreadyExistsError(
        absl::StrCat(Label(key), " already exists; apply or replace changes it"));
  }
  ASSIGN_OR_RETURN(std::string value, Merged(spooled, *existing));
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
    return WriteRanks({0, 1});
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
    if (options_.verb == Verb::kApply && !spool_.has_revisions()) return absl::OkStatus();
    return ForEach([&](const SpooledResource& spooled) {
      const auto step = Plan(spooled);
      if (!step.ok()) errors_.push_back(At(spooled, step.status()));
      return absl::OkStatus();
    });
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
  return 1;
}

bool Raced(const absl::Status& status) {
  return absl::IsAborted(status) || absl::IsAlreadyExists(status) || absl::IsNotFound(status);
}

std::vector<absl::Status> WriteResources(api::Store& store, ResourceSpool& spool,
                                         const WriteOptions& options, const ReportOutcome& report) {
  return Writer(store, spool, options, report).Write();
}

}  // namespace ripstop::ctl
