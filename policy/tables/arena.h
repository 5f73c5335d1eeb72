// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_POLICY_TABLES_ARENA_H_
#define RIPSTOP_POLICY_TABLES_ARENA_H_

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace ripstop::policy {

// Which lines of the arena's chunks are taken (bpf/abi/tables.h). First fit; a run of
// lines never crosses a chunk. Line 0 of a chunk is never given out, so that no handle
// is 0.
class Arena {
 public:
  Arena(uint32_t first_chunk, uint32_t chunk_count)
      : first_chunk_(first_chunk), chunks_(chunk_count) {}

  // Handle of the first of `lines` lines; nullopt when no chunk has that many in a row.
  std::optional<uint32_t> Allocate(uint32_t lines);
  // The lines may be given out at once: the caller has waited for readers.
  void Free(uint32_t handle, uint32_t lines);
  // Chunks that became empty since the last call; they are made again when needed.
  std::vector<uint32_t> TakeEmptyChunks();

  uint64_t bytes_used() const { return bytes_used_; }
  uint32_t chunk_count() const { return static_cast<uint32_t>(chunks_.size()); }

 private:
  using FreeRuns = std::map<uint32_t, uint32_t>;  // first line -> lines
  const uint32_t first_chunk_;
  std::vector<std::optional<FreeRuns>> chunks_;  // nullopt: not made
  uint64_t bytes_used_ = 0;
};

}  // namespace ripstop::policy

#endif  // RIPSTOP_POLICY_TABLES_ARENA_H_
