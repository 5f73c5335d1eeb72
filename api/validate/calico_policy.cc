// SPDX-License-Identifier: Apache-2.0
#include "absl/strings/str_cat.h"
#include "api/validate/validators.h"
#include "policy/world.h"

namespace ripstop::api {
namespace {

const std::vector<std::string> kTypes = {"Ingress", "Egress"};

// A deletion names the policy and its tier. A rule beside it would suggest that it is applied.
void CheckStagedDelete(const v1::PolicySpec& spec, Checker& check) {
  v1::PolicySpec rest = spec;
  rest.clear_staged_action();
  rest.clear_tier();
  if (rest.ByteSizeLong() == 0) return;
  check.Wrong("spec", "says more than tier, and stagedAction is Delete",
              "remove the rest, or write stagedAction: Set");
}

}  // namespace

void CheckCalicoPolicy(const v1::PolicySpec& spec, PolicyScope scope, Checker& check) {
  if (!spec.tier().empty()) check.DnsLabel("spec.tier", spec.tier());
  if (scope.staged) {
    check.EnumOrEmpty("spec.stagedAction", spec.staged_action(),
                      {"Set", "Delete", "Learn", "Ignore"});
    if (spec.staged_action() == "Delete") return CheckStagedDelete(spec, check);
  } else if (!spec.staged_action().empty()) {
    check.Wrong("spec.stagedAction", "belongs to the staged kinds", "remove it");
  }
  for (const auto& [present, path] :
       {std::pair(!spec.namespace_selector().empty(), "spec.namespaceSelector"),
        std::pair(spec.has_do_not_track(), "spec.doNotTrack"),
        std::pair(spec.has_pre_dnat(), "spec.preDNAT"),
        std::pair(spec.has_apply_on_forward(), "spec.applyOnForward")}) {
    if (present && !scope.global) {
      check.Wrong(path, "belongs to GlobalNetworkPolicy",
                  "remove it, or write a GlobalNetworkPolicy");
    }
  }
  CheckPolicySelector("spec.selector", spec.selector(), check);
  CheckPolicySelector("spec.namespaceSelector", spec.namespace_selector(), check);
  CheckPolicySelector("spec.serviceAccountSelector", spec.service_account_selector(), check);
  bool egress = spec.egress_size() > 0;
  for (int i = 0; i < spec.types_size(); ++i) {
    check.Enum(Index("spec.types", i), spec.types(i), kTypes);
    egress |= spec.types(i) == "Egress";
    for (int j = 0; j < i; ++j) {
      if (spec.types(i) == spec.types(j)) {
        check.Bad(Index("spec.types", i), spec.types(i), "appears twice", "keep one of the two");
      }
    }
  }
  if (spec.do_not_track() && spec.pre_dnat()) {
    check.Wrong("spec.preDNAT", "cannot stand beside doNotTrack", "keep one of the two");
  }
  if ((spec.do_not_track() || spec.pre_dnat()) && !spec.apply_on_forward()) {
    check.Wrong("spec.applyOnForward",
                spec.has_apply_on_forward() ? "is not for doNotTrack or preDNAT"
                                            : "is missing beside doNotTrack or preDNAT",
                "write applyOnForward: true");
  }
  if (spec.pre_dnat() && egress) {
    check.Wrong("spec.preDNAT", "is for ingress only", "remove the egress rules and type");
  }
  for (int i = 0; i < spec.performance_hints_size(); ++i) {
    check.Enum(Index("spec.performanceHints", i), spec.performance_hints(i),
               {"AssumeNeededOnEveryNode"});
  }
  CheckCalicoRules(spec.ingress(), "spec.ingress", true, scope.global, check);
  CheckCalicoRules(spec.egress(), "spec.egress", false, scope.global, check);
}

void CheckTier(const v1::Tier& tier, Checker& check) {
  check.DnsLabel("metadata.name", tier.metadata().name());
  const v1::TierSpec& spec = tier.spec();
  check.EnumOrEmpty("spec.defaultAction", spec.default_action(), {"Deny", "Pass"});
  // Calico's own, which imported documents bring along.
  for (const auto& [name, order] : {std::pair("adminnetworkpolicy", 1'000.0),
                                    std::pair("baselineadminnetworkpolicy", 10'000'000.0)}) {
    if (tier.metadata().name() == name && (!spec.has_order() || spec.order() != order)) {
      check.Bad("spec.order", spec.has_order() ? absl::StrCat(spec.order()) : "",
                absl::StrCat("is not the order of ", name),
                absl::StrCat("write ", static_cast<int64_t>(order)));
    }
  }
  const auto built_in = policy::BuiltInTiers().find(tier.metadata().name());
  if (built_in == policy::BuiltInTiers().end()) return;
  const policy::Tier& fixed = built_in->second;
  if (spec.has_order() && spec.order() != fixed.order) {
    check.Bad("spec.order", absl::StrCat(spec.order()), "cannot change for a built-in tier",
              absl::StrCat("write ", fixed.order.value_or(0), ", or use a tier of your own"));
  }
  const char* action = fixed.default_action == policy::Action::kPass ? "Pass" : "Deny";
  if (!spec.default_action().empty() && spec.default_action() != action) {
    check.Bad("spec.defaultAction", spec.default_action(), "cannot change for a built-in tier",
              absl::StrCat("write ", action, ", or use a tier of your own"));
  }
}

}  // namespace ripstop::api
