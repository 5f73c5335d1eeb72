// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_NETWORK_POOL_KEEPER_H_
#define RIPSTOP_AGENT_NETWORK_POOL_KEEPER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "agent/network/cluster_view.h"
#include "api/store/store.h"

namespace ripstop::agent {

// A pool stays until its last address is gone, whoever deletes it:
//
//   ripstopctl delete   marks it (deletionTimestamp); agents give back its empty blocks
//   the last block goes the mark is acted on: whichever agent sees it first deletes the pool
//   it vanishes in use  the view keeps it, and an agent with addresses of it puts it back
//                       into the store, marked, so that `get` shows it and a restart knows it
//
// So routes, encapsulation and announcements of its addresses go on. For the agent's loop.
class PoolKeeper {
 public:
  // All outlive this.
  PoolKeeper(api::Store* store, ClusterView* cluster) : store_(store), cluster_(cluster) {}

  void Put(const api::v1::IPPool& pool, int64_t revision);
  void Deleted(const std::string& name);

  // Acts on what is marked or vanished. `held_here`: whether a pod of this node has an
  // address of these; asked of vanished pools only. Cheap where there is no such pool.
  //   else  of the store; call again
  absl::Status Settle(const std::function<bool(const policy::Cidr&)>& held_here);

 private:
  absl::Status Finish(const std::string& name);
  absl::Status PutBack(const std::string& name);
  bool Replaced(const std::string& name, const policy::Cidr& cidr) const;

  api::Store* const store_;
  ClusterView* const cluster_;
  std::map<std::string, int64_t> revisions_;
  std::set<std::string> vanished_;  // gone from the store, still in the view
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_NETWORK_POOL_KEEPER_H_
