// SPDX-License-Identifier: Apache-2.0
#include "bpf/loader/address_table.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "policy/status_macros.h"

namespace ripstop::loader {
namespace {

constexpr char kOuter[] = "rs_addresses_v2";
constexpr size_t kBatch = 4096;
constexpr int kKernelNotSupported = 524;  // ENOTSUPP, which <errno.h> lacks

bool IsFull(int error) { return error == E2BIG || error == ENOSPC; }

bool IsFilled(size_t entries, uint32_t capacity) { return entries >= size_t{capacity} / 8 * 7; }

struct Written {
  size_t count = 0;
  int error = 0;  // why not more
};

Written Write(int map, const address_key* keys, const address_value* values, size_t count) {
  if (count > 1) {
    auto done = static_cast<uint32_t>(count);
    if (bpf_map_update_batch(map, keys, values, &done, nullptr) == 0) return {count, 0};
    // A call that was refused as such leaves the count as it was.
    if (errno != EINVAL && errno != kKernelNotSupported) return {done < count ? done : 0, errno};
  }
  if (bpf_map_update_elem(map, keys, values, BPF_ANY) == 0) return {1, 0};
  return {0, errno};
}

absl::Status WriteAll(int map, const address_key* keys, const address_value* values, size_t count) {
  for (size_t done = 0; done < count;) {
    const Written written = Write(map, keys + done, values + done, count - done);
    if (written.error != 0)
      return absl::ErrnoToStatus(written.error, absl::StrCat("write to the larger ", kOuter));
    done += written.count;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<AddressTable::Inner> AddressTable::Make(uint32_t capacity) {
  ASSIGN_OR_RETURN(UniqueFd fd, MakeInnerMap(BPF_MAP_TYPE_HASH, "rs_addresses", sizeof(address_key),
                                             sizeof(address_value), capacity, BPF_F_NO_PREALLOC));
  return Inner{std::move(fd), capacity};
}

absl::Status AddressTable::Begin(uint32_t slot, uint32_t capacity) {
  slot_ = slot;
  entries_ = 0;
  growth_.reset();
  ASSIGN_OR_RETURN(now_, Make(capacity));
  return InstallInnerMap(outer_, slot_, now_.fd, kOuter);
}

uint32_t AddressTable::CapacityAt(uint32_t slot) const {
  uint32_t id = 0;
  if (bpf_map_lookup_elem(outer_, &slot, &id) != 0) return 0;
  const UniqueFd map(bpf_map_get_fd_by_id(id));
  bpf_map_info info = {};
  uint32_t bytes = sizeof(info);
  return bpf_obj_get_info_by_fd(map.get(), &info, &bytes) == 0 ? info.max_entries : 0;
}

absl::Status AddressTable::StartGrowing() {
  uint32_t capacity = now_.capacity * kGrowth;
  while (IsFilled(entries_, capacity)) capacity *= 2;
  ASSIGN_OR_RETURN(Inner larger, Make(capacity));
  EntryCopy copy(now_.fd.get(), larger.fd.get(), sizeof(address_key), sizeof(address_value),
                 kOuter);
  growth_.emplace(Growth{std::move(larger), std::move(copy)});
  return absl::OkStatus();
}

absl::Status AddressTable::Grow(size_t entries) {
  ASSIGN_OR_RETURN(const bool all, growth_->copy.Step(entries));
  if (!all) return absl::OkStatus();
  RETURN_IF_ERROR(InstallInnerMap(outer_, slot_, growth_->larger.fd, kOuter));
  now_ = std::move(growth_->larger);
  growth_.reset();
  return absl::OkStatus();
}

absl::Status AddressTable::Set(const std::vector<address_key>& keys,
                               const std::vector<address_value>& values, size_t added) {
  if (keys.empty()) return absl::OkStatus();
  entries_ += added;
  if (!growing() && IsFilled(entries_, now_.capacity)) RETURN_IF_ERROR(StartGrowing());
  for (size_t done = 0; done < keys.size();) {
    const size_t count = std::min(kBatch, keys.size() - done);
    const Written now = Write(now_.fd.get(), &keys[done], &values[done], count);
    if (growing())
      RETURN_IF_ERROR(WriteAll(growth_->larger.fd.get(), &keys[done], &values[done], now.count));
    done += now.count;
    if (IsFull(now.error)) {
      if (!growing()) RETURN_IF_ERROR(StartGrowing());
      RETURN_IF_ERROR(Grow(std::numeric_limits<size_t>::max()));
    } else if (now.error != 0) {
      return absl::ErrnoToStatus(now.error, absl::StrCat("write ", keys.size(), " addresses"));
    }
  }
  // Seven eighths are to be copied before the last eighth is filled.
  return growing() ? Grow(std::max<size_t>(kCopyPerSet, 8 * keys.size())) : absl::OkStatus();
}

absl::Status AddressTable::Remove(const address_key& key) {
  if (bpf_map_delete_elem(now_.fd.get(), &key) == 0) {
    if (entries_ > 0) --entries_;
  } else if (errno != ENOENT) {
    return absl::ErrnoToStatus(errno, absl::StrCat("remove an address of ", kOuter));
  }
  if (!growing()) return absl::OkStatus();
  if (bpf_map_delete_elem(growth_->larger.fd.get(), &key) != 0 && errno != ENOENT)
    return absl::ErrnoToStatus(errno, absl::StrCat("remove an address of the larger ", kOuter));
  return absl::OkStatus();
}

}  // namespace ripstop::loader
