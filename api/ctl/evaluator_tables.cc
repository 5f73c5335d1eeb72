// SPDX-License-Identifier: Apache-2.0
#include "absl/strings/str_cat.h"
#include "api/ctl/evaluator.h"
#include "policy/engine/put_world.h"
#include "policy/status_macros.h"
#include "policy/tables/table_image.h"

namespace ripstop::ctl {
namespace {

using policy::Direction;

class TablesEvaluator : public Evaluator {
 public:
  explicit TablesEvaluator(const policy::World& world) {
    PutWorld(world, engine_);
    image_.Apply(engine_.Flush());
    image_.set_l4_table(engine_.l4_table());
  }

  absl::StatusOr<Judgement> Evaluate(const Flow& flow) override {
    if (flow.host != nullptr)
      return JudgeHost(flow, [&](policy::HostGroup group) {
        return Verdict(
            image_.HostVerdict(flow.host->interfaces.at(0), group, flow.direction, flow.packet),
            flow.host->id);
      });
    Judgement judgement;
    if (flow.from != nullptr) {
      ASSIGN_OR_RETURN(judgement.egress, Side(*flow.from, Direction::kEgress, flow.packet));
    }
    if (flow.to != nullptr) {
      ASSIGN_OR_RETURN(judgement.ingress, Side(*flow.to, Direction::kIngress, flow.packet));
    }
    return judgement;
  }

 private:
  absl::StatusOr<policy::Verdict> Side(const policy::Endpoint& endpoint, Direction direction,
                                       const policy::Packet& packet) const {
    return Verdict(image_.Verdict(direction, packet), endpoint.id);
  }

  absl::StatusOr<policy::Verdict> Verdict(const std::optional<policy::TableImage::Result>& result,
                                          const std::string& whose) const {
    const auto rule = result ? engine_.Rule(result->rule_id()) : std::nullopt;
    if (!rule)
      return absl::InternalError(
          absl::StrCat("the tables have no verdict for ", whose,
                       "; its policy did not fit, or this is a fault to report"));
    return policy::Verdict{result->allow(), result->log(), *rule, result->next()};
  }

  policy::Engine engine_;
  policy::TableImage image_;
};

}  // namespace

std::unique_ptr<Evaluator> MakeTablesEvaluator(const policy::World& world) {
  return std::make_unique<TablesEvaluator>(world);
}

}  // namespace ripstop::ctl
