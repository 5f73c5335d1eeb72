// SPDX-License-Identifier: Apache-2.0
#include "policy/policy_set.h"

#include <algorithm>
#include <bit>
#include <map>

#include "absl/strings/str_cat.h"
#include "policy/status_macros.h"

namespace ripstop::policy {
namespace {

constexpr uint32_t kRowNumbersMax = 0xffff;  // a row table entry is a half

uint32_t HalfLines(size_t halves) {
  return static_cast<uint32_t>((halves + ARENA_LINE_HALVES - 1) / ARENA_LINE_HALVES);
}

void SetBit(std::vector<uint64_t>& bits, size_t i) { bits[i / 64] |= uint64_t{1} << (i % 64); }

void AppendHalves(const std::vector<uint16_t>& halves, uint32_t lines, std::vector<uint32_t>& out) {
  const size_t base = out.size();
  out.resize(base + size_t{lines} * ARENA_LINE_WORDS);
  for (size_t i = 0; i < halves.size(); ++i) out[base + i / 2] |= uint32_t{halves[i]} << (i % 2 * 16);
}

}  // namespace

uint32_t PolicySet::Capacity(uint32_t used) const {
  return std::bit_ceil(std::max(used + used / 2, capacity_min_));
}
uint32_t PolicySet::RowSlots(uint32_t used) const {
  return used + std::max(capacity_min_ / 16, used / 4);
}

PolicySet::PolicySet(FlatRules rules, const Interned<L4Set>& l4_sets, uint32_t capacity_min)
    : rules_(std::move(rules)), l4_sets_(&l4_sets), capacity_min_(capacity_min) {
  for (const FlatRule& r : rules_) {
    for (const auto& clause : r.any_of) {
      predicates_.insert(predicates_.end(), clause.begin(), clause.end());
    }
    predicates_.insert(predicates_.end(), r.none_of.begin(), r.none_of.end());
    if (r.l4 != 0) l4_ids_.push_back(r.l4);
    if (r.source_l4 != 0) l4_ids_.push_back(r.source_l4);
    has_source_ |= r.source_l4 != 0;
  }
  for (auto* v : {&predicates_, &l4_ids_}) {
    std::sort(v->begin(), v->end());
    v->erase(std::unique(v->begin(), v->end()), v->end());
  }
}

PolicySet::Bits PolicySet::RowBits(const std::vector<uint32_t>& pattern) const {
  Bits bits((rules_.size() + 63) / 64);
  const auto yes = [&](uint32_t p) { return std::binary_search(pattern.begin(), pattern.end(), p); };
  for (size_t i = 0; i < rules_.size(); ++i) {
    const FlatRule& r = rules_[i];
    const bool holds = std::none_of(r.none_of.begin(), r.none_of.end(), yes) &&
                       std::all_of(r.any_of.begin(), r.any_of.end(), [&](const auto& clause) {
                         return std::any_of(clause.begin(), clause.end(), yes);
                       });
    if (holds) SetBit(bits, i);
  }
  return bits;
}

uint32_t PolicySet::Cell(const Bits& row, const Bits& source, const Bits& column) const {
  uint32_t flags = 0;
  size_t i = 0;
  for (;;) {
    const size_t word = i / 64;
    // The last rule matches everything, so some word from here on is not zero.
    const uint64_t left = (row[word] & source[word] & column[word]) >> (i % 64);
    if (left == 0) {
      i = (word + 1) * 64;
      continue;
    }
    i += std::countr_zero(left);
    const FlatRule& r = rules_[i];
    switch (r.action) {
      case Action::kAllow: return VERDICT_ALLOW | flags | r.rule_id;
      case Action::kDeny: return flags | r.rule_id;
      case Action::kPass: i = r.pass_to; break;
      case Action::kLog:
        flags = VERDICT_LOG;
        ++i;
        break;
    }
  }
}

std::vector<uint32_t> PolicySet::Cells(const Bits& row) const {
  std::vector<uint32_t> cells;
  cells.reserve(row_words());
  for (const Bits& source : source_bits_) {
    for (const Bits& column : column_bits_) cells.push_back(Cell(row, source, column));
  }
  return cells;
}

uint16_t PolicySet::RowOfPattern(const std::vector<uint32_t>& pattern) {
  if (const auto it = row_of_pattern_.find(pattern); it != row_of_pattern_.end()) return it->second;
  std::vector<uint32_t> cells = Cells(RowBits(pattern));
  const auto [it, fresh] = row_of_cells_.try_emplace(cells, static_cast<uint16_t>(row_count_));
  if (fresh) {
    verdicts_.insert(verdicts_.end(), cells.begin(), cells.end());
    ++row_count_;
  }
  row_of_pattern_.emplace(pattern, it->second);
  return it->second;
}

void PolicySet::MakeColumns(const L4Classes& l4, bool source) {
  std::vector<uint16_t>& columns = source ? source_columns_ : columns_;
  std::vector<Bits>& bits = source ? source_bits_ : column_bits_;
  if (source && !has_source_) {
    bits = {Bits((rules_.size() + 63) / 64, ~uint64_t{0})};
    return;
  }
  columns.assign(Capacity(l4.count()), 0);
  // Rules by the set they ask, so that a set is asked once per class.
  std::map<uint32_t, Bits> rules_of;
  for (size_t i = 0; i < rules_.size(); ++i) {
    Bits& b = rules_of.try_emplace(source ? rules_[i].source_l4 : rules_[i].l4, (rules_.size() + 63) / 64)
                  .first->second;
    SetBit(b, i);
  }
  std::map<std::vector<uint32_t>, uint16_t> known;
  for (uint32_t c = 0; c < l4.count(); ++c) {
    std::vector<uint32_t> inside;
    for (const auto& [id, rules] : rules_of) {
      if (id == 0 || (*l4_sets_)[id].Contains(l4.representative(c))) inside.push_back(id);
    }
    const auto [it, fresh] = known.emplace(inside, static_cast<uint16_t>(bits.size()));
    if (fresh) {
      Bits b((rules_.size() + 63) / 64);
      for (const uint32_t id : inside) {
        for (size_t w = 0; w < b.size(); ++w) b[w] |= rules_of[id][w];
      }
      bits.push_back(std::move(b));
    }
    columns[c] = it->second;
  }
}

absl::Status PolicySet::Compile(const AddressClasses& addresses, const L4Classes& l4,
                                uint32_t cells_max) {
  column_bits_.clear();
  source_bits_.clear();
  row_of_pattern_.clear();
  row_of_cells_.clear();
  verdicts_.clear();
  row_count_ = 0;
  MakeColumns(l4, false);
  MakeColumns(l4, true);

  // Predicates in ascending order, so each class's pattern comes out sorted.
  absl::flat_hash_map<uint32_t, std::vector<uint32_t>> patterns;
  for (const uint32_t p : predicates_) {
    for (const uint32_t c : addresses.ClassesOf(p)) patterns[c].push_back(p);
  }
  rows_.assign(Capacity(addresses.bound()), 0);
  RowOfPattern({});  // row 0
  for (const auto& [c, pattern] : patterns) {
    const uint64_t cells = uint64_t{RowSlots(row_count_ + 1)} * row_words();
    if (cells > cells_max || row_count_ >= kRowNumbersMax - 1) {
      return absl::ResourceExhaustedError(
          absl::StrCat("verdict table of ", rules_.size(), " rules needs more than ", cells_max,
                       " verdicts; split the policies or use fewer distinct ports and CIDRs"));
    }
    rows_[c] = RowOfPattern(pattern);
  }
  row_slots_ = RowSlots(row_count_);
  if (lines() >= ARENA_CHUNK_LINES) {
    return absl::ResourceExhaustedError(absl::StrCat("policy set of ", lines(), " lines is larger than a chunk"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<PolicySet>> PolicySet::Grown(uint32_t classes, uint32_t l4_classes,
                                                            uint32_t cells_max) const {
  auto copy = std::make_unique<PolicySet>(*this);
  copy->handle_ = copy->set_index_ = 0;
  if (classes > rows_.size()) copy->rows_.resize(Capacity(classes));
  if (l4_classes > columns_.size()) {
    copy->columns_.resize(Capacity(l4_classes));
    if (has_source_) copy->source_columns_.resize(copy->columns_.size());
  }
  if (row_count_ >= row_slots_) copy->row_slots_ = RowSlots(row_count_ + 1);
  if (copy->lines() >= ARENA_CHUNK_LINES || copy->row_slots_ > kRowNumbersMax ||
      uint64_t{copy->row_slots_} * row_words() > cells_max) {
    return absl::ResourceExhaustedError(
        absl::StrCat("verdict table of ", rules_.size(), " rules has ", row_count_, " rows of ",
                     row_words(), " verdicts and cannot grow; at most ", cells_max, " verdicts"));
  }
  return copy;
}

void PolicySet::Place(uint32_t handle, uint32_t set_index) {
  handle_ = handle;
  set_index_ = set_index;
}

uint32_t PolicySet::columns_line() const { return rows_line() + HalfLines(rows_.size()); }
uint32_t PolicySet::source_columns_line() const { return columns_line() + HalfLines(columns_.size()); }
uint32_t PolicySet::verdicts_line() const {
  return source_columns_line() + (has_source_ ? HalfLines(source_columns_.size()) : 0);
}
uint32_t PolicySet::lines() const {
  const uint64_t words = uint64_t{row_slots_} * row_words();
  return verdicts_line() + static_cast<uint32_t>((words + ARENA_LINE_WORDS - 1) / ARENA_LINE_WORDS);
}

WriteWords PolicySet::Everything() const {
  const uint32_t line = ARENA_HANDLE_LINE(handle_);
  policy_set_header h = {};
  h.set_index = set_index_;
  h.representation = POLICY_SET_DENSE;
  h.rows = line + rows_line();
  h.row_capacity = row_capacity();
  h.columns = line + columns_line();
  h.column_capacity = column_capacity();
  h.source_columns = has_source_ ? line + source_columns_line() : 0;
  h.column_count = column_count();
  h.source_column_count = source_column_count();
  h.verdicts = line + verdicts_line();
  h.verdict_count = row_slots_ * row_words();
  WriteWords write{handle_, 0, std::vector<uint32_t>(ARENA_LINE_WORDS)};
  write.words.reserve(size_t{lines()} * ARENA_LINE_WORDS);
  const auto bytes = std::bit_cast<std::array<uint32_t, ARENA_LINE_WORDS>>(h);
  std::copy(bytes.begin(), bytes.end(), write.words.begin());
  AppendHalves(rows_, HalfLines(rows_.size()), write.words);
  AppendHalves(columns_, HalfLines(columns_.size()), write.words);
  if (has_source_) AppendHalves(source_columns_, HalfLines(source_columns_.size()), write.words);
  write.words.insert(write.words.end(), verdicts_.begin(), verdicts_.end());
  write.words.resize(size_t{lines()} * ARENA_LINE_WORDS);
  return write;
}

absl::Status PolicySet::SetRowOf(uint32_t address_class, const std::vector<uint32_t>& signature,
                                 TableWrites& out) {
  if (address_class >= rows_.size()) return absl::OutOfRangeError("row table is full");
  std::vector<uint32_t> pattern;
  std::set_intersection(signature.begin(), signature.end(), predicates_.begin(), predicates_.end(),
                        std::back_inserter(pattern));
  if (!row_of_pattern_.contains(pattern) && row_count_ >= row_slots_) {
    return absl::OutOfRangeError("verdict table is full");
  }
  const uint32_t before = row_count_;
  const uint16_t row = RowOfPattern(pattern);
  if (row_count_ > before) {
    const auto first = verdicts_.begin() + size_t{before} * row_words();
    out.push_back(WriteWords{handle_, verdicts_line() * ARENA_LINE_WORDS + before * row_words(),
                             std::vector<uint32_t>(first, verdicts_.end())});
  }
  return SetRow(address_class, row, out);
}

absl::Status PolicySet::SetRow(uint32_t address_class, uint16_t row, TableWrites& out) {
  if (address_class >= rows_.size()) return absl::OutOfRangeError("row table is full");
  if (rows_[address_class] == row) return absl::OkStatus();
  rows_[address_class] = row;
  const uint32_t even = address_class & ~1u;
  out.push_back(WriteWords{handle_, rows_line() * ARENA_LINE_WORDS + even / 2,
                           {rows_[even] | uint32_t{rows_[even + 1]} << 16}});
  return absl::OkStatus();
}

absl::Status PolicySet::CopyColumn(const L4Classes::Split& split, TableWrites& out) {
  if (split.to >= columns_.size()) return absl::OutOfRangeError("column table is full");
  const auto copy = [&](std::vector<uint16_t>& columns, uint32_t line) {
    if (columns[split.to] == columns[split.from]) return;
    columns[split.to] = columns[split.from];
    const uint32_t even = split.to & ~1u;
    out.push_back(WriteWords{handle_, line * ARENA_LINE_WORDS + even / 2,
                             {columns[even] | uint32_t{columns[even + 1]} << 16}});
  };
  copy(columns_, columns_line());
  if (has_source_) copy(source_columns_, source_columns_line());
  return absl::OkStatus();
}

bool PolicySet::RevokesBetween(uint16_t from, uint16_t to) const {
  if (from == to) return false;
  const size_t words = row_words();
  for (size_t i = 0; i < words; ++i) {
    const uint32_t old = verdicts_[from * words + i];
    if ((old & VERDICT_ALLOW) != 0 && old != verdicts_[to * words + i]) return true;
  }
  return false;
}

}  // namespace ripstop::policy
