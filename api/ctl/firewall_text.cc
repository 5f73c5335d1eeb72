// SPDX-License-Identifier: Apache-2.0
#include "api/ctl/firewall_text.h"

#include "absl/strings/str_join.h"
#include "api/ctl/staged_text.h"
#include "api/ctl/table.h"

namespace ripstop::ctl {

void PrintHostFirewall(const agent::v1::HostFirewall& firewall, std::ostream& out) {
  const bool lost = firewall.dropped_packets() > 0;
  if (!lost && firewall.findings_size() == 0 && firewall.problem().empty()) return;
  out << "Other firewalls on this host: ";
  if (!lost) {
    out << "they have dropped no packet of pods\n";
  } else {
    out << "they have dropped " << firewall.dropped_packets() << " packets of pods"
        << (firewall.dropping() ? ", some of them just now" : "") << "\n";
  }
  if (!firewall.problem().empty()) out << "  " << firewall.problem() << "\n";
  if (firewall.findings_size() > 0) {
    Table table({"  WHAT", "DROPS IT", "OF", "ALL OF IT", "TO LET IT PASS"});
    for (const auto& finding : firewall.findings()) {
      table.Add({"  " + finding.what(), finding.rule(), OrDash(finding.owner()),
                 finding.certain() ? "yes" : "maybe", finding.remedy()});
    }
    table.Print(out);
  } else if (lost) {
    out << "  by none of the rules that were read; `nft list ruleset` shows them all\n";
  }
  if (lost && firewall.unread_size() > 0)
    out << "  not read: " << absl::StrJoin(firewall.unread(), ", ") << "\n";
  out << "\n";
}

}  // namespace ripstop::ctl
