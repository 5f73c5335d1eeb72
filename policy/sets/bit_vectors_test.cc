// SPDX-License-Identifier: Apache-2.0
//
// The format of bitmaps (bpf/abi/tables.h), word by word.
#include "policy/sets/bit_vectors.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <map>
#include <set>

namespace ripstop::policy {
namespace {

RuleBits Bits(const std::set<uint32_t>& rules) {
  return RuleBits(std::vector<uint32_t>(rules.begin(), rules.end()));
}

class BitVectorsTest : public ::testing::Test {
 protected:
  void Place(BitVectors& vectors) {
    std::vector<uint32_t> handles;
    for (size_t i = 0; i < vectors.extents().size(); ++i)
      handles.push_back(ARENA_HANDLE(i + 3, 100));
    vectors.Place(handles);
    TableWrites writes;
    vectors.Everything(writes);
    Apply(writes);
  }
  void Apply(const TableWrites& writes) {
    for (const TableWrite& write : writes) {
      const auto& w = std::get<WriteWords>(write);
      for (size_t i = 0; i < w.words.size(); ++i)
        words_[uint64_t{w.handle} * 16 + w.first_word + i] = w.words[i];
    }
  }
  bitmap_block Block(uint32_t handle) const {
    bitmap_block block;
    uint32_t line[ARENA_LINE_WORDS];
    for (uint32_t i = 0; i < ARENA_LINE_WORDS; ++i) line[i] = words_.at(uint64_t{handle} * 16 + i);
    std::memcpy(&block, line, sizeof(block));
    return block;
  }
  // As the format says, without regard to how it was written.
  std::set<uint32_t> Decode(uint32_t handle, uint32_t first = 0) const {
    const bitmap_block block = Block(handle);
    std::set<uint32_t> rules;
    for (uint32_t s = 0; s < 4; ++s) {
      uint32_t stored = block.rank[s];
      for (uint32_t b = 0; b < 64; ++b) {
        if ((block.summary[s] >> b & 1) == 0) continue;
        const uint64_t at = uint64_t{handle} * 16 + 2 * (BITMAP_FIRST_LONG + stored++);
        const uint64_t word = words_.at(at) | uint64_t{words_.at(at + 1)} << 32;
        EXPECT_NE(word, 0u) << "a word is stored that is zero";
        for (uint32_t c = 0; c < 64; ++c) {
          if (word >> c & 1) rules.insert(first + 4096 * s + 64 * b + c);
        }
      }
    }
    if (block.next != 0) rules.merge(Decode(block.next, first + BITMAP_BLOCK_RULES));
    return rules;
  }

  std::map<uint64_t, uint32_t> words_;  // by handle * 16 + word
};

TEST_F(BitVectorsTest, ABitmapHoldsItsRulesWhereverTheyFall) {
  for (const uint32_t count : {1u, 64u, 65u, 4096u, 4097u, 16384u, 16385u, 40000u}) {
    SCOPED_TRACE(count);
    BitVectors vectors(count, {});
    const std::set<std::set<uint32_t>> all = {
        {count - 1}, {0, count - 1}, {0, count / 2, count - 1}, [&] {
          std::set<uint32_t> every_third;
          for (uint32_t i = 0; i < count; i += 3) every_third.insert(i);
          return every_third;
        }()};
    std::vector<uint32_t> numbers;
    for (const auto& rules : all) numbers.push_back(*vectors.Add(Bits(rules)));
    vectors.Seal(0);
    Place(vectors);
    size_t i = 0;
    for (const auto& rules : all) EXPECT_EQ(Decode(vectors.HandleOf(numbers[i++])), rules);
  }
}

TEST_F(BitVectorsTest, EqualBlocksAreOneEvenWhenTheBitmapsDiffer) {
  BitVectors vectors(40000, {});
  const uint32_t a = *vectors.Add(Bits({5, 39999}));
  const uint32_t b = *vectors.AddColumn(Bits({6, 39999}));
  const uint32_t c = *vectors.Add(Bits({5, 39999}));
  vectors.Seal(0);
  Place(vectors);
  EXPECT_EQ(vectors.HandleOf(a), vectors.HandleOf(c));
  EXPECT_NE(vectors.HandleOf(a), vectors.HandleOf(b));
  EXPECT_EQ(Block(vectors.HandleOf(a)).next, Block(vectors.HandleOf(b)).next);
}

TEST_F(BitVectorsTest, RulesForAnyAddressStandInColumnsAndNotInRows) {
  BitVectors vectors(20000, Bits({1, 70, 17000, 19999}));
  const uint32_t row = *vectors.Add(Bits({2}));
  const uint32_t column = *vectors.AddColumn(Bits({1, 2, 17000}));
  const uint32_t source = *vectors.Add(Bits({1, 2}));
  vectors.Seal(0);
  Place(vectors);
  EXPECT_EQ(Decode(vectors.HandleOf(row)), std::set<uint32_t>({2}));
  EXPECT_EQ(Decode(vectors.HandleOf(column)), std::set<uint32_t>({1, 2, 17000}));
  EXPECT_EQ(Decode(vectors.HandleOf(source)), std::set<uint32_t>({1, 2}));
  const bitmap_block first = Block(vectors.HandleOf(column)), second = Block(first.next);
  EXPECT_EQ(Decode(first.always), std::set<uint32_t>({1}));
  EXPECT_EQ(Decode(second.always, BITMAP_BLOCK_RULES), std::set<uint32_t>({17000}));
  EXPECT_EQ(Block(vectors.HandleOf(row)).always, 0u);
}

TEST_F(BitVectorsTest, AfterSealBitmapsGoIntoTheSlackUntilItIsUsedUp) {
  BitVectors vectors(300, {});
  ASSERT_TRUE(vectors.Add(Bits({299})));
  vectors.Seal(3);
  Place(vectors);
  for (uint32_t i = 0; i < 3; ++i) {
    const auto number = vectors.Add(Bits({i}));
    ASSERT_TRUE(number);
    TableWrites writes;
    vectors.TakeChanges(writes);
    ASSERT_EQ(writes.size(), 1u);
    EXPECT_EQ(std::get<WriteWords>(writes[0]).words.size(), ARENA_LINE_WORDS) << "only what is new";
    Apply(writes);
    EXPECT_EQ(Decode(vectors.HandleOf(*number)), std::set<uint32_t>({i}));
  }
  EXPECT_FALSE(vectors.Add(Bits({3})));
  EXPECT_TRUE(vectors.Add(Bits({2}))) << "known ones need no room";
}

TEST_F(BitVectorsTest, ManyBitmapsTakeMoreExtentsThanOne) {
  BitVectors vectors(10000, {});
  std::vector<uint32_t> numbers;
  for (uint32_t i = 0; i < 9999; ++i) {
    std::set<uint32_t> rules;
    for (uint32_t r = i; r < 10000; r += 640) rules.insert(r);  // a line and a half each
    numbers.push_back(*vectors.Add(Bits(rules)));
  }
  vectors.Seal(1);
  EXPECT_GT(vectors.extents().size(), 1u);
  for (const uint32_t lines : vectors.extents()) EXPECT_LE(lines, ARENA_CHUNK_LINES / 4u);
  Place(vectors);
  for (const uint32_t i : {0u, 1u, 5000u, 9998u})
    EXPECT_TRUE(Decode(vectors.HandleOf(numbers[i])).contains(i));
}

}  // namespace
}  // namespace ripstop::policy
