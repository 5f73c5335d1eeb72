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

}  // namespace

absl::Status BlockStore::TooManyConflicts(const policy::Cidr& block) {
  return absl::UnavailableError(absl::StrCat("block ", block.ToString(), ": ", kAttempts,
                                             " conflicts with other nodes; try again"));
}

// ---- what is known ----

absl::Status BlockStore::Load() {
  ASSIGN_OR_RETURN(const api::Listing listing, store_->List({.kind = ipam::kBlockKind}));
  index_.Clear();
  past_watch_.clear();
  blocks_.clear();
  by_handle_.clear();
  for (const api::StoredResource& item : listing.items) {
    const absl::Status read = Note(item).status();
    if (!read.ok()) spdlog::error("IPAM: {}", std::string(read.message()));
  }
  lost_ = true;  // of what an earlier run knew, nobody has compared anything yet
  return absl::OkStatus();
}

absl::Status BlockStore::Recheck() {
  std::set<policy::Cidr> asked = past_watch_;
  for (const auto& [cidr, cached] : blocks_) asked.insert(cidr);
  for (const policy::Cidr& cidr : asked) {
    absl::StatusOr<Cached> now = Fetch(cidr);
    if (absl::IsNotFound(now.status())) {
      Drop(cidr);
    } else if (now.ok()) {
      index_.Erase(cidr);  // its revision may be a later one
      Remember(*std::move(now), /*own_write=*/false);
    } else if (absl::IsDataLoss(now.status())) {
      const BlockIndex::Entry closed = {.revision = index_.Find(cidr)->revision};
      Drop(cidr);
      index_.Put(cidr, closed);
      spdlog::error("IPAM: {}", std::string(now.status().message()));
    } else {
      return now.status();
    }
    past_watch_.erase(cidr);
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
  const BlockIndex::Entry* indexed = index_.Find(cidr);
  if (indexed != nullptr && indexed->revision > stored.revision) {
    past_watch_.insert(cidr);  // an own write that comes back late, or an older store
  } else {
    past_watch_.erase(cidr);
  }
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
  past_watch_.erase(block);
  if (known == blocks_.end()) return index_.Erase(block);
  // The news may be older than what we know: the block given back and claimed again.
  if (absl::StatusOr<Cached> now = Fetch(block); now.ok()) {
    Remember(*std::move(now), /*own_write=*/false);
  } else if (absl::IsNotFound(now.status())) {
    Drop(block);
  }
}

void BlockStore::Index(const Cached& cached) {
  const policy::Cidr& cidr = cached.block.cidr();
  const BlockIndex::Entry* indexed = index_.Find(cidr);
  if (indexed == nullptr || indexed->revision < cached.revision) past_watch_.insert(cidr);
  index_.Put(cidr, {cached.block.affinity(), cached.block.free_count() > 0, cached.revision});
}

void BlockStore::EraseFromIndex(const policy::Cidr& block) {
  index_.Erase(block);
  past_watch_.insert(block);
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
  EraseFromIndex(block);
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
    past_watch_.insert(block);
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

// As memory has it, where it may be believed; else as the store has it.
absl::StatusOr<BlockStore::Cached> BlockStore::Recall(const policy::Cidr& block) {
  const auto known = blocks_.find(block);
  if (known != blocks_.end() && known->second.revision > 0) return known->second;
  return Fetch(block);
}

absl::Status BlockStore::Free(const std::vector<Allocation>& allocations, const Also& also) {
  std::map<policy::Cidr, std::vector<Allocation>> by_block;
  for (const Allocation& allocation : allocations) {
    by_block[allocation.block].push_back(allocation);
  }
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    std::vector<Cached> changed;
    std::vector<Mutation> mutations;
    for (const auto& [cidr, gone] : by_block) {
      absl::StatusOr<Cached> cached = attempt == 0 ? Recall(cidr) : Fetch(cidr);
      if (absl::IsNotFound(cached.status())) {
        Drop(cidr);
        continue;
      }
      RETURN_IF_ERROR(cached.status());
      if (attempt > 0) Remember(*cached, /*own_write=*/false);  // what else it lacks is noticed
      bool any = false;
      for (const Allocation& allocation : gone) any |= cached->block.Release(allocation);
      if (!any) {
        Remember(*std::move(cached), /*own_write=*/false);
        continue;
      }
      mutations.push_back(
          {Mutation::Type::kUpdate, Block::KeyFor(cidr), cached->block.Encode(), cached->revision});
      changed.push_back(*std::move(cached));
    }
    ASSIGN_OR_RETURN(const std::vector<Mutation> more, also());
    mutations.insert(mutations.end(), more.begin(), more.end());
    if (mutations.empty()) return absl::OkStatus();
    const auto revisions = store_->Txn(mutations);
    if (revisions.ok()) return Freed(std::move(changed), *revisions);
    // What is in memory is not what the store has, or nobody knows whether it is.
    for (const Cached& cached : changed) {
      const auto known = blocks_.find(cached.block.cidr());
      if (known != blocks_.end()) known->second.revision = -1;
    }
    const bool raced = absl::IsAborted(revisions.status()) || absl::IsNotFound(revisions.status());
    if (!raced) return revisions.status();
  }
  return absl::UnavailableError(
      absl::StrCat("releasing addresses: ", kAttempts, " conflicts with other nodes; try again"));
}

absl::Status BlockStore::Freed(std::vector<Cached> changed, const std::vector<int64_t>& revisions) {
  std::vector<policy::Cidr> nobodys;
  for (size_t i = 0; i < changed.size(); ++i) {
    const Block& block = changed[i].block;
    if (block.affinity().empty() && block.empty()) nobodys.push_back(block.cidr());
    changed[i].revision = revisions[i];
    Remember(std::move(changed[i]), /*own_write=*/true);
  }
  // The last address of a block whose node is gone: nobody else would take it away.
  for (const policy::Cidr& block : nobodys) {
    const absl::Status status = GiveBack(block).status();
    if (!status.ok()) spdlog::warn("IPAM: {}", std::string(status.message()));
  }
  return absl::OkStatus();
}

}  // namespace ripstop::agent
