// SPDX-License-Identifier: Apache-2.0
//
// Maps within maps: made, put into their outer map, taken out. A call that changes an outer
// map returns when all programs have ended that ran when it was made (Linux 4.20, commit
// 1ae80cf31938): it is a grace period too, and takes as long.
#ifndef RIPSTOP_BPF_LOADER_INNER_MAPS_H_
#define RIPSTOP_BPF_LOADER_INNER_MAPS_H_

#include <bpf/bpf.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "policy/base/unique_fd.h"

namespace ripstop::loader {

// Errors name the map; `capacity` in entries.
absl::StatusOr<UniqueFd> MakeInnerMap(bpf_map_type type, const char* name, uint32_t key_bytes,
                                      uint32_t value_bytes, uint32_t capacity, uint32_t flags);

absl::Status InstallInnerMap(int outer, uint32_t index, const UniqueFd& inner, const char* name);

// Several into one array of maps, `fds[i]` at `indexes[i]`, in one call: since Linux 6.8 it
// waits once, before that once for each.
absl::Status InstallInnerMaps(int outer, const std::vector<uint32_t>& indexes,
                              const std::vector<int>& fds, const char* name);

// Empties an element. That it is empty already is fine, and costs nothing since Linux 6.8;
// before that it waits for a grace period too.
absl::Status UninstallInnerMap(int outer, uint32_t index, const char* name);

// Copies a hash map into a larger one, a part at a time. Between two parts, what is written to the
// one that is copied is to be written to the other too. The maps outlive this.
class EntryCopy {
 public:
  EntryCopy(int from, int to, size_t key_bytes, size_t value_bytes, const char* name)
      : from_(from), to_(to), key_bytes_(key_bytes), value_bytes_(value_bytes), name_(name) {}

  // About that many entries more. Whether they were the last.
  absl::StatusOr<bool> Step(size_t entries);

 private:
  absl::StatusOr<size_t> Read();  // the next ones; how many
  absl::Status Write(size_t count);

  int from_, to_;
  size_t key_bytes_, value_bytes_;
  const char* name_;
  size_t room_ = 1024;  // for entries, in the two buffers
  std::vector<uint8_t> keys_, values_;
  uint32_t place_ = 0;  // the kernel's: where the next begin
  bool begun_ = false, all_read_ = false;
};

}  // namespace ripstop::loader

#endif  // RIPSTOP_BPF_LOADER_INNER_MAPS_H_
