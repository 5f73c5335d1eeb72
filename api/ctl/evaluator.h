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
  // Where it is set, the question is what policy says at that host endpoint's interface,
  // and the ends are not asked.
  const policy::HostEndpoint* host = nullptr;
  policy::Direction direction = policy::Direction::kIngress;
  bool forwarded = false;  // neither end is the host
};

struct HostJudgement {
  policy::HostGroup group = policy::HostGroup::kNormal;  // which decided
  policy::Verdict verdict;
};

struct Judgement {
  std::optional<policy::Verdict> egress;   // absent: no endpoint sends it
  std::optional<policy::Verdict> ingress;  // absent: no endpoint receives it
  std::optional<HostJudgement> host;       // of a question to a host endpoint, instead
};

// Asks the groups of a host endpoint in their order until one decides. `ask` gives a
// group's verdict, as absl::StatusOr<policy::Verdict>.
template <typename Ask>
absl::StatusOr<Judgement> JudgeHost(const Flow& flow, Ask ask) {
  using policy::HostGroup;
  Judgement judgement;
  for (const HostGroup group : {HostGroup::kUntracked, HostGroup::kPreDnat,
                                flow.forwarded ? HostGroup::kForward : HostGroup::kNormal}) {
    if (group == HostGroup::kPreDnat && flow.direction == policy::Direction::kEgress) continue;
    absl::StatusOr<policy::Verdict> verdict = ask(group);
    if (!verdict.ok()) return verdict.status();
    judgement.host = HostJudgement{group, *std::move(verdict)};
    if (!judgement.host->verdict.next) break;
  }
  return judgement;
}

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

}  // namespace ripstop::ctl

#endif  // RIPSTOP_API_CTL_EVALUATOR_H_
