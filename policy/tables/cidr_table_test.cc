// SPDX-License-Identifier: Apache-2.0
//
// The CIDR table against a list of prefixes that is searched from end to end.
#include "policy/tables/cidr_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <optional>
#include <random>
#include <vector>

#include "policy/testing/cidr_memory.h"

namespace ripstop::policy {
namespace {

using testing::Class;
using testing::Last;
using testing::LongestOf;
using testing::Memory;
using testing::Next;
using testing::Prefixes;

class CidrTableTest : public ::testing::Test {
 protected:
  void SetUp() override {
    roots_ = *arena_.Allocate(GENERATION_LINES);
    start_ = arena_.bytes_used();
    table_.PlaceRoots(roots_);
  }
  uint32_t Below(uint32_t n) { return static_cast<uint32_t>(random_() % n); }

  // Prefixes that lie in and beside one another often: a few bytes, of few values.
  Cidr RandomCidr() {
    const bool v4 = Below(2) == 0;
    Address a = v4 ? Address::FromV4(0) : Address{};
    for (size_t i = v4 ? 12 : 0; i < 16; ++i) {
      static constexpr uint8_t kValues[] = {0, 0, 0, 0x80, 0x81, 0x10, 0xff};
      a.bytes[i] = kValues[Below(i < 14 ? 4 : 7)];
    }
    // Long ones mostly; those that end in the root write much.
    const int least = Below(20) == 0 ? 0 : 17;
    const int family = v4 ? 32 : 128;
    return Cidr::Of(a, (v4 ? 96 : 0) + least + static_cast<int>(Below(family - least + 1)));
  }
  void AddBoundaries(const Cidr& cidr, std::vector<Address>& probes) {
    const Address last = Last(cidr);
    probes.insert(probes.end(), {cidr.address, last, Next(cidr.address, -1), Next(last, 1)});
    Address inside = cidr.address;
    for (int bit = cidr.bits; bit < 128; ++bit) {
      if (Below(2) == 0) inside.bytes[bit / 8] |= 0x80 >> (bit % 8);
    }
    probes.push_back(inside);
  }

  // One change; checks after each stored word that each probe has its old or its new class.
  void Change(const Cidr& cidr, std::optional<uint32_t> address_class) {
    std::vector<Address> probes;
    AddBoundaries(cidr, probes);
    for (int i = 0; i < 6; ++i) {
      AddBoundaries(RandomCidr(), probes);
      if (prefixes_.empty()) continue;
      AddBoundaries(
          std::next(prefixes_.begin(), Below(static_cast<uint32_t>(prefixes_.size())))->first,
          probes);
    }
    std::vector<Class> old, now;
    for (const Address& a : probes) old.push_back(memory_.Find(a, roots_));
    TableWrites writes;
    if (address_class) {
      prefixes_[cidr] = *address_class;
      table_.Set(cidr, *address_class, writes);
    } else {
      prefixes_.erase(cidr);
      table_.Remove(cidr, writes);
    }
    for (const Address& a : probes) now.push_back(LongestOf(prefixes_, a));
    const auto check = [&](bool done) {
      for (size_t i = 0; i < probes.size(); ++i) {
        const Class got = memory_.Find(probes[i], roots_);
        ASSERT_TRUE(got == now[i] || (!done && got == old[i]))
            << probes[i].ToString() << " has " << got.value_or(-1) << ", before "
            << old[i].value_or(-1) << ", after " << now[i].value_or(-1) << ", at "
            << cidr.ToString();
      }
    };
    for (const TableWrite& write : writes) {
      const auto& words = std::get<WriteWords>(write);
      const size_t stride = 1 + words.words.size() / 400;
      for (size_t i = 0; i < words.words.size(); ++i) {
        memory_.Store(words, i);
        if (i % stride != 0) continue;
        ASSERT_NO_FATAL_FAILURE(check(false));
      }
    }
    ASSERT_NO_FATAL_FAILURE(check(true));
  }

  Arena arena_{3, 8};
  CidrTable table_{&arena_};
  Memory memory_;
  Prefixes prefixes_;
  uint32_t roots_ = 0;
  uint64_t start_ = 0;
  std::mt19937_64 random_{1};
};

TEST_F(CidrTableTest, EveryStoreOfEveryChangeGivesTheOldOrTheNewClass) {
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE(seed);
    random_.seed(seed);
    const size_t most = 10 << Below(5);
    for (int step = 0; step < 600; ++step) {
      const bool add = prefixes_.empty() || (prefixes_.size() < most && Below(100) < 60);
      const Cidr some =
          prefixes_.empty()
              ? Cidr{}
              : std::next(prefixes_.begin(), Below(static_cast<uint32_t>(prefixes_.size())))->first;
      if (add) {
        ASSERT_NO_FATAL_FAILURE(Change(RandomCidr(), Below(5)));
      } else if (Below(4) == 0) {
        ASSERT_NO_FATAL_FAILURE(Change(some, Below(5)));
      } else {
        ASSERT_NO_FATAL_FAILURE(Change(some, std::nullopt));
      }
      if (Below(10) == 0) table_.FreeRetired();
    }
    std::vector<Cidr> rest;
    for (const auto& [cidr, address_class] : prefixes_) rest.push_back(cidr);
    std::shuffle(rest.begin(), rest.end(), random_);
    for (const Cidr& cidr : rest) ASSERT_NO_FATAL_FAILURE(Change(cidr, std::nullopt));
    EXPECT_EQ(arena_.bytes_used() - table_.retired_bytes(), start_);
    table_.FreeRetired();
    EXPECT_EQ(arena_.bytes_used(), start_) << "memory comes back";
  }
}

TEST_F(CidrTableTest, APrefixOfOneFamilyIsNothingToTheOther) {
  TableWrites writes;
  table_.Set(*Cidr::Parse("::/0"), 6, writes);
  memory_.Apply(writes);
  EXPECT_EQ(memory_.Find(*Address::Parse("2001:db8::1"), roots_), 6u);
  EXPECT_EQ(memory_.Find(*Address::Parse("::fffe:0:1"), roots_), 6u);
  EXPECT_EQ(memory_.Find(*Address::Parse("192.0.2.1"), roots_), 0u);
  writes.clear();
  table_.Set(*Cidr::Parse("0.0.0.0/0"), 4, writes);
  memory_.Apply(writes);
  EXPECT_EQ(memory_.Find(*Address::Parse("2001:db8::1"), roots_), 6u);
  EXPECT_EQ(memory_.Find(*Address::Parse("192.0.2.1"), roots_), 4u);
}

TEST_F(CidrTableTest, NeighbouringWordsAreOneWrite) {
  TableWrites writes;
  table_.Set(*Cidr::Parse("10.0.0.0/8"), 1, writes);
  ASSERT_EQ(writes.size(), 1u);
  EXPECT_EQ(std::get<WriteWords>(writes[0]).words.size(), 256u);
  writes.clear();
  table_.Set(*Cidr::Parse("10.1.2.0/24"), 2, writes);
  EXPECT_EQ(writes.size(), 2u) << "a node and the word that names it";
  writes.clear();
  table_.Set(*Cidr::Parse("10.1.2.0/24"), 3, writes);
  ASSERT_EQ(writes.size(), 1u) << "another class of a known prefix is one word";
  EXPECT_EQ(std::get<WriteWords>(writes[0]).words.size(), 1u);
  writes.clear();
  table_.Set(*Cidr::Parse("10.1.2.0/24"), 3, writes);
  EXPECT_TRUE(writes.empty());
}

// A chunk with room for a few nodes: what does not fit is denied, and comes when there is.
TEST_F(CidrTableTest, WithoutRoomTheSixteenBitsOfThePrefixAreDenied) {
  Arena small(0, 1);
  const uint32_t block = *small.Allocate(GENERATION_LINES);
  const uint32_t rest = ARENA_CHUNK_LINES - 1 - GENERATION_LINES - 5 * CIDR_NODE_LINES;
  const uint32_t taken = *small.Allocate(rest);
  CidrTable table(&small);
  table.PlaceRoots(block);
  Memory memory;
  for (int round = 0; round < 3; ++round) {
    Prefixes all;
    bool alarmed = false;
    for (uint32_t i = 0; i < 30; ++i) {
      TableWrites writes;
      const Cidr cidr =
          Cidr::Of(Address::FromV4(0xc6330000 + (Below(3) << 16) + (Below(256) << 8)), 96 + 24);
      if (i % 3 == 2 && !all.empty()) {
        const Cidr some = all.begin()->first;
        table.Remove(some, writes);
        all.erase(some);
      } else {
        table.Set(cidr, 1 + i, writes);
        all[cidr] = 1 + i;
      }
      memory.Apply(writes);
      size_t denied = 0;
      for (uint32_t a = 0xc6320000; a < 0xc6370000; a += 64) {
        const Address address = Address::FromV4(a);
        const Class got = memory.Find(address, block);
        denied += !got;
        ASSERT_EQ(got.value_or(LongestOf(all, address)), LongestOf(all, address))
            << address.ToString();
      }
      EXPECT_EQ(denied % 1024, 0u) << "whole blocks of 16 bits";
      EXPECT_EQ(denied > 0, !table.Alarms().empty());
      EXPECT_EQ(memory.Find(Address::FromV4(0xc6320000), block), 0u) << "others are as they were";
      alarmed |= denied > 0;
      table.FreeRetired();
    }
    EXPECT_TRUE(alarmed);
    small.Free(taken, rest);
    TableWrites writes;
    table.Retry(writes);
    memory.Apply(writes);
    EXPECT_TRUE(table.Alarms().empty());
    for (uint32_t a = 0xc6320000; a < 0xc6370000; a += 64) {
      ASSERT_EQ(memory.Find(Address::FromV4(a), block), LongestOf(all, Address::FromV4(a)));
    }
    writes.clear();
    for (const auto& [cidr, address_class] : all) table.Remove(cidr, writes);
    memory.Apply(writes);
    table.FreeRetired();
    ASSERT_EQ(small.Allocate(rest), taken) << "nothing is left";
  }
}

TEST_F(CidrTableTest, MemoryAndDepthStaySmallWhateverThePrefixes) {
  for (const bool v4 : {true, false}) {
    TableWrites writes;
    std::vector<Cidr> cidrs;
    for (int i = 0; i < 10'000; ++i) {
      Address a = v4 ? Address::FromV4(static_cast<uint32_t>(random_())) : Address{};
      for (size_t byte = 0; byte < 8 && !v4; ++byte)
        a.bytes[byte] = static_cast<uint8_t>(random_());
      if (!v4) a.bytes[0] = 0x20 | (a.bytes[0] & 0x0f);
      cidrs.push_back(Cidr::Of(a, v4 ? 96 + 17 + Below(15) : 32 + Below(33)));
      table_.Set(cidrs.back(), 1 + i, writes);
    }
    memory_.Apply(writes);
    const uint64_t bytes = arena_.bytes_used() - start_;
    memory_.reads = 0;
    size_t most = 0;
    for (const Cidr& cidr : cidrs) {
      const size_t before = memory_.reads;
      ASSERT_TRUE(memory_.Find(cidr.address, roots_));
      most = std::max(most, memory_.reads - before);
    }
    std::printf(
        "10,000 random %s prefixes: %llu bytes of nodes, %.1f lines read by a walk, %zu at most\n",
        v4 ? "IPv4" : "IPv6", static_cast<unsigned long long>(bytes),
        static_cast<double>(memory_.reads) / 10'000, most);
    EXPECT_LE(bytes, 10'000u * 2 * CIDR_NODE_LINES * ARENA_LINE_BYTES);
    for (const Cidr& cidr : cidrs) table_.Remove(cidr, writes);
    table_.FreeRetired();
    EXPECT_EQ(arena_.bytes_used(), start_);
  }
}

TEST_F(CidrTableTest, OneLongPrefixCostsOneNode) {
  TableWrites writes;
  table_.Set(*Cidr::Parse("2001:db8:1:2::/64"), 1, writes);
  EXPECT_EQ(arena_.bytes_used() - start_, uint64_t{CIDR_NODE_LINES} * ARENA_LINE_BYTES);
}

}  // namespace
}  // namespace ripstop::policy
