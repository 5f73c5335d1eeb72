// SPDX-License-Identifier: Apache-2.0
#include "api/ctl/store_deleter.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
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

const char* const kTieredKinds[] = {api::kKindNetworkPolicy, api::kKindGlobalNetworkPolicy,
                                    api::kKindStagedNetworkPolicy,
                                    api::kKindStagedGlobalNetworkPolicy};
// What of a namespace decides about its pods: enforced policies, and the sets they select.
const char* const kGoverningKinds[] = {api::kKindNetworkPolicy, api::kKindKubernetesNetworkPolicy,
                                       api::kKindNetworkSet};

// Tiers to be deleted that policies would still name afterwards.
absl::Status CheckTiersUnused(api::Store& store, const std::set<ResourceKey>& deleted) {
  std::set<std::string> tiers;
  for (const ResourceKey& key : deleted)
    if (key.kind == api::kKindTier && policy::BuiltInTiers().count(key.name) == 0)
      tiers.insert(key.name);
  if (tiers.empty()) return absl::OkStatus();
  for (const char* kind : kTieredKinds) {
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

std::string Count(size_t count, const char* one, const char* many) {
  return absl::StrCat(count, " ", count == 1 ? one : many);
}

// Pods of the namespace that are there and will be: attached ones, and those that documents
// know and that have not finished.
absl::StatusOr<size_t> RunningPods(api::Store& store, const std::string& ns,
                                   const std::set<ResourceKey>& deleted) {
  std::set<std::string> pods;
  ASSIGN_OR_RETURN(const api::Listing endpoints, store.List({api::kKindWorkloadEndpoint, ns}));
  for (const StoredResource& item : endpoints.items) {
    const absl::StatusOr<Resource> resource = api::Deserialize(item);
    if (deleted.count(item.key) != 0) continue;
    const auto* endpoint = resource.ok() ? resource->As<api::v1::WorkloadEndpoint>() : nullptr;
    const bool named = endpoint != nullptr && !endpoint->spec().pod().empty();
    pods.insert(named ? endpoint->spec().pod() : item.key.name);
  }
  ASSIGN_OR_RETURN(const api::Listing documents, store.List({api::kKindPod, ns}));
  for (const StoredResource& item : documents.items) {
    const absl::StatusOr<Resource> resource = api::Deserialize(item);
    const auto* pod = resource.ok() ? resource->As<api::v1::Pod>() : nullptr;
    if (deleted.count(item.key) != 0 || pod == nullptr) continue;
    const std::string& phase = pod->status().phase();
    if (phase != "Succeeded" && phase != "Failed") pods.insert(item.key.name);
  }
  return pods.size();
}

struct NamespaceRest {
  size_t pods = 0;
  std::vector<ResourceKey> policies;  // that are there
};

absl::StatusOr<NamespaceRest> RestOf(api::Store& store, const std::string& ns,
                                     const std::set<ResourceKey>& deleted) {
  NamespaceRest rest;
  ASSIGN_OR_RETURN(rest.pods, RunningPods(store, ns, deleted));
  for (const char* kind : kGoverningKinds) {
    ASSIGN_OR_RETURN(const api::Listing listing, store.List({kind, ns}));
    for (const StoredResource& item : listing.items) rest.policies.push_back(item.key);
  }
  return rest;
}

// Takes policies whose pods would outlive their namespace out of `deleted`, and says so.
absl::Status KeepPoliciesOfPods(api::Store& store, std::set<ResourceKey>* deleted,
                                DeleteResult* result) {
  const std::set<ResourceKey> asked = *deleted;
  for (const ResourceKey& key : asked) {
    if (key.kind != api::kKindNamespace || !store.Get(key).ok()) continue;
    ASSIGN_OR_RETURN(const NamespaceRest rest, RestOf(store, key.name, asked));
    std::vector<std::string> staying;
    for (const ResourceKey& policy : rest.policies) {
      if (rest.pods > 0 || asked.count(policy) == 0) staying.push_back(Label(policy));
      if (rest.pods == 0 || deleted->erase(policy) == 0) continue;
      result->errors.push_back(absl::AbortedError(
          absl::StrCat(Label(policy), " stays: ", Count(rest.pods, "pod", "pods"), " of ", key.name,
                       " still run; delete it once they are gone")));
    }
    if (rest.pods > 0) {
      result->notes.push_back(absl::StrCat(
          Label(key), ": ", Count(rest.pods, "pod runs", "pods run"),
          " on as in a namespace without a document: its labels are gone, and what no policy "
          "decides is allowed"));
    }
    if (!staying.empty()) {
      result->notes.push_back(
          absl::StrCat(Label(key), ": ", absl::StrJoin(staying, ", "),
                       staying.size() == 1 ? " stays in force" : " stay in force"));
    }
  }
  return absl::OkStatus();
}

class Deleter {
 public:
  Deleter(api::Store& store, const Batch& batch) : store_(store), batch_(batch) {}

  DeleteResult Delete(const std::vector<ResourceKey>& keys) {
    std::set<ResourceKey> distinct(keys.begin(), keys.end());
    absl::Status status = KeepPoliciesOfPods(store_, &distinct, &result_);
    if (status.ok()) status = CheckTiersUnused(store_, distinct);
    if (!status.ok()) return {{}, {status}, {}};
    std::vector<ResourceKey> there;
    for (const ResourceKey& key : keys) {
      if (distinct.erase(key) == 0) continue;  // kept, or named twice
      there.push_back(key);
    }
    // What refers goes before what is referred to.
    std::vector<ResourceKey> ordered = there;
    std::stable_sort(ordered.begin(), ordered.end(),
                     [](const auto& a, const auto& b) { return Rank(a.kind) > Rank(b.kind); });
    for (size_t at = 0; at < ordered.size() && status.ok(); at += batch_.documents) {
      const size_t end = std::min(ordered.size(), at + batch_.documents);
      status = DeleteBatch({ordered.begin() + at, ordered.begin() + end});
    }
    for (const ResourceKey& key : there)
      if (const auto it = deleted_.find(key); it != deleted_.end())
        result_.outcomes.push_back({key, it->second});
    // Only advice: the deletion stands, whatever becomes of this.
    if (auto notes = LeftOfNodes(store_, nodes_); notes.ok())
      result_.notes.insert(result_.notes.end(), notes->begin(), notes->end());
    if (!status.ok()) result_.errors.push_back(status);
    return std::move(result_);
  }

 private:
  absl::Status DeleteBatch(const std::vector<ResourceKey>& keys) {
    for (int attempt = 1;; ++attempt) {
      std::vector<Mutation> mutations;
      std::map<ResourceKey, std::string> planned;  // with what becomes of it
      std::vector<absl::Status> missing;
      for (const ResourceKey& key : keys) {
        const absl::StatusOr<StoredResource> found = store_.Get(key);
        if (absl::IsNotFound(found.status())) {
          const bool built_in =
              key.kind == api::kKindTier && policy::BuiltInTiers().count(key.name) != 0;
          missing.push_back(absl::NotFoundError(absl::StrCat(
              Label(key), built_in ? " is built in and cannot be deleted" : " not found")));
          continue;
        }
        RETURN_IF_ERROR(found.status());
        PoolRemoval removal = {.mutations = {{Mutation::Type::kDelete, key, "", 0}}};
        if (key.kind == api::kKindIPPool) {
          ASSIGN_OR_RETURN(removal, RemovePool(store_, *found));
        }
        for (Mutation& mutation : removal.mutations) mutations.push_back(std::move(mutation));
        planned[key] = std::move(removal.what);
      }
      const absl::Status status = store_.Txn(mutations).status();
      if (!status.ok() && attempt < kWriteAttempts && Raced(status)) continue;
      RETURN_IF_ERROR(status);
      for (const auto& [key, what] : planned)
        if (key.kind == api::kKindNode) nodes_.insert(key.name);
      deleted_.merge(planned);
      for (absl::Status& error : missing) result_.errors.push_back(std::move(error));
      return absl::OkStatus();
    }
  }

  api::Store& store_;
  const Batch& batch_;
  DeleteResult result_;
  std::map<ResourceKey, std::string> deleted_;  // with what became of it
  std::set<std::string> nodes_;
};

}  // namespace

DeleteResult DeleteResources(api::Store& store, const std::vector<ResourceKey>& keys,
                             const Batch& batch) {
  return Deleter(store, batch).Delete(keys);
}

}  // namespace ripstop::ctl
