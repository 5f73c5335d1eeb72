// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_CNI_ENDPOINT_MANAGER_H_
#define RIPSTOP_AGENT_CNI_ENDPOINT_MANAGER_H_

#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/cni/endpoint.h"
#include "agent/cni/endpoint_hooks.h"
#include "agent/cni/release_queue.h"
#include "agent/ipam/ipam.h"
#include "agent/netlink/monitor.h"
#include "agent/netlink/netlink.h"
#include "agent/routes/route_manager.h"
#include "api/proto/cni.pb.h"
#include "policy/base/unique_fd.h"

namespace ripstop::agent {

struct EndpointManagerOptions {
  std::string state_directory = "/var/lib/ripstop/endpoints";
  uint32_t default_mtu = 1500;  // where the request names none
  Later later;                  // for releases; null: the caller calls RetryReleases
};

// A container's interface, as CNI and the store name it.
struct EndpointName {
  std::string container_id;
  std::string interface_name;
  std::string pod_namespace;  // may be empty, where it is not known any more
  std::string pod_name;
};

// Makes and removes pods' interfaces.
//
//   ADD: asked whether it may be ─▶ addresses ─▶ veth (host side down) ─▶ pod side
//        ─▶ hooks.Prepare ─▶ host side up ─▶ routes and neighbours ─▶ durable
//   DEL: routes ─▶ veth ─▶ hooks.Remove ─▶ ReleaseQueue: addresses and WorkloadEndpoint
//
// So no packet passes before policy is in force. Each step is on disk before it is taken:
// after a crash, Load undoes what was not finished. All calls on one thread, in the
// namespace of `netlink`.
class EndpointManager {
 public:
  EndpointManager(EndpointManagerOptions options, Netlink* netlink, Ipam* ipam,
                  RouteManager* routes, EndpointHooks* hooks);

  // Once at start, before RouteManager::Reconcile: learns the
  // endpoints of the last run, forgets those whose interface is gone, and wants their
  // routes. Does not call Prepare; endpoints() says for whom the caller must.
  absl::Status Load();

  // Idempotent by (container id, interface name).
  //   kInvalidArgument     the request names something impossible
  //   kNotFound            the pod's namespace is not there
  //   kAlreadyExists       the pod has an interface of that name, or an address is in use
  //   else                 from IPAM, kernel, or the hook
  // On error nothing is left: no interface, route or file; addresses go as with Del. What is
  // refused for what it asks, or because the node is not ready, has not even claimed a block.
  absl::StatusOr<LocalEndpoint> Add(const ripstop::agent::v1::CniRequest& request);

  // Succeeds when repeated, and when the namespace or the interface is gone. Does not wait
  // for the store: the addresses are released later (ReleaseQueue).
  absl::Status Del(const ripstop::agent::v1::CniRequest& request);

  //   kNotFound            no such endpoint
  //   kFailedPrecondition  it is not as ADD left it; the message says what is missing
  absl::Status Check(const ripstop::agent::v1::CniRequest& request);

  // Deletes every endpoint of `network` that is not in `valid` (container id, interface
  // name). Those of other networks are not this call's to judge.
  absl::StatusOr<uint32_t> Gc(const std::string& network,
                              const std::set<std::pair<std::string, std::string>>& valid);

  // What the store holds for this node (`published`, and addresses of IPAM) without a pod
  // here is put into the ReleaseQueue: the rest of a DEL that was not seen, of a state
  // directory that was lost, of a store put back from a copy. How many.
  uint32_t ReleaseStrays(const std::vector<EndpointName>& published);

  // An interface that vanished with its namespace, without a DEL: cleans up after it.
  void HandleEvents(const std::vector<MonitorEvent>& events);

  // Tries what waits for the store now.
  absl::Status RetryReleases() { return releases_.Run(); }

  // Ready ones, without copying them.
  void ForEachReady(const std::function<void(const LocalEndpoint&)>& visit) const;
  // Writes endpoint files again that somebody has changed or removed; which.
  std::vector<std::string> RestoreFiles();
  // What Load could not read: such a pod has no owner here, so it is denied, until it is
  // deleted. By path, with why.
  const std::map<std::string, std::string>& unreadable() const { return unreadable_; }

  void set_default_mtu(uint32_t mtu) { options_.default_mtu = mtu; }
  std::vector<LocalEndpoint> endpoints() const;  // ready ones
  size_t releasing() const { return releases_.size(); }

  // cali and eleven hexadecimal digits, the same for the same pair.
  static std::string HostInterfaceName(const std::string& handle);

 private:
  absl::StatusOr<LocalEndpoint> Describe(const ripstop::agent::v1::CniRequest& request) const;
  absl::StatusOr<UniqueFd> OpenPod(const LocalEndpoint& endpoint) const;
  absl::StatusOr<std::vector<Allocation>> Allocate(const AllocationRequest& wanted);
  absl::Status Build(LocalEndpoint& endpoint, int netns_fd);
  absl::Status CreateLink(LocalEndpoint& endpoint, int netns_fd);
  // Removes all traces on the node; the rest is the queue's.
  void TearDown(LocalEndpoint endpoint);
  absl::Status Verify(const LocalEndpoint& endpoint);
  void Keep(const LocalEndpoint& endpoint);
  bool IsOnNode(const std::string& handle) const;

  EndpointManagerOptions options_;
  EndpointFiles files_;
  Netlink* const netlink_;
  Ipam* const ipam_;
  RouteManager* const routes_;
  EndpointHooks* const hooks_;
  ReleaseQueue releases_;
  std::map<std::string, LocalEndpoint> endpoints_;  // by handle
  absl::flat_hash_map<uint32_t, std::string> handle_of_interface_;
  std::map<std::string, std::string> unreadable_;
};

// The pod's gateways: nobody's addresses, answered by permanent neighbour entries.
inline constexpr char kGatewayV4[] = "169.254.1.1";
inline constexpr char kGatewayV6[] = "fe80::ecee:eeff:feee:eeee";
inline constexpr Mac kHostMac{{0xee, 0xee, 0xee, 0xee, 0xee, 0xee}};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_CNI_ENDPOINT_MANAGER_H_
