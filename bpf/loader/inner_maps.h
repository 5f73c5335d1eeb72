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

// Copies every entry; nobody else may write to either meanwhile.
absl::Status CopyEntries(int from, int to, size_t key_bytes, size_t value_bytes, const char* name);

}  // namespace ripstop::loader

#endif  // RIPSTOP_BPF_LOADER_INNER_MAPS_H_
