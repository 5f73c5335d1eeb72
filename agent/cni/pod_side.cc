// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/pod_side.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "agent/base/netns.h"
#include "agent/cni/endpoint_manager.h"
#include "agent/netlink/netlink.h"
#include "agent/netlink/sysctl.h"
#include "policy/status_macros.h"

namespace ripstop::agent {
namespace {

constexpr uint32_t kLoopbackIndex = 1;
// In the pod: of an interface that does not have the default route. Before the main table
// (32766), after whatever else the pod's owner may have put first.
constexpr uint32_t kRulePriority = 8200;
constexpr uint32_t kTableFirst = 820'000;  // and the interface's number in the pod

policy::Address Gateway(bool v4) { return *policy::Address::Parse(v4 ? kGatewayV4 : kGatewayV6); }

policy::Cidr DefaultDestination(bool v4) {
  return v4 ? policy::Cidr::Of(policy::Address::FromV4(0), 96) : policy::Cidr{};
}

Route DefaultRoute(const Link& link, bool v4, uint32_t table) {
  Route route{.destination = DefaultDestination(v4),
              .ifindex = link.index,
              .gateway = Gateway(v4),
              .protocol = RTPROT_BOOT,
              .table = table};
  // A route to the IPv4 gateway is in the main table only, and there another interface's.
  route.onlink = v4 && table != RT_TABLE_MAIN;
  return route;
}

uint32_t TableOf(const Link& link, bool default_route) {
  return default_route ? uint32_t{RT_TABLE_MAIN} : kTableFirst + link.index;
}

std::vector<RoutingRule> RulesOf(const Link& link, const policy::Address& address) {
  RoutingRule rule{.v4 = address.is_v4(), .table = TableOf(link, false), .priority = kRulePriority};
  RoutingRule bound = rule;
  rule.from = policy::Cidr::Of(address, 128);
  bound.oif = link.name;
  return {rule, bound};
}

absl::Status ConfigureFamily(Netlink& netlink, const Link& link, const policy::Address& address,
                             bool default_route) {
  const bool v4 = address.is_v4();
  RETURN_IF_ERROR(netlink.AddAddress(
      {.ifindex = link.index, .address = address, .prefix_length = v4 ? 32 : 128, .no_dad = true}));
  const policy::Address gateway = Gateway(v4);
  RETURN_IF_ERROR(netlink.ReplaceNeighbour(
      {.ifindex = link.index, .address = gateway, .mac = kHostMac, .protocol = RTPROT_BOOT}));
  if (v4 && default_route) {
    RETURN_IF_ERROR(netlink.ReplaceRoute({.destination = policy::Cidr::Of(gateway, 128),
                                          .ifindex = link.index,
                                          .protocol = RTPROT_BOOT,
                                          .scope = RT_SCOPE_LINK}));
  }
  RETURN_IF_ERROR(netlink.ReplaceRoute(DefaultRoute(link, v4, TableOf(link, default_route))));
  if (default_route) return absl::OkStatus();
  for (const RoutingRule& rule : RulesOf(link, address)) RETURN_IF_ERROR(netlink.AddRule(rule));
  return absl::OkStatus();
}

absl::Status CheckFamily(Netlink& netlink, const Link& link, const policy::Address& address,
                         bool default_route) {
  const policy::Cidr destination = DefaultDestination(address.is_v4());
  const uint32_t table = TableOf(link, default_route);
  ASSIGN_OR_RETURN(const auto routes,
                   netlink.ListRoutes({.protocol = 0, .table = table, .ifindex = link.index}));
  if (std::none_of(routes.begin(), routes.end(),
                   [&](const Route& r) { return r.destination == destination; })) {
    return absl::FailedPreconditionError(
        absl::StrCat("route ", destination.ToString(), " is missing in the pod",
                     default_route ? "" : absl::StrCat(", table ", table)));
  }
  if (default_route) return absl::OkStatus();
  ASSIGN_OR_RETURN(const auto rules, netlink.ListRules());
  for (const RoutingRule& rule : RulesOf(link, address)) {
    if (std::find(rules.begin(), rules.end(), rule) != rules.end()) continue;
    return absl::FailedPreconditionError(absl::StrCat(rule.ToString(), " is missing in the pod"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ConfigurePodSide(LocalEndpoint& endpoint, int netns_fd) {
  ASSIGN_OR_RETURN(const auto netlink, Netlink::Open(netns_fd));
  RETURN_IF_ERROR(RunInNetns(
      netns_fd, [&] { return WriteWherePresent(PodVethSysctls(endpoint.interface_name)); }));
  RETURN_IF_ERROR(netlink->SetLinkUp(kLoopbackIndex, true));
  ASSIGN_OR_RETURN(const Link link, netlink->GetLink(endpoint.interface_name));
  ASSIGN_OR_RETURN(const auto routes, netlink->ListRoutes({.protocol = 0}));
  for (const bool v4 : {true, false}) {
    (v4 ? endpoint.default_route_v4 : endpoint.default_route_v6) =
        std::none_of(routes.begin(), routes.end(), [v4](const Route& r) {
          return r.destination == DefaultDestination(v4) && r.type == RTN_UNICAST;
        });
  }
  RETURN_IF_ERROR(netlink->SetLinkUp(link.index, true));
  for (const policy::Address& address : endpoint.addresses()) {
    RETURN_IF_ERROR(
        ConfigureFamily(*netlink, link, address, endpoint.default_route(address.is_v4())));
  }
  return absl::OkStatus();
}

void ForgetPodSide(const LocalEndpoint& endpoint) {
  if (endpoint.default_route_v4 && endpoint.default_route_v6) return;
  const auto netns = OpenNetns(endpoint.netns);
  if (!netns.ok()) return;
  const auto netlink = Netlink::Open(netns->get());
  if (!netlink.ok()) return;
  const auto rules = (*netlink)->ListRules();
  if (!rules.ok()) return;
  // By what they say: the interface may be gone before them.
  for (const RoutingRule& rule : *rules) {
    const bool ours = rule.oif == endpoint.interface_name ||
                      (rule.from.has_value() && rule.oif.empty() &&
                       std::any_of(endpoint.allocations.begin(), endpoint.allocations.end(),
                                   [&](const Allocation& a) {
                                     return *rule.from == policy::Cidr::Of(a.address, 128);
                                   }));
    if (ours && rule.priority == kRulePriority) (*netlink)->DeleteRule(rule).IgnoreError();
  }
}

absl::Status CheckPodSide(const LocalEndpoint& endpoint, int netns_fd) {
  ASSIGN_OR_RETURN(const auto netlink, Netlink::Open(netns_fd));
  const absl::StatusOr<Link> link = netlink->GetLink(endpoint.interface_name);
  if (absl::IsNotFound(link.status())) {
    return absl::FailedPreconditionError(
        absl::StrCat("interface ", endpoint.interface_name, " is missing in the pod"));
  }
  RETURN_IF_ERROR(link.status());
  if (!link->up || link->mac != endpoint.container_mac) {
    return absl::FailedPreconditionError(
        absl::StrCat("interface ", endpoint.interface_name, " of the pod is ",
                     link->up ? "not the one that was made (MAC)" : "down"));
  }
  ASSIGN_OR_RETURN(const auto addresses, netlink->ListAddresses(link->index));
  for (const policy::Address& address : endpoint.addresses()) {
    if (std::none_of(addresses.begin(), addresses.end(),
                     [&](const InterfaceAddress& a) { return a.address == address; })) {
      return absl::FailedPreconditionError(
          absl::StrCat("address ", address.ToString(), " is missing in the pod"));
    }
    RETURN_IF_ERROR(CheckFamily(*netlink, *link, address, endpoint.default_route(address.is_v4())));
  }
  return absl::OkStatus();
}

std::vector<RoutingEntry> HostSideEntries(const LocalEndpoint& endpoint) {
  std::vector<RoutingEntry> entries;
  for (const policy::Address& address : endpoint.addresses()) {
    entries.push_back(
        Neighbour{.ifindex = endpoint.ifindex, .address = address, .mac = endpoint.container_mac});
    entries.push_back(Route{.destination = policy::Cidr::Of(address, 128),
                            .ifindex = endpoint.ifindex,
                            .scope = RT_SCOPE_LINK});
  }
  return entries;
}

}  // namespace ripstop::agent
