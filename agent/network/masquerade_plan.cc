// SPDX-License-Identifier: Apache-2.0
#include "agent/network/masquerade_plan.h"

#include <sstream>

#include "absl/strings/str_cat.h"

namespace ripstop::agent {
namespace {

constexpr uint32_t kFirstPort = 1024, kLastPort = 65535, kPortsMin = 1024;

// Link-local and loopback addresses mean nothing beyond the link.
bool LeadsBeyondLink(const policy::Address& address) {
  static const policy::Cidr kUseless[] = {
      policy::Cidr::Parse("127.0.0.0/8").value(), policy::Cidr::Parse("0.0.0.0/8").value(),
      policy::Cidr::Parse("fe80::/10").value(), policy::Cidr::Parse("::/127").value()};
  for (const policy::Cidr& useless : kUseless) {
    if (useless.Contains(address)) return false;
  }
  return true;
}

std::optional<policy::Address> FirstUsable(const std::optional<policy::Address>& first,
                                           const std::optional<policy::Address>& second,
                                           const std::optional<policy::Address>& third) {
  for (const auto& one : {first, second, third}) {
    if (one.has_value() && LeadsBeyondLink(*one)) return one;
  }
  return std::nullopt;
}

}  // namespace

absl::StatusOr<api::PortRange> NatPortsBeside(const std::string& local_port_range) {
  std::istringstream text(local_port_range);
  uint32_t first = 0, last = 0;
  if (!(text >> first >> last) || first == 0 || last < first || last > kLastPort) {
    return absl::InvalidArgumentError(
        absl::StrCat("net.ipv4.ip_local_port_range: \"", local_port_range, "\" is not two ports"));
  }
  const uint32_t below = first > kFirstPort ? first - kFirstPort : 0, above = kLastPort - last;
  if (std::max(below, above) < kPortsMin) return api::PortRange{kFirstPort, kLastPort};
  if (below >= above) return api::PortRange{kFirstPort, static_cast<uint16_t>(first - 1)};
  return api::PortRange{static_cast<uint16_t>(std::max(last + 1, kFirstPort)), kLastPort};
}

MasqueradePlan PlanMasquerade(const ClusterView& cluster, const NatSettings& settings,
                              const NatHost& host) {
  MasqueradePlan plan;
  bool v4 = false, v6 = false;
  for (const auto& [name, pool] : cluster.pools) {
    const auto cidr = policy::Cidr::Parse(pool.spec().cidr());
    if (!cidr.ok()) continue;
    plan.tables.pools[*cidr] = pool.spec().nat_outgoing();
    (cidr->is_v4() ? v4 : v6) |= pool.spec().nat_outgoing();
  }
  const api::PortRange ports = settings.ports.value_or(host.ports);
  plan.tables.first_port = ports.first;
  plan.tables.last_port = ports.last;
  plan.tables.spares_nodes = settings.exclusions == NatExclusions::kPoolsAndHosts;
  const auto chosen = [&](bool of_v4) {
    return settings.address.has_value() && settings.address->is_v4() == of_v4 ? settings.address
                                                                              : std::nullopt;
  };
  bool has_v4 = false, has_v6 = false;
  for (const auto& [ifindex, by_route] : host.exits) {
    const loader::Exit exit = {.v4 = FirstUsable(chosen(true), by_route.v4, host.node.v4),
                               .v6 = FirstUsable(chosen(false), by_route.v6, host.node.v6)};
    has_v4 |= exit.v4.has_value();
    has_v6 |= exit.v6.has_value();
    plan.tables.exits[ifindex] = exit;
  }
  for (const auto& [wanted, has, family] :
       {std::tuple{v4, has_v4, "IPv4"}, std::tuple{v6, has_v6, "IPv6"}}) {
    if (!wanted || has || host.exits.empty()) continue;
    plan.problems.push_back(absl::StrCat(
        "natOutgoing: this node has no ", family,
        " address to send pods' packets under; they are dropped (nat-address). Give it one, or "
        "set natOutgoingAddress of the FelixConfiguration"));
  }
  return plan;
}

}  // namespace ripstop::agent
