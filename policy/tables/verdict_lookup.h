// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_POLICY_TABLES_VERDICT_LOOKUP_H_
#define RIPSTOP_POLICY_TABLES_VERDICT_LOOKUP_H_

#include <cstdint>
#include <functional>
#include <optional>

#include "bpf/abi/tables.h"

namespace ripstop::policy {

// What a packet is to a policy set.
struct PacketClasses {
  uint32_t far = 0;
  uint32_t near = 0;
  uint32_t l4 = 0;
  uint32_t source_l4 = 0;  // 0 for protocols without ports
};

struct VerdictLookup {
  // False: no such set, or the tables are damaged; the programs drop with
  // DROP_BAD_POLICY_SET. The fields are as far as the reading came.
  bool read = false;
  uint32_t set_index = 0;
  uint32_t row = 0;     // dense: the number of the row; bit vectors: the handle of a bitmap
  uint32_t column = 0;  // likewise
  uint32_t word = 0;    // VERDICT_*; 0: denied, DROP_NO_VERDICT
  uint32_t steps = 0;   // words and summaries of bitmaps looked at
};

// Reads the line that a handle names; nullopt: there is none.
using LineReader = std::function<std::optional<arena_line>(uint32_t handle)>;

// The verdict of the set at `set`, by the algorithm of bpf/lib/verdict.h, from wherever
// `line` reads: the mirror of the engine's tests, or the maps of a kernel.
VerdictLookup LookUpVerdict(const LineReader& line, uint32_t set, const PacketClasses& packet);

}  // namespace ripstop::policy

#endif  // RIPSTOP_POLICY_TABLES_VERDICT_LOOKUP_H_
