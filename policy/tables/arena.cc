// SPDX-License-Identifier: Apache-2.0
#include "policy/tables/arena.h"

#include "bpf/abi/tables.h"

namespace ripstop::policy {

std::optional<uint32_t> Arena::Allocate(uint32_t lines) {
  if (lines == 0 || lines >= ARENA_CHUNK_LINES) return std::nullopt;
  for (uint32_t i = 0; i < chunks_.size(); ++i) {
    if (!chunks_[i]) chunks_[i] = FreeRuns{{1, ARENA_CHUNK_LINES - 1}};
    for (const auto& [first, free] : *chunks_[i]) {
      if (free < lines) continue;
      const uint32_t line = first;
      const uint32_t rest = free - lines;
      chunks_[i]->erase(line);
      if (rest > 0) chunks_[i]->emplace(line + lines, rest);
      bytes_used_ += uint64_t{lines} * ARENA_LINE_BYTES;
      return ARENA_HANDLE(first_chunk_ + i, line);
    }
  }
  return std::nullopt;
}

void Arena::Free(uint32_t handle, uint32_t lines) {
  FreeRuns& runs = *chunks_[ARENA_HANDLE_CHUNK(handle) - first_chunk_];
  auto it = runs.emplace(ARENA_HANDLE_LINE(handle), lines).first;
  bytes_used_ -= uint64_t{lines} * ARENA_LINE_BYTES;
  if (const auto next = std::next(it);
      next != runs.end() && it->first + it->second == next->first) {
    it->second += next->second;
    runs.erase(next);
  }
  if (it == runs.begin()) return;
  if (const auto before = std::prev(it); before->first + before->second == it->first) {
    before->second += it->second;
    runs.erase(it);
  }
}

std::vector<uint32_t> Arena::TakeEmptyChunks() {
  std::vector<uint32_t> result;
  for (uint32_t i = 0; i < chunks_.size(); ++i) {
    if (!chunks_[i] || chunks_[i]->empty() ||
        chunks_[i]->begin()->second != ARENA_CHUNK_LINES - 1) {
      continue;
    }
    chunks_[i].reset();
    result.push_back(first_chunk_ + i);
  }
  return result;
}

}  // namespace ripstop::policy
