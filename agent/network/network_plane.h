// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_NETWORK_NETWORK_PLANE_H_
#define RIPSTOP_AGENT_NETWORK_NETWORK_PLANE_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "agent/base/event_loop.h"
#include "agent/netlink/monitor.h"
#include "agent/netlink/netlink.h"
#include "agent/netlink/route_watch.h"
#include "agent/network/bird_worker.h"
#include "agent/network/cluster_view.h"
#include "agent/network/felix_settings.h"
#include "agent/network/firewall_findings.h"
#include "agent/network/masquerade_plan.h"
#include "agent/network/node_identity.h"
#include "agent/network/secrets.h"
#include "agent/network/tunnel_plane.h"
#include "agent/network/underlay.h"
#include "agent/routes/route_manager.h"
#include "bgp-bridge/bird_status.h"
#include "bgp-bridge/render.h"

namespace ripstop::agent {

struct NetworkOptions {
  std::string node;         // name of this node's Node resource
  std::string run_dir;      // BIRD's configuration, control socket, pid
  std::string bird;         // its program; empty: no BGP here
  std::string secrets_dir;  // passwords of BGP sessions, NAME/KEY
};

// Everything of this node that carries packets between nodes: routes, the tunnel, the
// programs on the host's interfaces, BIRD. Applies a ClusterView; repairs on the kernel's
// events.
//
//   ClusterView ──▶ [NetworkPlane] ──▶ RouteManager, TunnelPlane, Supervisor
//   netlink events, BIRD's death ──▶ ┘
//
// For the agent's loop. Errors of one part do not keep the others from being applied;
// they are kept in problems() until that part succeeds.
class NetworkPlane {
 public:
  // Opens netlink in the caller's namespace, makes the node a router, and looks for a
  // running BIRD. Loop and dataplane outlive this.
  static absl::StatusOr<std::unique_ptr<NetworkPlane>> Create(const NetworkOptions& options,
                                                              EventLoop* loop,
                                                              DataplaneInterface* dataplane);
  ~NetworkPlane();

  // The view outlives this: secrets that change apply it again.
  void Apply(const ClusterView& cluster, const FelixSettings& settings = {});
  // Reads the secrets of BGP sessions again; changes are also seen by themselves.
  void RefreshSecrets();
  // After the first Apply and all pods' routes: from now on the kernel follows.
  absl::Status Reconcile() { return routes_->Reconcile(); }

  void SetHostNat(bool on) { tunnel_->SetHostNat(on); }

  Netlink* netlink() { return netlink_.get(); }
  RouteManager* routes() { return routes_.get(); }

  const TunnelPlane& tunnel() const { return *tunnel_; }
  // What a pod's link should carry: the underlay's MTU less what VXLAN adds, where used.
  // Changes with Apply and with the kernel's events.
  uint32_t workload_mtu() const { return workload_mtu_; }

  // Whether the host lives by router advertisements there (router_advertisements.h).
  bool NeedsAdvertisements(const LinkSettings& settings) const;

  // What of the host's netfilter our packets meet; `host_nat`: whether that is on.
  FirewallScene SceneForFirewall(bool host_nat) const;

  // As BIRD said last, and how long ago if it is silent since.
  bgp::BirdStatus BgpStatus() const;
  // Asks it, and waits for that a moment. From any thread but the loop's.
  void RefreshBgp() const;
  std::vector<std::string> problems() const;
  // Whether the addresses that the store gives this node are its own.
  bool has_its_addresses() const { return addresses_.own.empty(); }

  // Called with the kernel's events, after this has dealt with them.
  void OnEvents(std::function<void(const std::vector<MonitorEvent>&)> callback) {
    on_events_ = std::move(callback);
  }

 private:
  NetworkPlane(const NetworkOptions& options, EventLoop* loop, DataplaneInterface* dataplane)
      : options_(options), loop_(loop), dataplane_(dataplane), secrets_(options.secrets_dir) {}
  absl::Status Init();
  void ApplyBgp(const ClusterView& cluster);
  void ApplyVxlan(const ClusterView& cluster);
  void FindUnderlay(const ClusterView& cluster);
  void ApplyMasquerade(const ClusterView& cluster);
  NatHost AskNatHost(const ClusterView& cluster);
  bool ConcernsExits(const std::vector<MonitorEvent>& events) const;
  void ReadMonitor();
  bool ConcernsUnderlay(const std::vector<MonitorEvent>& events) const;

  const NetworkOptions options_;
  EventLoop* const loop_;
  DataplaneInterface* const dataplane_;
  std::unique_ptr<Netlink> netlink_;
  std::unique_ptr<Monitor> monitor_;
  std::unique_ptr<RouteWatch> route_watch_;
  std::unique_ptr<RouteKernel> kernel_;
  std::unique_ptr<RouteManager> routes_;
  std::unique_ptr<TunnelPlane> tunnel_;
  std::unique_ptr<BirdWorker> bird_;  // null: no BGP here
  SecretFiles secrets_;
  const ClusterView* cluster_ = nullptr;  // as last applied
  std::optional<bgp::RenderedConfig> rendered_;
  TunnelSettings tunnel_settings_;
  NatSettings nat_settings_;
  api::PortRange nat_ports_;
  std::optional<loader::Masquerade> masquerade_;  // as last set
  std::vector<std::string> masquerade_problems_;
  InterfacePattern mtu_interfaces_;
  Underlay underlay_;
  NodeAddressProblems addresses_;
  uint32_t workload_mtu_ = underlay_.mtu();
  std::string mtu_problem_;
  std::string bgp_model_problem_;
  std::string bgp_problem_;
  std::function<void(const std::vector<MonitorEvent>&)> on_events_;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_NETWORK_NETWORK_PLANE_H_
