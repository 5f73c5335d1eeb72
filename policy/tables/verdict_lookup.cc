// SPDX-License-Identifier: Apache-2.0
#include "policy/tables/verdict_lookup.h"

#include <array>
#include <bit>
#include <cstring>
#include <vector>

namespace ripstop::policy {
namespace {

class Lookup {
 public:
  Lookup(const LineReader& line, uint32_t set, const PacketClasses& packet)
      : line_(line), set_(set), packet_(packet) {}

  VerdictLookup Run() {
    const auto head = line_(set_);
    if (!head) return result_;
    std::memcpy(&header_, &*head, sizeof(header_));
    if (header_.set_index == 0 || header_.set_index >= EPOCHS_MAX) return result_;
    result_.set_index = header_.set_index;
    if (packet_.far >= header_.row_capacity || packet_.l4 >= header_.column_capacity ||
        (header_.source_columns != 0 && packet_.source_l4 >= header_.column_capacity) ||
        (header_.near_rows != 0 && packet_.near >= header_.row_capacity)) {
      return result_;
    }
    std::optional<uint32_t> word;
    if (header_.representation == POLICY_SET_DENSE) word = Dense();
    if (header_.representation == POLICY_SET_BITVECTOR) word = BitVectors();
    result_.read = word.has_value();
    result_.word = word.value_or(0);
    return result_;
  }

 private:
  // `first`: a line of the set's chunk.
  uint32_t HandleOf(uint32_t first) const { return ARENA_HANDLE(ARENA_HANDLE_CHUNK(set_), first); }
  std::optional<uint32_t> Half(uint32_t first, uint32_t index) const {
    const auto line = line_(HandleOf(first) + index / ARENA_LINE_HALVES);
    return line ? std::optional<uint32_t>(line->halves[index % ARENA_LINE_HALVES]) : std::nullopt;
  }
  std::optional<uint32_t> Word(uint32_t first, uint32_t index) const {
    const auto line = line_(HandleOf(first) + index / ARENA_LINE_WORDS);
    return line ? std::optional<uint32_t>(line->words[index % ARENA_LINE_WORDS]) : std::nullopt;
  }

  std::optional<uint32_t> Dense() {
    const auto row = Half(header_.rows, packet_.far), column = Half(header_.columns, packet_.l4);
    const auto near = header_.near_rows != 0 ? Half(header_.near_rows, packet_.near) : 0;
    const auto source =
        header_.source_columns != 0 ? Half(header_.source_columns, packet_.source_l4) : 0;
    if (!row || !column || !near || !source) return std::nullopt;
    result_.row = *row;
    result_.column = *column;
    uint32_t index = *row;
    if (header_.near_rows != 0) index = index * header_.near_count + *near;
    index = (index * header_.source_column_count + *source) * header_.column_count + *column;
    return index < header_.verdict_count ? Word(header_.verdicts, index) : std::nullopt;
  }

  std::optional<uint32_t> BitVectors() {
    const auto row = Word(header_.rows, packet_.far), column = Word(header_.columns, packet_.l4);
    if (!row || !column) return std::nullopt;
    result_.row = *row;
    result_.column = *column;
    std::vector<uint32_t> sides = {*row, *column};
    for (const auto& [table, of_class] : {std::pair(header_.near_rows, packet_.near),
                                          std::pair(header_.source_columns, packet_.source_l4)}) {
      if (table == 0) continue;
      const auto bitmap = Word(table, of_class);
      if (!bitmap) return std::nullopt;
      sides.push_back(*bitmap);
    }
    return Search(std::move(sides));
  }

  // The word of the first rule in all bitmaps; 0: none, or damage.
  uint32_t Search(std::vector<uint32_t> sides) {
    uint32_t block_first = 0, flags = 0;
    for (uint32_t rule = 0; rule < header_.verdict_count;) {
      if (++result_.steps > BITMAP_STEPS_MAX) return 0;
      std::vector<bitmap_block> blocks;
      for (const uint32_t handle : sides) {
        const auto line = line_(handle);
        if (!line) return 0;
        blocks.push_back(std::bit_cast<bitmap_block>(*line));
      }
      if (rule - block_first >= BITMAP_BLOCK_RULES) {
        for (size_t i = 0; i < sides.size(); ++i) sides[i] = blocks[i].next;
        block_first += BITMAP_BLOCK_RULES;
        continue;
      }
      const uint32_t s = rule / BITMAP_SUMMARY_RULES % 4, bit = rule / BITMAP_WORD_RULES % 64;
      const uint64_t both = blocks[0].summary[s] & blocks[1].summary[s];
      bitmap_block always = {};  // of no rules
      if (blocks[1].always != 0) {
        const auto line = line_(blocks[1].always);
        if (!line) return 0;
        always = std::bit_cast<bitmap_block>(*line);
      }
      uint64_t summary = (both | always.summary[s]) & ~uint64_t{0} << bit;
      for (size_t i = 2; i < blocks.size(); ++i) summary &= blocks[i].summary[s];
      if (summary == 0) {
        rule = (rule | (BITMAP_SUMMARY_RULES - 1)) + 1;
        continue;
      }
      const auto word = static_cast<uint32_t>(std::countr_zero(summary));
      const auto word_of = [&](uint32_t handle,
                               const bitmap_block& block) -> std::optional<uint64_t> {
        const uint32_t before = std::popcount(block.summary[s] & ((uint64_t{1} << word) - 1));
        const uint32_t at = BITMAP_FIRST_LONG + block.rank[s] + before;
        const auto line = line_(handle + at / ARENA_LINE_LONGS);
        return line ? std::optional<uint64_t>(line->longs[at % ARENA_LINE_LONGS]) : std::nullopt;
      };
      uint64_t rules = 0;
      if ((both >> word & 1) != 0) {
        const auto row = word_of(sides[0], blocks[0]), column = word_of(sides[1], blocks[1]);
        if (!row || !column) return 0;
        rules = *row & *column;
      }
      if ((always.summary[s] >> word & 1) != 0) {
        const auto more = word_of(blocks[1].always, always);
        if (!more) return 0;
        rules |= *more;
      }
      for (size_t i = 2; i < sides.size(); ++i) {
        const auto more = word_of(sides[i], blocks[i]);
        if (!more) return 0;
        rules &= *more;
      }
      if (word == bit) rules &= ~uint64_t{0} << (rule % 64);
      rule = (rule & ~(BITMAP_SUMMARY_RULES - 1)) | word * BITMAP_WORD_RULES;
      if (rules == 0) {
        rule += BITMAP_WORD_RULES;
        continue;
      }
      rule |= static_cast<uint32_t>(std::countr_zero(rules));
      const uint32_t verdict = Word(header_.verdicts, rule).value_or(0);
      if ((verdict & VERDICT_JUMP) == 0) return verdict == 0 ? 0 : verdict | flags;
      flags |= verdict & VERDICT_LOG;
      if ((verdict & VERDICT_RULE_MASK) <= rule) return 0;
      rule = verdict & VERDICT_RULE_MASK;
    }
    return 0;
  }

  const LineReader& line_;
  const uint32_t set_;
  const PacketClasses packet_;
  policy_set_header header_ = {};
  VerdictLookup result_;
};

}  // namespace

VerdictLookup LookUpVerdict(const LineReader& line, uint32_t set, const PacketClasses& packet) {
  return Lookup(line, set, packet).Run();
}

}  // namespace ripstop::policy
