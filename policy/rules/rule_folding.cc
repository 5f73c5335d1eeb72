// SPDX-License-Identifier: Apache-2.0
#include "policy/rules/rule_folding.h"

#include "policy/rules/rule_flattening.h"

namespace ripstop::policy {

void RuleFolder::AppendTiers(RuleFlattener& folding,
                             const std::vector<PolicyIndex::TierPolicies>& tiers,
                             Direction direction, bool deny_at_end) {
  using Kind = RuleIdentity::Kind;
  const bool ingress = direction == Direction::kIngress;
  for (const auto& [tier, policies] : tiers) {
    const size_t first = folding.size();
    bool closed = false;
    for (const Policy* p : policies) {
      const std::vector<Rule>& rules = ingress ? p->ingress_rules : p->egress_rules;
      for (size_t i = 0; i < rules.size() && !closed; ++i) {
        const bool decides = rules[i].action == Action::kAllow || rules[i].action == Action::kDeny;
        const uint32_t id = !decides
                                ? 0
                                : rule_ids_->Intern({Kind::kRule, tier.name, p->key, "", direction,
                                                     static_cast<int>(i), rules[i].name});
        closed = folding.Append(rules[i], id);
      }
      if (closed) break;
    }
    if (!closed && deny_at_end && tier.default_action != Action::kPass) {
      folding.Append(Rule{}, rule_ids_->Intern({Kind::kTierDefault, tier.name, policies.back()->key,
                                                "", direction, -1, ""}));
    }
    folding.PassToHere(first);
  }
}

void RuleFolder::AppendProfiles(RuleFlattener& folding, const std::vector<const Profile*>& profiles,
                                Direction direction) {
  using Kind = RuleIdentity::Kind;
  const bool ingress = direction == Direction::kIngress;
  for (const Profile* profile : profiles) {
    if (profile == nullptr) break;
    const std::vector<Rule>& rules = ingress ? profile->ingress_rules : profile->egress_rules;
    for (size_t i = 0; i < rules.size(); ++i) {
      Rule rule = rules[i];
      uint32_t id = 0;
      if (rule.action != Action::kLog) {
        id = rule_ids_->Intern(
            {Kind::kProfile, "", {}, profile->name, direction, static_cast<int>(i), rule.name});
        // There is no next tier to pass to. An invalid selector must narrow a Pass as
        // it would the Deny it becomes, so the order of these two lines is free.
        if (rule.action == Action::kPass) rule.action = Action::kDeny;
      }
      if (folding.Append(rule, id)) break;
    }
  }
  folding.Append(Rule{}, rule_ids_->Intern({Kind::kNoProfile, "", {}, "", direction, -1, ""}));
}

uint32_t RuleFolder::Disputed(Direction direction) {
  return rule_ids_->Intern({RuleIdentity::Kind::kDisputed, "", {}, "", direction, -1, ""});
}

FoldedRules RuleFolder::Fold(const std::vector<PolicyIndex::TierPolicies>& tiers,
                             const std::vector<const Profile*>& profiles, const NearSide& near,
                             Direction direction) {
  RuleFlattener folding(facts_, l4_sets_, selectors_, &near, direction);
  folding.DenyDisputed(Disputed(direction));
  AppendTiers(folding, tiers, direction, true);
  AppendProfiles(folding, profiles, direction);
  return folding.Take();
}

FoldedRules RuleFolder::FoldHost(const std::vector<PolicyIndex::TierPolicies>& tiers,
                                 const std::vector<const Profile*>& profiles,
                                 const FailsafePorts& failsafe, HostGroup group,
                                 Direction direction) {
  using Kind = RuleIdentity::Kind;
  const bool ingress = direction == Direction::kIngress;
  const bool before_connections = group == HostGroup::kUntracked || group == HostGroup::kPreDnat;
  RuleFlattener folding(facts_, l4_sets_, selectors_, nullptr, direction);
  const auto open = [&](const std::vector<FailsafePort>& ports, bool way_back) {
    for (size_t i = 0; i < ports.size(); ++i) {
      Rule rule{Action::kAllow};
      rule.protocol = ports[i].protocol;
      EntityMatch& side = way_back ? rule.source : rule.destination;
      side.ports = PortMatch{{{ports[i].port, ports[i].port}}, {}};
      EntityMatch& far = ingress ? rule.source : rule.destination;
      if (ports[i].net) far.nets = {*ports[i].net};
      folding.Append(rule, rule_ids_->Intern({Kind::kFailsafe,
                                              "",
                                              {},
                                              "",
                                              direction,
                                              static_cast<int>(i),
                                              FailsafeName(ports[i], way_back)}));
    }
  };
  if (group != HostGroup::kForward) open(ingress ? failsafe.inbound : failsafe.outbound, false);
  // Without connections the way back is a packet of its own.
  if (group == HostGroup::kUntracked) open(ingress ? failsafe.outbound : failsafe.inbound, true);

  folding.DenyDisputed(Disputed(direction));
  AppendTiers(folding, tiers, direction, !before_connections);
  if (group == HostGroup::kNormal) {
    AppendProfiles(folding, profiles, direction);
  } else if (group == HostGroup::kForward) {
    folding.Append(Rule{Action::kAllow},
                   rule_ids_->Intern({Kind::kNoForwardPolicy, "", {}, "", direction, -1, ""}));
  } else {
    folding.LeaveToNextGroup(rule_ids_->Intern({Kind::kNextGroup, "", {}, "", direction, -1, ""}));
  }
  return folding.Take();
}

}  // namespace ripstop::policy
