// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_ROUTES_ROUTE_MANAGER_H_
#define RIPSTOP_AGENT_ROUTES_ROUTE_MANAGER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "agent/netlink/monitor.h"
#include "agent/routes/route_kernel.h"
#include "agent/routes/routing_state.h"

namespace ripstop::agent {

// Keeps the kernel's routes, permanent neighbours and forwarding entries as wanted.
//
//   Put/Remove ──┐
//   events ──────┴─▶ [RouteManager] ─▶ RouteKernel (fewest writes)
//
// Owns what carries kRouteProtocol, and forwarding entries of the devices given to
// OwnDevice; touches nothing else, except that a wanted route takes the place of a
// foreign one with the same destination, table and priority.
//
// Starts silent: until the first Reconcile, Put only notes. So a restarted agent puts
// everything it knows, reconciles once, and the kernel sees the difference only.
//
// One thread. What could not be written (a device that is down) is kept and tried again
// at that device's next event and at each Reconcile.
class RouteManager {
 public:
  explicit RouteManager(RouteKernel* kernel) : kernel_(kernel) {}

  // Replaces all that `owner` ("pod/…", "vxlan/NODE") wants. Where two owners want the
  // same key, the last to ask for it wins until it lets go.
  absl::Status Put(const std::string& owner, const std::vector<RoutingEntry>& entries);
  absl::Status Remove(const std::string& owner) { return Put(owner, {}); }

  void OwnDevice(uint32_t ifindex) { own_devices_.insert(ifindex); }
  void DisownDevice(uint32_t ifindex) { own_devices_.erase(ifindex); }

  // Compares everything with the kernel and writes the difference. The status is the
  // first failure; the others are attempted all the same.
  absl::Status Reconcile();

  // From Monitor::Read. Repairs at once what somebody else removed or changed.
  absl::Status HandleEvents(const std::vector<MonitorEvent>& events);

  struct Stats {
    uint64_t writes = 0;
    uint64_t repairs = 0;     // entries put back after they had been written once
    uint64_t reconciles = 0;  // comparisons with the whole kernel state
    uint64_t failed = 0;      // wanted entries that are not in the kernel now
  };
  Stats stats() const;
  RoutingState wanted() const;

 private:
  struct Claim {
    std::string owner;
    RoutingEntry entry;
  };
  struct Wanted {
    std::vector<Claim> claims;  // the last one counts
    bool written = false;
    const RoutingEntry& entry() const { return claims.back().entry; }
  };

  absl::Status Write(const RoutingWrite& write);
  absl::Status WriteWanted(Wanted& wanted, RoutingWrite::Op op);
  absl::Status Reassert(uint32_t ifindex);
  // Calls `change`, which changes wanted_ under that key, and follows it in of_interface_.
  void Change(const RoutingKey& key, const std::function<void()>& change);
  bool Suspicious(const RoutingEntry& entry, bool deleted) const;

  RouteKernel* const kernel_;
  std::map<RoutingKey, Wanted> wanted_;
  std::map<uint32_t, std::set<RoutingKey>> of_interface_;  // by the index in the entry
  std::map<std::string, std::set<RoutingKey>> owners_;
  std::set<uint32_t> own_devices_;
  bool synced_ = false;
  Stats stats_;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_ROUTES_ROUTE_MANAGER_H_
