// SPDX-License-Identifier: Apache-2.0
//
// How a block comes to be, and how it goes.
#include <spdlog/spdlog.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/ipam/block_store.h"
#include "policy/status_macros.h"

namespace ripstop::agent {

using api::Mutation;
using ipam::Claims;

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
    past_watch_.insert(claim.block);
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
      EraseFromIndex(block);
      return true;
    }
    const bool raced =
        absl::IsAborted(status) || absl::IsNotFound(status) || absl::IsAlreadyExists(status);
    if (!raced) return status;
  }
  return TooManyConflicts(block);
}

}  // namespace ripstop::agent
