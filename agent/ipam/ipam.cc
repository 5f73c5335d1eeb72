// SPDX-License-Identifier: Apache-2.0
#include "agent/ipam/ipam.h"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "policy/status_macros.h"

namespace ripstop::agent {
namespace {

constexpr int kAttempts = 32;           // conflicts on one block before giving up
constexpr int kProbesBeyondKnown = 64;  // lost races for new blocks before giving up
constexpr int kAddressBits = 128;
constexpr int kDefaultBlockV4 = 26;
constexpr int kDefaultBlockV6 = 122;
constexpr int kLargestBlockBits = 16;

// Of the 128-bit form; a pool smaller than a block is one block.
int BlockBits(const PoolConfig& pool) {
  const bool v4 = pool.cidr.is_v4();
  const int size = pool.block_size != 0 ? pool.block_size : v4 ? kDefaultBlockV4 : kDefaultBlockV6;
  return std::max<int>(size + (v4 ? 96 : 0), pool.cidr.bits);
}

policy::Cidr BlockAt(const PoolConfig& pool, uint64_t index) {
  const int bits = BlockBits(pool);
  policy::Address address = pool.cidr.address;
  // Adds index << (128 - bits), bit by bit; the pool's own bits lie above.
  for (int bit = 0; bit < 64 && bit < bits - pool.cidr.bits; ++bit) {
    if ((index >> bit & 1) == 0) continue;
    const int position = bits - 1 - bit;
    address.bytes[position / 8] |= static_cast<uint8_t>(0x80 >> (position % 8));
  }
  return policy::Cidr::Of(address, bits);
}

uint64_t BlockCount(const PoolConfig& pool) {
  return uint64_t{1} << std::min(BlockBits(pool) - pool.cidr.bits, 62);
}

// Where this node starts to look, so that nodes rarely race for the same block.
uint64_t StartFor(const std::string& node, uint64_t count) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const unsigned char c : node) hash = (hash ^ c) * 0x100000001b3;
  return (hash ^ hash >> 29) & (count - 1);
}

// The first address of an IPv6 subnet is the routers' (RFC 4291 section 2.6.1); software
// treats the first and last of an IPv4 network alike. Pools too small for that keep all.
std::vector<policy::Address> Reserved(const PoolConfig& pool) {
  if (kAddressBits - pool.cidr.bits < 3) return {};
  std::vector<policy::Address> reserved = {pool.cidr.address};
  if (pool.cidr.is_v4()) {
    policy::Address last = pool.cidr.address;
    for (int bit = pool.cidr.bits; bit < kAddressBits; ++bit)
      last.bytes[bit / 8] |= 0x80 >> bit % 8;
    reserved.push_back(last);
  }
  return reserved;
}

std::string Describe(const std::vector<PoolConfig>& pools, bool v4) {
  std::vector<std::string> texts;
  for (const PoolConfig& pool : pools) {
    if (pool.cidr.is_v4() == v4)
      texts.push_back(absl::StrCat(pool.name, " ", pool.cidr.ToString()));
  }
  return absl::StrJoin(texts, ", ");
}

}  // namespace

absl::Status Ipam::SetConfig(IpamConfig config) {
  for (const PoolConfig& pool : config.pools) {
    const int limit = pool.cidr.is_v4() ? 32 : 128;
    if (pool.block_size < 0 || pool.block_size > limit ||
        kAddressBits - BlockBits(pool) > kLargestBlockBits) {
      return absl::InvalidArgumentError(absl::StrCat("pool ", pool.name, ": block size /",
                                                     pool.block_size, ": want /",
                                                     limit - kLargestBlockBits, " to /", limit));
    }
  }
  config_ = std::move(config);
  return absl::OkStatus();
}

absl::StatusOr<std::map<policy::Cidr, Ipam::Cached>> Ipam::ListBlocks() {
  ASSIGN_OR_RETURN(const api::Listing listing, store_->List({.kind = kIpamBlockKind}));
  std::map<policy::Cidr, Cached> blocks;
  for (const api::StoredResource& item : listing.items) {
    absl::StatusOr<Block> block = Block::Decode(item);
    if (!block.ok()) {  // set aside, alone: its addresses are then handed out by nobody
      spdlog::error("IPAM: {}", block.status().ToString());
      continue;
    }
    const policy::Cidr cidr = block->cidr();
    blocks.emplace(cidr, Cached{*std::move(block), item.revision});
  }
  return blocks;
}

absl::Status Ipam::Load() {
  ASSIGN_OR_RETURN(const auto all, ListBlocks());
  blocks_.clear();
  by_handle_.clear();
  for (const auto& [cidr, cached] : all) Remember(cached);
  return absl::OkStatus();
}

// Takes a block, as the store has it, into memory, or out of it.
void Ipam::Remember(const Cached& cached) {
  const policy::Cidr cidr = cached.block.cidr();
  std::erase_if(by_handle_, [&cidr](const auto& item) { return item.second.block == cidr; });
  const std::vector<Allocation> ours = cached.block.AllocationsOf(node_);
  if (ours.empty() && cached.block.affinity() != node_) {
    blocks_.erase(cidr);
    return;
  }
  blocks_.insert_or_assign(cidr, cached);
  for (const Allocation& allocation : ours) by_handle_.emplace(allocation.handle, allocation);
}

absl::StatusOr<Ipam::Cached> Ipam::Fetch(const policy::Cidr& cidr) {
  ASSIGN_OR_RETURN(const api::StoredResource stored, store_->Get(Block::KeyFor(cidr)));
  ASSIGN_OR_RETURN(Block block, Block::Decode(stored));
  return Cached{std::move(block), stored.revision};
}

absl::Status Ipam::ChangeBlock(const policy::Cidr& cidr, const Change& change) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    Cached cached;
    if (const auto it = blocks_.find(cidr);
        attempt == 0 && it != blocks_.end() && it->second.revision > 0) {
      cached = it->second;
    } else {
      absl::StatusOr<Cached> fetched = Fetch(cidr);
      if (absl::IsNotFound(fetched.status())) {
        blocks_.erase(cidr);
        std::erase_if(by_handle_, [&](const auto& item) { return item.second.block == cidr; });
      }
      if (!fetched.ok()) return fetched.status();
      cached = *std::move(fetched);
      Remember(cached);
    }
    const std::string before = cached.block.Encode();
    const absl::Status refused = change(cached.block);
    if (!refused.ok()) {
      // Memory said no; the store may know better (others borrow and give back).
      if (attempt == 0 && blocks_.contains(cidr)) continue;
      return refused;
    }
    if (cached.block.Encode() == before) return absl::OkStatus();
    const absl::StatusOr<int64_t> revision =
        store_->Update(Block::KeyFor(cidr), cached.block.Encode(), cached.revision);
    if (revision.ok()) {
      cached.revision = *revision;
      Remember(cached);
      return absl::OkStatus();
    }
    // Whether an unreachable store took the write is unknown: believe memory no longer.
    if (!absl::IsAborted(revision.status()) && !absl::IsNotFound(revision.status())) {
      if (const auto it = blocks_.find(cidr); it != blocks_.end()) it->second.revision = -1;
      return revision.status();
    }
  }
  return absl::UnavailableError(absl::StrCat("block ", cidr.ToString(), ": ", kAttempts,
                                             " conflicts with other nodes; try again"));
}

absl::StatusOr<Allocation> Ipam::AllocateIn(const policy::Cidr& cidr, const Owner& owner) {
  Allocation made;
  RETURN_IF_ERROR(ChangeBlock(cidr, [&](Block& block) -> absl::Status {
    // A write whose answer was lost may have given this handle its address already.
    for (const Allocation& present : block.AllocationsOf(node_)) {
      if (present.handle != owner.handle) continue;
      made = present;
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(made, block.Allocate(owner, node_));
    return absl::OkStatus();
  }));
  return made;
}

absl::StatusOr<Allocation> Ipam::FromOwnBlocks(const PoolConfig& pool, const Owner& owner) {
  std::vector<policy::Cidr> candidates;
  for (const auto& [cidr, cached] : blocks_) {
    if (pool.cidr.Contains(cidr) && cached.block.affinity() == node_ &&
        cached.block.free_count() > 0) {
      candidates.push_back(cidr);
    }
  }
  for (const policy::Cidr& cidr : candidates) {
    absl::StatusOr<Allocation> made = AllocateIn(cidr, owner);
    if (made.ok()) return made;
    if (!absl::IsResourceExhausted(made.status()) && !absl::IsNotFound(made.status())) return made;
  }
  return absl::ResourceExhaustedError("own blocks are full");
}

absl::StatusOr<Allocation> Ipam::FromNewBlock(const PoolConfig& pool, const Owner& owner) {
  ASSIGN_OR_RETURN(auto known, ListBlocks());
  // One that we own without knowing it, or that nobody owns any more and has room.
  for (const auto& [cidr, cached] : known) {
    if (!pool.cidr.Contains(cidr) || cached.block.free_count() == 0) continue;
    if (cached.block.affinity() == node_) {
      Remember(cached);
      return AllocateIn(cidr, owner);
    }
    if (!cached.block.affinity().empty()) continue;
    const absl::Status taken = ChangeBlock(cidr, [this](Block& block) {
      if (!block.affinity().empty() && block.affinity() != node_) {
        return absl::AlreadyExistsError("taken");
      }
      block.set_affinity(node_);
      return absl::OkStatus();
    });
    if (absl::IsAlreadyExists(taken) || absl::IsNotFound(taken)) continue;
    RETURN_IF_ERROR(taken);
    return AllocateIn(cidr, owner);
  }

  const uint64_t count = BlockCount(pool);
  const uint64_t start = StartFor(node_, count);
  const uint64_t probes = std::min<uint64_t>(count, known.size() + kProbesBeyondKnown);
  for (uint64_t i = 0; i < probes; ++i) {
    const policy::Cidr cidr = BlockAt(pool, (start + i) & (count - 1));
    // Blocks of another size may lie across it, left by a changed pool.
    const bool taken = std::any_of(known.begin(), known.end(), [&cidr](const auto& item) {
      return item.first.Contains(cidr) || cidr.Contains(item.first);
    });
    if (taken) continue;
    Block block = Block::Make(cidr, node_, Reserved(pool));
    const absl::StatusOr<int64_t> revision = store_->Create(Block::KeyFor(cidr), block.Encode());
    if (absl::IsAlreadyExists(revision.status())) continue;  // another node was faster
    if (!revision.ok()) return revision.status();
    Remember({std::move(block), *revision});
    return AllocateIn(cidr, owner);
  }
  return absl::ResourceExhaustedError(absl::StrCat("pool ", pool.name, " has no block left"));
}

absl::StatusOr<Allocation> Ipam::FromForeignBlock(const PoolConfig& pool, const Owner& owner) {
  ASSIGN_OR_RETURN(auto known, ListBlocks());
  for (const auto& [cidr, cached] : known) {
    if (!pool.cidr.Contains(cidr) || cached.block.free_count() == 0) continue;
    absl::StatusOr<Allocation> made = AllocateIn(cidr, owner);
    if (made.ok()) return made;
    if (!absl::IsResourceExhausted(made.status()) && !absl::IsNotFound(made.status())) return made;
  }
  return absl::ResourceExhaustedError(absl::StrCat("pool ", pool.name, " is full"));
}

absl::StatusOr<Allocation> Ipam::AllocateFamily(bool v4, const AllocationRequest& request) {
  using Source = absl::StatusOr<Allocation> (Ipam::*)(const PoolConfig&, const Owner&);
  std::vector<Source> sources = {&Ipam::FromOwnBlocks, &Ipam::FromNewBlock};
  if (!config_.strict_affinity) sources.push_back(&Ipam::FromForeignBlock);
  for (const Source source : sources) {
    for (const PoolConfig& pool : config_.pools) {
      if (pool.cidr.is_v4() != v4) continue;
      absl::StatusOr<Allocation> made = (this->*source)(pool, request.owner);
      if (made.ok() || !absl::IsResourceExhausted(made.status())) return made;
    }
  }
  return absl::ResourceExhaustedError(
      absl::StrCat("no free IPv", v4 ? 4 : 6, " address for node ", node_, " in pools ",
                   Describe(config_.pools, v4),
                   config_.strict_affinity ? " (strictAffinity forbids other nodes' blocks)" : "",
                   "; add a pool, or release addresses of pods that are gone"));
}

const PoolConfig* Ipam::PoolOf(const policy::Address& address) const {
  for (const PoolConfig& pool : config_.pools) {
    if (pool.cidr.Contains(address)) return &pool;
  }
  return nullptr;
}

absl::StatusOr<Allocation> Ipam::AllocateRequested(const policy::Address& address,
                                                   const AllocationRequest& request) {
  const PoolConfig* pool = PoolOf(address);
  if (pool == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("requested address ", address.ToString(),
                                                   " is in none of the pools ",
                                                   Describe(config_.pools, address.is_v4())));
  }
  const policy::Cidr cidr = policy::Cidr::Of(address, BlockBits(*pool));
  Allocation made;
  const Change take = [&](Block& block) -> absl::Status {
    for (const Allocation& present : block.AllocationsOf(node_)) {
      if (present.handle != request.owner.handle || present.address != address) continue;
      made = present;
      return absl::OkStatus();
    }
    if (config_.strict_affinity && block.affinity() != node_) {
      return absl::InvalidArgumentError(absl::StrCat("requested address ", address.ToString(),
                                                     " is in the block of node ", block.affinity(),
                                                     ", and strictAffinity forbids to borrow it"));
    }
    ASSIGN_OR_RETURN(made, block.AllocateThis(address, request.owner, node_));
    return absl::OkStatus();
  };
  absl::Status status = ChangeBlock(cidr, take);
  if (absl::IsNotFound(status)) {
    const Block block = Block::Make(cidr, node_, Reserved(*pool));
    const absl::Status created = store_->Create(Block::KeyFor(cidr), block.Encode()).status();
    if (!created.ok() && !absl::IsAlreadyExists(created)) return created;
    status = ChangeBlock(cidr, take);
  }
  RETURN_IF_ERROR(status);
  return made;
}

absl::StatusOr<std::vector<Allocation>> Ipam::Allocate(const AllocationRequest& request) {
  if (config_.pools.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("node ", node_, " may use no IP pool; create one or enable one"));
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
      if (address.is_v4() != v4) continue;
      requested = address;
    }
    const bool pools = std::any_of(config_.pools.begin(), config_.pools.end(),
                                   [v4](const PoolConfig& p) { return p.cidr.is_v4() == v4; });
    if (!pools && !requested.has_value()) continue;

    const auto same = std::find_if(present.begin(), present.end(), [&](const Allocation& a) {
      return a.address.is_v4() == v4 && (!requested.has_value() || a.address == *requested);
    });
    absl::StatusOr<Allocation> made = same != present.end() ? absl::StatusOr<Allocation>(*same)
                                      : requested.has_value()
                                          ? AllocateRequested(*requested, request)
                                          : AllocateFamily(v4, request);
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

absl::Status Ipam::Release(const Allocation& allocation) {
  const absl::Status status = ChangeBlock(allocation.block, [&](Block& block) {
    block.Release(allocation);
    return absl::OkStatus();
  });
  return absl::IsNotFound(status) ? absl::OkStatus() : status;
}

absl::Status Ipam::ReleaseHandle(const std::string& handle) {
  absl::Status first;
  for (const Allocation& allocation : AllocationsOf(handle)) {
    const absl::Status status = Release(allocation);
    if (first.ok()) first = status;
  }
  return first;
}

absl::Status Ipam::Release(const std::vector<Allocation>& allocations, const Also& also) {
  std::map<policy::Cidr, std::vector<Allocation>> by_block;
  for (const Allocation& allocation : allocations) {
    by_block[allocation.block].push_back(allocation);
  }
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    std::vector<Cached> changed;
    std::vector<api::Mutation> mutations;
    for (const auto& [cidr, gone] : by_block) {
      absl::StatusOr<Cached> block = attempt == 0 ? Recall(cidr) : Fetch(cidr);
      if (absl::IsNotFound(block.status())) continue;
      if (!block.ok()) return block.status();
      bool any = false;
      for (const Allocation& allocation : gone) any |= block->block.Release(allocation);
      if (!any) {
        Remember(*block);
        continue;
      }
      mutations.push_back({api::Mutation::Type::kUpdate, Block::KeyFor(cidr), block->block.Encode(),
                           block->revision});
      changed.push_back(*std::move(block));
    }
    ASSIGN_OR_RETURN(const std::vector<api::Mutation> more, also());
    mutations.insert(mutations.end(), more.begin(), more.end());
    if (mutations.empty()) return absl::OkStatus();
    const auto revisions = store_->Txn(mutations);
    if (revisions.ok()) {
      for (size_t i = 0; i < changed.size(); ++i) {
        changed[i].revision = (*revisions)[i];
        Remember(changed[i]);
      }
      return absl::OkStatus();
    }
    if (absl::IsAborted(revisions.status()) || absl::IsNotFound(revisions.status())) continue;
    // Whether an unreachable store took the write is unknown: believe memory no longer.
    for (const Cached& cached : changed) {
      const auto it = blocks_.find(cached.block.cidr());
      if (it != blocks_.end()) it->second.revision = -1;
    }
    return revisions.status();
  }
  return absl::UnavailableError(
      absl::StrCat("releasing addresses: ", kAttempts, " conflicts with other nodes; try again"));
}

// As memory has it, where it may be believed; else as the store has it.
absl::StatusOr<Ipam::Cached> Ipam::Recall(const policy::Cidr& cidr) {
  const auto it = blocks_.find(cidr);
  if (it != blocks_.end() && it->second.revision > 0) return it->second;
  return Fetch(cidr);
}

std::vector<Allocation> Ipam::AllocationsOf(const std::string& handle) const {
  std::vector<Allocation> found;
  const auto [begin, end] = by_handle_.equal_range(handle);
  for (auto it = begin; it != end; ++it) found.push_back(it->second);
  return found;
}

std::vector<Allocation> Ipam::Allocations() const {
  std::vector<Allocation> all;
  for (const auto& [handle, allocation] : by_handle_) all.push_back(allocation);
  return all;
}

std::vector<policy::Cidr> Ipam::OwnBlocks() const {
  std::vector<policy::Cidr> own;
  for (const auto& [cidr, cached] : blocks_) {
    if (cached.block.affinity() == node_) own.push_back(cidr);
  }
  return own;
}

}  // namespace ripstop::agent
