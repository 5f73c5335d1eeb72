// SPDX-License-Identifier: Apache-2.0
#include "bpf/loader/owner_store.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "bpf/loader/map_access.h"
#include "policy/status_macros.h"

namespace ripstop::loader {

absl::Status OwnerStore::Load() {
  if (loaded_) return absl::OkStatus();
  RETURN_IF_ERROR((ForEach<ip_address, vtep_value>(
      object_->vteps(), "rs_vteps_v1", [this](const ip_address& key, const vtep_value& value) {
        vteps_[FromKey(key)] = value.node;
        numbers_.insert(value.node);
        last_number_ = std::max(last_number_, value.node);
      })));
  RETURN_IF_ERROR((ForEach<owner_key, owner_value>(
      object_->owners(), "rs_owners_v1",
      [this](const owner_key& key, const owner_value& value) { owners_[CidrOf(key)] = value; })));
  RETURN_IF_ERROR((ForEach<owner_key, external_value>(
      object_->externals(), "rs_external_v1",
      [this](const owner_key& key, const external_value&) { externals_.insert(CidrOf(key)); })));
  loaded_ = true;
  return absl::OkStatus();
}

// Not the lowest: a packet of a node that has just gone may be under way with its number.
absl::StatusOr<uint32_t> OwnerStore::FreeNumber() {
  for (uint32_t tried = 0; tried < OWNER_NODES_MAX; ++tried) {
    last_number_ = last_number_ % OWNER_NODES_MAX + 1;
    if (!numbers_.contains(last_number_)) return last_number_;
  }
  return absl::ResourceExhaustedError(
      absl::StrCat("rs_vteps_v1: more than ", OWNER_NODES_MAX, " nodes"));
}

owner_value OwnerStore::ValueOf(const Owner& owner) const {
  switch (owner.who) {
    case Owner::Who::kThisNode: return {OWNER_THIS_NODE, owner.flags};
    case Owner::Who::kOtherNode: return {vteps_.at(owner.vtep), owner.flags};
    case Owner::Who::kNobody: break;
  }
  return {OWNER_NOBODY, owner.flags};
}

absl::Status OwnerStore::AddVteps(const Owners& owners) {
  for (const auto& [prefix, owner] : owners) {
    if (owner.who != Owner::Who::kOtherNode || vteps_.contains(owner.vtep)) continue;
    ASSIGN_OR_RETURN(const uint32_t number, FreeNumber());
    const ip_address key = ToKey(owner.vtep);
    const vtep_value value = {number};
    if (bpf_map_update_elem(object_->vteps(), &key, &value, BPF_ANY) != 0) {
      return WriteError(errno, "rs_vteps_v1", owner.vtep.ToString());
    }
    vteps_[owner.vtep] = number;
    numbers_.insert(number);
  }
  return absl::OkStatus();
}

absl::Status OwnerStore::DropVteps(const std::set<policy::Address>& wanted) {
  for (auto it = vteps_.begin(); it != vteps_.end();) {
    if (wanted.contains(it->first)) {
      ++it;
      continue;
    }
    const ip_address key = ToKey(it->first);
    if (bpf_map_delete_elem(object_->vteps(), &key) != 0 && errno != ENOENT) {
      return absl::ErrnoToStatus(errno, absl::StrCat("rs_vteps_v1: remove ", it->first.ToString()));
    }
    numbers_.erase(it->second);
    it = vteps_.erase(it);
  }
  return absl::OkStatus();
}

absl::Status OwnerStore::Put(const policy::Cidr& prefix, const owner_value& value) {
  const owner_key key = KeyOf(prefix);
  if (bpf_map_update_elem(object_->owners(), &key, &value, BPF_ANY) != 0) {
    return WriteError(errno, "rs_owners_v1", prefix.ToString());
  }
  owners_[prefix] = value;
  return absl::OkStatus();
}

absl::Status OwnerStore::Remove(const policy::Cidr& prefix) {
  const owner_key key = KeyOf(prefix);
  if (bpf_map_delete_elem(object_->owners(), &key) != 0 && errno != ENOENT) {
    return absl::ErrnoToStatus(errno, absl::StrCat("rs_owners_v1: remove ", prefix.ToString()));
  }
  owners_.erase(prefix);
  return absl::OkStatus();
}

// After the write: who looked before it has the old epoch and will look again.
void OwnerStore::Moved() {
  uint32_t* epoch = &object_->state()->owners_epoch;
  if (__atomic_add_fetch(epoch, 1, __ATOMIC_RELEASE) == 0) {
    __atomic_add_fetch(epoch, 1, __ATOMIC_RELEASE);  // 0 says that nobody owns anything
  }
}

absl::Status OwnerStore::Set(const Owners& owners) {
  RETURN_IF_ERROR(Load());
  RETURN_IF_ERROR(AddVteps(owners));
  std::vector<policy::Cidr> changed, gone;
  std::set<policy::Address> used;
  for (const auto& [prefix, owner] : owners) {
    if (owner.who == Owner::Who::kOtherNode) used.insert(owner.vtep);
    const owner_value value = ValueOf(owner);
    const auto it = owners_.find(prefix);
    if (it == owners_.end() || it->second.node != value.node || it->second.flags != value.flags) {
      changed.push_back(prefix);
    }
  }
  for (const auto& [prefix, value] : owners_) {
    if (!owners.contains(prefix)) gone.push_back(prefix);
  }
  if (changed.empty() && gone.empty()) return DropVteps(used);
  std::stable_sort(changed.begin(), changed.end(),
                   [](const auto& a, const auto& b) { return a.bits < b.bits; });
  absl::Status status;
  for (size_t i = 0; status.ok() && i < changed.size(); ++i) {
    status = Put(changed[i], ValueOf(owners.at(changed[i])));
  }
  for (size_t i = 0; status.ok() && i < gone.size(); ++i) status = Remove(gone[i]);
  Moved();
  RETURN_IF_ERROR(status);
  return DropVteps(used);
}

absl::Status OwnerStore::SetExternals(const std::set<policy::Cidr>& prefixes) {
  RETURN_IF_ERROR(Load());
  for (auto it = externals_.begin(); it != externals_.end();) {
    if (prefixes.contains(*it)) {
      ++it;
      continue;
    }
    const owner_key key = KeyOf(*it);
    if (bpf_map_delete_elem(object_->externals(), &key) != 0 && errno != ENOENT) {
      return absl::ErrnoToStatus(errno, absl::StrCat("rs_external_v1: remove ", it->ToString()));
    }
    it = externals_.erase(it);
  }
  for (const policy::Cidr& prefix : prefixes) {
    if (externals_.contains(prefix)) continue;
    const owner_key key = KeyOf(prefix);
    const external_value value = {1};
    if (bpf_map_update_elem(object_->externals(), &key, &value, BPF_ANY) != 0) {
      return WriteError(errno, "rs_external_v1", prefix.ToString());
    }
    externals_.insert(prefix);
  }
  return absl::OkStatus();
}

}  // namespace ripstop::loader
