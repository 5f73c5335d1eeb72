// SPDX-License-Identifier: Apache-2.0
//
// The staged side of PolicyFeed: what the second engine gets.
#include "agent/policy/policy_feed.h"
#include "api/convert/staged.h"

namespace ripstop::agent {
namespace {

// The store's kind of an enforced policy.
const char* StoreKind(policy::PolicyKind kind) {
  switch (kind) {
    case policy::PolicyKind::kNetworkPolicy: return api::kKindNetworkPolicy;
    case policy::PolicyKind::kGlobalNetworkPolicy: return api::kKindGlobalNetworkPolicy;
    case policy::PolicyKind::kKubernetesNetworkPolicy: return api::kKindKubernetesNetworkPolicy;
    case policy::PolicyKind::kClusterNetworkPolicy: return api::kKindClusterNetworkPolicy;
    default: return "";
  }
}

}  // namespace

void PolicyFeed::FeedStagedInto(policy::Engine* engine) {
  staged_engine_ = engine;
  if (engine == nullptr) return;
  for (const auto& [key, objects] : objects_) {
    for (const api::ModelObject& object : objects) {
      if (const auto* policy = std::get_if<policy::Policy>(&object)) {
        if (!policy->staged) engine->PutPolicy(*policy);
      } else if (!std::holds_alternative<policy::Endpoint>(object)) {
        api::PutObject(*engine, object);
      }
    }
  }
  for (const auto& [key, staged] : staged_) Restage(key);
  for (const auto& [name, profile] : implied_) engine->PutProfile(profile);
  join_.ForEach([&](const policy::Endpoint& endpoint) { engine->PutEndpoint(endpoint); });
}

void PolicyFeed::Stage(const policy::Policy& policy) {
  const policy::PolicyKey key = api::EnforcedKey(policy.key);
  staged_[key] = policy;
  staged_changes_.insert(key);
  Restage(key);
}

void PolicyFeed::Unstage(const policy::Policy& policy) {
  const policy::PolicyKey key = api::EnforcedKey(policy.key);
  staged_.erase(key);
  staged_changes_.insert(key);
  Restage(key);
}

const policy::Policy* PolicyFeed::FindPolicy(const policy::PolicyKey& key) const {
  const auto it = objects_.find({StoreKind(key.kind), key.ns, key.name});
  if (it == objects_.end() || it->second.empty()) return nullptr;
  return std::get_if<policy::Policy>(&it->second.front());
}

void PolicyFeed::Restage(const policy::PolicyKey& key) {
  if (staged_engine_ == nullptr) return;
  const auto staged = staged_.find(key);
  const auto applied =
      api::AsIfApplied(FindPolicy(key), staged == staged_.end() ? nullptr : &staged->second);
  if (applied.has_value()) {
    staged_engine_->PutPolicy(*applied);
  } else {
    staged_engine_->RemovePolicy(key);
  }
}

}  // namespace ripstop::agent
