// SPDX-License-Identifier: Apache-2.0
//
// Where the parts of a policy set lie (bpf/abi/tables.h).
//
//   run 0    header │ rows │ near rows │ columns │ source columns │ verdicts
//   run 1…   bitmaps, of bit vectors only
#include <algorithm>
#include <array>
#include <bit>

#include "absl/strings/str_cat.h"
#include "policy/sets/policy_set.h"

namespace ripstop::policy {
namespace {

uint32_t LinesFor(uint64_t entries, uint32_t per_line) {
  return static_cast<uint32_t>((entries + per_line - 1) / per_line);
}

}  // namespace

uint32_t PolicySet::TableLines(const ClassTable& side) const {
  return LinesFor(side.capacity(), is_dense() ? ARENA_LINE_HALVES : ARENA_LINE_WORDS);
}

// An unused side has no capacity, so it takes no line.
PolicySet::Layout PolicySet::Lines() const {
  Layout at;
  at.near = at.far + TableLines(sides_.far);
  at.column = at.near + TableLines(sides_.near);
  at.source = at.column + TableLines(sides_.column);
  at.verdicts = at.source + TableLines(sides_.source);
  return at;
}

// In the kernel, with room to come.
uint32_t PolicySet::verdict_words() const {
  return is_dense() ? dense_.word_count() : static_cast<uint32_t>(rules_.size());
}

std::vector<uint32_t> PolicySet::runs() const {
  std::vector<uint32_t> runs = {Lines().verdicts + LinesFor(verdict_words(), ARENA_LINE_WORDS)};
  if (!is_dense()) {
    const std::vector<uint32_t> extents = vectors_->extents();
    runs.insert(runs.end(), extents.begin(), extents.end());
  }
  return runs;
}

uint64_t PolicySet::lines() const {
  uint64_t sum = 0;
  for (const uint32_t run : runs()) sum += run;
  return sum;
}

absl::Status PolicySet::Fits() const {
  const uint32_t lines = runs()[0];
  if (lines < ARENA_CHUNK_LINES) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("policy set of ", lines, " lines is larger than a chunk"));
}

void PolicySet::Place(std::vector<uint32_t> handles, uint32_t set_index) {
  handles_ = std::move(handles);
  set_index_ = set_index;
  if (!is_dense() && !handles_.empty()) vectors_->Place({handles_.begin() + 1, handles_.end()});
}

// A verdict for each rule, or where to go on.
std::vector<uint32_t> PolicySet::RuleWords() const {
  std::vector<uint32_t> words;
  words.reserve(rules_.size());
  for (const FlatRule& r : rules_) {
    switch (r.action) {
      case Action::kAllow:
      case Action::kDeny: words.push_back(VerdictWord(r)); break;
      case Action::kPass: words.push_back(VERDICT_JUMP | r.pass_to); break;
      case Action::kLog:
        words.push_back(VERDICT_JUMP | VERDICT_LOG | static_cast<uint32_t>(words.size() + 1));
        break;
    }
  }
  return words;
}

uint32_t PolicySet::Entry(const ClassTable& side, const std::vector<uint32_t>& bitmaps,
                          uint32_t of_class) const {
  const uint32_t number = side.NumberOf(of_class);
  return is_dense() ? number : vectors_->HandleOf(bitmaps[number]);
}

void PolicySet::Everything(TableWrites& out) {
  if (!is_dense()) vectors_->Everything(out);
  const uint32_t line = ARENA_HANDLE_LINE(handle());
  const Layout at = Lines();
  policy_set_header h = {};
  h.set_index = set_index_;
  h.representation = is_dense() ? POLICY_SET_DENSE : POLICY_SET_BITVECTOR;
  h.rows = line + at.far;
  h.row_capacity = sides_.far.capacity();
  h.columns = line + at.column;
  h.column_capacity = sides_.column.capacity();
  h.source_columns = sides_.has_source ? line + at.source : 0;
  h.near_rows = sides_.has_near ? line + at.near : 0;
  h.verdicts = line + at.verdicts;
  h.verdict_count = verdict_words();
  if (is_dense()) {
    h.column_count = sides_.column.count();
    h.source_column_count = sides_.source.count();
    h.near_count = dense_.near_slots();
  }
  WriteWords write{handle(), 0, std::vector<uint32_t>(size_t{runs()[0]} * ARENA_LINE_WORDS)};
  const auto bytes = std::bit_cast<std::array<uint32_t, ARENA_LINE_WORDS>>(h);
  std::copy(bytes.begin(), bytes.end(), write.words.begin());
  const auto table = [&](uint32_t first_line, const ClassTable& side,
                         const std::vector<uint32_t>& bitmaps) {
    uint32_t* const words = &write.words[size_t{first_line} * ARENA_LINE_WORDS];
    for (uint32_t c = 0; c < side.capacity(); ++c) {
      const uint32_t entry = Entry(side, bitmaps, c);
      if (is_dense()) {
        words[c / 2] |= entry << (c % 2 * 16);
      } else {
        words[c] = entry;
      }
    }
  };
  table(at.far, sides_.far, bitmaps_.far);
  table(at.near, sides_.near, bitmaps_.near);
  table(at.column, sides_.column, bitmaps_.column);
  table(at.source, sides_.source, bitmaps_.source);
  const std::vector<uint32_t> words = is_dense() ? dense_.cells() : RuleWords();
  std::copy(words.begin(), words.end(), &write.words[size_t{at.verdicts} * ARENA_LINE_WORDS]);
  out.push_back(std::move(write));
}

void PolicySet::SetNumber(uint32_t first_line, ClassTable& side,
                          const std::vector<uint32_t>& bitmaps, uint32_t of_class, uint32_t number,
                          TableWrites& out) {
  if (side.NumberOf(of_class) == number) return;
  side.Set(of_class, number);
  uint32_t at = of_class, word = 0;
  if (is_dense()) {
    at = of_class / 2;
    word = side.NumberOf(at * 2) | side.NumberOf(at * 2 + 1) << 16;
  } else {
    word = Entry(side, bitmaps, of_class);
  }
  out.push_back(WriteWords{handle(), first_line * ARENA_LINE_WORDS + at, {word}});
}

absl::Status PolicySet::SetRow(uint32_t address_class, Rows rows, TableWrites& out) {
  if (address_class >= row_capacity()) return absl::OutOfRangeError("row table is full");
  SetNumber(Lines().far, sides_.far, bitmaps_.far, address_class, rows.far, out);
  if (sides_.has_near)
    SetNumber(Lines().near, sides_.near, bitmaps_.near, address_class, rows.near, out);
  return absl::OkStatus();
}

absl::Status PolicySet::CopyColumn(const L4Classes::Split& split, TableWrites& out) {
  if (split.to >= sides_.column.capacity()) return absl::OutOfRangeError("column table is full");
  const auto copy = [&](uint32_t first_line, ClassTable& side,
                        const std::vector<uint32_t>& bitmaps) {
    SetNumber(first_line, side, bitmaps, split.to, side.NumberOf(split.from), out);
  };
  copy(Lines().column, sides_.column, bitmaps_.column);
  if (sides_.has_source) copy(Lines().source, sides_.source, bitmaps_.source);
  return absl::OkStatus();
}

}  // namespace ripstop::policy
