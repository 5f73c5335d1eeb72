// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_POLICY_ENGINE_PUT_WORLD_H_
#define RIPSTOP_POLICY_ENGINE_PUT_WORLD_H_

#include "policy/engine/engine.h"
#include "policy/world.h"

namespace ripstop::policy {

// Gives the engine all that `world` holds; what it had besides stays.
inline void PutWorld(const World& world, Engine& engine) {
  for (const auto& [key, object] : world.tiers) engine.PutTier(object);
  for (const auto& [key, object] : world.profiles) engine.PutProfile(object);
  for (const auto& [key, object] : world.network_sets) engine.PutNetworkSet(object);
  for (const auto& [key, object] : world.services) engine.PutServiceBackends(object);
  for (const auto& [key, object] : world.hosts) engine.PutHost(object);
  for (const auto& [key, object] : world.policies) engine.PutPolicy(object);
  for (const auto& [key, object] : world.endpoints) engine.PutEndpoint(object);
  for (const auto& [key, object] : world.host_endpoints) engine.PutHostEndpoint(object);
  engine.SetFailsafePorts(world.failsafe);
}

}  // namespace ripstop::policy

#endif  // RIPSTOP_POLICY_ENGINE_PUT_WORLD_H_
