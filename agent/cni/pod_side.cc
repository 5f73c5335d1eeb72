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

policy::Address Gateway(bool v4) { return *policy::Address::Parse(v4 ? kGatewayV4 : kGatewayV6); }

policy::Cidr DefaultRoute(bool v4) {
  return v4 ? policy::Cidr::Of(policy::Address::FromV4(0), 96) : policy::Cidr{};
}

absl::Status ConfigureFamily(Netlink& netlink, uint32_t ifindex, const policy::Address& address) {
  const bool v4 = address.is_v4();
  RETURN_IF_ERROR(netlink.AddAddress(
      {.ifindex = ifindex, .address = address, .prefix_length = v4 ? 32 : 128, .no_dad = true}));
  const policy::Address gateway = Gateway(v4);
  RETURN_IF_ERROR(netlink.ReplaceNeighbour(
      {.ifindex = ifindex, .address = gateway, .mac = kHostMac, .protocol = RTPROT_BOOT}));
  if (v4) {
    RETURN_IF_ERROR(netlink.ReplaceRoute({.destination = policy::Cidr::Of(gateway, 128),
                                          .ifindex = ifindex,
                                          .protocol = RTPROT_BOOT,
                                          .scope = RT_SCOPE_LINK}));
  }
  return netlink.ReplaceRoute({.destination = DefaultRoute(v4),
                               .ifindex = ifindex,
                               .gateway = gateway,
                               .protocol = RTPROT_BOOT});
}

}  // namespace

absl::Status ConfigurePodSide(const LocalEndpoint& endpoint, int netns_fd) {
  ASSIGN_OR_RETURN(const auto netlink, Netlink::Open(netns_fd));
  RETURN_IF_ERROR(RunInNetns(
      netns_fd, [&] { return WriteWherePresent(PodVethSysctls(endpoint.interface_name)); }));
  RETURN_IF_ERROR(netlink->SetLinkUp(kLoopbackIndex, true));
  ASSIGN_OR_RETURN(const Link link, netlink->GetLink(endpoint.interface_name));
  RETURN_IF_ERROR(netlink->SetLinkUp(link.index, true));
  for (const Allocation& allocation : endpoint.allocations) {
    RETURN_IF_ERROR(ConfigureFamily(*netlink, link.index, allocation.address));
  }
  return absl::OkStatus();
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
  ASSIGN_OR_RETURN(const auto routes, netlink->ListRoutes({.protocol = 0, .ifindex = link->index}));
  for (const policy::Address& address : endpoint.addresses()) {
    if (std::none_of(addresses.begin(), addresses.end(),
                     [&](const InterfaceAddress& a) { return a.address == address; })) {
      return absl::FailedPreconditionError(
          absl::StrCat("address ", address.ToString(), " is missing in the pod"));
    }
    const policy::Cidr destination = DefaultRoute(address.is_v4());
    if (std::none_of(routes.begin(), routes.end(),
                     [&](const Route& r) { return r.destination == destination; })) {
      return absl::FailedPreconditionError(
          absl::StrCat("route ", destination.ToString(), " is missing in the pod"));
    }
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
