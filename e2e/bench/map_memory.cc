// SPDX-License-Identifier: Apache-2.0
#include "e2e/bench/map_memory.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <malloc.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "policy/status_macros.h"

namespace ripstop::bench {
namespace {

// The number behind `key` of a file of "key: number unit" lines; 0: none.
uint64_t Field(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  for (std::string word; file >> word;) {
    uint64_t number = 0;
    if (word == key && file >> number) return number;
  }
  return 0;
}

uint64_t BytesOf(int map_fd) {
  return Field(absl::StrCat("/proc/self/fdinfo/", map_fd), "memlock:");
}

bool HoldsMaps(uint32_t type) {
  return type == BPF_MAP_TYPE_ARRAY_OF_MAPS || type == BPF_MAP_TYPE_HASH_OF_MAPS;
}

}  // namespace

absl::StatusOr<std::map<std::string, UniqueFd>> MapsOf(const loader::DatapathObject& datapath) {
  std::map<std::string, UniqueFd> maps;
  for (const int program : {datapath.from_workload(), datapath.to_workload(), datapath.from_host(),
                            datapath.flow_sweep()}) {
    std::array<uint32_t, 64> ids = {};
    bpf_prog_info info = {};
    info.nr_map_ids = ids.size();
    info.map_ids = reinterpret_cast<uint64_t>(ids.data());
    uint32_t length = sizeof(info);
    if (bpf_obj_get_info_by_fd(program, &info, &length) != 0) {
      return absl::ErrnoToStatus(errno, "maps of a datapath program");
    }
    for (uint32_t i = 0; i < info.nr_map_ids && i < ids.size(); ++i) {
      UniqueFd map(bpf_map_get_fd_by_id(ids[i]));
      bpf_map_info about = {};
      uint32_t bytes = sizeof(about);
      if (!map.ok() || bpf_obj_get_info_by_fd(map.get(), &about, &bytes) != 0) {
        return absl::ErrnoToStatus(errno, absl::StrCat("BPF map ", ids[i]));
      }
      maps.try_emplace(about.name, std::move(map));
    }
  }
  return maps;
}

absl::StatusOr<uint64_t> MapBytes(const loader::DatapathObject& datapath) {
  ASSIGN_OR_RETURN(const auto maps, MapsOf(datapath));
  uint64_t total = 0;
  for (const auto& [name, map] : maps) {
    total += BytesOf(map.get());
    bpf_map_info about = {};
    uint32_t bytes = sizeof(about);
    if (bpf_obj_get_info_by_fd(map.get(), &about, &bytes) != 0) {
      return absl::ErrnoToStatus(errno, name);
    }
    if (!HoldsMaps(about.type)) continue;
    for (uint32_t index = 0; index < about.max_entries; ++index) {
      uint32_t id = 0;
      if (bpf_map_lookup_elem(map.get(), &index, &id) != 0) continue;
      const UniqueFd inner(bpf_map_get_fd_by_id(id));
      if (inner.ok()) total += BytesOf(inner.get());
    }
  }
  return total;
}

uint64_t PrivateBytes() {
  malloc_trim(0);
  return Field("/proc/self/status", "RssAnon:") * 1024;
}

void ResetPeak() {
  malloc_trim(0);
  std::ofstream("/proc/self/clear_refs") << "5";
}

uint64_t PeakBytes() { return Field("/proc/self/status", "VmHWM:") * 1024; }

}  // namespace ripstop::bench
