// SPDX-License-Identifier: Apache-2.0
//
// Which policies make a set large: asked for by a person, so computed from the rules when asked.
#include <algorithm>
#include <string_view>
#include <tuple>

#include "policy/engine/engine_state.h"

namespace ripstop::policy {

std::vector<PolicyShare> Engine::State::LargestPolicies(const FlatRules& rules) const {
  using Kind = RuleIdentity::Kind;
  using Owner = std::tuple<std::string_view, const PolicyKey&, std::string_view>;  // tier, policy, profile
  std::map<Owner, PolicyShare> shares;
  auto last = shares.end();
  for (const FlatRule& rule : rules) {
    if (rule.rule_id == 0) continue;  // Log and Pass do not say whose they are
    const RuleIdentity& identity = rule_ids[rule.rule_id];
    // What else decides is not in any document: end of tier, no profile, failsafe ports.
    if (identity.kind != Kind::kRule && identity.kind != Kind::kProfile) continue;
    const Owner owner{identity.tier, identity.policy, identity.profile};
    // Rules of one policy are neighbours, so a long policy is found once.
    if (last == shares.end() || last->first != owner) {
      last = shares.try_emplace(owner, PolicyShare{identity, 0}).first;
    }
    ++last->second.rules;
  }
  std::vector<PolicyShare> result;
  for (auto& [owner, share] : shares) result.push_back(std::move(share));
  const size_t kept = std::min(result.size(), kPolicySharesMax);
  std::partial_sort(result.begin(), result.begin() + kept, result.end(),
                    [](const PolicyShare& a, const PolicyShare& b) {
                      return std::tie(b.rules, a.first) < std::tie(a.rules, b.first);
                    });
  result.resize(kept);
  return result;
}

}  // namespace ripstop::policy
