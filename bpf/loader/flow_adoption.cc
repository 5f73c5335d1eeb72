// SPDX-License-Identifier: Apache-2.0
//
// Flows of a table that is not this object's: of another size, or of another layout.
#include <bpf/bpf.h>
#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "bpf/datapath.skel.h"
#include "bpf/loader/datapath_object.h"
#include "bpf/loader/map_access.h"
#include "policy/status_macros.h"

namespace ripstop::loader {
namespace {

// What a table is called that gave its name to one of another size.
constexpr char kAside[] = "_aside";

// Newest first: what is aside gave way to what is not, and a newer layout comes after an older.
std::vector<std::string> Tables(const std::string& dir, const char* prefix) {
  std::vector<std::string> names;
  DIR* list = opendir(dir.c_str());
  if (list == nullptr) return names;
  while (const dirent* entry = readdir(list)) {
    if (absl::StartsWith(entry->d_name, prefix)) names.push_back(entry->d_name);
  }
  closedir(list);
  std::sort(names.begin(), names.end(), [](const std::string& a, const std::string& b) {
    const bool aside_a = absl::EndsWith(a, kAside), aside_b = absl::EndsWith(b, kAside);
    return aside_a != aside_b ? aside_b : a > b;
  });
  return names;
}

}  // namespace

// Our table, where it has another size than is wanted, is put aside; it stays pinned until its
// flows are adopted, also across a crash. What is aside already has not been adopted yet: it holds
// most flows, for the newer one was made just before that crash.
absl::Status DatapathObject::FindOldFlows(uint32_t wanted_size) {
  const std::string own = bpf_map__name(skeleton_->maps.rs_flows_v3);
  const std::string path = absl::StrCat(pin_dir_, "/", own), aside = path + kAside;
  const std::string accounts =
      absl::StrCat(pin_dir_, "/", bpf_map__name(skeleton_->maps.rs_accounts_v2));
  const UniqueFd pinned(bpf_obj_get(path.c_str()));
  const bool waiting = access(aside.c_str(), F_OK) == 0;
  const bool counted = pinned.ok() && access(accounts.c_str(), F_OK) == 0;
  const bpf_map_info own_info = InfoOf(pinned.get());
  const bool fits =
      own_info.value_size == sizeof(flow_value) && (waiting || own_info.max_entries == wanted_size);
  if (!counted || !fits) {
    // The accounts are of the flows in one table, so a new table has new ones.
    if (unlink(accounts.c_str()) != 0 && errno != ENOENT)
      return absl::ErrnoToStatus(errno, absl::StrCat("unpin ", accounts));
    if (!waiting && pinned.ok() && rename(path.c_str(), aside.c_str()) != 0)
      return absl::ErrnoToStatus(errno, absl::StrCat("put aside ", path));
  }
  for (const std::string& name : Tables(pin_dir_, kFlowTables)) {
    if (name == own) continue;
    OldFlows old{.path = absl::StrCat(pin_dir_, "/", name)};
    old.map.reset(bpf_obj_get(old.path.c_str()));
    const bpf_map_info info = InfoOf(old.map.get());
    old.value_bytes = info.value_size;
    // Of another key nothing is known here; it goes when the rest is adopted.
    if (info.key_size != sizeof(flow_key)) old.map.reset();
    old_flows_.push_back(std::move(old));
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> DatapathObject::AdoptFrom(const OldFlows& old) const {
  uint64_t left = 0;
  flow_key key, next;
  std::vector<uint8_t> bytes(std::max<size_t>(old.value_bytes, sizeof(flow_value)));
  flow_value value;
  const void* from = nullptr;
  while (bpf_map_get_next_key(old.map.get(), from, &next) == 0) {
    key = next;
    from = &key;
    if (bpf_map_lookup_elem(old.map.get(), &key, bytes.data()) != 0) continue;  // just gone
    std::memcpy(&value, bytes.data(), sizeof(value));
    const uint32_t state = FLOW_LIFE_STATE(value.life);
    const uint32_t account = FLOW_LIFE_ACCOUNT(value.life);
    value.life &= ~uint64_t{FLOW_HELD};
    if (state == FLOW_DEAD || account >= FLOW_ACCOUNTS) continue;
    // Counted first, as the programs do, which may end it at once.
    const uint64_t counts = 1 + (state == FLOW_HALF_OPEN ? FLOW_COUNT_HALF_OPEN : 0);
    __atomic_fetch_add(&flow_accounts()[account].counts, counts, __ATOMIC_SEQ_CST);
    if (bpf_map_update_elem(flows(), &key, &value, BPF_NOEXIST) == 0) continue;
    const int error = errno;
    __atomic_fetch_sub(&flow_accounts()[account].counts, counts, __ATOMIC_SEQ_CST);
    if (error == EEXIST) continue;
    if (error != E2BIG) return absl::ErrnoToStatus(error, "rs_flows_v3: adopt a flow");
    ++left;
  }
  if (errno != ENOENT) return absl::ErrnoToStatus(errno, absl::StrCat(old.path, ": read"));
  return left;
}

absl::StatusOr<uint64_t> DatapathObject::AdoptFlows() const {
  uint64_t left = 0;
  for (const OldFlows& old : old_flows_) {
    if (!old.map.ok()) continue;
    ASSIGN_OR_RETURN(const uint64_t lost, AdoptFrom(old));
    left += lost;
  }
  return left;
}

void DatapathObject::ForgetOldFlows() {
  for (const OldFlows& old : old_flows_) unlink(old.path.c_str());
  old_flows_.clear();
}

}  // namespace ripstop::loader
