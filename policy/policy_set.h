// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_POLICY_POLICY_SET_H_
#define RIPSTOP_POLICY_POLICY_SET_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "policy/address_classes.h"
#include "policy/l4_classes.h"
#include "policy/rule_folding.h"
#include "policy/table_write.h"

namespace ripstop::policy {

// One policy set and its dense verdict table, as a mirror of what the kernel holds.
//
//   FlatRules ─┐
//   classes ───┴─▶ rows × source columns × columns of verdict words
//
// A row is the bitmap of rules whose address condition holds, a column the bitmap of
// rules whose L4 condition holds; a cell is the first rule in both. Row 0 is the row of
// class 0, and of every class that the row table does not know better. Rows with equal
// cells are one row; columns only when they satisfy the same rules, because a row added
// later may tell columns apart that look alike now.
class PolicySet {
 public:
  // `capacity_min`: least room of row and column tables, in classes.
  PolicySet(FlatRules rules, const Interned<L4Set>& l4_sets, uint32_t capacity_min);

  // Fills the tables for all classes in use.
  //   kResourceExhausted  more than `cells_max` verdicts, or than a chunk can hold
  absl::Status Compile(const AddressClasses& addresses, const L4Classes& l4, uint32_t cells_max);

  // A copy with room for `classes` address classes, `l4_classes` and at least one more row.
  //   kResourceExhausted  as above
  absl::StatusOr<std::unique_ptr<PolicySet>> Grown(uint32_t classes, uint32_t l4_classes,
                                                   uint32_t cells_max) const;

  // Where the set lives; set by the engine once lines are allocated.
  void Place(uint32_t handle, uint32_t set_index);
  uint32_t handle() const { return handle_; }
  uint32_t set_index() const { return set_index_; }
  uint32_t lines() const;
  WriteWords Everything() const;

  // The row of a class, made when its answers are new. Writes what the kernel must know
  // (verdicts before the row that leads to them).
  //   kOutOfRange  no room: use Grown
  absl::Status SetRowOf(uint32_t address_class, const std::vector<uint32_t>& signature,
                        TableWrites& out);
  absl::Status SetRow(uint32_t address_class, uint16_t row, TableWrites& out);
  uint16_t RowOf(uint32_t address_class) const {
    return address_class < rows_.size() ? rows_[address_class] : 0;
  }
  // A class was split: the new one has the columns of the old.
  absl::Status CopyColumn(const L4Classes::Split& split, TableWrites& out);

  // Whether some packet that row `from` allows meets another verdict in row `to`.
  bool RevokesBetween(uint16_t from, uint16_t to) const;

  const FlatRules& rules() const { return rules_; }
  const std::vector<uint32_t>& predicates() const { return predicates_; }  // sorted
  const std::vector<uint32_t>& l4_sets() const { return l4_ids_; }         // sorted
  uint32_t row_capacity() const { return static_cast<uint32_t>(rows_.size()); }
  uint32_t column_capacity() const { return static_cast<uint32_t>(columns_.size()); }
  uint32_t row_count() const { return row_count_; }
  uint32_t column_count() const { return static_cast<uint32_t>(column_bits_.size()); }
  uint32_t source_column_count() const { return static_cast<uint32_t>(source_bits_.size()); }

 private:
  using Bits = std::vector<uint64_t>;
  Bits RowBits(const std::vector<uint32_t>& pattern) const;
  uint32_t Cell(const Bits& row, const Bits& source, const Bits& column) const;
  std::vector<uint32_t> Cells(const Bits& row) const;
  // Row of an answer pattern (a subset of predicates_); appended to verdicts_ when new.
  uint16_t RowOfPattern(const std::vector<uint32_t>& pattern);
  void MakeColumns(const L4Classes& l4, bool source);
  uint32_t row_words() const { return column_count() * source_column_count(); }

  // Lines from the header.
  uint32_t rows_line() const { return 1; }
  uint32_t columns_line() const;
  uint32_t source_columns_line() const;
  uint32_t verdicts_line() const;

  // Room for half as many again, so that a set is rarely moved.
  uint32_t Capacity(uint32_t used) const;
  uint32_t RowSlots(uint32_t used) const;

  const FlatRules rules_;
  const Interned<L4Set>* l4_sets_;
  const uint32_t capacity_min_;
  std::vector<uint32_t> predicates_;
  std::vector<uint32_t> l4_ids_;
  bool has_source_ = false;

  std::vector<uint16_t> rows_;            // by address class; size: capacity
  std::vector<uint16_t> columns_;         // by L4 class; size: capacity
  std::vector<uint16_t> source_columns_;  // the same, when has_source_
  std::vector<Bits> column_bits_;
  std::vector<Bits> source_bits_;
  uint32_t row_count_ = 0;
  uint32_t row_slots_ = 0;
  std::vector<uint32_t> verdicts_;  // row_count_ rows
  absl::flat_hash_map<std::vector<uint32_t>, uint16_t> row_of_pattern_;
  absl::flat_hash_map<std::vector<uint32_t>, uint16_t> row_of_cells_;

  uint32_t handle_ = 0;
  uint32_t set_index_ = 0;
};

}  // namespace ripstop::policy

#endif  // RIPSTOP_POLICY_POLICY_SET_H_
