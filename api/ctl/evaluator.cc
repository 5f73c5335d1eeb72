// SPDX-License-Identifier: Apache-2.0
#include "api/ctl/evaluator.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "policy/reference.h"

namespace ripstop::ctl {
namespace {

class ReferenceEvaluator : public Evaluator {
 public:
  explicit ReferenceEvaluator(const policy::World& world) : world_(world) {}

  absl::StatusOr<Judgement> Evaluate(const Flow& flow) override {
    using policy::Direction;
    if (flow.host != nullptr)
      return JudgeHost(flow, [&](policy::HostGroup group) -> absl::StatusOr<policy::Verdict> {
        return reference_.EvaluateHost(world_, *flow.host, group, flow.direction, flow.packet);
      });
    Judgement judgement;
    if (flow.from != nullptr)
      judgement.egress = reference_.Evaluate(world_, *flow.from, Direction::kEgress, flow.packet);
    if (flow.to != nullptr)
      judgement.ingress = reference_.Evaluate(world_, *flow.to, Direction::kIngress, flow.packet);
    return judgement;
  }

 private:
  const policy::World& world_;
  policy::Reference reference_;
};

}  // namespace

std::unique_ptr<Evaluator> MakeReferenceEvaluator(const policy::World& world) {
  return std::make_unique<ReferenceEvaluator>(world);
}

std::vector<std::string> EvaluatorNames() { return {"tables", "reference", "kernel"}; }

absl::StatusOr<std::unique_ptr<Evaluator>> MakeEvaluator(const std::string& name,
                                                         const policy::World& world) {
  if (name == "reference") return MakeReferenceEvaluator(world);
  if (name == "tables") return MakeTablesEvaluator(world);
  if (name == "kernel") return MakeKernelEvaluator(world);
  return absl::InvalidArgumentError(absl::StrCat("no engine is called \"", name, "\"; there are ",
                                                 absl::StrJoin(EvaluatorNames(), ", ")));
}

}  // namespace ripstop::ctl
