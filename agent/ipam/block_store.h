// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_IPAM_BLOCK_STORE_H_
#define RIPSTOP_AGENT_IPAM_BLOCK_STORE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/ipam/block_index.h"
#include "api/ipam/block.h"
#include "api/ipam/block_summary.h"
#include "api/ipam/claims.h"
#include "api/store/store.h"

namespace ripstop::agent {

using ipam::Allocation;
using ipam::Block;
using ipam::Owner;

// This node's hand on the blocks in the store:
//
//   watch ──▶ index of all blocks            ─▶ which addresses are taken
//         └─▶ blocks in use here, in memory ◀─▶ Change, Claim, GiveBack: compare-and-swap
//
// The store decides all races; a conflict is read again and tried again. What is in memory
// may be old; then a write conflicts, nothing else. One thread.
//
// Errors everywhere: kUnavailable for a store that cannot be reached or too many conflicts.
class BlockStore {
 public:
  BlockStore(api::Store* store, std::string node) : store_(store), node_(std::move(node)) {}

  // Reads all blocks. Before anything else, where no watch has told them.
  absl::Status Load();
  // Once a watch has told all that it has news of, perhaps of a store that was put back from a
  // copy: reads what may be otherwise than memory has it all the same, which is little: blocks in
  // use here, and those that were last read or written past the watch.
  absl::Status Recheck();
  // What the watch says: cheap for blocks that are not in use here. What it read off.
  //   kDataLoss  a damaged block; nobody allocates from it
  absl::StatusOr<ipam::BlockSummary> Note(const api::StoredResource& stored);
  void Forget(const policy::Cidr& block);

  // Reads, changes and writes one block until no other writer was in between. `change`
  // says whether it changed anything, and leaves what it refuses as it was; its refusal is
  // returned once the store was asked too.
  //   kNotFound  the block is gone
  using Changer = std::function<absl::StatusOr<bool>(Block&)>;
  absl::Status Change(const policy::Cidr& block, const Changer& change);

  // Frees addresses in all their blocks and does what `also` names, in one transaction; those
  // that are free or another's already are passed over. Asks `also` at each attempt. A block
  // that nobody has any more goes with its last address.
  using Also = std::function<absl::StatusOr<std::vector<api::Mutation>>()>;
  absl::Status Free(const std::vector<Allocation>& allocations, const Also& also);

  // The one way in which a block comes to be: empty, affine to this node. Also succeeds
  // where it is this node's already.
  //   kAlreadyExists  a block that shares addresses with it is there; the index knows it now
  absl::Status Claim(const policy::Cidr& block, const std::vector<policy::Address>& kept);

  // The one way in which a block goes. False: it is in use, or another node's.
  absl::StatusOr<bool> GiveBack(const policy::Cidr& block);

  const BlockIndex& index() const { return index_; }
  // What is affine to this node or used here.
  struct Cached {
    Block block;
    int64_t revision = 0;            // -1: a write's answer was lost; read it again
    std::vector<Allocation> in_use;  // by this node
  };
  const std::map<policy::Cidr, Cached>& blocks() const { return blocks_; }
  std::vector<Allocation> AllocationsOf(const std::string& handle) const;
  std::vector<Allocation> Allocations() const;  // of this node

  // Whether allocations of this node went without this node's doing since this was cleared.
  bool lost() const { return lost_; }
  void set_lost(bool lost) { lost_ = lost; }

 private:
  static constexpr int kAttempts = 32;  // conflicts on one key before giving up
  static absl::Status TooManyConflicts(const policy::Cidr& block);
  absl::StatusOr<Cached> Fetch(const policy::Cidr& block);
  absl::StatusOr<Cached> Recall(const policy::Cidr& block);
  absl::Status Freed(std::vector<Cached> changed, const std::vector<int64_t>& revisions);
  void Remember(Cached cached, bool own_write);
  void Settle(Cached& cached, bool own_write);
  void Unlist(const Allocation& allocation);
  void Drop(const policy::Cidr& block);
  void Index(const Cached& cached);
  void EraseFromIndex(const policy::Cidr& block);
  absl::StatusOr<std::pair<ipam::Claims, int64_t>> ReadClaims(const policy::Cidr& block);
  absl::StatusOr<ipam::Claims> ClaimsFromBlocks(const policy::Cidr& block);
  absl::Status ClaimOnce(const policy::Cidr& block, const std::vector<policy::Address>& kept);
  absl::Status TakeOver(const ipam::Claims::Claim& claim, const policy::Cidr& wanted);
  api::Mutation WriteClaims(const policy::Cidr& block, const ipam::Claims& claims,
                            int64_t revision) const;

  api::Store* const store_;
  const std::string node_;
  BlockIndex index_;
  std::set<policy::Cidr> past_watch_;  // where the index is not what the watch told last
  std::map<policy::Cidr, Cached> blocks_;
  std::multimap<std::string, Allocation> by_handle_;  // of this node
  bool lost_ = false;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_IPAM_BLOCK_STORE_H_
