// SPDX-License-Identifier: Apache-2.0
#include "bpf/loader/drop_reader.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <net/if.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "bpf/loader/datapath_object.h"
#include "policy/status_macros.h"

namespace ripstop::loader {

absl::StatusOr<std::vector<InterfaceDropCount>> ReadInterfaceDrops(const DatapathObject& object) {
  std::vector<interface_drop_key> keys;
  interface_drop_key next;
  while (bpf_map_get_next_key(object.interface_drops(), keys.empty() ? nullptr : &keys.back(),
                              &next) == 0) {
    // Where the key before has just been deleted the kernel begins anew.
    if (keys.size() >= INTERFACE_DROPS_MAX) break;
    keys.push_back(next);
  }
  const auto place = [](const auto& one) { return std::tie(one.ifindex, one.reason); };
  std::sort(keys.begin(), keys.end(),
            [&](const auto& a, const auto& b) { return place(a) < place(b); });
  keys.erase(std::unique(keys.begin(), keys.end(),
                         [&](const auto& a, const auto& b) { return place(a) == place(b); }),
             keys.end());
  std::vector<InterfaceDropCount> counts;
  std::vector<drop_count> per_cpu(libbpf_num_possible_cpus());
  for (const interface_drop_key& key : keys) {
    if (bpf_map_lookup_elem(object.interface_drops(), &key, per_cpu.data()) != 0) {
      if (errno == ENOENT) continue;
      return absl::ErrnoToStatus(
          errno, absl::StrCat("rs_interface_drops_v1: read interface ", key.ifindex));
    }
    InterfaceDropCount count = {key.ifindex, static_cast<drop_reason>(key.reason)};
    for (const drop_count& one : per_cpu) {
      count.packets += one.packets;
      count.bytes += one.bytes;
    }
    counts.push_back(count);
  }
  return counts;
}

absl::Status ForgetInterfaceDrops(const DatapathObject& object, uint32_t ifindex) {
  for (uint32_t reason = 0; reason < DROP_REASONS_MAX; ++reason) {
    const interface_drop_key key = {ifindex, reason};
    if (bpf_map_delete_elem(object.interface_drops(), &key) != 0 && errno != ENOENT) {
      return absl::ErrnoToStatus(errno,
                                 absl::StrCat("rs_interface_drops_v1: forget interface ", ifindex));
    }
  }
  return absl::OkStatus();
}

absl::Status ForgetDropsOfGoneInterfaces(const DatapathObject& object) {
  ASSIGN_OR_RETURN(const auto counts, ReadInterfaceDrops(object));
  std::set<uint32_t> gone;
  for (const InterfaceDropCount& count : counts) {
    char name[IF_NAMESIZE];
    if (if_indextoname(count.ifindex, name) == nullptr) gone.insert(count.ifindex);
  }
  for (const uint32_t ifindex : gone) RETURN_IF_ERROR(ForgetInterfaceDrops(object, ifindex));
  return absl::OkStatus();
}

}  // namespace ripstop::loader
