// SPDX-License-Identifier: Apache-2.0
//
// What other people's firewalls on this machine do to packets of ours.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "agent/daemon/agent.h"
#include "spdlog/spdlog.h"

namespace ripstop::agent {
namespace {

// Of the kernel's counters: what its netfilter has dropped of this node's pods.
absl::StatusOr<uint64_t> DroppedByNetfilter(
    const absl::StatusOr<std::vector<loader::HostDrop>>& drops) {
  if (!drops.ok()) return drops.status();
  uint64_t packets = 0;
  for (const loader::HostDrop& drop : *drops) {
    if (drop.name == "NETFILTER_DROP" && drop.place == HOST_DROP_HERE) packets += drop.packets;
  }
  return packets;
}

// Neither end of what arrives for the tunnel, or for BIRD, is a pod; of what leaves by the tunnel
// the kernel knows what is in it.
bool IsCounted(const FirewallFinding& finding) {
  return finding.whose != FirewallFinding::kTunnel && finding.whose != FirewallFinding::kBgp;
}

std::string Sentence(const FirewallFinding& finding) {
  const std::string owner = finding.owner.empty() ? "" : absl::StrCat(finding.owner, ": ");
  return absl::StrCat(owner, NameOf(finding.drop), " ", NameOf(finding),
                      "; to let it pass: ", finding.remedy);
}

}  // namespace

void Agent::SettleFirewall() {
  firewall_->SetScene(network_->SceneForFirewall(host_nat_->on()));
  firewall_losses_.Note(DroppedByNetfilter(dataplane_->HostDrops()), absl::Now());
}

void Agent::LogFirewall() const {
  const FirewallReport& report = firewall_->report();
  if (!report.problem.empty()) spdlog::warn("other firewalls: {}", report.problem);
  for (const FirewallFinding& finding : report.findings) {
    if (finding.loses()) spdlog::warn("{}", Sentence(finding));
  }
}

// The node stays ready: it does its part, and one `firewall-cmd` must not take a whole cluster out
// of service. What is certainly lost is said where an operator looks first.
void Agent::ReportFirewall(const bgp::BirdStatus& bgp, v1::StatusReply& reply) {
  const absl::Time now = absl::Now();
  firewall_losses_.Note(DroppedByNetfilter(dataplane_->HostDrops()), now);
  const FirewallReport& report = firewall_->report();
  const bool waiting = std::any_of(bgp.sessions.begin(), bgp.sessions.end(),
                                   [](const auto& one) { return one.state != "Established"; });
  v1::HostFirewall& firewall = *reply.mutable_host_firewall();
  firewall.set_dropped_packets(firewall_losses_.packets());
  firewall.set_dropping(firewall_losses_.recent(now));
  firewall.set_count_problem(firewall_losses_.problem());
  for (const std::string& rules : report.unread) firewall.add_unread(rules);
  if (!report.problem.empty()) firewall.set_problem(report.problem);
  for (const FirewallFinding& finding : report.findings) {
    if (finding.whose == FirewallFinding::kBgp && !waiting) continue;
    // What may be is worth a word only while something is lost.
    if (!finding.drop.certain && !firewall_losses_.recent(now)) {
      firewall.set_hidden_findings(firewall.hidden_findings() + 1);
      continue;
    }
    const bool loses =
        finding.loses() || (finding.whose == FirewallFinding::kBgp && finding.drop.certain);
    v1::HostFirewall::Finding& said = *firewall.add_findings();
    said.set_what(NameOf(finding));
    said.set_rule(NameOf(finding.drop));
    said.set_owner(finding.owner);
    said.set_remedy(finding.remedy);
    said.set_certain(finding.drop.certain);
    said.set_loses(loses);
    said.set_uncounted(!IsCounted(finding));
    if (loses) reply.add_not_ready_reasons(Sentence(finding));
  }
}

}  // namespace ripstop::agent
