// SPDX-License-Identifier: Apache-2.0
#include "api/ctl/staged_text.h"

#include "absl/strings/str_cat.h"
#include "api/ctl/table.h"

namespace ripstop::ctl {

std::string OrDash(const std::string& text) { return text.empty() ? "-" : text; }

std::string Since(int64_t ms) {
  if (ms < 0) return "never";
  if (ms < 1000) return absl::StrCat(ms, "ms ago");
  const int64_t s = ms / 1000;
  if (s < 120) return absl::StrCat(s, "s ago");
  if (s < 7200) return absl::StrCat(s / 60, "m ago");
  if (s < 172800) return absl::StrCat(s / 3600, "h ago");
  return absl::StrCat(s / 86400, "d ago");
}

void PrintWhyStaged(const agent::v1::WhyStaged& staged, std::ostream& out) {
  if (!staged.present()) return;
  out << "\nstaged: " << staged.verdict();
  const char* separator = " by ";
  for (const agent::v1::WhyDirection* side : {&staged.egress(), &staged.ingress()}) {
    if (!side->present() || side->verdict() != staged.verdict()) continue;
    // A profile's name says that it is one.
    const bool named = !side->policy_kind().empty() && side->policy_kind() != "Profile";
    out << separator << (named ? side->policy_kind() + " " : "") << side->policy()
        << (side->policy().empty() ? "" : ", ") << side->rule();
    if (!side->tier().empty()) out << " (tier " << side->tier() << ")";
    separator = "; ";
    if (staged.verdict() == "Deny") break;
  }
  out << "\n";
}

void PrintStaged(const agent::v1::StagedPoliciesReply& reply, bool changed, std::ostream& out) {
  if (reply.policies_size() == 0) {
    out << "No policy is staged.\n";
    return;
  }
  Table policies({"TIER", "KIND", "POLICY", "ACTION"});
  for (const auto& policy : reply.policies())
    policies.Add({policy.tier(), policy.kind(), policy.policy(), policy.action()});
  policies.Print(out);
  out << "\n";
  Table table({"TIER", "KIND", "POLICY", "RULE", "WOULD DENY", "WOULD ALLOW", "UNCHANGED",
               "LAST SEEN", "EXAMPLE", "INSTEAD OF"});
  for (const auto& rule : reply.rules()) {
    if (changed && rule.would_deny() + rule.would_allow() == 0) continue;
    table.Add({OrDash(rule.tier()), OrDash(rule.policy_kind()), OrDash(rule.policy()),
               // "end of tier" does not name the direction by itself.
               rule.rule() == "end of tier" ? rule.direction() + " " + rule.rule() : rule.rule(),
               absl::StrCat(rule.would_deny()), absl::StrCat(rule.would_allow()),
               absl::StrCat(rule.unchanged()), Since(rule.last_seen_ago_ms()),
               OrDash(rule.example()), OrDash(rule.instead_of())});
  }
  if (table.empty()) {
    out << (changed ? "No flow would have had another verdict.\n"
                    : "No staged rule concerns a pod of this node.\n");
  } else {
    table.Print(out);
  }
  out << "\n" << reply.flows_judged() << " flows judged by the staged policies";
  if (reply.flows_not_judged() != 0) out << ", " << reply.flows_not_judged() << " not judged";
  if (reply.flows_unlisted() != 0) out << ", " << reply.flows_unlisted() << " not listed";
  out << ".\n";
}

}  // namespace ripstop::ctl
