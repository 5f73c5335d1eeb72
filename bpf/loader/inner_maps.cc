// SPDX-License-Identifier: Apache-2.0
#include "bpf/loader/inner_maps.h"

#include <bpf/libbpf.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "policy/status_macros.h"

namespace ripstop::loader {
namespace {

absl::Status Install(int outer, uint32_t index, int inner, const char* name) {
  if (bpf_map_update_elem(outer, &index, &inner, BPF_ANY) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("put a map at ", index, " of ", name));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<UniqueFd> MakeInnerMap(bpf_map_type type, const char* name, uint32_t key_bytes,
                                      uint32_t value_bytes, uint32_t capacity, uint32_t flags) {
  LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = flags);
  const int fd = bpf_map_create(type, name, key_bytes, value_bytes, capacity, &options);
  if (fd < 0) {
    return absl::ErrnoToStatus(errno,
                               absl::StrCat("create ", name, " with ", capacity, " entries"));
  }
  return UniqueFd(fd);
}

absl::Status InstallInnerMap(int outer, uint32_t index, const UniqueFd& inner, const char* name) {
  return Install(outer, index, inner.get(), name);
}

absl::Status InstallInnerMaps(int outer, const std::vector<uint32_t>& indexes,
                              const std::vector<int>& fds, const char* name) {
  auto count = static_cast<uint32_t>(indexes.size());
  if (count > 1 && bpf_map_update_batch(outer, indexes.data(), fds.data(), &count, nullptr) == 0) {
    return absl::OkStatus();
  }
  // What a failed batch has put in is put in again. An error here names the element.
  for (size_t i = 0; i < indexes.size(); ++i) {
    RETURN_IF_ERROR(Install(outer, indexes[i], fds[i], name));
  }
  return absl::OkStatus();
}

// The read is cheap (since Linux 6.8), the delete waits for a grace period.
absl::Status UninstallInnerMap(int outer, uint32_t index, const char* name) {
  uint32_t id = 0;
  if (bpf_map_lookup_elem(outer, &index, &id) != 0) return absl::OkStatus();
  if (bpf_map_delete_elem(outer, &index) != 0 && errno != ENOENT) {
    return absl::ErrnoToStatus(errno, absl::StrCat("empty ", index, " of ", name));
  }
  return absl::OkStatus();
}

absl::StatusOr<size_t> EntryCopy::Read() {
  while (true) {
    keys_.resize(room_ * key_bytes_);
    values_.resize(room_ * value_bytes_);
    auto count = static_cast<uint32_t>(room_);
    uint32_t next = 0;
    if (bpf_map_lookup_batch(from_, begun_ ? &place_ : nullptr, &next, keys_.data(), values_.data(),
                             &count, nullptr) != 0) {
      if (errno == ENOSPC) {  // one bucket holds more
        room_ *= 2;
        continue;
      }
      if (errno != ENOENT) return absl::ErrnoToStatus(errno, absl::StrCat("read ", name_));
      all_read_ = true;
    }
    begun_ = true;
    place_ = next;
    return count;
  }
}

absl::Status EntryCopy::Write(size_t count) {
  auto done = static_cast<uint32_t>(count);
  if (count == 0 || bpf_map_update_batch(to_, keys_.data(), values_.data(), &done, nullptr) == 0)
    return absl::OkStatus();
  return absl::ErrnoToStatus(errno, absl::StrCat("copy ", name_));
}

absl::StatusOr<bool> EntryCopy::Step(size_t entries) {
  for (size_t copied = 0; !all_read_ && copied < entries;) {
    ASSIGN_OR_RETURN(const size_t count, Read());
    RETURN_IF_ERROR(Write(count));
    copied += count;
  }
  return all_read_;
}

}  // namespace ripstop::loader
