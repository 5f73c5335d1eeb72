// SPDX-License-Identifier: Apache-2.0
#include "api/ctl/store_writer.h"

#include <algorithm>
#include <map>
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
using Existing = std::map<ResourceKey, StoredResource>;

constexpr size_t kGetMax = 32;  // up to here single reads, beyond it lists of whole kinds
constexpr int kAttempts = 5;    // against writers that come between plan and transaction

const char* const kPolicyKinds[] = {api::kKindNetworkPolicy, api::kKindGlobalNetworkPolicy,
                                    api::kKindStagedNetworkPolicy,
                                    api::kKindStagedGlobalNetworkPolicy};

absl::StatusOr<Existing> ReadExisting(api::Store& store, const std::set<ResourceKey>& keys) {
  Existing existing;
  if (keys.size() <= kGetMax) {
    for (const ResourceKey& key : keys) {
      absl::StatusOr<StoredResource> found = store.Get(key);
      if (found.ok()) {
        existing.emplace(key, *std::move(found));
      } else if (!absl::IsNotFound(found.status())) {
        return found.status();
      }
    }
    return existing;
  }
  std::set<std::string> kinds;
  for (const ResourceKey& key : keys) kinds.insert(key.kind);
  for (const std::string& kind : kinds) {
    ASSIGN_OR_RETURN(api::Listing listing, store.List({kind, ""}));
    for (StoredResource& item : listing.items)
      if (keys.count(item.key) != 0) existing.emplace(item.key, std::move(item));
  }
  return existing;
}

absl::Status At(const Resource& resource, const absl::Status& status) {
  if (resource.file.empty()) return status;
  return absl::Status(status.code(),
                      absl::StrCat(resource.file, ":", resource.line, ": ", status.message()));
}

absl::StatusOr<std::set<std::string>> KnownTiers(api::Store& store,
                                                 const std::vector<Resource>& resources) {
  std::set<std::string> tiers;
  for (const auto& [name, tier] : policy::BuiltInTiers()) tiers.insert(name);
  for (const Resource& resource : resources)
    if (resource.kind().store_kind == api::kKindTier) tiers.insert(resource.name());
  ASSIGN_OR_RETURN(const api::Listing listing, store.List({api::kKindTier, ""}));
  for (const StoredResource& item : listing.items) tiers.insert(item.key.name);
  return tiers;
}

void CheckTiers(api::Store& store, const std::vector<Resource>& resources, WriteResult& result) {
  const auto used = [](const Resource& resource) { return !TierOf(resource).empty(); };
  if (std::none_of(resources.begin(), resources.end(), used)) return;
  const absl::StatusOr<std::set<std::string>> known = KnownTiers(store, resources);
  if (!known.ok()) {
    result.errors.push_back(known.status());
    return;
  }
  for (const Resource& resource : resources) {
    const std::string tier = TierOf(resource);
    if (tier.empty() || known->count(tier) != 0) continue;
    result.errors.push_back(
        At(resource, absl::FailedPreconditionError(absl::StrCat(
                         resource.key().ToString(), ": spec.tier: \"", tier,
                         "\" does not exist; apply that Tier first, or together with this"))));
  }
}

// The bytes to store: what only the first writer knew stays.
std::string NewValue(const Resource& resource, const StoredResource* existing) {
  Resource merged = resource.Clone();
  auto& metadata = merged.mutable_metadata();
  // A pool's says what delete did; to apply it takes that back. A Pod's is its own.
  if (merged.As<api::v1::IPPool>() != nullptr) metadata.clear_deletion_timestamp();
  if (existing == nullptr) return api::Serialize(merged);
  const absl::StatusOr<Resource> old = api::Deserialize(*existing);
  if (!old.ok()) return api::Serialize(merged);  // damaged: replace it whole
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

absl::StatusOr<Step> PlanOne(const Resource& resource, const StoredResource* existing,
                             const WriteOptions& options) {
  using Verb = WriteOptions::Verb;
  const ResourceKey key = resource.key();
  if (existing == nullptr) {
    if (options.verb == Verb::kReplace)
      return absl::NotFoundError(absl::StrCat(Label(key), " not found; create or apply makes it"));
    return Step{"created", true, {Mutation::Type::kCreate, key, NewValue(resource, nullptr), 0}};
  }
  if (options.verb == Verb::kCreate) {
    if (options.skip_existing) return Step{"skipped", false, {}};
    return absl::AlreadyExistsError(
        absl::StrCat(Label(key), " already exists; apply or replace changes it"));
  }
  Step step{options.verb == Verb::kApply ? "configured" : "replaced",
            true,
            {Mutation::Type::kUpdate, key, NewValue(resource, existing), existing->revision}};
  if (options.verb == Verb::kApply && step.mutation.value == existing->value)
    return Step{"unchanged", false, {}};
  if (resource.revision() != 0 && resource.revision() != existing->revision)
    return absl::AbortedError(
        absl::StrCat(Label(key), " was changed since it was read: metadata.resourceVersion is ",
                     resource.revision(), ", the store has ", existing->revision,
                     "; read it again, or leave resourceVersion out to overwrite"));
  return step;
}

// Tiers, namespaces, profiles and sets before the policies that refer to them, so that a
// reader that splits the changes meets nothing that refers to what is not there yet.
int Rank(const ResourceKey& key) {
  for (const char* kind : {api::kKindTier, api::kKindNamespace, api::kKindServiceAccount,
                           api::kKindProfile, api::kKindNetworkSet, api::kKindGlobalNetworkSet})
    if (key.kind == kind) return 0;
  return 1;
}

WriteResult Plan(api::Store& store, const std::vector<Resource>& resources,
                 const WriteOptions& options, std::vector<Mutation>& mutations) {
  WriteResult result;
  CheckTiers(store, resources, result);
  std::set<ResourceKey> keys;
  for (const Resource& resource : resources) keys.insert(resource.key());
  const absl::StatusOr<Existing> existing = ReadExisting(store, keys);
  if (!existing.ok()) {
    result.errors.push_back(existing.status());
    return result;
  }
  for (const Resource& resource : resources) {
    const auto it = existing->find(resource.key());
    absl::StatusOr<Step> step =
        PlanOne(resource, it == existing->end() ? nullptr : &it->second, options);
    if (!step.ok()) {
      result.errors.push_back(At(resource, step.status()));
      continue;
    }
    result.outcomes.push_back({resource.key(), step->what});
    if (step->write) mutations.push_back(std::move(step->mutation));
  }
  absl::StatusOr<PoolPlan> pools = CheckPools(store, resources);
  if (!pools.ok()) {
    result.errors.push_back(pools.status());
    return result;
  }
  for (absl::Status& error : pools->errors) result.errors.push_back(std::move(error));
  if (!mutations.empty()) {
    for (Mutation& mutation : pools->mutations) mutations.push_back(std::move(mutation));
  }
  std::stable_sort(mutations.begin(), mutations.end(),
                   [](const Mutation& a, const Mutation& b) { return Rank(a.key) < Rank(b.key); });
  return result;
}

}  // namespace

std::string TierOf(const Resource& resource) {
  const api::v1::PolicySpec* spec = nullptr;
  if (const auto* p = resource.As<api::v1::NetworkPolicy>()) spec = &p->spec();
  if (const auto* p = resource.As<api::v1::GlobalNetworkPolicy>()) spec = &p->spec();
  if (const auto* p = resource.As<api::v1::StagedNetworkPolicy>()) spec = &p->spec();
  if (const auto* p = resource.As<api::v1::StagedGlobalNetworkPolicy>()) spec = &p->spec();
  if (spec == nullptr) return "";
  return spec->tier().empty() ? "default" : spec->tier();
}

WriteResult WriteResources(api::Store& store, const std::vector<Resource>& resources,
                           const WriteOptions& options) {
  for (int attempt = 1;; ++attempt) {
    std::vector<Mutation> mutations;
    WriteResult result = Plan(store, resources, options, mutations);
    if (!result.errors.empty() || options.dry_run || mutations.empty()) return result;
    const absl::Status status = store.Txn(mutations).status();
    if (status.ok()) return result;
    if (attempt < kAttempts && Raced(status)) continue;  // plan anew with what is there now
    result.errors.push_back(status);
    return result;
  }
}

namespace {

// Tiers to be deleted that policies would still name afterwards.
absl::Status CheckTiersUnused(api::Store& store, const std::set<ResourceKey>& deleted) {
  std::set<std::string> tiers;
  for (const ResourceKey& key : deleted)
    if (key.kind == api::kKindTier && policy::BuiltInTiers().count(key.name) == 0)
      tiers.insert(key.name);
  if (tiers.empty()) return absl::OkStatus();
  for (const char* kind : kPolicyKinds) {
    ASSIGN_OR_RETURN(const api::Listing listing, store.List({kind, ""}));
    for (const StoredResource& item : listing.items) {
      const absl::StatusOr<Resource> resource = api::Deserialize(item);
      if (!resource.ok() || deleted.count(item.key) != 0) continue;
      if (tiers.count(TierOf(*resource)) != 0)
        return absl::AbortedError(absl::StrCat("tier ", TierOf(*resource), " still has ",
                                               Label(item.key), "; delete its policies first"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

WriteResult DeleteResources(api::Store& store, const std::vector<ResourceKey>& keys) {
  const std::set<ResourceKey> distinct(keys.begin(), keys.end());
  for (int attempt = 1;; ++attempt) {
    WriteResult result;
    const absl::StatusOr<Existing> existing = ReadExisting(store, distinct);
    if (!existing.ok()) return {{}, {existing.status()}};
    if (absl::Status status = CheckTiersUnused(store, distinct); !status.ok())
      return {{}, {status}};
    std::vector<Mutation> mutations;
    std::set<std::string> nodes;
    for (const ResourceKey& key : keys) {
      const bool built_in = key.kind == api::kKindTier && policy::BuiltInTiers().count(key.name);
      if (existing->count(key) == 0) {
        result.errors.push_back(absl::NotFoundError(absl::StrCat(
            Label(key), built_in ? " is built in and cannot be deleted" : " not found")));
        continue;
      }
      PoolRemoval removal = {.mutations = {{Mutation::Type::kDelete, key, "", 0}}};
      if (key.kind == api::kKindIPPool) {
        absl::StatusOr<PoolRemoval> planned = RemovePool(store, existing->at(key));
        if (!planned.ok()) return {{}, {planned.status()}};
        removal = *std::move(planned);
      }
      if (key.kind == api::kKindNode) nodes.insert(key.name);
      for (Mutation& mutation : removal.mutations) mutations.push_back(std::move(mutation));
      result.outcomes.push_back({key, std::move(removal.what)});
    }
    // What refers goes before what is referred to.
    std::stable_sort(mutations.begin(), mutations.end(), [](const Mutation& a, const Mutation& b) {
      return Rank(a.key) > Rank(b.key);
    });
    const absl::Status status = store.Txn(mutations).status();
    if (status.ok()) {
      // Only advice: the deletion stands, whatever becomes of this.
      if (auto notes = LeftOfNodes(store, nodes); notes.ok()) result.notes = *std::move(notes);
      return result;
    }
    if (attempt < kAttempts && Raced(status)) continue;
    return {{}, {status}};
  }
}

}  // namespace ripstop::ctl
