// SPDX-License-Identifier: Apache-2.0
//
// What a policy set holds, and how it changes; policy_set_layout.cc says how it lies in the
// arena.
#include "policy/sets/policy_set.h"

#include <algorithm>
#include <bit>

#include "absl/strings/str_cat.h"
#include "policy/base/sort_unique.h"
#include "policy/status_macros.h"

namespace ripstop::policy {
namespace {

// Beyond so many combinations RevokesBetween does not look at bit vectors one by one: it
// is asked for each pair of classes of each set.
constexpr uint64_t kRevocationsTried = 4096;
// Up to so many words of rules for any far address may stand in every row.
constexpr size_t kWordsInRows = 4;

}  // namespace

uint32_t PolicySet::Capacity(uint32_t used) const {
  return std::bit_ceil(std::max(used + used / 2, capacity_min_));
}

PolicySet::PolicySet(FlatRules rules, const Interned<L4Set>& l4_sets, uint32_t capacity_min)
    : rules_(std::move(rules)),
      l4_sets_(&l4_sets),
      capacity_min_(capacity_min),
      far_conditions_(std::make_shared<AddressConditions>(rules_, AddressConditions::Side::kFar)),
      near_conditions_(
          std::make_shared<AddressConditions>(rules_, AddressConditions::Side::kNear)) {
  predicates_ = far_conditions_->predicates();
  predicates_.insert(predicates_.end(), near_conditions_->predicates().begin(),
                     near_conditions_->predicates().end());
  for (const FlatRule& r : rules_) {
    if (r.l4 != 0) l4_ids_.push_back(r.l4);
    if (r.source_l4 != 0) l4_ids_.push_back(r.source_l4);
    sides_.has_source |= r.source_l4 != 0;
  }
  sides_.has_near = near_conditions_->used();
  SortUnique(predicates_);
  SortUnique(l4_ids_);
}

void PolicySet::FillRows(const AddressConditions& conditions, const AddressClasses& addresses,
                         ClassTable& rows) {
  rows.Reserve(Capacity(addresses.bound()));
  rows.SetAlways(conditions.unconditional());
  rows.Add(conditions.RulesOf({}));
  absl::flat_hash_map<uint32_t, std::vector<uint32_t>> answers;
  for (const uint32_t p : conditions.predicates()) {
    for (const uint32_t c : addresses.ClassesOf(p)) answers[c].push_back(p);
  }
  for (const auto& [c, yes] : answers) rows.Set(c, rows.FindOrAdd(conditions.RulesOf(yes)));
}

void PolicySet::FillSides(const AddressClasses& addresses, const L4Classes& l4) {
  sides_ = {.has_near = sides_.has_near, .has_source = sides_.has_source};
  FillRows(*far_conditions_, addresses, sides_.far);
  if (sides_.has_near) {
    FillRows(*near_conditions_, addresses, sides_.near);
  } else {
    sides_.near.Add({});  // the only number; what is behind it is not looked at
  }
  const auto columns = [&](bool source, ClassTable& side) {
    side.Reserve(Capacity(l4.count()));
    ForL4Classes(rules_, *l4_sets_, l4, source, [&](uint32_t c, RuleBits rules) {
      side.Set(c, side.FindOrAdd(std::move(rules)));
    });
  };
  columns(false, sides_.column);
  if (sides_.has_source) {
    columns(true, sides_.source);
  } else {
    sides_.source.Add({});
  }
}

absl::Status PolicySet::Compile(const AddressClasses& addresses, const L4Classes& l4,
                                const PolicySetLimits& limits) {
  vectors_.reset();
  for (const uint32_t id : l4_ids_) {
    if (l4.Knows((*l4_sets_)[id])) continue;
    return absl::ResourceExhaustedError(absl::StrCat(
        "all ", l4.count(), " L4 classes are in use; use fewer distinct ports and ranges"));
  }
  FillSides(addresses, l4);
  return MakeTables(limits);
}

absl::Status PolicySet::MakeTables(const PolicySetLimits& limits) {
  const bool dense = dense_.Build(rules_, sides_, row_slack(), limits.dense_cells_max);
  if (dense && (Fits().ok() || !limits.bit_vectors)) return Fits();
  return MakeVectors(limits);
}

absl::Status PolicySet::MakeVectors(const PolicySetLimits& limits) {
  if (!limits.bit_vectors) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "verdict table of ", rules_.size(), " rules needs more than ", limits.dense_cells_max,
        " verdicts; split the policies or use fewer distinct ports and CIDRs"));
  }
  if (rules_.size() > BITMAP_RULES_MAX) {
    return absl::ResourceExhaustedError(absl::StrCat("bit vectors of ", rules_.size(),
                                                     " rules; they hold at most ", BITMAP_RULES_MAX,
                                                     ": split the policies"));
  }
  dense_ = {};
  bitmaps_ = {};
  vectors_.emplace(static_cast<uint32_t>(rules_.size()),
                   AlwaysInColumns() ? sides_.far.always() : RuleBits());
  AddBitmaps();
  vectors_->Seal(2 * vectors_->lines_max() + row_slack());  // a class may want two rows
  return Fits();
}

bool PolicySet::AlwaysInColumns() const {
  return sides_.far.always().words().size() > kWordsInRows;
}

std::optional<uint32_t> PolicySet::AddRow(bool far, const RuleBits& rules) {
  if (far && AlwaysInColumns()) return vectors_->Add(rules);
  return vectors_->Add((far ? sides_.far : sides_.near).always().Or(rules));
}

// Room is unlimited until Seal.
void PolicySet::AddBitmaps() {
  const auto for_numbers = [&](const ClassTable& side, std::vector<uint32_t>& bitmaps,
                               const auto& add) {
    bitmaps.reserve(side.count());
    for (uint32_t n = 0; n < side.count(); ++n) bitmaps.push_back(*add(side.Rules(n)));
  };
  for_numbers(sides_.far, bitmaps_.far, [&](const RuleBits& rules) { return AddRow(true, rules); });
  for_numbers(sides_.column, bitmaps_.column,
              [&](const RuleBits& rules) { return vectors_->AddColumn(rules); });
  if (sides_.has_near) {
    for_numbers(sides_.near, bitmaps_.near,
                [&](const RuleBits& rules) { return AddRow(false, rules); });
  }
  if (sides_.has_source) {
    for_numbers(sides_.source, bitmaps_.source,
                [&](const RuleBits& rules) { return vectors_->Add(rules); });
  }
}

bool PolicySet::HasRoom(const PolicySetRoom& room) const {
  // An unused side has no capacity and needs none.
  const bool classes = room.classes <= sides_.far.capacity() &&
                       (!sides_.has_near || room.classes <= sides_.near.capacity());
  const bool l4 = room.l4_classes <= sides_.column.capacity() &&
                  (!sides_.has_source || room.l4_classes <= sides_.source.capacity());
  return classes && l4 &&
         (is_dense() ? dense_.HasRoom(sides_, room.more_rows) : vectors_->HasRoom());
}

absl::StatusOr<std::unique_ptr<PolicySet>> PolicySet::Grown(const PolicySetRoom& room,
                                                            const PolicySetLimits& limits) const {
  auto copy = std::make_unique<PolicySet>(*this);
  copy->Unplace();
  const auto grow = [&](bool used, uint32_t need, ClassTable& side) {
    if (used && need > side.capacity()) side.Reserve(Capacity(need));
  };
  grow(true, room.classes, copy->sides_.far);
  grow(sides_.has_near, room.classes, copy->sides_.near);
  grow(true, room.l4_classes, copy->sides_.column);
  grow(sides_.has_source, room.l4_classes, copy->sides_.source);
  if (is_dense() &&
      copy->dense_.Grow(copy->sides_, room.more_rows, row_slack(), limits.dense_cells_max) &&
      copy->Fits().ok()) {
    return copy;
  }
  copy->sides_.far.Compact();
  if (sides_.has_near) copy->sides_.near.Compact();
  RETURN_IF_ERROR(copy->MakeVectors(limits));
  return copy;
}

absl::StatusOr<uint32_t> PolicySet::RowFor(bool far, const RuleBits& bits, TableWrites& out) {
  ClassTable& side = far ? sides_.far : sides_.near;
  if (const auto number = side.Find(bits)) return *number;
  if (!is_dense()) {
    std::vector<uint32_t>& bitmaps = far ? bitmaps_.far : bitmaps_.near;
    const auto bitmap = AddRow(far, bits);
    if (!bitmap) return absl::OutOfRangeError("no room for a bitmap");
    vectors_->TakeChanges(out);
    bitmaps.push_back(*bitmap);
    return side.Add(bits);
  }
  std::vector<DenseTable::Strip> changed;
  const auto number = far ? dense_.AddFar(rules_, sides_, bits, changed)
                          : dense_.AddNear(rules_, sides_, bits, changed);
  if (!number) return absl::OutOfRangeError("verdict table is full");
  for (DenseTable::Strip& s : changed) {
    out.push_back(
        WriteWords{handle(), Lines().verdicts * ARENA_LINE_WORDS + s.first, std::move(s.words)});
  }
  return *number;
}

absl::Status PolicySet::SetRowOf(uint32_t address_class, const std::vector<uint32_t>& signature,
                                 TableWrites& out) {
  if (address_class >= row_capacity()) return absl::OutOfRangeError("row table is full");
  Rows rows;
  ASSIGN_OR_RETURN(rows.far, RowFor(true, far_conditions_->RulesOf(signature), out));
  if (sides_.has_near) {
    ASSIGN_OR_RETURN(rows.near, RowFor(false, near_conditions_->RulesOf(signature), out));
  }
  return SetRow(address_class, rows, out);
}

bool PolicySet::VectorsRevoke(const RuleBits& from, const RuleBits& to,
                              const ClassTable* other) const {
  const auto& words = from.words();
  const bool allows = std::any_of(words.begin(), words.end(), [&](const RuleBits::Word& w) {
    for (uint64_t left = w.bits; left != 0; left &= left - 1) {
      const FlatRule& r = rules_[w.at * 64 + std::countr_zero(left)];
      if (r.action == Action::kAllow || r.next_group) return true;
    }
    return false;
  });
  if (!allows) return false;
  const uint32_t others = other != nullptr ? other->count() : 1;
  if (uint64_t{others} * sides_.source.count() * sides_.column.count() > kRevocationsTried)
    return true;
  for (uint32_t o = 0; o < others; ++o) {
    const RuleBits others_rules = other != nullptr ? other->AllRules(o) : RuleBits();
    for (uint32_t s = 0; s < sides_.source.count(); ++s) {
      for (uint32_t c = 0; c < sides_.column.count(); ++c) {
        std::vector<const RuleBits*> all = {&from, &sides_.column.Rules(c)};
        if (other != nullptr) all.push_back(&others_rules);
        if (sides_.has_source) all.push_back(&sides_.source.Rules(s));
        const uint32_t before = FirstVerdict(rules_, all);
        all[0] = &to;
        if (LetsThrough(before) && FirstVerdict(rules_, all) != before) return true;
      }
    }
  }
  return false;
}

bool PolicySet::RevokesBetween(Rows from, Rows to) const {
  if (is_dense()) {
    return dense_.RevokesFar(from.far, to.far) || dense_.RevokesNear(sides_, from.near, to.near);
  }
  return (from.far != to.far &&
          VectorsRevoke(sides_.far.AllRules(from.far), sides_.far.AllRules(to.far),
                        sides_.has_near ? &sides_.near : nullptr)) ||
         (from.near != to.near && VectorsRevoke(sides_.near.AllRules(from.near),
                                                sides_.near.AllRules(to.near), &sides_.far));
}

uint32_t PolicySet::column_count() const {
  return sides_.near.count() * sides_.source.count() * sides_.column.count();
}

uint64_t PolicySet::cell_count() const {
  return is_dense() ? uint64_t{row_count()} * column_count() : rules_.size();
}

}  // namespace ripstop::policy
