// SPDX-License-Identifier: Apache-2.0
//
// What the engine tells of itself: asked for by a person, so computed when asked.
#include <algorithm>
#include <string_view>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "policy/engine/engine_state.h"

namespace ripstop::policy {
namespace {

std::vector<PolicyShare> LargestPolicies(const FlatRules& rules,
                                         const Interned<RuleIdentity>& rule_ids) {
  using Kind = RuleIdentity::Kind;
  using Owner =
      std::tuple<std::string_view, const PolicyKey&, std::string_view>;  // tier, policy, profile
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

}  // namespace

std::vector<PolicySetStats> Engine::Stats() const {
  std::map<const SetRecord*, PolicySetStats> by_set;
  for (const auto& record : state_->sets.all()) {
    PolicySetStats& st = by_set[record.get()];
    st.direction = record->direction;
    const PolicySet& set = *record->set;
    st.representation = !record->alarm.empty() ? "none: does not fit, denied"
                        : set.is_dense()       ? "dense"
                                               : "bit vectors";
    st.handle = set.handle();
    st.rules = static_cast<uint32_t>(set.rules().size());
    st.rows = set.row_count();
    st.columns = set.column_count();
    st.cells = set.cell_count();
    st.bytes = set.lines() * ARENA_LINE_BYTES;
    st.largest_policies = LargestPolicies(set.rules(), state_->sets.rule_ids());
  }
  for (const EndpointRecord* e : state_->local_endpoints) {
    for (const Address& a : e->addresses) {
      const AddressRecord* record = state_->regions.Find(a);
      if (record == nullptr || record->local == nullptr || record->local->attached != e) continue;
      for (const SetRecord* wanted : record->local->wanted) {
        if (wanted == nullptr) continue;
        auto& names = by_set[wanted].endpoints;
        if (names.empty() || names.back() != e->id) names.push_back(e->id);
      }
    }
  }
  for (const auto& [id, h] : state_->host_endpoints) {
    for (int g = 0; g < kHostGroups; ++g) {
      for (const SetRecord* wanted : h.wanted[g]) {
        if (wanted == nullptr) continue;
        by_set[wanted].endpoints.push_back(
            absl::StrCat("host endpoint ", id, " (", ToString(static_cast<HostGroup>(g)), ")"));
      }
    }
  }
  std::vector<PolicySetStats> result;
  for (auto& [pointer, st] : by_set) {
    std::sort(st.endpoints.begin(), st.endpoints.end());
    st.endpoints.erase(std::unique(st.endpoints.begin(), st.endpoints.end()), st.endpoints.end());
    result.push_back(std::move(st));
  }
  return result;
}

EngineTotals Engine::Totals() const {
  return {state_->classes.count(), state_->l4.count(),
          state_->arena.bytes_used() - state_->cidr_table.retired_bytes(),
          static_cast<uint32_t>(state_->policies.size()),
          static_cast<uint32_t>(state_->local_endpoints.size())};
}

std::vector<std::string> Engine::Alarms() const {
  std::set<std::string> alarms;
  for (std::string& alarm : state_->cidr_table.Alarms()) alarms.insert(std::move(alarm));
  for (const auto& record : state_->sets.all()) {
    if (!record->alarm.empty()) alarms.insert(record->alarm);
  }
  return {alarms.begin(), alarms.end()};
}

}  // namespace ripstop::policy
