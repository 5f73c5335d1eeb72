// SPDX-License-Identifier: Apache-2.0
#include "api/convert/staged.h"

#include <algorithm>
#include <array>
#include <utility>

namespace ripstop::api {
namespace {

using policy::PolicyKind;

constexpr std::array<std::pair<PolicyKind, PolicyKind>, 3> kTwins = {{
    {PolicyKind::kNetworkPolicy, PolicyKind::kStagedNetworkPolicy},
    {PolicyKind::kGlobalNetworkPolicy, PolicyKind::kStagedGlobalNetworkPolicy},
    {PolicyKind::kKubernetesNetworkPolicy, PolicyKind::kStagedKubernetesNetworkPolicy},
}};

}  // namespace

policy::PolicyKey EnforcedKey(policy::PolicyKey key) {
  for (const auto& [enforced, staged] : kTwins) {
    if (key.kind == staged) key.kind = enforced;
  }
  return key;
}

policy::PolicyKey StagedKey(policy::PolicyKey key) {
  for (const auto& [enforced, staged] : kTwins) {
    if (key.kind == enforced) key.kind = staged;
  }
  return key;
}

std::optional<policy::Policy> AsIfApplied(const policy::Policy* enforced,
                                          const policy::Policy* staged) {
  const bool deletes = staged != nullptr && staged->staged_delete;
  if (staged != nullptr && !deletes) {
    policy::Policy applied = *staged;
    applied.key = EnforcedKey(std::move(applied.key));
    applied.staged = false;
    return applied;
  }
  if (enforced == nullptr || (deletes && enforced->tier == staged->tier)) return std::nullopt;
  return *enforced;
}

bool HasStaged(const policy::World& world) {
  return std::any_of(world.policies.begin(), world.policies.end(),
                     [](const auto& entry) { return entry.second.staged; });
}

policy::World StagedWorld(const policy::World& world) {
  policy::World result = world;
  std::erase_if(result.policies, [](const auto& entry) { return entry.second.staged; });
  for (const auto& [key, staged] : world.policies) {
    if (!staged.staged) continue;
    const auto enforced = world.policies.find(EnforcedKey(key));
    const bool known = enforced != world.policies.end();
    auto applied = AsIfApplied(known ? &enforced->second : nullptr, &staged);
    if (applied.has_value()) {
      result.Put(*std::move(applied));
    } else {
      result.policies.erase(EnforcedKey(key));
    }
  }
  return result;
}

policy::RuleIdentity AsStaged(policy::RuleIdentity by, bool staged) {
  if (staged) by.policy = StagedKey(std::move(by.policy));
  return by;
}

}  // namespace ripstop::api
