// SPDX-License-Identifier: Apache-2.0
//
// What the kernel's own stack drops of this node's pods' packets, by its own reasons.
//
//   kfree_skb ─▶ host_drops.bpf.c ─▶ counts ─▶ [HostDrops] ─▶ names of the kernel's BTF
//
// Counted as long as this lives. Needs CAP_BPF and CAP_PERFMON.
#ifndef RIPSTOP_BPF_LOADER_HOST_DROPS_H_
#define RIPSTOP_BPF_LOADER_HOST_DROPS_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "bpf/abi/host_drops.h"

struct host_drops;

namespace ripstop::loader {

class DatapathObject;

struct HostDrop {
  std::string name;         // "NO_SOCKET"; "subsystem 1 reason 3" of one that is not the core's
  std::string description;  // what it means and what to do; empty where we know no more
  host_drop_place place = HOST_DROP_UNKNOWN;
  uint64_t packets = 0;
  uint64_t bytes = 0;
};

class HostDrops {
 public:
  // The calling thread's network namespace is the node's.
  //   kPermissionDenied   a capability is missing
  //   kUnimplemented      the kernel names no reasons (before 5.17), or shows no tracepoint
  //   kInternal           the verifier refused it; the message holds its log
  static absl::StatusOr<std::unique_ptr<HostDrops>> Begin(const DatapathObject& object);
  ~HostDrops();
  HostDrops(const HostDrops&) = delete;
  HostDrops& operator=(const HostDrops&) = delete;

  // Since Begin, the most first. What never occurred is not there.
  absl::StatusOr<std::vector<HostDrop>> Read() const;

 private:
  HostDrops() = default;

  host_drops* skeleton_ = nullptr;
  std::map<uint32_t, std::string> names_;
};

// What is known of a reason of the kernel; empty: nothing.
std::string HostDropDescription(const std::string& name);

}  // namespace ripstop::loader

#endif  // RIPSTOP_BPF_LOADER_HOST_DROPS_H_
