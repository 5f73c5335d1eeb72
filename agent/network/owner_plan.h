// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_NETWORK_OWNER_PLAN_H_
#define RIPSTOP_AGENT_NETWORK_OWNER_PLAN_H_

#include <map>

#include "absl/time/time.h"
#include "agent/routes/vxlan_plan.h"
#include "bpf/loader/owner_store.h"

namespace ripstop::agent {

// Which node may speak for which address, as seen from this one: what PlanVxlan makes
// routes from, the other way round. Blocks, borrowed addresses and nodes' own addresses
// belong to their node; what is in a pool of the tunnel besides, to nobody. A node without
// an address for the tunnel can send nothing by it, so it owns nothing there.
loader::Owners PlanOwners(const VxlanConfig& config);

// What no longer may come natively, for a while still may: when a pool goes over to VXLAN,
// nodes hear of it one after the other, and until the last has, packets come both ways. The
// tunnel needs no such time, since who speaks by it is known either way. What is new, or was
// there when the agent began, is bound at once.
//
// Nothing is open longer than it was: only flags that this has seen unset wait.
class OwnerTransitions {
 public:
  static constexpr absl::Duration kGrace = absl::Minutes(1);

  // What is to be in force now.
  loader::Owners Apply(const loader::Owners& wanted, absl::Time now);
  // When something held back is due; InfiniteFuture when nothing is.
  absl::Time due() const;

 private:
  struct Held {
    uint32_t flags = 0;
    absl::Time until;
  };
  bool begun_ = false;
  loader::Owners last_;  // as last wanted
  std::map<policy::Cidr, Held> held_;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_NETWORK_OWNER_PLAN_H_
