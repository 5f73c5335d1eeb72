// SPDX-License-Identifier: Apache-2.0
#include "agent/ipam/block_store.h"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "api/ipam/block_summary.h"
#include "policy/status_macros.h"

namespace ripstop::agent {
namespace {

using api::Mutation;
using ipam::Claims;

constexpr int kAttempts = 32;  // conflicts on one key before giving up

absl::Status TooManyConflicts(const policy::Cidr& block) {
  return absl::UnavailableError(absl::StrCat("block ", block.ToString(), ": ", kAttempts,
                                             " conflicts with other nodes; try again"));
}

}  // namespace

// ---- what is known ----

absl::Status BlockStore::Load() {
  ASSIGN_OR_RETURN(const api::Listing listing, store_->List({.kind = ipam::kBlockKind}));
  index_.Clear();
  blocks_.clear();
  by_handle_.clear();
  for (const api::StoredResource& item : listing.items) {
    const absl::Status read = Note(item).status();
    if (!read.ok()) spdlog::error("IPAM: {}", std::string(read.message()));
  }
  lost_ = true;  // of what an earlier run knew, nobody has compared anything yet
  return absl::OkStatus();
}

absl::StatusOr<ipam::BlockSummary> BlockStore::Note(const api::StoredResource& stored) {
  absl::StatusOr<ipam::BlockSummary> summary = ipam::Summarize(stored);
  if (!summary.ok()) {
    // Set aside, alone: its addresses are then handed out by nobody.
    if (const auto cidr = Block::CidrOf(stored.key); cidr.has_value()) {
      index_.Put(*cidr, {.revision = stored.revision});
    }
    return summary;
  }
  const policy::Cidr& cidr = summary->cidr;
  index_.Put(cidr, {summary->affinity, summary->has_free, stored.revision});
  const auto known = blocks_.find(cidr);
  const bool here = known != blocks_.end() || summary->affinity == node_ ||
                    std::any_of(summary->borrowed.begin(), summary->borrowed.end(),
                                [this](const auto& use) { return use.second == node_; });
  if (!here) return summary;
  // Our own writes come back.
  if (known != blocks_.end() && known->second.revision >= stored.revision) return summary;
  ASSIGN_OR_RETURN(Block block, Block::Decode(stored));
  Remember({.block = std::move(block), .revision = stored.revision}, /*own_write=*/false);
  return summary;
}

void BlockStore::Forget(const policy::Cidr& block) {
  const auto known = blocks_.find(block);
  if (known == blocks_.end()) return index_.Erase(block);
  // The news may be older than what we know: the block given back and claimed again.
  if (absl::StatusOr<Cached> now = Fetch(block); now.ok()) {
    Remember(*std::move(now), /*own_write=*/false);
  } else if (absl::IsNotFound(now.status())) {
    Drop(block);
  }
}

void BlockStore::Index(const Cached& cached) {
  index_.Put(cached.block.cidr(),
             {cached.block.affinity(), cached.block.free_count() > 0, cached.revision});
}

// Takes a block, as the store has it, into memory.
void BlockStore::Remember(Cached cached, bool own_write) {
  Cached& known = blocks_[cached.block.cidr()];
  known.block = std::move(cached.block);
  known.revision = cached.revision;
  Settle(known, own_write);
}

// Brings what hangs on a block in memory up to it; what is of no use here leaves again.
void BlockStore::Settle(Cached& cached, bool own_write) {
  Index(cached);
  // Both in order of address. Most blocks differ by one allocation from what they were.
  std::vector<Allocation> now = cached.block.AllocationsOf(node_);
  size_t i = 0;
  for (const Allocation& old : cached.in_use) {
    for (; i < now.size() && now[i].address < old.address; ++i) {
      by_handle_.emplace(now[i].handle, now[i]);
    }
    if (i < now.size() && now[i] == old) {
      ++i;
      continue;
    }
    Unlist(old);
    lost_ |= !own_write;
  }
  for (; i < now.size(); ++i) by_handle_.emplace(now[i].handle, now[i]);
  cached.in_use = std::move(now);
  if (cached.in_use.empty() && cached.block.affinity() != node_) {
    blocks_.erase(policy::Cidr(cached.block.cidr()));
  }
}

void BlockStore::Unlist(const Allocation& allocation) {
  const auto [begin, end] = by_handle_.equal_range(allocation.handle);
  for (auto it = begin; it != end; ++it) {
    if (it->second != allocation) continue;
    by_handle_.erase(it);
    return;
  }
}

void BlockStore::Drop(const policy::Cidr& block) {
  index_.Erase(block);
  const auto it = blocks_.find(block);
  if (it == blocks_.end()) return;
  for (const Allocation& gone : it->second.in_use) Unlist(gone);
  lost_ |= !it->second.in_use.empty();
  blocks_.erase(it);
}

absl::StatusOr<BlockStore::Cached> BlockStore::Fetch(const policy::Cidr& block) {
  ASSIGN_OR_RETURN(const api::StoredResource stored, store_->Get(Block::KeyFor(block)));
  absl::StatusOr<Block> decoded = Block::Decode(stored);
  if (!decoded.ok()) {
    index_.Put(block, {.revision = stored.revision});  // nobody allocates from it
    return decoded.status();
  }
  return Cached{.block = *std::move(decoded), .revision = stored.revision};
}

std::vector<Allocation> BlockStore::AllocationsOf(const std::string& handle) const {
  std::vector<Allocation> found;
  const auto [begin, end] = by_handle_.equal_range(handle);
  for (auto it = begin; it != end; ++it) found.push_back(it->second);
  return found;
}

std::vector<Allocation> BlockStore::Allocations() const {
  std::vector<Allocation> all;
  for (const auto& [handle, allocation] : by_handle_) all.push_back(allocation);
  return all;
}

// ---- changes ----

absl::Status BlockStore::Change(const policy::Cidr& block, const Changer& change) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const auto known = blocks_.find(block);
    const bool from_memory = attempt == 0 && known != blocks_.end() && known->second.revision > 0;
    if (!from_memory) {
      absl::StatusOr<Cached> fetched = Fetch(block);
      if (absl::IsNotFound(fetched.status())) Drop(block);
      if (!fetched.ok()) return fetched.status();
      Remember(*fetched, /*own_write=*/false);
      // Of no use here so far, but it may be after this.
      blocks_.try_emplace(block, *std::move(fetched));
    }
    Cached& cached = blocks_.at(block);
    const absl::StatusOr<bool> changed = change(cached.block);
    if (!changed.ok() || !*changed) {
      // Memory said no; the store may know better (others borrow and give back).
      if (!changed.ok() && from_memory) continue;
      Settle(cached, /*own_write=*/true);
      return changed.status();
    }
    const absl::StatusOr<int64_t> revision =
        store_->Update(Block::KeyFor(block), cached.block.Encode(), cached.revision);
    if (revision.ok()) {
      cached.revision = *revision;
      Settle(cached, /*own_write=*/true);
      return absl::OkStatus();
    }
    // What is in memory is not what the store has, or nobody knows whether it is: it is read
    // again before anything else.
    cached.revision = -1;
    if (!absl::IsAborted(revision.status()) && !absl::IsNotFound(revision.status())) {
      return revision.status();
    }
  }
  return TooManyConflicts(block);
}

absl::StatusOr<std::pair<Claims, int64_t>> BlockStore::ReadClaims(const policy::Cidr& block) {
  const auto stored = store_->Get(Claims::KeyFor(block));
  if (absl::IsNotFound(stored.status())) {
    Claims claims = Claims::Of(block);
    // Blocks from before there were claims.
    for (const policy::Cidr& known : index_.In(Claims::RangeOf(block), [](auto&) { return true; }))
      claims.Add(known, index_.Find(known)->affinity);
    return std::pair(std::move(claims), int64_t{0});
  }
  RETURN_IF_ERROR(stored.status());
  absl::StatusOr<Claims> claims = Claims::Decode(*stored);
  if (!claims.ok()) {
    spdlog::error("IPAM: {}; making it anew from the blocks",
                  std::string(claims.status().message()));
    claims = ClaimsFromBlocks(block);
  }
  RETURN_IF_ERROR(claims.status());
  return std::pair(*std::move(claims), stored->revision);
}

absl::StatusOr<Claims> BlockStore::ClaimsFromBlocks(const policy::Cidr& block) {
  ASSIGN_OR_RETURN(const api::Listing listing, store_->List({.kind = ipam::kBlockKind}));
  Claims claims = Claims::Of(block);
  for (const api::StoredResource& item : listing.items) {
    const auto cidr = Block::CidrOf(item.key);
    if (!cidr.has_value() || Claims::RangeOf(*cidr) != Claims::RangeOf(block)) continue;
    const auto summary = ipam::Summarize(item);
    claims.Add(*cidr, summary.ok() ? summary->affinity : "");
  }
  return claims;
}

Mutation BlockStore::WriteClaims(const policy::Cidr& block, const Claims& claims,
                                 int64_t revision) const {
  const auto type = revision == 0 ? Mutation::Type::kCreate : Mutation::Type::kUpdate;
  return {type, Claims::KeyFor(block), claims.Encode(), revision};
}

absl::Status BlockStore::Claim(const policy::Cidr& block,
                               const std::vector<policy::Address>& kept) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const absl::Status status = ClaimOnce(block, kept);
    if (!absl::IsAborted(status) && !absl::IsNotFound(status)) return status;
  }
  return TooManyConflicts(block);
}

// Learns of the block that is in the way. OK: there is none, its claim is a leftover of
// this node's own, which a store without transactions can leave behind.
absl::Status BlockStore::TakeOver(const Claims::Claim& claim, const policy::Cidr& wanted) {
  const absl::Status taken =
      absl::AlreadyExistsError(absl::StrCat("block ", claim.block.ToString(), " of node ",
                                            claim.node, " lies across ", wanted.ToString()));
  if (claim.node != node_) {
    index_.Put(claim.block, {.affinity = claim.node, .has_free = true});
    return taken;
  }
  absl::StatusOr<Cached> present = Fetch(claim.block);
  if (absl::IsNotFound(present.status())) return absl::OkStatus();
  RETURN_IF_ERROR(present.status());
  Remember(*std::move(present), /*own_write=*/false);
  return taken;
}

absl::Status BlockStore::ClaimOnce(const policy::Cidr& block,
                                   const std::vector<policy::Address>& kept) {
  ASSIGN_OR_RETURN(auto read, ReadClaims(block));
  auto& [claims, revision] = read;
  while (const auto present = claims.Overlapping(block)) {
    const absl::Status taken = TakeOver(*present, block);
    const auto own = blocks_.find(block);
    if (!taken.ok() && own != blocks_.end() && own->second.block.affinity() == node_)
      return absl::OkStatus();
    RETURN_IF_ERROR(taken);
    claims.Remove(present->block, 0);
  }
  if (const auto unlisted = index_.Overlapping(block); unlisted.has_value()) {
    return absl::AlreadyExistsError(
        absl::StrCat("block ", unlisted->ToString(), " lies across ", block.ToString()));
  }
  claims.Add(block, node_);
  Block made = Block::Make(block, node_, kept, claims.sequence());
  const auto revisions =
      store_->Txn({WriteClaims(block, claims, revision),
                   {Mutation::Type::kCreate, Block::KeyFor(block), made.Encode(), 0}});
  if (revisions.ok()) {
    Remember({.block = std::move(made), .revision = revisions->back()}, /*own_write=*/true);
    return absl::OkStatus();
  }
  if (!absl::IsAlreadyExists(revisions.status())) return revisions.status();
  // The block, unlisted; or the claims, which somebody made first.
  absl::StatusOr<Cached> present = Fetch(block);
  if (absl::IsNotFound(present.status())) return absl::AbortedError("claimed meanwhile");
  if (present.ok()) {
    Remember(*std::move(present), /*own_write=*/false);
  } else if (!absl::IsDataLoss(present.status())) {
    return present.status();
  }
  return revisions.status();
}

absl::StatusOr<bool> BlockStore::GiveBack(const policy::Cidr& block) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    absl::StatusOr<Cached> cached = Fetch(block);
    if (absl::IsNotFound(cached.status())) {
      Drop(block);
      return true;
    }
    RETURN_IF_ERROR(cached.status());
    const bool ours = cached->block.affinity().empty() || cached->block.affinity() == node_;
    if (!ours || !cached->block.empty()) {
      Remember(*std::move(cached), /*own_write=*/false);
      return false;
    }
    ASSIGN_OR_RETURN(auto claims, ReadClaims(block));
    claims.first.Remove(block, cached->block.proto().sequence());
    const absl::Status status =
        store_
            ->Txn({{Mutation::Type::kDelete, Block::KeyFor(block), "", cached->revision},
                   WriteClaims(block, claims.first, claims.second)})
            .status();
    if (status.ok()) {
      blocks_.erase(block);
      index_.Erase(block);
      return true;
    }
    const bool raced =
        absl::IsAborted(status) || absl::IsNotFound(status) || absl::IsAlreadyExists(status);
    if (!raced) return status;
  }
  return TooManyConflicts(block);
}

}  // namespace ripstop::agent
