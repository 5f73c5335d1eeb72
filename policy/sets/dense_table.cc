// SPDX-License-Identifier: Apache-2.0
#include "policy/sets/dense_table.h"

#include <algorithm>

namespace ripstop::policy {
namespace {

constexpr uint64_t kNumbersMax = 0xffff;  // a row or column table entry is a half
// Rows are evaluated in the hope that they merge, up to so many times what fits.
constexpr uint64_t kHope = 4;

uint64_t Slots(uint32_t used, uint32_t slack) { return uint64_t{used} + std::max(slack, used / 4); }

bool Revokes(const uint32_t* from, const uint32_t* to, size_t words) {
  for (size_t i = 0; i < words; ++i) {
    if (LetsThrough(from[i]) && from[i] != to[i]) return true;
  }
  return false;
}

}  // namespace

void DenseTable::FillStrip(const FlatRules& rules, const PolicySides& sides, const RuleBits& far,
                           const RuleBits& near, uint32_t* cells) const {
  // Sides that say nothing are left out; the column comes last, to be replaced.
  std::vector<const RuleBits*> all = {&far};
  if (sides.has_near) all.push_back(&near);
  if (sides.has_source) all.push_back(nullptr);
  all.push_back(nullptr);
  for (uint32_t s = 0; s < sides.source.count(); ++s) {
    if (sides.has_source) all[all.size() - 2] = &sides.source.Rules(s);
    for (uint32_t c = 0; c < sides.column.count(); ++c) {
      all.back() = &sides.column.Rules(c);
      *cells++ = FirstVerdict(rules, all);
    }
  }
}

std::vector<uint32_t> DenseTable::Row(const FlatRules& rules, const PolicySides& sides,
                                      const RuleBits& far) const {
  std::vector<uint32_t> cells(row_words());
  const RuleBits all_far = sides.far.always().Or(far);
  for (uint32_t n = 0; n < sides.near.count(); ++n) {
    FillStrip(rules, sides, all_far, sides.near.AllRules(n),
              cells.data() + size_t{n} * strip_words_);
  }
  return cells;
}

bool DenseTable::Build(const FlatRules& rules, PolicySides& sides, uint32_t slack,
                       uint32_t cells_max) {
  const uint64_t strip = uint64_t{sides.source.count()} * sides.column.count();
  const uint64_t near = sides.has_near ? Slots(sides.near.count(), slack) : 1;
  const uint64_t row = strip * near;
  if (row * sides.far.count() > kHope * cells_max || row > cells_max || near > kNumbersMax ||
      sides.column.count() > kNumbersMax || sides.source.count() > kNumbersMax) {
    return false;
  }
  DenseTable table;
  table.strip_words_ = static_cast<uint32_t>(strip);
  table.near_slots_ = static_cast<uint32_t>(near);
  std::vector<uint32_t> to;
  uint32_t rows = 0;
  for (uint32_t n = 0; n < sides.far.count(); ++n) {
    std::vector<uint32_t> cells = table.Row(rules, sides, sides.far.Rules(n));
    const auto [it, fresh] = table.row_of_cells_.try_emplace(std::move(cells), rows);
    if (fresh || sides.has_near) {
      ++rows;
      table.cells_.insert(table.cells_.end(), it->first.begin(), it->first.end());
    }
    to.push_back(sides.has_near ? n : it->second);
    if (Slots(rows, slack) * row > cells_max || Slots(rows, slack) > kNumbersMax) return false;
  }
  if (sides.has_near) table.row_of_cells_.clear();
  table.row_slots_ = static_cast<uint32_t>(Slots(rows, slack));
  sides.far.Renumber(to);
  *this = std::move(table);
  return true;
}

std::optional<uint32_t> DenseTable::AddFar(const FlatRules& rules, PolicySides& sides,
                                           const RuleBits& bits, std::vector<Strip>& changed) {
  std::vector<uint32_t> cells = Row(rules, sides, bits);
  if (!sides.has_near) {
    if (const auto it = row_of_cells_.find(cells); it != row_of_cells_.end()) {
      sides.far.Alias(bits, it->second);
      return it->second;
    }
  }
  if (sides.far.count() >= row_slots_) return std::nullopt;
  const uint32_t row = sides.far.Add(bits);
  changed.push_back({row * row_words(), cells});
  cells_.insert(cells_.end(), cells.begin(), cells.end());
  if (!sides.has_near) row_of_cells_.emplace(std::move(cells), row);
  return row;
}

std::optional<uint32_t> DenseTable::AddNear(const FlatRules& rules, PolicySides& sides,
                                            const RuleBits& bits, std::vector<Strip>& changed) {
  if (sides.near.count() >= near_slots_) return std::nullopt;
  const uint32_t near = sides.near.Add(bits);
  const RuleBits all_near = sides.near.AllRules(near);
  for (uint32_t row = 0; row < sides.far.count(); ++row) {
    const uint32_t first = row * row_words() + near * strip_words_;
    FillStrip(rules, sides, sides.far.AllRules(row), all_near, cells_.data() + first);
    changed.push_back({first, {cells_.begin() + first, cells_.begin() + first + strip_words_}});
  }
  return near;
}

bool DenseTable::HasRoom(const PolicySides& sides, uint32_t more) const {
  return sides.far.count() + more <= row_slots_ &&
         (!sides.has_near || sides.near.count() + more <= near_slots_);
}

bool DenseTable::Grow(const PolicySides& sides, uint32_t more, uint32_t slack, uint32_t cells_max) {
  uint64_t near = near_slots_, rows = row_slots_;
  if (sides.has_near && sides.near.count() + more > near) {
    near = Slots(sides.near.count() + more, slack);
  }
  if (sides.far.count() + more > rows) rows = Slots(sides.far.count() + more, slack);
  if (near * rows * strip_words_ > cells_max || near > kNumbersMax || rows > kNumbersMax)
    return false;
  if (near != near_slots_) {
    std::vector<uint32_t> wider(near * strip_words_ * sides.far.count());
    for (uint32_t row = 0; row < sides.far.count(); ++row) {
      std::copy_n(cells_.begin() + size_t{row} * row_words(), row_words(),
                  wider.begin() + static_cast<ptrdiff_t>(row * near * strip_words_));
    }
    cells_ = std::move(wider);
  }
  near_slots_ = static_cast<uint32_t>(near);
  row_slots_ = static_cast<uint32_t>(rows);
  return true;
}

bool DenseTable::RevokesFar(uint32_t from, uint32_t to) const {
  const size_t words = row_words();
  return from != to && Revokes(&cells_[from * words], &cells_[to * words], words);
}

bool DenseTable::RevokesNear(const PolicySides& sides, uint32_t from, uint32_t to) const {
  for (uint32_t row = 0; from != to && row < sides.far.count(); ++row) {
    const uint32_t* strips = &cells_[size_t{row} * row_words()];
    if (Revokes(strips + size_t{from} * strip_words_, strips + size_t{to} * strip_words_,
                strip_words_)) {
      return true;
    }
  }
  return false;
}

}  // namespace ripstop::policy
