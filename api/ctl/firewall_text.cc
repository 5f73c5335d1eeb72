// SPDX-License-Identifier: Apache-2.0
#include "api/ctl/firewall_text.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "api/ctl/staged_text.h"
#include "api/ctl/table.h"

namespace ripstop::ctl {

namespace {

// Of what is counted.
std::string Lost(const agent::v1::HostFirewall& firewall) {
  if (!firewall.count_problem().empty() && firewall.dropped_packets() == 0)
    return absl::StrCat("whether they have dropped packets of pods is unknown: ",
                        firewall.count_problem());
  if (firewall.dropped_packets() > 0) {
    return absl::StrCat("they have dropped ", firewall.dropped_packets(), " packets of pods",
                        firewall.dropping() ? ", some of them just now" : "",
                        firewall.count_problem().empty() ? "" : "; whether more is unknown: ",
                        firewall.count_problem());
  }
  const bool counted = std::none_of(firewall.findings().begin(), firewall.findings().end(),
                                    [](const auto& finding) { return finding.uncounted(); });
  return counted ? "they have dropped no packet of pods"
                 : "they have dropped no packet that is counted; those between nodes are not";
}

}  // namespace

void PrintHostFirewall(const agent::v1::HostFirewall& firewall, std::ostream& out) {
  const bool lost = firewall.dropped_packets() > 0;
  const bool known = firewall.problem().empty() && firewall.count_problem().empty();
  if (!lost && firewall.findings_size() == 0 && known) return;
  out << "Other firewalls on this host: " << Lost(firewall) << "\n";
  if (!firewall.problem().empty()) out << "  " << firewall.problem() << "\n";
  if (firewall.findings_size() > 0) {
    Table table({"  WHAT", "DROPS IT", "OF", "ALL OF IT", "TO LET IT PASS"});
    for (const auto& finding : firewall.findings()) {
      table.Add({"  " + finding.what(), finding.rule(), OrDash(finding.owner()),
                 finding.certain() ? "yes" : "maybe", finding.remedy()});
    }
    table.Print(out);
  } else if (lost && firewall.hidden_findings() == 0 && firewall.problem().empty()) {
    out << "  by none of the rules that are there now and were read"
        << (firewall.dropping() ? "; `nft list ruleset` shows nftables'\n"
                                : "; none for a minute: what dropped them may be gone\n");
  }
  if (lost && firewall.hidden_findings() > 0)
    out << "  rules that may have dropped some, named while packets are being dropped: "
        << firewall.hidden_findings() << "\n";
  if (lost && firewall.unread_size() > 0)
    out << "  not read: " << absl::StrJoin(firewall.unread(), ", ")
        << "; `iptables-legacy-save` and `ip6tables-legacy-save` show these\n";
  out << "\n";
}

}  // namespace ripstop::ctl
