// SPDX-License-Identifier: Apache-2.0
//
// Who answers `ripstopctl evaluate`: the reference evaluator, the compiled tables in user
// space, or the real program in the kernel. They must never differ.
#ifndef RIPSTOP_API_CTL_EVALUATOR_H_
#define RIPSTOP_API_CTL_EVALUATOR_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "policy/model.h"
#include "policy/world.h"

namespace ripstop::ctl {

// The first packet of a connection, and the endpoints at its ends; null: none.
struct Flow {
  policy::Packet packet;
  const policy::Endpoint* from = nullptr;
  const policy::Endpoint* to = nullptr;
};

struct Judgement {
  std::optional<policy::Verdict> egress;   // absent: no endpoint sends it
  std::optional<policy::Verdict> ingress;  // absent: no endpoint receives it
};

// One thread at a time. `world` outlives the evaluator, and so do the flows' endpoints,
// which are the world's.
class Evaluator {
 public:
  virtual ~Evaluator() = default;
  virtual absl::StatusOr<Judgement> Evaluate(const Flow& flow) = 0;
};

// The engines of this build, the default one first: tables, reference, kernel.
std::vector<std::string> EvaluatorNames();
// kInvalidArgument for a name that is not among them; the kernel's own errors for kernel.
absl::StatusOr<std::unique_ptr<Evaluator>> MakeEvaluator(const std::string& name,
                                                         const policy::World& world);

std::unique_ptr<Evaluator> MakeReferenceEvaluator(const policy::World& world);
std::unique_ptr<Evaluator> MakeTablesEvaluator(const policy::World& world);
absl::StatusOr<std::unique_ptr<Evaluator>> MakeKernelEvaluator(const policy::World& world);

// The whole world into a policy::Engine.
template <typename Engine>
void PutWorld(const policy::World& world, Engine& engine) {
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

}  // namespace ripstop::ctl

#endif  // RIPSTOP_API_CTL_EVALUATOR_H_
