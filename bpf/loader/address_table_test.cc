// SPDX-License-Identifier: Apache-2.0
//
// What programs read of a table of addresses at each moment of its growth.
#include "bpf/loader/address_table.h"

#include <bpf/bpf.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <optional>
#include <random>
#include <set>

#include "gtest/gtest.h"

namespace ripstop::loader {
namespace {

constexpr uint32_t kSlot = 1;
constexpr uint32_t kCapacity = 16384;  // most of which is more than one Set copies

struct Entries {
  std::vector<address_key> keys;
  std::vector<address_value> values;
};

class AddressTableTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto inner = MakeInnerMap(BPF_MAP_TYPE_HASH, "inner", sizeof(address_key),
                              sizeof(address_value), 8, BPF_F_NO_PREALLOC);
    if (!inner.ok()) GTEST_SKIP() << "needs CAP_BPF: " << inner.status();
    LIBBPF_OPTS(bpf_map_create_opts, options, .inner_map_fd = static_cast<uint32_t>(inner->get()));
    outer_.reset(bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "outer", sizeof(uint32_t),
                                sizeof(uint32_t), 2, &options));
    ASSERT_TRUE(outer_.ok()) << strerror(errno);
    table_.emplace(outer_.get());
    const absl::Status begun = table_->Begin(kSlot, kCapacity);
    ASSERT_TRUE(begun.ok()) << begun;
  }

  // The map that programs find.
  UniqueFd Read() const {
    const uint32_t slot = kSlot;
    uint32_t id = 0;
    EXPECT_EQ(bpf_map_lookup_elem(outer_.get(), &slot, &id), 0);
    return UniqueFd(bpf_map_get_fd_by_id(id));
  }
  static address_key Key(uint32_t number) {
    address_key key = {};
    std::memcpy(&key, &number, sizeof(number));
    return key;
  }
  // Puts these numbers, with a class that was never used before, and notes it in expected_.
  absl::Status Put(const std::vector<uint32_t>& numbers, bool told = true) {
    Entries entries;
    size_t added = 0;
    for (const uint32_t number : numbers) {
      added += expected_.insert_or_assign(number, ++last_class_).second;
      entries.keys.push_back(Key(number));
      entries.values.push_back({.address_class = last_class_});
    }
    return table_->Set(entries.keys, entries.values, told ? added : 0);
  }
  absl::Status Remove(uint32_t number) {
    expected_.erase(number);
    return table_->Remove(Key(number));
  }
  void ExpectAll() const {
    const UniqueFd map = Read();
    size_t wrong = 0;
    for (const auto& [number, address_class] : expected_) {
      const address_key key = Key(number);
      address_value value = {};
      wrong +=
          bpf_map_lookup_elem(map.get(), &key, &value) != 0 || value.address_class != address_class;
    }
    EXPECT_EQ(wrong, 0u) << "of " << expected_.size();
    for (const uint32_t number : removed_) {
      const address_key key = Key(number);
      address_value value = {};
      if (!expected_.contains(number)) {
        EXPECT_NE(bpf_map_lookup_elem(map.get(), &key, &value), 0) << number << " was removed";
      }
    }
  }
  static std::vector<uint32_t> Numbers(uint32_t first, uint32_t count) {
    std::vector<uint32_t> numbers(count);
    for (uint32_t i = 0; i < count; ++i) numbers[i] = first + i;
    return numbers;
  }

  UniqueFd outer_;
  std::optional<AddressTable> table_;
  std::map<uint32_t, uint32_t> expected_;  // number to class
  std::set<uint32_t> removed_;
  uint32_t last_class_ = 0;
};

TEST_F(AddressTableTest, GrowsBeforeItIsFullAndInParts) {
  ASSERT_TRUE(Put(Numbers(0, kCapacity / 8 * 7 - 1)).ok());
  EXPECT_FALSE(table_->growing());
  int parts = 0;
  for (uint32_t number = kCapacity; table_->capacity() == kCapacity; ++number, ++parts) {
    ASSERT_LT(parts, 100);
    ASSERT_TRUE(Put({number}).ok());
    EXPECT_EQ(table_->growing(), table_->capacity() == kCapacity);
  }
  EXPECT_GE(parts, 3) << "a part of the copy each";
  EXPECT_LT(expected_.size(), kCapacity);
  ExpectAll();
}

TEST_F(AddressTableTest, WhatIsWrittenWhileItGrowsStays) {
  std::mt19937 random(7);
  ASSERT_TRUE(Put(Numbers(0, kCapacity / 8 * 7 - 1)).ok());
  int growths = 0;
  for (int round = 0; round < 200 && growths < 3; ++round) {
    const uint32_t capacity = table_->capacity();
    std::vector<uint32_t> numbers;
    for (int i = 0; i < 300; ++i) numbers.push_back(random() % (4 * kCapacity));
    for (uint32_t number : numbers) {
      if (number % 3 != 0) continue;
      removed_.insert(number);
      ASSERT_TRUE(Remove(number).ok());
    }
    std::erase_if(numbers, [](uint32_t number) { return number % 3 == 0; });
    ASSERT_TRUE(Put(numbers).ok());
    if (table_->growing() || table_->capacity() != capacity) ExpectAll();
    growths += table_->capacity() != capacity;
  }
  EXPECT_GE(growths, 1);
}

TEST_F(AddressTableTest, OneThatIsFullBeforeItWasToldGrowsAtOnce) {
  ASSERT_TRUE(Put(Numbers(0, kCapacity * 3), /*told=*/false).ok());
  EXPECT_GE(table_->capacity(), 3 * kCapacity);
  ExpectAll();
}

TEST_F(AddressTableTest, ManyAtOnceFindRoomInOneGrowth) {
  ASSERT_TRUE(Put(Numbers(0, kCapacity * 20)).ok());
  EXPECT_EQ(table_->capacity(), 32 * kCapacity);
  ExpectAll();
}

}  // namespace
}  // namespace ripstop::loader
