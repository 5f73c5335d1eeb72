// SPDX-License-Identifier: Apache-2.0
//
// The one place where ripstopctl reaches up to agent/: behind Evaluator, so that nothing
// else of it knows the kernel.
#include "absl/strings/str_cat.h"
#include "api/ctl/evaluator.h"
#include "bpf/loader/kernel_evaluator.h"
#include "policy/engine/put_world.h"
#include "policy/status_macros.h"
#include "policy/tables/table_image.h"

namespace ripstop::ctl {
namespace {

class KernelProgramEvaluator : public Evaluator {
 public:
  static absl::StatusOr<std::unique_ptr<Evaluator>> Make(const policy::World& world) {
    ASSIGN_OR_RETURN(auto kernel, loader::KernelEvaluator::OpenForVerdicts());
    std::unique_ptr<KernelProgramEvaluator> evaluator(
        new KernelProgramEvaluator(std::move(kernel)));
    PutWorld(world, evaluator->engine_);
    const policy::TableWrites writes = evaluator->engine_.Flush();
    evaluator->image_.Apply(writes);
    evaluator->image_.set_l4_table(evaluator->engine_.l4_table());
    RETURN_IF_ERROR(evaluator->kernel_->Apply(writes, evaluator->engine_.l4_table()));
    return std::unique_ptr<Evaluator>(std::move(evaluator));
  }

  absl::StatusOr<Judgement> Evaluate(const Flow& flow) override {
    if (flow.host != nullptr)
      return absl::UnimplementedError(
          "hostEndpoint: the programs judge at workloads only so far; "
          "use --engine tables or reference");
    Judgement judgement;
    if (flow.from == nullptr && flow.to == nullptr) return judgement;
    // A packet to oneself never leaves its pod, and the program drops one that claims to
    // (DROP_MARTIAN). What the policy says of it is read from a copy of the same tables.
    if (flow.packet.source == flow.packet.destination) return EvaluateSelf(flow);
    ASSIGN_OR_RETURN(const loader::KernelVerdict verdict, kernel_->Evaluate(flow.packet));
    if (flow.from != nullptr) {
      ASSIGN_OR_RETURN(judgement.egress, Verdict(verdict.egress_word, verdict));
    }
    if (flow.to != nullptr) {
      ASSIGN_OR_RETURN(judgement.ingress, Verdict(verdict.ingress_word, verdict));
    }
    return judgement;
  }

 private:
  explicit KernelProgramEvaluator(std::unique_ptr<loader::KernelEvaluator> kernel)
      : kernel_(std::move(kernel)), engine_(kernel_->engine_options()) {}

  absl::StatusOr<Judgement> EvaluateSelf(const Flow& flow) const {
    using policy::Direction;
    Judgement judgement;
    for (const Direction direction : {Direction::kEgress, Direction::kIngress}) {
      const bool egress = direction == Direction::kEgress;
      if ((egress ? flow.from : flow.to) == nullptr) continue;
      const auto result = image_.Verdict(direction, flow.packet);
      ASSIGN_OR_RETURN((egress ? judgement.egress : judgement.ingress),
                       Verdict(result ? result->word : 0, {}));
    }
    return judgement;
  }

  absl::StatusOr<policy::Verdict> Verdict(uint32_t word, const loader::KernelVerdict& run) const {
    const auto rule = engine_.Rule(word & VERDICT_RULE_MASK);
    if (!rule)
      return absl::FailedPreconditionError(absl::StrCat(
          "the program drops this packet before policy is asked (drop reason ", run.reason, ")"));
    return policy::Verdict{(word & VERDICT_ALLOW) != 0, (word & VERDICT_LOG) != 0, *rule};
  }

  const std::unique_ptr<loader::KernelEvaluator> kernel_;
  policy::Engine engine_;
  policy::TableImage image_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Evaluator>> MakeKernelEvaluator(const policy::World& world) {
  return KernelProgramEvaluator::Make(world);
}

}  // namespace ripstop::ctl
