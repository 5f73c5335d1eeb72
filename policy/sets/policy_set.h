// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_POLICY_SETS_POLICY_SET_H_
#define RIPSTOP_POLICY_SETS_POLICY_SET_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "policy/classes/address_classes.h"
#include "policy/classes/l4_classes.h"
#include "policy/rules/rule_folding.h"
#include "policy/sets/bit_vectors.h"
#include "policy/sets/class_table.h"
#include "policy/sets/dense_table.h"
#include "policy/sets/rule_conditions.h"
#include "policy/tables/table_write.h"

namespace ripstop::policy {

// What a set may take. Past `dense_cells_max` verdict words it becomes bit vectors, if it
// may.
struct PolicySetLimits {
  uint32_t dense_cells_max = 1u << 19;
  bool bit_vectors = true;
};

// What a set must have room for.
struct PolicySetRoom {
  uint32_t classes = 0;
  uint32_t l4_classes = 0;
  uint32_t more_rows = 1;  // than it has; of bit vectors always 1
};

// One policy set and its tables, as a mirror of what the kernel holds.
//
//   FlatRules ─▶ conditions ─┐
//   classes ─────────────────┴─▶ PolicySides ─┬─▶ DenseTable
//                                             └─▶ BitVectors + a verdict word for each rule
//
// Each class has, on each side, the rules whose condition on that side holds for it; a
// packet's verdict is that of the first rule in all of them. Row 0 is the row of class 0,
// and of every class that the row table does not know better.
class PolicySet {
 public:
  // `capacity_min`: least room of row and column tables, in classes.
  PolicySet(FlatRules rules, const Interned<L4Set>& l4_sets, uint32_t capacity_min);

  // Fills the tables for all classes in use.
  //   kResourceExhausted  neither representation fits
  absl::Status Compile(const AddressClasses& addresses, const L4Classes& l4,
                       const PolicySetLimits& limits);

  bool HasRoom(const PolicySetRoom& room) const;
  // A copy that has. May be bit vectors where this one is dense.
  //   kResourceExhausted  as above
  absl::StatusOr<std::unique_ptr<PolicySet>> Grown(const PolicySetRoom& room,
                                                   const PolicySetLimits& limits) const;

  // Where the set lives: a run of lines for the header and its tables, then one for each
  // extent of bitmaps. Set by the engine once lines are allocated.
  std::vector<uint32_t> runs() const;
  void Place(std::vector<uint32_t> handles, uint32_t set_index);
  void Unplace() { Place({}, 0); }
  uint32_t handle() const { return handles_.empty() ? 0 : handles_[0]; }
  const std::vector<uint32_t>& handles() const { return handles_; }
  uint32_t set_index() const { return set_index_; }
  uint64_t lines() const;  // of all runs
  void Everything(TableWrites& out);

  // What a class is to the set: its row as far address, and as near address.
  struct Rows {
    uint32_t far = 0;
    uint32_t near = 0;
    bool operator==(const Rows&) const = default;
  };
  // The rows of a class, made when its answers are new. Writes what the kernel must know
  // (verdicts before the row that leads to them).
  //   kOutOfRange  no room: use Grown
  absl::Status SetRowOf(uint32_t address_class, const std::vector<uint32_t>& signature,
                        TableWrites& out);
  absl::Status SetRow(uint32_t address_class, Rows rows, TableWrites& out);
  Rows RowOf(uint32_t address_class) const {
    return {sides_.far.NumberOf(address_class), sides_.near.NumberOf(address_class)};
  }
  // A class was split: the new one has the columns of the old.
  absl::Status CopyColumn(const L4Classes::Split& split, TableWrites& out);

  // Whether some packet that rows `from` allow meets another verdict in rows `to`. Exact
  // for dense sets. Bit vectors may say yes where it is no, when finding out would take
  // too long: then flows are judged once more in vain.
  bool RevokesBetween(Rows from, Rows to) const;

  const FlatRules& rules() const { return rules_; }
  const std::vector<uint32_t>& predicates() const { return predicates_; }  // sorted
  const std::vector<uint32_t>& l4_sets() const { return l4_ids_; }         // sorted
  uint32_t row_capacity() const { return sides_.far.capacity(); }
  bool has_near() const { return sides_.has_near; }  // asks about the near address too
  bool is_dense() const { return !vectors_.has_value(); }
  uint32_t row_count() const { return sides_.far.count(); }
  uint32_t column_count() const;  // near rows × source columns × columns
  uint64_t cell_count() const;    // verdict words in use

 private:
  void FillSides(const AddressClasses& addresses, const L4Classes& l4);
  void FillRows(const AddressConditions& conditions, const AddressClasses& addresses,
                ClassTable& rows);
  absl::Status MakeTables(const PolicySetLimits& limits);
  absl::Status MakeVectors(const PolicySetLimits& limits);
  // Bit vectors: the unconditional rules of the far side stand in columns, not in rows.
  bool AlwaysInColumns() const;
  // The bitmap of a row; nullopt: no room.
  std::optional<uint32_t> AddRow(bool far, const RuleBits& rules);
  void AddBitmaps();
  // The number of a row; on the near side when not `far`. `bits`: besides the unconditional.
  absl::StatusOr<uint32_t> RowFor(bool far, const RuleBits& bits, TableWrites& out);
  // `other`: the side of the other address, if the set looks at it.
  bool VectorsRevoke(const RuleBits& from, const RuleBits& to, const ClassTable* other) const;

  // policy_set_layout.cc
  struct Layout {  // lines from the header
    uint32_t far = 1, near = 0, column = 0, source = 0, verdicts = 0;
  };
  Layout Lines() const;
  absl::Status Fits() const;
  uint32_t TableLines(const ClassTable& side) const;
  uint32_t verdict_words() const;
  std::vector<uint32_t> RuleWords() const;
  // `bitmaps`: those of `side`, by number.
  uint32_t Entry(const ClassTable& side, const std::vector<uint32_t>& bitmaps,
                 uint32_t of_class) const;
  void SetNumber(uint32_t first_line, ClassTable& side, const std::vector<uint32_t>& bitmaps,
                 uint32_t of_class, uint32_t number, TableWrites& out);

  // Room for half as many again, so that a set is rarely moved.
  uint32_t Capacity(uint32_t used) const;
  uint32_t row_slack() const { return capacity_min_ / 16; }

  const FlatRules rules_;
  const Interned<L4Set>* l4_sets_;
  const uint32_t capacity_min_;
  std::shared_ptr<const AddressConditions> far_conditions_, near_conditions_;
  std::vector<uint32_t> predicates_;
  std::vector<uint32_t> l4_ids_;

  PolicySides sides_;
  DenseTable dense_;  // when there are no vectors
  std::optional<BitVectors> vectors_;
  struct {
    std::vector<uint32_t> far, near, column, source;
  } bitmaps_;  // in `vectors_`, by number of that side

  std::vector<uint32_t> handles_;
  uint32_t set_index_ = 0;
};

}  // namespace ripstop::policy

#endif  // RIPSTOP_POLICY_SETS_POLICY_SET_H_
