// SPDX-License-Identifier: Apache-2.0
//
// What the kernel's maps hold after a change.
#include "bpf/loader/table_store.h"

#include <bpf/bpf.h>

#include <optional>

#include "gtest/gtest.h"

namespace ripstop::loader {
namespace {

class TableStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto object = DatapathObject::Load({}, "");
    if (absl::IsPermissionDenied(object.status()))
      GTEST_SKIP() << "needs CAP_BPF and CAP_NET_ADMIN";
    ASSERT_TRUE(object.ok()) << object.status();
    object_ = *std::move(object);
    store_.emplace(object_.get(), DatapathSizes{});
    const auto options = store_->Begin();
    ASSERT_TRUE(options.ok()) << options.status();
    first_ = options->first_chunk;
  }
  policy::WriteWords Write(uint32_t chunk, uint32_t word) const {
    return {ARENA_HANDLE(first_ + chunk, 5), 1, {word}};
  }
  // What Write wrote, as programs read it; nullopt: no such chunk.
  std::optional<uint32_t> Word(uint32_t chunk) const {
    const uint32_t index = first_ + chunk, line = 5;
    uint32_t id = 0;
    if (bpf_map_lookup_elem(object_->arena(), &index, &id) != 0) return std::nullopt;
    const UniqueFd inner(bpf_map_get_fd_by_id(id));
    arena_line value = {};
    EXPECT_EQ(bpf_map_lookup_elem(inner.get(), &line, &value), 0);
    return value.words[1];
  }
  uint32_t AddressCapacity(uint32_t slot) const {
    uint32_t id = 0;
    if (bpf_map_lookup_elem(object_->addresses(), &slot, &id) != 0) return 0;
    const UniqueFd inner(bpf_map_get_fd_by_id(id));
    bpf_map_info info = {};
    uint32_t bytes = sizeof(info);
    EXPECT_EQ(bpf_obj_get_info_by_fd(inner.get(), &info, &bytes), 0);
    return info.max_entries;
  }
  bool HasHits(uint32_t rule) const {
    const uint32_t index = HITS_CHUNK(store_->slot(), rule);
    uint32_t id = 0;
    return bpf_map_lookup_elem(object_->hits(), &index, &id) == 0;
  }

  std::unique_ptr<DatapathObject> object_;
  std::optional<TableStore> store_;
  uint32_t first_ = 0;
};

TEST_F(TableStoreTest, EveryChunkOfAChangeIsAtItsPlaceWithItsWords) {
  ASSERT_TRUE(store_->Apply({Write(0, 10)}).ok());
  ASSERT_TRUE(
      store_->Apply({Write(7, 17), Write(0, 20), Write(2, 12), Write(3, 13), Write(2, 22)}).ok());
  EXPECT_EQ(Word(0), 20u);
  EXPECT_EQ(Word(2), 22u);
  EXPECT_EQ(Word(3), 13u);
  EXPECT_EQ(Word(7), 17u);
  EXPECT_EQ(Word(1), std::nullopt);
}

TEST_F(TableStoreTest, AChunkGivenBackAndTakenAgainInOneChangeIsEmptyBetween) {
  ASSERT_TRUE(store_->Apply({Write(1, 11)}).ok());
  policy::WriteWords other = Write(1, 12);
  other.first_word = 2;
  ASSERT_TRUE(store_->Apply({Write(2, 12), policy::ReleaseChunk{first_ + 1}, other}).ok());
  EXPECT_EQ(Word(1), 0u);
  EXPECT_EQ(Word(2), 12u);
  ASSERT_TRUE(store_->Apply({policy::ReleaseChunk{first_ + 1}}).ok());
  EXPECT_EQ(Word(1), std::nullopt);
}

TEST_F(TableStoreTest, AGenerationThatWasNotFinishedLeavesNothingToTheNext) {
  constexpr uint32_t kLast = ARENA_CHUNKS_MAX / 2 - 1;
  ASSERT_TRUE(store_->Apply({Write(0, 10), Write(7, 17), Write(kLast, 19)}).ok());
  TableStore next(object_.get(), DatapathSizes{});
  const auto options = next.Begin();
  ASSERT_TRUE(options.ok()) << options.status();
  ASSERT_EQ(options->first_chunk, first_);
  for (const uint32_t chunk : {0u, 7u, kLast}) EXPECT_EQ(Word(chunk), std::nullopt) << chunk;
}

TEST_F(TableStoreTest, AGenerationInForceTakesTheChunksOfTheOneBeforeAndNoOthers) {
  ASSERT_TRUE(store_->Apply({Write(0, 10), Write(7, 17)}).ok());
  ASSERT_TRUE(store_->Commit(ARENA_HANDLE(first_, 1)).ok());
  EXPECT_EQ(Word(7), 17u);
  TableStore next(object_.get(), DatapathSizes{});
  const auto options = next.Begin();
  ASSERT_TRUE(options.ok()) << options.status();
  const uint32_t other = options->first_chunk - first_;
  ASSERT_NE(other, 0u);
  ASSERT_TRUE(next.Apply({Write(other, 20)}).ok());
  EXPECT_EQ(Word(7), 17u) << "in force until the next is";
  ASSERT_TRUE(next.Commit(ARENA_HANDLE(options->first_chunk, 1)).ok());
  for (const uint32_t chunk : {0u, 7u}) EXPECT_EQ(Word(chunk), std::nullopt) << chunk;
  EXPECT_EQ(Word(other), 20u);
}

TEST_F(TableStoreTest, AGenerationHasRoomForAsManyAddressesAsTheOneInForce) {
  const uint32_t first = DatapathSizes{}.addresses;
  policy::TableWrites writes;
  for (uint32_t i = 0; i < first; ++i) {
    const auto address = policy::Address::FromV4(0xc6120000u + i);
    writes.push_back(policy::SetAddress{address, {.address_class = 1}, true});
  }
  ASSERT_TRUE(store_->Apply(writes).ok());
  ASSERT_GT(AddressCapacity(store_->slot()), first);
  TableStore unfinished(object_.get(), DatapathSizes{});
  ASSERT_TRUE(unfinished.Begin().ok());
  EXPECT_EQ(AddressCapacity(unfinished.slot()), first) << "nothing was in force";

  ASSERT_TRUE(unfinished.Apply(writes).ok());
  const uint32_t grown = AddressCapacity(unfinished.slot());
  ASSERT_TRUE(unfinished.Commit(ARENA_HANDLE(first_, 1)).ok());
  TableStore next(object_.get(), DatapathSizes{});
  ASSERT_TRUE(next.Begin().ok());
  ASSERT_NE(next.slot(), unfinished.slot());
  EXPECT_EQ(AddressCapacity(next.slot()), grown);
}

TEST_F(TableStoreTest, AChunkOfAnotherGenerationIsRefusedAfterWhatStoodBefore) {
  EXPECT_TRUE(absl::IsOutOfRange(
      store_->Apply({Write(1, 11), Write(ARENA_CHUNKS_MAX / 2, 1), Write(1, 12)})));
  EXPECT_EQ(Word(1), 11u);
  EXPECT_EQ(Word(ARENA_CHUNKS_MAX / 2), std::nullopt);
}

TEST_F(TableStoreTest, RuleHitsGrowByAsManyChunksAsThereAreRules) {
  EXPECT_TRUE(HasHits(HITS_CHUNK_RULES - 1));
  EXPECT_FALSE(HasHits(HITS_CHUNK_RULES));
  ASSERT_TRUE(store_->Apply({policy::EnsureRules{3 * HITS_CHUNK_RULES + 1}}).ok());
  for (uint32_t chunk = 0; chunk < 4; ++chunk)
    EXPECT_TRUE(HasHits(chunk * HITS_CHUNK_RULES)) << chunk;
  EXPECT_FALSE(HasHits(4 * HITS_CHUNK_RULES));
}

}  // namespace
}  // namespace ripstop::loader
