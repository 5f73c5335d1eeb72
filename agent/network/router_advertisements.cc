// SPDX-License-Identifier: Apache-2.0
#include "agent/network/router_advertisements.h"

#include <set>

#include "absl/strings/str_cat.h"
#include "agent/netlink/sysctl.h"
#include "agent/network/host_programs.h"
#include "policy/status_macros.h"

namespace ripstop::agent {
namespace {

std::string AcceptRa(const std::string& link) {
  return absl::StrCat("net/ipv6/conf/", link, "/accept_ra");
}

}  // namespace

bool NeedsAdvertisements(const LinkSettings& settings, bool uplink, bool has_route) {
  const Link& link = settings.link;
  if (link.loopback || link.master != 0 || IsWorkloadInterface(link)) return false;
  if (settings.Value(AcceptRa(link.name)) != "1") return false;
  return uplink || has_route || LeadsOut(link);
}

absl::Status KeepAdvertisements(Netlink* netlink) {
  ASSIGN_OR_RETURN(const std::vector<LinkSettings> links, netlink->ListLinkSettings());
  ASSIGN_OR_RETURN(const std::vector<Route> routes,
                   netlink->ListRoutes({.protocol = RTPROT_RA, .table = 0}));
  std::set<uint32_t> routed;
  for (const Route& route : routes) routed.insert(route.ifindex);
  for (const LinkSettings& settings : links) {
    if (!NeedsAdvertisements(settings, false, routed.contains(settings.link.index))) continue;
    const absl::Status written = WriteSysctl({AcceptRa(settings.link.name), "2"});
    if (!written.ok() && !absl::IsNotFound(written)) return written;  // gone meanwhile
  }
  return absl::OkStatus();
}

}  // namespace ripstop::agent
