// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_POLICY_SETS_BIT_VECTORS_H_
#define RIPSTOP_POLICY_SETS_BIT_VECTORS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "policy/sets/rule_bits.h"
#include "policy/tables/table_write.h"

namespace ripstop::policy {

// The bitmaps of one policy set, in the format of bpf/abi/tables.h (bitmap_block).
//
//   RuleBits ──Add()──▶ blocks, equal ones shared ──▶ extents ──Place()──▶ lines of the arena
//
// An extent is a run of lines in one chunk. Bitmaps are only added; the space of those that
// nothing refers to any more is won back when the set is moved and they are made anew.
class BitVectors {
 public:
  // `rule_count`: at most BITMAP_RULES_MAX. `always`: the rules for any far address, if
  // the bitmaps of rows are without them. Room is unlimited until Seal.
  BitVectors(uint32_t rule_count, RuleBits always);

  // Number of a bitmap of `bits`. nullopt: no room.
  std::optional<uint32_t> Add(const RuleBits& bits) { return Add(bits, RuleBits()); }
  // Of a column, which says which of its rules need no row.
  std::optional<uint32_t> AddColumn(const RuleBits& bits) { return Add(bits, bits.And(always_)); }
  // No more extents from here on; the last one has room for a quarter more, `slack` lines
  // at least.
  void Seal(uint32_t slack);
  // Lines that a bitmap takes at most.
  uint32_t lines_max() const;
  // Whether one more bitmap has room, whatever is in it. After Seal.
  bool HasRoom() const;

  // Lines of each extent; Place gives as many handles.
  std::vector<uint32_t> extents() const;
  void Place(const std::vector<uint32_t>& handles);
  // Handle of a bitmap of a placed set.
  uint32_t HandleOf(uint32_t bitmap) const { return HandleOf(bitmaps_[bitmap]); }

  // All bitmaps, as far as there are any.
  void Everything(TableWrites& out);
  // Those that came since the last call of either.
  void TakeChanges(TableWrites& out);

 private:
  struct Spot {
    uint32_t extent = 0;
    uint32_t line = 0;
  };
  struct Extent {
    uint32_t lines = 0;  // room
    uint32_t handle = 0;
    size_t written = 0;  // words that have been written out
    // As the kernel has them, but for handles: those are numbers of spots, so that an
    // extent may be placed anywhere.
    std::vector<uint32_t> words;
    std::vector<size_t> links;  // where in `words` these are
  };
  static uint32_t NumberOf(Spot spot) { return spot.extent << 16 | (spot.line + 1); }
  uint32_t HandleOf(Spot spot) const { return extents_[spot.extent].handle + spot.line; }
  std::optional<uint32_t> Add(const RuleBits& bits, const RuleBits& without_row);
  // `next`, `always`: numbers of spots, or 0. The result is good until the next call.
  const std::vector<uint32_t>& Block(const RuleBits& bits, uint32_t block, uint32_t next,
                                     uint32_t always);
  std::optional<Spot> Store(const std::vector<uint32_t>& block);

  uint32_t rule_count_;
  uint32_t block_count_;  // of each bitmap
  RuleBits always_;
  bool sealed_ = false;
  std::vector<Extent> extents_;
  std::vector<Spot> bitmaps_;                       // by number: the first block
  absl::flat_hash_map<size_t, Spot> spot_of_hash_;  // of a block's words
  std::vector<uint32_t> block_;
};

}  // namespace ripstop::policy

#endif  // RIPSTOP_POLICY_SETS_BIT_VECTORS_H_
