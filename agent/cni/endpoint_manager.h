// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_CNI_ENDPOINT_MANAGER_H_
#define RIPSTOP_AGENT_CNI_ENDPOINT_MANAGER_H_

#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/cni/endpoint.h"
#include "agent/ipam/ipam.h"
#include "agent/netlink/monitor.h"
#include "agent/netlink/netlink.h"
#include "agent/routes/route_manager.h"
#include "api/proto/agent.pb.h"

namespace ripstop::agent {

// What the dataplane does for an endpoint.
class EndpointHooks {
 public:
  virtual ~EndpointHooks() = default;
  // Attaches programs and brings the policy into the maps. The interface exists and is
  // down; it goes up only after this succeeded. A failure undoes the ADD.
  virtual absl::Status Prepare(const LocalEndpoint& endpoint) = 0;
  // The interface is gone. Also called after a failed Prepare, so it must bear being
  // called for an endpoint that it does not know.
  virtual void Remove(const LocalEndpoint& endpoint) = 0;
};

struct EndpointManagerOptions {
  std::string state_directory = "/var/lib/ripstop/endpoints";
  uint32_t default_mtu = 1500;  // where the request names none
};

// Makes and removes pods' interfaces.
//
//   ADD: addresses ─▶ veth (host side down) ─▶ pod side ─▶ hooks.Prepare ─▶ host side up
//        ─▶ routes and neighbours ─▶ durable
//   DEL: routes ─▶ veth ─▶ hooks.Remove ─▶ addresses
//
// So no packet passes before policy is in force. Each step is on disk before it is taken:
// after a crash, Load undoes what was not finished. All calls on one thread, in the
// namespace of `netlink`.
class EndpointManager {
 public:
  EndpointManager(EndpointManagerOptions options, Netlink* netlink, Ipam* ipam,
                  RouteManager* routes, EndpointHooks* hooks);

  // Once at start, after Ipam::Load and before RouteManager::Reconcile: learns the
  // endpoints of the last run, forgets those whose interface is gone, and wants their
  // routes. Does not call Prepare; endpoints() says for whom the caller must.
  absl::Status Load();

  // Idempotent by (container id, interface name).
  //   kInvalidArgument     the request names something impossible
  //   kNotFound            the pod's namespace is not there
  //   kAlreadyExists       the pod has an interface of that name, or an address is in use
  //   else                 from IPAM, kernel, or the hook
  // On error nothing is left: no interface, route, address or file.
  absl::StatusOr<LocalEndpoint> Add(const ripstop::agent::v1::CniRequest& request);

  // Succeeds when repeated, when the namespace or the interface is gone, and when the
  // store cannot be reached: the addresses are then released later (RetryReleases).
  absl::Status Del(const std::string& container_id, const std::string& interface_name);

  //   kNotFound            no such endpoint
  //   kFailedPrecondition  it is not as ADD left it; the message says what is missing
  absl::Status Check(const ripstop::agent::v1::CniRequest& request);

  // Deletes every endpoint that is not in `valid` (container id, interface name).
  absl::StatusOr<uint32_t> Gc(const std::set<std::pair<std::string, std::string>>& valid);

  // An interface that vanished with its namespace, without a DEL: cleans up after it.
  void HandleEvents(const std::vector<MonitorEvent>& events);

  // Call now and then (say each ten seconds); cheap when there is nothing to do.
  absl::Status RetryReleases();

  // Ready ones, without copying them.
  void ForEachReady(const std::function<void(const LocalEndpoint&)>& visit) const;
  // Writes endpoint files again that somebody has changed or removed; which.
  std::vector<std::string> RestoreFiles();
  // What Load could not read: such a pod has no owner here, so it is denied, until it is
  // deleted. By path, with why.
  const std::map<std::string, std::string>& unreadable() const { return unreadable_; }

  void set_default_mtu(uint32_t mtu) { options_.default_mtu = mtu; }
  std::vector<LocalEndpoint> endpoints() const;  // ready ones
  size_t releasing() const;

  // cali and eleven hexadecimal digits, the same for the same pair.
  static std::string HostInterfaceName(const std::string& handle);

 private:
  absl::StatusOr<LocalEndpoint> Describe(const ripstop::agent::v1::CniRequest& request) const;
  absl::Status Build(LocalEndpoint& endpoint, int netns_fd);
  absl::Status CreateLink(LocalEndpoint& endpoint, int netns_fd);
  absl::Status Release(LocalEndpoint& endpoint);
  void TearDown(LocalEndpoint endpoint);
  absl::Status Verify(const LocalEndpoint& endpoint);

  EndpointManagerOptions options_;
  EndpointFiles files_;
  Netlink* const netlink_;
  Ipam* const ipam_;
  RouteManager* const routes_;
  EndpointHooks* const hooks_;
  std::map<std::string, LocalEndpoint> endpoints_;  // by handle
  std::map<std::string, std::string> unreadable_;
};

// The pod's gateways: nobody's addresses, answered by permanent neighbour entries.
inline constexpr char kGatewayV4[] = "169.254.1.1";
inline constexpr char kGatewayV6[] = "fe80::ecee:eeff:feee:eeee";
inline constexpr Mac kHostMac{{0xee, 0xee, 0xee, 0xee, 0xee, 0xee}};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_CNI_ENDPOINT_MANAGER_H_
