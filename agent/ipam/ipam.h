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
#include "agent/ipam/block.h"
#include "api/store/store.h"
#include "policy/address.h"

namespace ripstop::agent {

// A pool that this node may use for pods now: enabled, and its selectors match.
struct PoolConfig {
  std::string name;
  policy::Cidr cidr;
  int block_size = 0;  // prefix length of a block, of its family; 0: 26 or 122
};

struct IpamConfig {
  std::vector<PoolConfig> pools;  // in order of preference
  bool strict_affinity = false;   // never use another node's block
};

struct AllocationRequest {
  Owner owner;
  std::vector<policy::Address> requested;  // at most one per family
};

// Addresses for this node's pods.
//
//   own blocks (in memory) ─▶ a new block ─▶ another node's block
//                    each step one compare-and-swap in the store
//
// One IPv4 and one IPv6 address per request, where pools of that family exist. Idempotent
// by handle: asking again returns what the handle has. The store decides all races; a
// conflict is read again and tried again. One thread; blocks for as long as the store.
class Ipam {
 public:
  Ipam(api::Store* store, std::string node) : store_(store), node_(std::move(node)) {}

  // The next Allocate uses these pools. Addresses handed out from others stay.
  absl::Status SetConfig(IpamConfig config);

  // Reads what the store says is ours. Before the first Allocate, and whenever the
  // memory may be wrong.
  absl::Status Load();

  //   kResourceExhausted   the pools are full; the message names them
  //   kFailedPrecondition  no pool is configured
  //   kAlreadyExists       a requested address is in use; by whom
  //   kInvalidArgument     a requested address is in no pool, or two are of one family
  //   kUnavailable         store unreachable, or too many conflicts: try again
  // Nothing stays allocated on error.
  absl::StatusOr<std::vector<Allocation>> Allocate(const AllocationRequest& request);

  // Succeeds when it is released already, or the address is somebody else's by now.
  absl::Status Release(const Allocation& allocation);
  absl::Status ReleaseHandle(const std::string& handle);
  // All of them, and what else `also` names, in one transaction. Asks `also` at each attempt:
  // a conflict is read again and tried again. Blocks for as long as the store.
  using Also = std::function<absl::StatusOr<std::vector<api::Mutation>>()>;
  absl::Status Release(const std::vector<Allocation>& allocations, const Also& also);

  std::vector<Allocation> AllocationsOf(const std::string& handle) const;
  std::vector<Allocation> Allocations() const;  // of this node
  std::vector<policy::Cidr> OwnBlocks() const;  // affine to this node

 private:
  struct Cached {
    Block block;
    int64_t revision = 0;
  };
  using Change = std::function<absl::Status(Block&)>;

  absl::StatusOr<Allocation> AllocateFamily(bool v4, const AllocationRequest& request);
  absl::StatusOr<Allocation> AllocateRequested(const policy::Address& address,
                                               const AllocationRequest& request);
  absl::StatusOr<Allocation> FromOwnBlocks(const PoolConfig& pool, const Owner& owner);
  absl::StatusOr<Allocation> FromNewBlock(const PoolConfig& pool, const Owner& owner);
  absl::StatusOr<Allocation> FromForeignBlock(const PoolConfig& pool, const Owner& owner);
  absl::StatusOr<Allocation> AllocateIn(const policy::Cidr& cidr, const Owner& owner);
  // Reads, changes and writes one block until no other writer was in between.
  absl::Status ChangeBlock(const policy::Cidr& cidr, const Change& change);
  absl::StatusOr<Cached> Fetch(const policy::Cidr& cidr);
  absl::StatusOr<Cached> Recall(const policy::Cidr& cidr);
  absl::StatusOr<std::map<policy::Cidr, Cached>> ListBlocks();
  void Remember(const Cached& cached);
  const PoolConfig* PoolOf(const policy::Address& address) const;

  api::Store* const store_;
  const std::string node_;
  IpamConfig config_;
  std::map<policy::Cidr, Cached> blocks_;             // ours, and those we borrow from
  std::multimap<std::string, Allocation> by_handle_;  // of this node
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_IPAM_IPAM_H_
