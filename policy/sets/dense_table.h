// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_POLICY_SETS_DENSE_TABLE_H_
#define RIPSTOP_POLICY_SETS_DENSE_TABLE_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "policy/rules/rule_folding.h"
#include "policy/sets/class_table.h"

namespace ripstop::policy {

// The sides of a policy set. `near` and `source` have one number, for every rule, when no
// rule looks there.
struct PolicySides {
  ClassTable far, near, column, source;
  bool has_near = false, has_source = false;
};

// A verdict for every row, near row, source column and column, evaluated.
//
//   cells[row][near row][source column][column]
//
// Rows with equal cells are one row, unless a near row added later may tell them apart.
// Columns never merge so: a row added later may tell them apart.
class DenseTable {
 public:
  // Evaluates all numbers of `sides`; merges its far rows. False, with nothing done, when
  // that makes more than `cells_max` verdicts. `slack`: least room for rows to come.
  bool Build(const FlatRules& rules, PolicySides& sides, uint32_t slack, uint32_t cells_max);

  struct Strip {  // cells that changed
    uint32_t first = 0;
    std::vector<uint32_t> words;
  };
  // A number for far rows that have none: a new one, or that of a row with equal cells.
  // nullopt: no room.
  std::optional<uint32_t> AddFar(const FlatRules& rules, PolicySides& sides, const RuleBits& bits,
                                 std::vector<Strip>& changed);
  std::optional<uint32_t> AddNear(const FlatRules& rules, PolicySides& sides, const RuleBits& bits,
                                  std::vector<Strip>& changed);
  // Whether there is room for `more` rows, and as many near rows if there are any.
  bool HasRoom(const PolicySides& sides, uint32_t more) const;
  // Makes it. False: `cells_max`.
  bool Grow(const PolicySides& sides, uint32_t more, uint32_t slack, uint32_t cells_max);

  // Whether a packet that one far row, or near row, allows meets another verdict in the
  // other.
  bool RevokesFar(uint32_t from, uint32_t to) const;
  bool RevokesNear(const PolicySides& sides, uint32_t from, uint32_t to) const;

  uint32_t near_slots() const { return near_slots_; }
  uint32_t word_count() const { return row_slots_ * row_words(); }  // with room to come
  const std::vector<uint32_t>& cells() const { return cells_; }

 private:
  uint32_t row_words() const { return near_slots_ * strip_words_; }
  // `far`: besides those of every far class.
  std::vector<uint32_t> Row(const FlatRules& rules, const PolicySides& sides,
                            const RuleBits& far) const;
  // `far`, `near`: all rules of the row.
  void FillStrip(const FlatRules& rules, const PolicySides& sides, const RuleBits& far,
                 const RuleBits& near, uint32_t* cells) const;

  uint32_t strip_words_ = 0;  // source columns × columns
  uint32_t near_slots_ = 1;
  uint32_t row_slots_ = 0;
  std::vector<uint32_t> cells_;  // of the rows in use; 0 where a near row is not in use
  absl::flat_hash_map<std::vector<uint32_t>, uint32_t> row_of_cells_;
};

}  // namespace ripstop::policy

#endif  // RIPSTOP_POLICY_SETS_DENSE_TABLE_H_
