// SPDX-License-Identifier: Apache-2.0
//
// Routing policy rules: which packets ask which table.
#include <linux/fib_rules.h>
#include <sys/socket.h>

#include "absl/strings/str_cat.h"
#include "agent/netlink/netlink.h"
#include "agent/netlink/parse.h"
#include "agent/netlink/socket.h"
#include "policy/status_macros.h"

namespace ripstop::agent {

absl::Status Netlink::WriteRule(uint16_t type, uint16_t flags, const char* verb,
                                const RoutingRule& rule) {
  NetlinkRequest request(type, flags, absl::StrCat(verb, " ", rule.ToString()));
  auto* header = request.Fixed<fib_rule_hdr>();
  header->family = rule.v4 ? AF_INET : AF_INET6;
  header->action = FR_ACT_TO_TBL;
  header->table = RT_TABLE_UNSPEC;  // FRA_TABLE has all 32 bits
  if (rule.from.has_value()) {
    header->src_len = static_cast<uint8_t>(rule.from->family_bits());
    request.PutAddress(FRA_SRC, rule.from->address);
  }
  if (!rule.oif.empty()) request.PutString(FRA_OIFNAME, rule.oif);
  request.PutU32(FRA_TABLE, rule.table);
  request.PutU32(FRA_PRIORITY, rule.priority);
  return socket_->Transact(request);
}

absl::Status Netlink::AddRule(const RoutingRule& rule) {
  const absl::Status added = WriteRule(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, "adding", rule);
  return absl::IsAlreadyExists(added) ? absl::OkStatus() : added;
}

absl::Status Netlink::DeleteRule(const RoutingRule& rule) {
  return WriteRule(RTM_DELRULE, 0, "deleting", rule);
}

absl::StatusOr<std::vector<RoutingRule>> Netlink::ListRules() {
  std::vector<RoutingRule> rules;
  for (const int family : {AF_INET, AF_INET6}) {
    NetlinkRequest request(RTM_GETRULE, NLM_F_DUMP, "listing routing rules");
    request.Fixed<fib_rule_hdr>()->family = family;
    const size_t before = rules.size();
    const absl::Status status = socket_->Query(
        request, [&] { rules.resize(before); },
        [&](const nlmsghdr* message) {
          if (auto rule = ParseRule(message)) rules.push_back(*std::move(rule));
        });
    // A kernel without IPv6 has no such rules.
    if (absl::IsNotFound(status) || absl::IsUnimplemented(status)) continue;
    RETURN_IF_ERROR(status);
  }
  return rules;
}

}  // namespace ripstop::agent
