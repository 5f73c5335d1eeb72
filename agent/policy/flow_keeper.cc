// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/flow_keeper.h"

#include <unistd.h>

#include <algorithm>
#include <bit>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "spdlog/spdlog.h"

namespace ripstop::agent {
namespace {

// Of a preallocated hash of 40 bytes of key and 176 of value, with its buckets.
constexpr uint64_t kEntryBytes = 296;
constexpr uint64_t kMemoryShare = 64;
constexpr uint64_t kEntriesMin = 65536, kEntriesMax = 2097152;

// In hundredths of the table. Two of them, so that it does not go to and fro.
constexpr uint64_t kPressedFrom = 80, kPressedUntil = 70;

uint64_t Percent(const FlowTableUse& use) {
  return use.capacity == 0 ? 0 : use.entries * 100 / use.capacity;
}

}  // namespace

absl::Status FlowKeeper::Sweep() {
  auto use = dataplane_->SweepFlows(pressed_);
  if (!use.ok()) return use.status();
  const bool first = use_.capacity == 0;
  full_ = !first && use->no_room > use_.no_room;
  const bool was_pressed = pressed_;
  use_ = *use;
  pressed_ = full_ || Percent(use_) >= (pressed_ ? kPressedUntil : kPressedFrom);
  if (pressed_ && !was_pressed) spdlog::error("{}", alarm());
  if (!pressed_ && was_pressed) {
    spdlog::info("flow table: {} of {} entries, no longer nearly full", use_.entries,
                 use_.capacity);
  }
  return absl::OkStatus();
}

std::string FlowKeeper::alarm() const {
  if (!pressed_) return "";
  return absl::StrCat("flow table: ", use_.entries, " of ", use_.capacity, " entries in use (",
                      Percent(use_), " %)", full_ ? ", new flows are refused" : "",
                      "; start the agent with a larger --flow-table-entries, live flows are kept");
}

uint32_t FlowTableEntriesFor(uint64_t memory_bytes) {
  const uint64_t room = memory_bytes / kMemoryShare / kEntryBytes;
  return static_cast<uint32_t>(std::clamp(std::bit_floor(room), kEntriesMin, kEntriesMax));
}

uint64_t UsableMemory() {
  uint64_t bytes =
      static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  // A container's own view of its group; "max" does not read as a number.
  for (const char* path :
       {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    std::ifstream file(path);
    if (uint64_t limit = 0; file >> limit) bytes = std::min(bytes, limit);
  }
  return bytes;
}

}  // namespace ripstop::agent
