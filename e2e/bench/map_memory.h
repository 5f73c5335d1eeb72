// SPDX-License-Identifier: Apache-2.0
//
// The maps of a loaded datapath as the kernel counts them, inner maps included, and the
// memory of this process. Found through the programs, so that a map that comes or goes
// needs no word here.
#ifndef RIPSTOP_E2E_BENCH_MAP_MEMORY_H_
#define RIPSTOP_E2E_BENCH_MAP_MEMORY_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "bpf/loader/datapath_object.h"
#include "policy/base/unique_fd.h"

namespace ripstop::bench {

// By name, as the kernel keeps it (15 characters).
absl::StatusOr<std::map<std::string, UniqueFd>> MapsOf(const loader::DatapathObject& datapath);

// Bytes that the kernel holds for all of them and for their inner maps.
absl::StatusOr<uint64_t> MapBytes(const loader::DatapathObject& datapath);

// Of this process, in bytes: private memory (heap, not the mapped tables), after what is
// free was given back; and the largest resident size since ResetPeak.
uint64_t PrivateBytes();
void ResetPeak();
uint64_t PeakBytes();

}  // namespace ripstop::bench

#endif  // RIPSTOP_E2E_BENCH_MAP_MEMORY_H_
