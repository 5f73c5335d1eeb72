// SPDX-License-Identifier: Apache-2.0
//
// Maps by their descriptors: what several stores and readers do with them.
#ifndef RIPSTOP_BPF_LOADER_MAP_ACCESS_H_
#define RIPSTOP_BPF_LOADER_MAP_ACCESS_H_

#include <bpf/bpf.h>

#include <cerrno>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "bpf/abi/owners.h"
#include "bpf/loader/table_store.h"
#include "policy/address.h"

namespace ripstop::loader {

// What the kernel says of the map; all zero: it cannot be told.
inline bpf_map_info InfoOf(int map) {
  bpf_map_info info = {};
  uint32_t bytes = sizeof(info);
  if (bpf_obj_get_info_by_fd(map, &info, &bytes) != 0) info = {};
  return info;
}

// Calls `visit` for every entry of a map; it must not be written meanwhile.
template <typename Key, typename Value, typename F>
absl::Status ForEach(int map, const char* name, F visit) {
  Key key, next;
  const void* from = nullptr;
  while (bpf_map_get_next_key(map, from, &next) == 0) {
    Value value;
    if (bpf_map_lookup_elem(map, &next, &value) == 0) visit(next, value);
    key = next;
    from = &key;
  }
  if (errno != ENOENT) return absl::ErrnoToStatus(errno, absl::StrCat("read ", name));
  return absl::OkStatus();
}

// Of a write that failed. `what`: of the entry.
//   kResourceExhausted  the map is full
inline absl::Status WriteError(int error, const char* map, const std::string& what) {
  const std::string message = absl::StrCat(map, ": write ", what);
  if (error == E2BIG || error == ENOSPC)
    return absl::ResourceExhaustedError(absl::StrCat(message, ": the table is full"));
  return absl::ErrnoToStatus(error, message);
}

// Keys of tries of prefixes.
inline owner_key KeyOf(const policy::Cidr& prefix) {
  return {.bits = prefix.bits, .address = ToKey(prefix.address)};
}
inline policy::Cidr CidrOf(const owner_key& key) {
  return policy::Cidr::Of(FromKey(key.address), static_cast<int>(key.bits));
}

}  // namespace ripstop::loader

#endif  // RIPSTOP_BPF_LOADER_MAP_ACCESS_H_
