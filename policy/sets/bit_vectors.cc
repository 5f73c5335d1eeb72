// SPDX-License-Identifier: Apache-2.0
#include "policy/sets/bit_vectors.h"

#include <algorithm>
#include <cstring>

#include "absl/hash/hash.h"

namespace ripstop::policy {
namespace {

// A chunk has room for a few sets this large, so that none need wait for an empty chunk.
constexpr uint32_t kExtentLines = ARENA_CHUNK_LINES / 4;
constexpr uint32_t kWordsPerBlock = BITMAP_BLOCK_RULES / BITMAP_WORD_RULES;
constexpr size_t kHandles[] = {offsetof(bitmap_block, next) / sizeof(uint32_t),
                               offsetof(bitmap_block, always) / sizeof(uint32_t)};

constexpr uint32_t LinesOf(uint32_t longs) {
  return (BITMAP_FIRST_LONG + longs + ARENA_LINE_LONGS - 1) / ARENA_LINE_LONGS;
}
bool Any(const std::vector<uint32_t>& words) {
  return std::any_of(words.begin(), words.end(), [](uint32_t word) { return word != 0; });
}
static_assert(sizeof(bitmap_block) == BITMAP_FIRST_LONG * 8 + 2 * 8);

}  // namespace

BitVectors::BitVectors(uint32_t rule_count, RuleBits always)
    : rule_count_(rule_count),
      block_count_((rule_count + BITMAP_BLOCK_RULES - 1) / BITMAP_BLOCK_RULES),
      always_(std::move(always)) {}

uint32_t BitVectors::lines_max() const {
  const uint32_t words = (rule_count_ + BITMAP_WORD_RULES - 1) / BITMAP_WORD_RULES;
  return block_count_ > 1 ? block_count_ * LinesOf(kWordsPerBlock) : LinesOf(words);
}

const std::vector<uint32_t>& BitVectors::Block(const RuleBits& bits, uint32_t block, uint32_t next,
                                               uint32_t always) {
  constexpr uint32_t kWordsPerSummary = BITMAP_SUMMARY_RULES / BITMAP_WORD_RULES;
  const uint64_t first = uint64_t{block} * kWordsPerBlock;
  const auto& all = bits.words();
  const auto before = [](const RuleBits::Word& w, uint64_t at) { return w.at < at; };
  const auto begin = std::lower_bound(all.begin(), all.end(), first, before);
  const auto end = std::lower_bound(begin, all.end(), first + kWordsPerBlock, before);
  bitmap_block head = {};
  head.next = next;
  head.always = always;
  const uint32_t lines = LinesOf(static_cast<uint32_t>(end - begin));
  block_.assign(size_t{lines} * ARENA_LINE_WORDS, 0);
  uint32_t* to = block_.data() + BITMAP_FIRST_LONG * 2;
  for (auto w = begin; w != end; ++w, to += 2) {
    const uint64_t at = w->at - first;
    head.summary[at / kWordsPerSummary] |= uint64_t{1} << (at % kWordsPerSummary);
    for (uint64_t s = at / kWordsPerSummary + 1; s < 4; ++s) ++head.rank[s];
    std::memcpy(to, &w->bits, sizeof(w->bits));
  }
  std::memcpy(block_.data(), &head, BITMAP_FIRST_LONG * sizeof(uint64_t));
  return block_;
}

std::optional<BitVectors::Spot> BitVectors::Store(const std::vector<uint32_t>& block) {
  const size_t hash = absl::HashOf(block);
  if (const auto it = spot_of_hash_.find(hash); it != spot_of_hash_.end()) {
    const std::vector<uint32_t>& words = extents_[it->second.extent].words;
    const size_t at = size_t{it->second.line} * ARENA_LINE_WORDS;
    if (at + block.size() <= words.size() &&
        std::equal(block.begin(), block.end(), words.begin() + static_cast<ptrdiff_t>(at))) {
      return it->second;
    }
  }
  const size_t lines = block.size() / ARENA_LINE_WORDS;
  const auto used = [](const Extent& e) { return e.words.size() / ARENA_LINE_WORDS; };
  if (!sealed_ && (extents_.empty() || used(extents_.back()) + lines > kExtentLines)) {
    if (!extents_.empty()) extents_.back().lines = static_cast<uint32_t>(used(extents_.back()));
    extents_.emplace_back().lines = kExtentLines;
    // The first may stay small; the others are likely to be filled.
    if (extents_.size() > 1) extents_.back().words.reserve(size_t{kExtentLines} * ARENA_LINE_WORDS);
  }
  Extent& extent = extents_.back();
  if (used(extent) + lines > extent.lines) return std::nullopt;
  const Spot spot = {static_cast<uint32_t>(extents_.size() - 1),
                     static_cast<uint32_t>(used(extent))};
  for (const size_t word : kHandles) {
    if (block[word] != 0) extent.links.push_back(extent.words.size() + word);
  }
  extent.words.insert(extent.words.end(), block.begin(), block.end());
  spot_of_hash_.insert_or_assign(hash, spot);
  return spot;
}

std::optional<uint32_t> BitVectors::Add(const RuleBits& bits, const RuleBits& without_row) {
  std::optional<Spot> spot;
  // From the last block to the first: a block names the one after it.
  for (uint32_t block = block_count_; block-- > 0;) {
    uint32_t always = 0;
    if (const std::vector<uint32_t>& words = Block(without_row, block, 0, 0); Any(words)) {
      const auto at = Store(words);
      if (!at) return std::nullopt;
      always = NumberOf(*at);
    }
    spot = Store(Block(bits, block, spot ? NumberOf(*spot) : 0, always));
    if (!spot) return std::nullopt;
  }
  bitmaps_.push_back(*spot);
  return static_cast<uint32_t>(bitmaps_.size() - 1);
}

void BitVectors::Seal(uint32_t slack) {
  sealed_ = true;
  uint64_t all = 0;
  for (const Extent& e : extents_) all += e.words.size() / ARENA_LINE_WORDS;
  slack = std::min(std::max(slack, static_cast<uint32_t>(all / 4)), kExtentLines);
  const auto used = static_cast<uint32_t>(extents_.back().words.size() / ARENA_LINE_WORDS);
  if (used + slack <= kExtentLines) {
    extents_.back().lines = used + slack;
  } else {
    extents_.back().lines = used;
    extents_.emplace_back().lines = slack;
  }
}

bool BitVectors::HasRoom() const {
  const Extent& last = extents_.back();
  return last.words.size() / ARENA_LINE_WORDS + lines_max() <= last.lines;
}

std::vector<uint32_t> BitVectors::extents() const {
  std::vector<uint32_t> lines;
  for (const Extent& e : extents_) lines.push_back(e.lines);
  return lines;
}

void BitVectors::Place(const std::vector<uint32_t>& handles) {
  for (size_t i = 0; i < extents_.size(); ++i) extents_[i].handle = handles[i];
}

void BitVectors::Everything(TableWrites& out) {
  for (Extent& e : extents_) e.written = 0;
  TakeChanges(out);
}

void BitVectors::TakeChanges(TableWrites& out) {
  for (Extent& e : extents_) {
    if (e.written == e.words.size()) continue;
    WriteWords write{e.handle,
                     static_cast<uint32_t>(e.written),
                     {e.words.begin() + static_cast<ptrdiff_t>(e.written), e.words.end()}};
    for (auto link = std::lower_bound(e.links.begin(), e.links.end(), e.written);
         link != e.links.end(); ++link) {
      uint32_t& number = write.words[*link - e.written];
      number = HandleOf(Spot{number >> 16, (number & 0xffff) - 1});
    }
    out.push_back(std::move(write));
    e.written = e.words.size();
  }
}

}  // namespace ripstop::policy
