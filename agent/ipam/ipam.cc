// SPDX-License-Identifier: Apache-2.0
#include "agent/ipam/ipam.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "policy/status_macros.h"

namespace ripstop::agent {
namespace {

constexpr int kAttempts = 32;           // blocks that come and go around one address
constexpr int kProbesBeyondKnown = 64;  // lost races for new blocks before giving up

// Whether the next block, pool or source may be tried: this one is full, gone or damaged.
bool IsFull(const absl::Status& status) {
  return absl::IsResourceExhausted(status) || absl::IsNotFound(status) || absl::IsDataLoss(status);
}

// Whether nobody would get an address of it who does not ask for it.
bool AllKept(const policy::Cidr& block, const std::vector<policy::Address>& kept) {
  const auto inside = std::count_if(kept.begin(), kept.end(), [&](const policy::Address& address) {
    return block.Contains(address);
  });
  return inside >= (1 << (128 - block.bits));
}

}  // namespace

absl::Status Ipam::SetConfig(IpamConfig config) {
  absl::Status first;
  for (PoolConfig& pool : config.pools) {
    const absl::Status status = CheckBlockSize(pool);
    if (status.ok()) continue;
    pool.use = PoolUse::kNone;
    pool.why = "has a blockSize that cannot be";
    if (first.ok()) first = status;
  }
  config_ = std::move(config);
  return first;
}

// ---- which pools ----

Ipam::Pools Ipam::PoolsFor(bool v4, const std::string& pod_namespace) const {
  std::optional<policy::Labels> labels;
  Pools pools;
  for (const PoolConfig& pool : config_.pools) {
    if (pool.cidr.is_v4() != v4 || pool.use != PoolUse::kAny) continue;
    if (pool.namespaces.has_value()) {
      if (!labels.has_value()) {
        labels = pods_.namespace_labels ? pods_.namespace_labels(pod_namespace) : policy::Labels();
      }
      if (!pool.namespaces->Matches(*labels)) continue;
    }
    pools.push_back(&pool);
  }
  return pools;
}

absl::Status Ipam::NoPool(const Owner& owner) const {
  std::string text =
      absl::StrCat("no IP pool is for pods of namespace ", owner.pod_namespace, " on node ", node_);
  for (const bool v4 : {true, false}) {
    const std::string pools = Describe(config_.pools, v4);
    if (!pools.empty()) absl::StrAppend(&text, "; there is ", pools);
  }
  return absl::FailedPreconditionError(text + "; create one, or change one of these");
}

// The longest, should several of an unsound store hold it.
const PoolConfig* Ipam::PoolOf(const policy::Address& address) const {
  const PoolConfig* best = nullptr;
  for (const PoolConfig& pool : config_.pools) {
    if (!pool.cidr.Contains(address)) continue;
    if (best == nullptr || pool.cidr.bits > best->cidr.bits) best = &pool;
  }
  return best;
}

// ---- one address ----

absl::StatusOr<Allocation> Ipam::AllocateIn(const policy::Cidr& block, const Owner& owner) {
  Allocation made;
  RETURN_IF_ERROR(blocks_.Change(block, [&](Block& content) -> absl::StatusOr<bool> {
    // A write whose answer was lost may have given this handle its address already.
    RETURN_IF_ERROR(CheckNothingLost());
    if (const auto held = content.Held(owner.handle, node_); held.has_value()) {
      made = *held;
      return false;
    }
    ASSIGN_OR_RETURN(made, content.Allocate(owner, node_));
    return true;
  }));
  return made;
}

absl::StatusOr<Allocation> Ipam::FirstOf(const std::vector<policy::Cidr>& blocks,
                                         const Owner& owner) {
  for (const policy::Cidr& block : blocks) {
    absl::StatusOr<Allocation> made = AllocateIn(block, owner);
    if (made.ok() || !IsFull(made.status())) return made;
  }
  return absl::ResourceExhaustedError("full");
}

absl::StatusOr<Allocation> Ipam::FromOwnBlocks(const PoolConfig& pool, const Owner& owner) {
  std::vector<policy::Cidr> own;
  for (auto it = blocks_.blocks().lower_bound(pool.cidr);
       it != blocks_.blocks().end() && pool.cidr.Contains(it->first); ++it) {
    const Block& block = it->second.block;
    if (block.affinity() == node_ && block.free_count() > 0) own.push_back(it->first);
  }
  return FirstOf(own, owner);
}

// Takes a block that nobody owns any more.
absl::Status Ipam::Adopt(const policy::Cidr& block) {
  return blocks_.Change(block, [this](Block& content) -> absl::StatusOr<bool> {
    if (content.affinity() == node_) return false;
    if (!content.affinity().empty()) return absl::ResourceExhaustedError("taken");
    content.set_affinity(node_);
    return true;
  });
}

absl::StatusOr<Allocation> Ipam::FromNewBlock(const PoolConfig& pool, const Owner& owner) {
  const std::set<policy::Cidr> adoptable = blocks_.index().adoptable();
  for (const policy::Cidr& block : adoptable) {
    if (!pool.cidr.Contains(block)) continue;
    const absl::Status adopted = Adopt(block);
    if (IsFull(adopted)) continue;
    RETURN_IF_ERROR(adopted);
    absl::StatusOr<Allocation> made = AllocateIn(block, owner);
    if (made.ok() || !IsFull(made.status())) return made;
  }
  const uint64_t count = BlockCount(pool);
  const uint64_t start = StartFor(node_, count);
  const uint64_t probes = std::min<uint64_t>(count, blocks_.index().size() + kProbesBeyondKnown);
  const std::vector<policy::Address> kept = KeptAddresses(pool);
  for (uint64_t i = 0; i < probes; ++i) {
    const policy::Cidr block = BlockAt(pool, (start + i) & (count - 1));
    // Blocks of another size may lie across it, left by a changed pool.
    if (AllKept(block, kept) || blocks_.index().Overlapping(block).has_value()) continue;
    const absl::Status claimed = blocks_.Claim(block, kept);
    if (absl::IsAlreadyExists(claimed)) continue;  // another node was faster
    RETURN_IF_ERROR(claimed);
    absl::StatusOr<Allocation> made = AllocateIn(block, owner);
    if (made.ok() || !IsFull(made.status())) return made;
  }
  return absl::ResourceExhaustedError(absl::StrCat("pool ", pool.name, " has no block left"));
}

absl::StatusOr<Allocation> Ipam::FromForeignBlock(const PoolConfig& pool, const Owner& owner) {
  return FirstOf(
      blocks_.index().In(pool.cidr, [](const BlockIndex::Entry& entry) { return entry.has_free; }),
      owner);
}

absl::StatusOr<Allocation> Ipam::AllocateFamily(const Pools& pools, const Owner& owner) {
  using Source = absl::StatusOr<Allocation> (Ipam::*)(const PoolConfig&, const Owner&);
  std::vector<Source> sources = {&Ipam::FromOwnBlocks, &Ipam::FromNewBlock};
  if (!config_.strict_affinity) sources.push_back(&Ipam::FromForeignBlock);
  for (const Source source : sources) {
    for (const PoolConfig* pool : pools) {
      absl::StatusOr<Allocation> made = (this->*source)(*pool, owner);
      if (made.ok() || !absl::IsResourceExhausted(made.status())) return made;
    }
  }
  std::vector<PoolConfig> tried;
  for (const PoolConfig* pool : pools) tried.push_back(*pool);
  const bool v4 = pools[0]->cidr.is_v4();
  return absl::ResourceExhaustedError(absl::StrCat(
      "no free IPv", v4 ? 4 : 6, " address for node ", node_, " in pools ", Describe(tried, v4),
      config_.strict_affinity ? " (strictAffinity forbids other nodes' blocks)" : "",
      "; add a pool, or release what is left of nodes and pods that are gone: ripstopctl ipam "
      "check"));
}

// ---- a certain address ----

absl::StatusOr<Allocation> Ipam::TakeThis(const policy::Cidr& block, const policy::Address& address,
                                          const Owner& owner) {
  Allocation made;
  RETURN_IF_ERROR(blocks_.Change(block, [&](Block& content) -> absl::StatusOr<bool> {
    RETURN_IF_ERROR(CheckNothingLost());
    if (const auto held = content.Held(owner.handle, node_, address); held.has_value()) {
      made = *held;
      return false;
    }
    if (config_.strict_affinity && content.affinity() != node_) {
      return absl::InvalidArgumentError(
          absl::StrCat("requested address ", address.ToString(), " is in the block of node ",
                       content.affinity(), ", and strictAffinity forbids to borrow it"));
    }
    ASSIGN_OR_RETURN(made, content.AllocateThis(address, owner, node_));
    return true;
  }));
  return made;
}

// Claims `block`, or as much of it around `address` as no other block holds.
absl::Status Ipam::ClaimAround(const policy::Address& address, policy::Cidr block,
                               const PoolConfig* pool) {
  while (block.bits < 128 && blocks_.index().Overlapping(block).has_value()) {
    block = policy::Cidr::Of(address, block.bits + 1);
  }
  return blocks_.Claim(block,
                       pool == nullptr ? std::vector<policy::Address>{} : KeptAddresses(*pool));
}

absl::StatusOr<Allocation> Ipam::AllocateRequested(const policy::Address& address,
                                                   const Owner& owner) {
  const PoolConfig* pool = PoolOf(address);
  if (pool == nullptr || pool->use == PoolUse::kNone) {
    return absl::InvalidArgumentError(absl::StrCat(
        "requested address ", address.ToString(),
        pool == nullptr
            ? absl::StrCat(" is in none of the pools ", Describe(config_.pools, address.is_v4()))
            : absl::StrCat(" is in IPPool ", pool->name, ", which ", pool->why)));
  }
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    // The block that is there counts, whatever size the pool would give a new one.
    const std::optional<policy::Cidr> block = blocks_.index().Holding(address);
    if (!block.has_value()) {
      const absl::Status claimed =
          ClaimAround(address, policy::Cidr::Of(address, BlockBits(*pool)), pool);
      if (!claimed.ok() && !absl::IsAlreadyExists(claimed)) return claimed;
      continue;
    }
    absl::StatusOr<Allocation> made = TakeThis(*block, address, owner);
    if (!absl::IsNotFound(made.status())) return made;  // else given back a moment ago
  }
  return absl::UnavailableError(absl::StrCat("requested address ", address.ToString(),
                                             ": its block comes and goes; try again"));
}

// What is free in a store that lost something of ours need not be free.
absl::Status Ipam::CheckNothingLost() const {
  if (!blocks_.lost() || !pods_.hold_all) return absl::OkStatus();
  return absl::UnavailableError("the store has lost addresses of this node's pods; try again");
}

absl::Status Ipam::HoldLost() {
  if (!blocks_.lost() || !pods_.hold_all) return absl::OkStatus();
  blocks_.set_lost(false);
  absl::Status held = pods_.hold_all();
  if (!held.ok()) blocks_.set_lost(true);
  return held;
}

absl::StatusOr<std::vector<Allocation>> Ipam::Allocate(const AllocationRequest& request) {
  RETURN_IF_ERROR(HoldLost());
  absl::StatusOr<std::vector<Allocation>> made = AllocateOnce(request);
  if (!absl::IsUnavailable(made.status()) || CheckNothingLost().ok()) return made;
  RETURN_IF_ERROR(HoldLost());
  return AllocateOnce(request);
}

absl::StatusOr<std::vector<Allocation>> Ipam::AllocateOnce(const AllocationRequest& request) {
  const std::string& ns = request.owner.pod_namespace;
  const std::map<bool, Pools> pools = {{true, PoolsFor(true, ns)}, {false, PoolsFor(false, ns)}};
  if (request.requested.empty() && pools.at(true).empty() && pools.at(false).empty()) {
    return NoPool(request.owner);
  }
  for (size_t i = 1; i < request.requested.size(); ++i) {
    if (i > 1 || request.requested[0].is_v4() == request.requested[1].is_v4()) {
      return absl::InvalidArgumentError("two addresses of one family requested; a pod has one");
    }
  }
  const std::vector<Allocation> present = AllocationsOf(request.owner.handle);
  std::vector<Allocation> result;
  for (const bool v4 : {true, false}) {
    std::optional<policy::Address> requested;
    for (const policy::Address& address : request.requested) {
      if (address.is_v4() == v4) requested = address;
    }
    if (pools.at(v4).empty() && !requested.has_value()) continue;

    const auto same = std::find_if(present.begin(), present.end(), [&](const Allocation& a) {
      return a.address.is_v4() == v4 && (!requested.has_value() || a.address == *requested);
    });
    absl::StatusOr<Allocation> made = same != present.end() ? absl::StatusOr<Allocation>(*same)
                                      : requested.has_value()
                                          ? AllocateRequested(*requested, request.owner)
                                          : AllocateFamily(pools.at(v4), request.owner);
    if (!made.ok()) {
      for (const Allocation& allocation : result) {
        const bool ours_before =
            std::find(present.begin(), present.end(), allocation) != present.end();
        if (!ours_before) Release(allocation).IgnoreError();
      }
      return made.status();
    }
    result.push_back(*std::move(made));
  }
  return result;
}

// ---- and back ----

absl::Status Ipam::Release(const std::vector<Allocation>& allocations, const Also& also) {
  return blocks_.Free(allocations, also);
}

absl::Status Ipam::Release(const Allocation& allocation) {
  return Release({allocation}, [] { return std::vector<api::Mutation>(); });
}

absl::Status Ipam::Hold(const Owner& owner, const Allocation& allocation) {
  const std::vector<Allocation> known = AllocationsOf(allocation.handle);
  if (std::find(known.begin(), known.end(), allocation) != known.end()) return absl::OkStatus();
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const auto block = blocks_.index().Holding(allocation.address);
    if (!block.has_value()) {
      const absl::Status claimed =
          ClaimAround(allocation.address, allocation.block, PoolOf(allocation.address));
      if (!claimed.ok() && !absl::IsAlreadyExists(claimed)) return claimed;
      continue;
    }
    const absl::Status status = blocks_.Change(*block, [&](Block& content) -> absl::StatusOr<bool> {
      const auto held = content.Held(allocation.handle, node_, allocation.address);
      if (held == allocation) return false;
      RETURN_IF_ERROR(content.Restore(allocation, owner, node_));
      return true;
    });
    if (!absl::IsNotFound(status)) return status;
  }
  return absl::UnavailableError(
      absl::StrCat("address ", allocation.address.ToString(), ": its block comes and goes"));
}

}  // namespace ripstop::agent
