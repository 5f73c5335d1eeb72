// SPDX-License-Identifier: Apache-2.0
#include "agent/routes/vxlan_manager.h"

#include "absl/strings/str_cat.h"
#include "policy/status_macros.h"

namespace ripstop::agent {
namespace {

std::string OwnerOf(const std::string& node) { return absl::StrCat("vxlan/", node); }

bool SameTunnel(const Link& link, const VxlanSpec& spec) {
  return link.vxlan.has_value() && link.vxlan->vni == spec.vni && link.vxlan->port == spec.port &&
         link.vxlan->local == spec.local && !link.vxlan->learning;
}

}  // namespace

std::vector<Sysctl> VxlanSysctls(const std::string& device) {
  const std::string v4 = absl::StrCat("net/ipv4/conf/", device, "/");
  const std::string v6 = absl::StrCat("net/ipv6/conf/", device, "/");
  // Loose, not off: the larger of this and conf/all counts, and a host's own packets
  // to pods arrive here with an address whose route is the uplink.
  return {{v4 + "rp_filter", "2"},
          {v4 + "forwarding", "1"},
          {v6 + "disable_ipv6", "0"},
          {v6 + "forwarding", "1"},
          {v6 + "accept_ra", "0"}};
}

absl::Status VxlanManager::EnsureDevice(const VxlanSpec& spec) {
  absl::StatusOr<Link> link = netlink_->GetLink(spec.name);
  if (link.ok() && !SameTunnel(*link, spec)) {
    RETURN_IF_ERROR(netlink_->DeleteLink(link->index));
    link = absl::NotFoundError("deleted");
  }
  if (absl::IsNotFound(link.status())) {
    RETURN_IF_ERROR(netlink_->CreateVxlan(spec));
    link = netlink_->GetLink(spec.name);
  }
  if (!link.ok()) return link.status();
  if (link->mac != spec.mac) RETURN_IF_ERROR(netlink_->SetLinkMac(link->index, spec.mac));
  if (link->mtu != spec.mtu) RETURN_IF_ERROR(netlink_->SetLinkMtu(link->index, spec.mtu));
  RETURN_IF_ERROR(WriteWherePresent(VxlanSysctls(spec.name)));
  if (absl::Status prepared = prepare_(link->index); !prepared.ok()) {
    netlink_->SetLinkUp(link->index, false).IgnoreError();
    return prepared;
  }
  if (!link->up) RETURN_IF_ERROR(netlink_->SetLinkUp(link->index, true));
  if (ifindex_ != link->index) {
    routes_->DisownDevice(ifindex_);
    routes_->OwnDevice(link->index);
    ifindex_ = link->index;
  }
  return absl::OkStatus();
}

uint32_t VxlanManager::Standing(const VxlanPlan& plan) const {
  if (ifindex_ != 0 || !plan.device.has_value()) return ifindex_;
  const absl::StatusOr<Link> link = netlink_->GetLink(plan.device->name);
  return link.ok() && SameTunnel(*link, *plan.device) ? link->index : 0;
}

absl::Status VxlanManager::RemoveDevice(const std::string& name) {
  routes_->DisownDevice(ifindex_);
  ifindex_ = 0;
  const absl::StatusOr<Link> link = netlink_->GetLink(name);
  if (absl::IsNotFound(link.status())) return absl::OkStatus();
  if (!link.ok()) return link.status();
  if (!link->vxlan.has_value()) return absl::OkStatus();  // somebody else's by that name
  return netlink_->DeleteLink(link->index);
}

absl::Status VxlanManager::Apply(const VxlanPlan& plan) {
  if (plan.device.has_value()) RETURN_IF_ERROR(EnsureDevice(*plan.device));

  absl::Status first;
  std::set<std::string> owners;
  for (const auto& [node, entries] : plan.entries) {
    std::vector<RoutingEntry> placed = entries;
    for (RoutingEntry& entry : placed) {
      std::visit([this](auto& e) { e.ifindex = ifindex_; }, entry);
    }
    owners.insert(OwnerOf(node));
    const absl::Status status = routes_->Put(OwnerOf(node), placed);
    if (first.ok()) first = status;
  }
  for (const std::string& owner : owners_) {
    if (owners.contains(owner)) continue;
    const absl::Status status = routes_->Remove(owner);
    if (first.ok()) first = status;
  }
  owners_ = std::move(owners);
  const std::string last_device = plan_.device.has_value() ? plan_.device->name : "vxlan.ripstop";
  plan_ = plan;
  if (!plan.device.has_value()) {
    const absl::Status status = RemoveDevice(last_device);
    if (first.ok()) first = status;
  }
  return first;
}

absl::Status VxlanManager::HandleEvents(const std::vector<MonitorEvent>& events) {
  if (!plan_.device.has_value()) return absl::OkStatus();
  for (const MonitorEvent& event : events) {
    const auto* link = std::get_if<LinkEvent>(&event);
    if (link == nullptr || link->link.name != plan_.device->name) continue;
    const bool good = !link->deleted && link->link.index == ifindex_ && link->link.up &&
                      link->link.mtu == plan_.device->mtu && link->link.mac == plan_.device->mac;
    if (!good) return Apply(VxlanPlan(plan_));
  }
  return absl::OkStatus();
}

}  // namespace ripstop::agent
