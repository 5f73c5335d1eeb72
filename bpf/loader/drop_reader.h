// SPDX-License-Identifier: Apache-2.0
//
// Drops by interface, as bpf/lib/drop.h counts them.
#ifndef RIPSTOP_BPF_LOADER_DROP_READER_H_
#define RIPSTOP_BPF_LOADER_DROP_READER_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bpf/abi/drops.h"

namespace ripstop::loader {

class DatapathObject;

struct InterfaceDropCount {
  uint32_t ifindex = 0;
  drop_reason reason = DROP_NONE;
  uint64_t packets = 0;
  uint64_t bytes = 0;
};

// In the order of interface and reason.
absl::StatusOr<std::vector<InterfaceDropCount>> ReadInterfaceDrops(const DatapathObject& object);

// Of an interface that is gone or somebody else's now; fine when there are none.
absl::Status ForgetInterfaceDrops(const DatapathObject& object, uint32_t ifindex);
// Of all that this network namespace has no more.
absl::Status ForgetDropsOfGoneInterfaces(const DatapathObject& object);

}  // namespace ripstop::loader

#endif  // RIPSTOP_BPF_LOADER_DROP_READER_H_
