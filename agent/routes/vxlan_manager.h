// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_ROUTES_VXLAN_MANAGER_H_
#define RIPSTOP_AGENT_ROUTES_VXLAN_MANAGER_H_

#include <functional>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "agent/netlink/monitor.h"
#include "agent/netlink/sysctl.h"
#include "agent/routes/route_manager.h"
#include "agent/routes/vxlan_plan.h"

namespace ripstop::agent {

// Settings of the VXLAN device.
std::vector<Sysctl> VxlanSysctls(const std::string& device);

// Makes the VXLAN device and hands its routes to RouteManager. One thread; runs in the
// namespace that `netlink` is bound to and that must be the calling thread's, because
// the device's settings are written through /proc.
class VxlanManager {
 public:
  // `prepare` makes the device with this index fit for packets (programs on it); it is
  // called before the device goes up, and a device for which it fails stays down.
  VxlanManager(Netlink* netlink, RouteManager* routes,
               std::function<absl::Status(uint32_t ifindex)> prepare)
      : netlink_(netlink), routes_(routes), prepare_(std::move(prepare)) {}

  // Brings device and routes to the plan. A device that differs in what cannot be
  // changed (VNI, port, local address) is made anew; one that nobody wants is deleted.
  absl::Status Apply(const VxlanPlan& plan);

  // Makes the device again when somebody deleted or changed it.
  absl::Status HandleEvents(const std::vector<MonitorEvent>& events);

  uint32_t ifindex() const { return ifindex_; }  // 0: no device
  // Of the device that `plan` wants, also one of an earlier process that Apply has not met.
  uint32_t Standing(const VxlanPlan& plan) const;
  // As last applied; empty: no device.
  std::string device() const { return plan_.device.has_value() ? plan_.device->name : ""; }

 private:
  absl::Status EnsureDevice(const VxlanSpec& spec);
  absl::Status RemoveDevice(const std::string& name);

  Netlink* const netlink_;
  RouteManager* const routes_;
  const std::function<absl::Status(uint32_t)> prepare_;
  VxlanPlan plan_;
  std::set<std::string> owners_;
  uint32_t ifindex_ = 0;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_ROUTES_VXLAN_MANAGER_H_
