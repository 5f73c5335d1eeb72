// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_BPF_LOADER_MAP_INFO_H_
#define RIPSTOP_BPF_LOADER_MAP_INFO_H_

#include <bpf/bpf.h>

namespace ripstop::loader {

// What the kernel says of the map; all zero: it cannot be told.
inline bpf_map_info InfoOf(int map) {
  bpf_map_info info = {};
  uint32_t bytes = sizeof(info);
  if (bpf_obj_get_info_by_fd(map, &info, &bytes) != 0) info = {};
  return info;
}

}  // namespace ripstop::loader

#endif  // RIPSTOP_BPF_LOADER_MAP_INFO_H_
