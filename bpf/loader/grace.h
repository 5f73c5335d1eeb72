// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_BPF_LOADER_GRACE_H_
#define RIPSTOP_BPF_LOADER_GRACE_H_

#include "absl/status/status.h"

namespace ripstop::loader {

// membarrier(2) with MEMBARRIER_CMD_GLOBAL: 0, or -1 and errno.
int GlobalMembarrier();

// Waits until every program that runs now has ended.
//
// MEMBARRIER_CMD_GLOBAL is synchronize_rcu(), but a kernel with nohz_full CPUs has no such
// command (EINVAL), nor has one whose system calls are filtered. There a change of a map
// of maps waits for the same (inner_maps.h). `membarrier` is a parameter for tests.
//   kUnavailable etc.  neither way is open; names both
absl::Status RcuGrace(int (*membarrier)() = GlobalMembarrier);

}  // namespace ripstop::loader

#endif  // RIPSTOP_BPF_LOADER_GRACE_H_
