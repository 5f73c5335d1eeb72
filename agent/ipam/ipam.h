// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_IPAM_IPAM_H_
#define RIPSTOP_AGENT_IPAM_IPAM_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/ipam/block_store.h"
#include "agent/ipam/pool.h"
#include "api/store/store.h"
#include "policy/address.h"

namespace ripstop::agent {

struct AllocationRequest {
  Owner owner;
  std::vector<policy::Address> requested;  // at most one per family
};

// Addresses for this node's pods.
//
//   own blocks (in memory) ─▶ a new block ─▶ another node's block
//                    each step one compare-and-swap in the store
//
// One IPv4 and one IPv6 address per request, where the pod may use pools of that family.
// Idempotent by handle: asking again returns what the handle has. One thread; blocks for
// as long as the store.
class Ipam {
 public:
  // What an owner of pods tells. Each may be left out.
  struct Pods {
    std::function<policy::Labels(const std::string& pod_namespace)> namespace_labels;
    // Calls Hold for all that pods have. Not OK: that could not be asked, and nothing is
    // handed out until it can.
    std::function<absl::Status()> hold_all;
  };

  Ipam(api::Store* store, std::string node, Pods pods = {})
      : node_(std::move(node)), pods_(std::move(pods)), blocks_(store, node_) {}

  // The next Allocate uses these pools. Addresses handed out from others stay.
  //   kInvalidArgument  of the first pool that cannot be used; the others are
  absl::Status SetConfig(IpamConfig config);

  // Reads what the store says of all blocks. Before the first Allocate, and whenever the
  // memory may be wrong. From then on Note and Forget tell what the watch says.
  absl::Status Load() { return blocks_.Load(); }
  absl::Status Recheck() { return blocks_.Recheck(); }
  absl::StatusOr<ipam::BlockSummary> Note(const api::StoredResource& stored) {
    return blocks_.Note(stored);
  }
  void Forget(const policy::Cidr& block) { blocks_.Forget(block); }

  //   kResourceExhausted   the pools are full; the message names them
  //   kFailedPrecondition  no pool is for this pod; the message says why
  //   kAlreadyExists       a requested address is in use; by whom
  //   kInvalidArgument     a requested address is in no pool, or two are of one family
  //   kUnavailable         store unreachable, or too many conflicts: try again
  // Nothing stays allocated on error. Where the store turns out to have lost something of
  // this node's, Pods::hold_all comes first.
  absl::StatusOr<std::vector<Allocation>> Allocate(const AllocationRequest& request);

  // Succeeds when it is released already, or the address is somebody else's by now.
  absl::Status Release(const Allocation& allocation);
  // All of them, and what else `also` names, in one transaction. Asks `also` at each attempt:
  // a conflict is read again and tried again. Blocks for as long as the store.
  using Also = BlockStore::Also;
  absl::Status Release(const std::vector<Allocation>& allocations, const Also& also);

  // Sees to it that the store knows of an allocation that is in force here, so that nobody
  // gets its address: a store put back from a copy may not. Cheap where it does.
  //   kAlreadyExists  somebody else has the address by now; the message says who
  absl::Status Hold(const Owner& owner, const Allocation& allocation);
  // Asks Pods::hold_all, where something of ours went from the store. For a caller who has
  // heard news of it; Allocate does it too.
  absl::Status HoldLost();
  bool lost() const { return blocks_.lost(); }

  // Gives back blocks that have been empty for a while (IpamConfig::block_idle), or whose
  // pool this node may no longer use. Call now and then. A node keeps its last block with
  // room in each pool, so that the next pod does not claim it again. Few at a time.
  absl::Status GiveBackIdle(absl::Time now);

  std::vector<Allocation> AllocationsOf(const std::string& handle) const {
    return blocks_.AllocationsOf(handle);
  }
  std::vector<Allocation> Allocations() const { return blocks_.Allocations(); }  // of this node

 private:
  using Pools = std::vector<const PoolConfig*>;
  struct Idle {
    uint64_t sequence = 0;  // a block that was used in between starts anew
    absl::Time since;
  };

  absl::StatusOr<std::vector<Allocation>> AllocateOnce(const AllocationRequest& request);
  absl::Status CheckNothingLost() const;
  Pools PoolsFor(bool v4, const std::string& pod_namespace) const;
  absl::Status NoPool(const Owner& owner) const;
  absl::StatusOr<Allocation> AllocateFamily(const Pools& pools, const Owner& owner);
  absl::StatusOr<Allocation> AllocateRequested(const policy::Address& address, const Owner& owner);
  absl::StatusOr<Allocation> FromOwnBlocks(const PoolConfig& pool, const Owner& owner);
  absl::StatusOr<Allocation> FromNewBlock(const PoolConfig& pool, const Owner& owner);
  absl::StatusOr<Allocation> FromForeignBlock(const PoolConfig& pool, const Owner& owner);
  absl::StatusOr<Allocation> FirstOf(const std::vector<policy::Cidr>& blocks, const Owner& owner);
  absl::StatusOr<Allocation> AllocateIn(const policy::Cidr& block, const Owner& owner);
  absl::StatusOr<Allocation> TakeThis(const policy::Cidr& block, const policy::Address& address,
                                      const Owner& owner);
  absl::Status Adopt(const policy::Cidr& block);
  absl::Status ClaimAround(const policy::Address& address, policy::Cidr block,
                           const PoolConfig* pool);
  const PoolConfig* PoolOf(const policy::Address& address) const;
  bool Spare(const PoolConfig& pool, const policy::Cidr& block) const;
  bool MayGo(const policy::Cidr& block, const Block& content, absl::Time now);

  const std::string node_;
  const Pods pods_;
  BlockStore blocks_;
  IpamConfig config_;
  std::map<policy::Cidr, Idle> idle_;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_IPAM_IPAM_H_
