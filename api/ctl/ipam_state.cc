// SPDX-License-Identifier: Apache-2.0
#include "api/ctl/ipam_state.h"

#include "absl/strings/str_cat.h"
#include "policy/status_macros.h"

namespace ripstop::ctl {

using api::Mutation;

absl::StatusOr<IpamState> ReadIpam(api::Store& store) {
  IpamState state;
  ASSIGN_OR_RETURN(const api::Listing blocks, store.List({ipam::kBlockKind, ""}));
  for (const api::StoredResource& item : blocks.items) {
    absl::StatusOr<ipam::Block> block = ipam::Block::Decode(item);
    if (!block.ok()) {
      state.damaged.push_back(block.status());
      continue;
    }
    const policy::Cidr cidr = block->cidr();
    state.blocks.emplace(cidr, StoredBlock{*std::move(block), item.revision});
  }
  ASSIGN_OR_RETURN(const api::Listing claims, store.List({ipam::kClaimsKind, ""}));
  for (const api::StoredResource& item : claims.items) {
    absl::StatusOr<ipam::Claims> one = ipam::Claims::Decode(item);
    if (!one.ok()) {
      state.damaged.push_back(one.status());
      continue;
    }
    state.claims.emplace(item.key, StoredClaims{*std::move(one), item.revision});
  }
  return state;
}

Usage UsageIn(const IpamState& state, const policy::Cidr& cidr) {
  Usage usage;
  for (const auto& [block, stored] : state.blocks) {
    if (!cidr.Contains(block) || stored.block.empty()) continue;
    ++usage.blocks;
    usage.addresses += stored.block.proto().allocations_size();
  }
  return usage;
}

std::string Describe(const Usage& usage) {
  return absl::StrCat(usage.addresses, usage.addresses == 1 ? " address" : " addresses", " in ",
                      usage.blocks, usage.blocks == 1 ? " block" : " blocks");
}

void IpamChanges::Put(const ipam::Block& block) {
  if (block.empty() && block.affinity().empty()) {
    Remove(block.cidr());
  } else {
    changed_.insert_or_assign(block.cidr(), block);
  }
}

void IpamChanges::Remove(const policy::Cidr& block) {
  changed_.erase(block);
  removed_[block] = state_.blocks.at(block).block.proto().sequence();
}

std::vector<Mutation> IpamChanges::Mutations() const {
  std::vector<Mutation> mutations;
  for (const auto& [cidr, block] : changed_) {
    mutations.push_back({Mutation::Type::kUpdate, ipam::Block::KeyFor(cidr), block.Encode(),
                         state_.blocks.at(cidr).revision});
  }
  std::map<api::ResourceKey, StoredClaims> claims;
  for (const auto& [cidr, sequence] : removed_) {
    mutations.push_back(
        {Mutation::Type::kDelete, ipam::Block::KeyFor(cidr), "", state_.blocks.at(cidr).revision});
    const auto stored = state_.claims.find(ipam::Claims::KeyFor(cidr));
    if (stored == state_.claims.end()) continue;  // from before there were claims
    claims.try_emplace(stored->first, stored->second).first->second.claims.Remove(cidr, sequence);
  }
  for (const auto& [key, one] : claims) {
    mutations.push_back({Mutation::Type::kUpdate, key, one.claims.Encode(), one.revision});
  }
  return mutations;
}

bool Raced(const absl::Status& status) {
  return absl::IsAborted(status) || absl::IsAlreadyExists(status) || absl::IsNotFound(status);
}

}  // namespace ripstop::ctl
