// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_NETWORK_TUNNEL_PLANE_H_
#define RIPSTOP_AGENT_NETWORK_TUNNEL_PLANE_H_

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "agent/base/event_loop.h"
#include "agent/network/firewall_findings.h"
#include "agent/network/host_programs.h"
#include "agent/network/owner_plan.h"
#include "agent/routes/vxlan_manager.h"

namespace ripstop::agent {

// The tunnel, and who may speak by it.
//
//   VxlanConfig ─┬─▶ port, owners ─▶ DataplaneInterface
//                ├─▶ HostPrograms: who vouches for senders
//                └─▶ VxlanManager: the device, its programs before it is up, routes
//
// In this order, so that the device takes nothing that is not judged. When the last pool
// gives VXLAN up the device stays for the time of OwnerTransitions, without routes: other
// nodes hear of it later. For the agent's loop.
class TunnelPlane {
 public:
  // All outlive this. `now` is for tests.
  TunnelPlane(Netlink* netlink, RouteManager* routes, DataplaneInterface* dataplane,
              EventLoop* loop, std::function<absl::Time()> now = Monotonic);
  ~TunnelPlane();

  // `holders`: interfaces that hold an address of this node.
  void Apply(const VxlanConfig& config, const std::vector<uint32_t>& holders);
  void HandleEvents(const std::vector<MonitorEvent>& events);
  // Whether pods' packets leave by any interface, by way of host's NAT: then each of them
  // has a program before this returns.
  void SetHostNat(bool on);

  // This node and those that it has routes to by the tunnel; nullopt: none.
  const std::optional<FirewallScene::Tunnel>& ends() const { return ends_; }
  // MTU of what goes by the tunnel; nullopt: no pool wants one.
  std::optional<uint32_t> mtu() const { return mtu_; }
  uint32_t ifindex() const { return vxlan_.ifindex(); }
  std::string device() const { return vxlan_.device(); }  // empty: none
  uint16_t port() const { return config_.port; }
  InterfaceRole role(uint32_t ifindex) const { return programs_.role(ifindex); }
  std::vector<uint32_t> exits() const { return programs_.exits(); }
  std::vector<std::string> problems() const;

 private:
  static absl::Time Monotonic();  // nobody can set that clock back
  void ApplyDevice(const VxlanPlan& plan);
  HostNetwork Network() const;
  absl::Status Prepare(uint32_t ifindex);
  void Schedule();
  void Note(const absl::Status& status);

  DataplaneInterface* const dataplane_;
  EventLoop* const loop_;
  const std::function<absl::Time()> now_;
  VxlanManager vxlan_;
  HostPrograms programs_;
  OwnerTransitions transitions_;
  VxlanConfig config_;
  std::vector<uint32_t> holders_;
  bool host_nat_ = false;
  bool tunnel_ = false;                 // wanted, or lingering
  std::optional<VxlanSpec> lingering_;  // the device that the last pool has given up
  absl::Time linger_until_ = absl::InfinitePast();
  std::optional<VxlanSpec> device_;  // as last wanted
  uint16_t port_ = 0;
  std::optional<FirewallScene::Tunnel> ends_;
  std::optional<uint32_t> mtu_;
  std::optional<EventLoop::TimerId> timer_;
  std::vector<std::string> unreachable_;
  std::vector<std::string> problems_;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_NETWORK_TUNNEL_PLANE_H_
