// SPDX-License-Identifier: Apache-2.0
#include "agent/network/underlay.h"

#include <algorithm>

#include "agent/network/host_programs.h"

namespace ripstop::agent {
namespace {

// What Ethernet has, where nothing is known.
constexpr uint32_t kUsualMtu = 1500;

bool LeadsNowhere(const Link& link) { return link.loopback || link.kind == "dummy"; }

// A veth that is nobody's port leads out where the node itself is a container.
bool MayLeadOut(const Link& link) {
  const bool taken = link.master != 0 && link.slave_kind != "vrf";
  return link.up && !taken && !link.loopback && !IsWorkloadInterface(link) &&
         (LeadsOut(link) || link.kind == "veth");
}

bool IsChosen(const Link& link, const InterfacePattern& chosen) {
  return link.up && !IsWorkloadInterface(link) && chosen.Matches(link.name);
}

}  // namespace

uint32_t Underlay::mtu() const {
  if (mtus.empty()) return kUsualMtu;
  return std::min_element(mtus.begin(), mtus.end(),
                          [](const auto& a, const auto& b) { return a.second < b.second; })
      ->second;
}

bool Underlay::DependsOn(const LinkEvent& event, const InterfacePattern& chosen) const {
  const Link& link = event.link;
  const auto known = mtus.find(link.index);
  const bool wanted = !event.deleted && IsChosen(link, chosen);
  if (!chosen.empty() && wanted != (known != mtus.end())) return true;
  if (known == mtus.end()) return anywhere && !event.deleted && MayLeadOut(link);
  return event.deleted || known->second != link.mtu || (anywhere && !MayLeadOut(link));
}

Underlay FindUnderlay(const std::vector<policy::Address>& own,
                      const std::vector<InterfaceAddress>& addresses,
                      const std::vector<Link>& links, const InterfacePattern& chosen) {
  Underlay underlay;
  const auto holds = [&underlay](uint32_t ifindex) {
    return std::find(underlay.holders.begin(), underlay.holders.end(), ifindex) !=
           underlay.holders.end();
  };
  for (const policy::Address& wanted : own) {
    for (const InterfaceAddress& one : addresses) {
      if (one.address == wanted && !holds(one.ifindex)) underlay.holders.push_back(one.ifindex);
    }
  }
  for (const Link& link : links) {
    if (IsChosen(link, chosen)) underlay.mtus[link.index] = link.mtu;
  }
  if (!underlay.mtus.empty()) return underlay;
  for (const Link& link : links) {
    if (holds(link.index) && !LeadsNowhere(link)) underlay.mtus[link.index] = link.mtu;
  }
  underlay.anywhere = underlay.mtus.empty();
  if (!underlay.anywhere) return underlay;
  for (const Link& link : links) {
    if (MayLeadOut(link)) underlay.mtus[link.index] = link.mtu;
  }
  return underlay;
}

}  // namespace ripstop::agent
