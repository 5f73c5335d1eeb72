// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/staged_plane.h"

#include "api/convert/staged.h"
#include "spdlog/spdlog.h"

namespace ripstop::agent {

StagedPlane::~StagedPlane() { feed_->FeedStagedInto(nullptr); }

void StagedPlane::Flush() {
  if (feed_->staged().empty()) {
    if (!active()) return;
    feed_->FeedStagedInto(nullptr);
    engine_.reset();
    image_.reset();
    spdlog::info("no policy is staged any more");
    return;
  }
  if (!active()) {
    engine_ = std::make_unique<policy::Engine>();
    image_ = std::make_unique<policy::TableImage>();
    feed_->FeedStagedInto(engine_.get());
    spdlog::info("{} policies are staged; their verdicts are compared from now on",
                 feed_->staged().size());
  }
  image_->Apply(engine_->Flush());
  image_->set_l4_table(engine_->l4_table());
}

bool StagedPlane::IsStaged(const policy::RuleIdentity& rule) const {
  using Kind = policy::RuleIdentity::Kind;
  if (rule.kind != Kind::kRule && rule.kind != Kind::kTierDefault) return false;
  return feed_->staged().contains(rule.policy);
}

std::optional<StagedPlane::StagedVerdict> StagedPlane::Verdict(policy::Direction direction,
                                                               const policy::Packet& packet) const {
  if (!active()) return std::nullopt;
  const auto result = image_->Verdict(direction, packet);
  if (!result.has_value()) return std::nullopt;
  auto rule = engine_->Rule(result->rule_id());
  if (!rule.has_value()) return std::nullopt;
  const bool staged = IsStaged(*rule);
  return StagedVerdict{result->allow(), api::AsStaged(*std::move(rule), staged), staged};
}

std::vector<policy::RuleIdentity> StagedPlane::Rules() const {
  std::vector<policy::RuleIdentity> rules;
  if (!active()) return rules;
  for (auto& [id, rule] : engine_->Rules()) {
    if (IsStaged(rule)) rules.push_back(api::AsStaged(std::move(rule), true));
  }
  return rules;
}

}  // namespace ripstop::agent
