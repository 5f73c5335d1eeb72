// SPDX-License-Identifier: Apache-2.0
#include "agent/network/host_programs.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "spdlog/spdlog.h"

namespace ripstop::agent {
namespace {

constexpr uint32_t kListed = 0;  // key in problems_ of what is no interface's

}  // namespace

bool LeadsOut(const Link& link) {
  for (const char* outward : {"", "bond", "team", "vlan", "macvlan", "ipvlan"}) {
    if (link.kind == outward) return true;
  }
  return false;
}

bool IsWorkloadInterface(const Link& link) {
  constexpr size_t kDigits = 11;
  constexpr absl::string_view kPrefix = "cali";
  return link.kind == "veth" && absl::StartsWith(link.name, kPrefix) &&
         link.name.size() == kPrefix.size() + kDigits;
}

InterfaceRole RoleOf(const Link& link, const HostNetwork& network, bool on_loopback) {
  if (link.index == network.tunnel_ifindex) return InterfaceRole::kTunnel;
  // A VRF takes nothing from its interfaces but the choice of a routing table.
  const bool taken = link.master != 0 && link.slave_kind != "vrf";
  if (link.loopback || IsWorkloadInterface(link) || taken) return InterfaceRole::kNone;
  if (network.holders.contains(link.index)) return InterfaceRole::kUplink;
  if (!network.vxlan) return network.nat ? InterfaceRole::kElsewhere : InterfaceRole::kNone;
  if (LeadsOut(link)) return InterfaceRole::kUplink;
  return on_loopback && link.kind != "bridge" ? InterfaceRole::kUplink : InterfaceRole::kElsewhere;
}

bool HostPrograms::OnLoopback() const {
  for (const uint32_t holder : network_.holders) {
    const auto it = links_.find(holder);
    if (it == links_.end()) continue;
    if (!it->second.loopback && it->second.kind != "dummy") return false;
  }
  return !network_.holders.empty();
}

absl::Status HostPrograms::Attach(const Link& link, InterfaceRole role) {
  const uint32_t ifindex = link.index;
  switch (role) {
    case InterfaceRole::kUplink: return dataplane_->AttachUplink(ifindex);
    case InterfaceRole::kTunnel: return dataplane_->AttachTunnel(ifindex);
    case InterfaceRole::kElsewhere: return dataplane_->AttachElsewhere(ifindex, link.headless);
    case InterfaceRole::kNone: break;
  }
  return dataplane_->DetachHost(ifindex);
}

void HostPrograms::SettleOne(const Link& link, bool on_loopback) {
  const InterfaceRole wanted = RoleOf(link, network_, on_loopback);
  const bool failed = problems_.contains(link.index);
  if (role(link.index) == wanted && !failed) return;
  const absl::Status status = Attach(link, wanted);
  if (absl::IsNotFound(status)) return;  // gone meanwhile; its event comes
  roles_[link.index] = wanted;
  if (status.ok()) {
    problems_.erase(link.index);
    return;
  }
  const std::string problem =
      absl::StrCat("interface ", link.name, ": ", std::string(status.message()));
  if (problems_[link.index] != problem) spdlog::error("{}", problem);
  problems_[link.index] = problem;
}

void HostPrograms::Settle() {
  const bool on_loopback = OnLoopback();
  for (const auto& [ifindex, link] : links_) SettleOne(link, on_loopback);
}

void HostPrograms::Apply(const HostNetwork& network) {
  network_ = network;
  applied_ = true;
  const absl::StatusOr<std::vector<Link>> all = list_();
  if (!all.ok()) {
    problems_[kListed] = std::string(all.status().message());
    return;
  }
  problems_.erase(kListed);
  links_.clear();
  for (const Link& link : *all) {
    if (!IsWorkloadInterface(link)) links_[link.index] = link;
  }
  for (auto it = roles_.begin(); it != roles_.end();) {
    it = links_.contains(it->first) ? std::next(it) : roles_.erase(it);
  }
  Settle();
}

void HostPrograms::HandleEvents(const std::vector<MonitorEvent>& events) {
  if (!applied_) return;
  bool changed = false;
  for (const MonitorEvent& event : events) {
    if (std::holds_alternative<ResyncEvent>(event)) {
      Apply(HostNetwork(network_));
      return;
    }
    const auto* link = std::get_if<LinkEvent>(&event);
    if (link == nullptr || IsWorkloadInterface(link->link)) continue;
    const uint32_t ifindex = link->link.index;
    if (!link->deleted) {
      links_[ifindex] = link->link;
    } else if (links_.erase(ifindex) > 0) {
      // Its programs went with it; what is pinned of them need not stay.
      dataplane_->DetachHost(ifindex).IgnoreError();
      roles_.erase(ifindex);
      problems_.erase(ifindex);
    }
    changed = true;
  }
  if (changed) Settle();
}

InterfaceRole HostPrograms::role(uint32_t ifindex) const {
  const auto it = roles_.find(ifindex);
  return it == roles_.end() ? InterfaceRole::kNone : it->second;
}

std::vector<uint32_t> HostPrograms::exits() const {
  std::vector<uint32_t> all;
  for (const auto& [ifindex, role] : roles_) {
    if (role == InterfaceRole::kUplink || role == InterfaceRole::kElsewhere) all.push_back(ifindex);
  }
  return all;
}

std::vector<std::string> HostPrograms::problems() const {
  std::vector<std::string> all;
  for (const auto& [ifindex, problem] : problems_) all.push_back(problem);
  return all;
}

}  // namespace ripstop::agent
