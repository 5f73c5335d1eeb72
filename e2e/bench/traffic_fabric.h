// SPDX-License-Identifier: Apache-2.0
//
// The same fabric twice: with plain routing and no policy, and with agents, policy in both
// directions, and every path that a packet of a pod can take.
//
//        rack1                                 rack2
//   x ─────┬──────────┬─────────────── r1 ───────┬
//        node1      node2                      node3
//        client     native                     vxlan      servers
//        same
//
// Plain routing reaches `vxlan` through a VXLAN device of its own, and its pods have the MTU of
// ours: what differs is Ripstop.
#ifndef RIPSTOP_E2E_BENCH_TRAFFIC_FABRIC_H_
#define RIPSTOP_E2E_BENCH_TRAFFIC_FABRIC_H_

#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "e2e/lab/lab.h"
#include "policy/base/unique_fd.h"

namespace ripstop::bench {

class TrafficFabric {
 public:
  static absl::StatusOr<std::unique_ptr<TrafficFabric>> Raise(bool plain);
  ~TrafficFabric();  // takes it down

  static constexpr char kClient[] = "bench/client", kOutside[] = "x";

  // Of a pod ("bench/same") or of x.
  std::string AddressOf(const std::string& target, int family) const;
  // A descriptor of its network namespace; lives as long as this.
  absl::StatusOr<int> NetnsOf(const std::string& target);

  // Whether flows of the client that begin from now on leave under node1's address.
  absl::Status SetMasqueraded(bool masqueraded);
  // The largest packet of any link, for both families.
  absl::Status SetLargestPacket(uint32_t bytes);

 private:
  TrafficFabric(lab::Lab lab, bool plain) : lab_(std::move(lab)), plain_(plain) {}
  absl::Status Shell(const std::string& target, const std::string& script) const;
  absl::Status AddPlainTunnel();
  absl::Status AddWayBack();
  absl::Status UntilReached() const;

  lab::Lab lab_;
  const bool plain_;
  std::map<std::string, UniqueFd> netns_;
};

}  // namespace ripstop::bench

#endif  // RIPSTOP_E2E_BENCH_TRAFFIC_FABRIC_H_
