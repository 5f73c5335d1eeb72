// SPDX-License-Identifier: Apache-2.0
#include "api/ipam/block.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "api/ipam/block_summary.h"
#include "api/ipam/claims.h"

namespace ripstop::ipam {
namespace {

using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

policy::Address Addr(std::string_view text) { return *policy::Address::Parse(text); }
policy::Cidr Net(std::string_view text) { return *policy::Cidr::Parse(text); }
Owner Of(const std::string& handle) { return {handle, "shop", "pod"}; }
api::StoredResource Stored(const Block& block) {
  return {.key = Block::KeyFor(block.cidr()), .value = block.Encode(), .revision = 1};
}

TEST(BlockTest, KeysAreReadBack) {
  for (const char* text : {"10.65.0.0/26", "192.0.2.4/32", "2001:db8:65::/122", "::/116",
                           "2001:db8:1:2:3:4:5:6/128", "fd00::1:0/112"}) {
    EXPECT_EQ(Block::CidrOf(Block::KeyFor(Net(text))), Net(text)) << text;
  }
  for (const char* name : {"", "-", "10-65-0-0", "10-65-0-0-99", "10-65-0-1-26", "x-y-z-w-26"}) {
    EXPECT_EQ(Block::CidrOf({kBlockKind, "", name}), std::nullopt) << name;
  }
}

TEST(BlockTest, WhatIsKeptBackIsGivenToWhoAsksAndDoesNotJoinTheFree) {
  Block block = Block::Make(Net("192.0.2.0/29"), "n1", {Addr("192.0.2.0"), Addr("192.0.2.7")});
  EXPECT_EQ(block.free_count(), 6);
  auto first = block.AllocateThis(Addr("192.0.2.0"), Of("c1"), "n1");
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(block.AllocateThis(Addr("192.0.2.0"), Of("c2"), "n1").status().code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(block.Release(*first));
  EXPECT_EQ(block.free_count(), 6);
  EXPECT_TRUE(block.AllocateThis(Addr("192.0.2.0"), Of("c3"), "n1").ok());
}

TEST(BlockTest, ARestoredAllocationHasItsNumberAgain) {
  Block block = Block::Make(Net("192.0.2.0/29"), "n1", {});
  const Allocation lost = {Addr("192.0.2.3"), Net("192.0.2.0/29"), "c1", 41};
  ASSERT_TRUE(block.Restore(lost, Of("c1"), "n1").ok());
  ASSERT_TRUE(block.Restore(lost, Of("c1"), "n1").ok()) << "repeated";
  EXPECT_THAT(block.AllocationsOf("n1"), testing::ElementsAre(lost));
  EXPECT_GT(block.Allocate(Of("c2"), "n1")->sequence, 41u);
  EXPECT_EQ(block.Restore({Addr("192.0.2.3"), Net("192.0.2.0/29"), "c9", 1}, Of("c9"), "n1").code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(block.Release(lost));
}

TEST(BlockTest, ASummarySaysWhatTheBlockSays) {
  for (const char* text : {"192.0.2.0/26", "2001:db8::/122"}) {
    Block block = Block::Make(Net(text), "n1", {});
    for (int i = 0; i < 40; ++i) {
      const char* node = i % 7 == 3 ? "n2" : "n1";
      ASSERT_TRUE(block.Allocate(Of(absl::StrCat("c", i)), node).ok());
    }
    const auto summary = Summarize(Stored(block));
    ASSERT_TRUE(summary.ok()) << summary.status();
    EXPECT_EQ(summary->cidr, Net(text));
    EXPECT_EQ(summary->affinity, "n1");
    EXPECT_EQ(summary->used, 40u);
    EXPECT_TRUE(summary->has_free);
    EXPECT_EQ(summary->borrowed, block.Borrowed());
    EXPECT_THAT(summary->borrowed, SizeIs(6));
  }
}

TEST(BlockTest, AFullBlockHasNoFreeAndOneThatIsNobodysLendsAllItHas) {
  Block block = Block::Make(Net("192.0.2.4/31"), "n1", {});
  ASSERT_TRUE(block.Allocate(Of("a"), "n1").ok());
  ASSERT_TRUE(block.Allocate(Of("b"), "n2").ok());
  block.set_affinity("");
  const auto summary = Summarize(Stored(block));
  ASSERT_TRUE(summary.ok());
  EXPECT_FALSE(summary->has_free);
  EXPECT_EQ(summary->affinity, "");
  EXPECT_THAT(summary->borrowed,
              UnorderedElementsAre(Pair(Addr("192.0.2.4"), "n1"), Pair(Addr("192.0.2.5"), "n2")));
}

TEST(BlockTest, WhatIsNoBlockIsRefusedByBothReadersAndNamed) {
  const Block good = Block::Make(Net("192.0.2.0/26"), "n1", {});
  std::vector<api::StoredResource> bad(4, Stored(good));
  bad[0].value = "\xff\xff";
  bad[1].value.resize(bad[1].value.size() - 3);
  bad[2].key.name = "192-0-2-64-26";  // another's
  bad[3].value = v1::IPAMBlock().SerializeAsString();
  for (const api::StoredResource& stored : bad) {
    for (const absl::Status& status :
         {Block::Decode(stored).status(), Summarize(stored).status()}) {
      EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
      EXPECT_THAT(status.message(), HasSubstr(stored.key.name));
    }
  }
  v1::IPAMBlock large;
  large.set_cidr("10.0.0.0/8");
  EXPECT_FALSE(Block::Decode({{kBlockKind, "", "10-0-0-0-8"}, large.SerializeAsString()}).ok());
}

// The reader of stored bytes follows lengths that a damaged value may lie about.
TEST(BlockTest, EveryCutAndEveryFlippedByteIsReadOrRefused) {
  Block block = Block::Make(Net("192.0.2.0/28"), "n1", {});
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(block.Allocate(Of("c"), i < 2 ? "n1" : "n2").ok());
  const api::StoredResource whole = Stored(block);
  for (size_t i = 0; i < whole.value.size(); ++i) {
    api::StoredResource cut = whole;
    cut.value.resize(i);
    (void)Summarize(cut);
    for (const char flip : {'\x01', '\x80', '\xff'}) {
      api::StoredResource flipped = whole;
      flipped.value[i] = static_cast<char>(flipped.value[i] ^ flip);
      (void)Summarize(flipped);
    }
  }
}

TEST(ClaimsTest, ABlockIsSeenByWhoeverWouldLieAcrossIt) {
  Claims claims = Claims::Of(Net("10.70.4.64/26"));
  EXPECT_EQ(Claims::KeyFor(Net("10.70.4.64/26")), Claims::KeyFor(Net("10.70.15.255/32")));
  claims.Add(Net("10.70.4.64/26"), "n1");
  for (const char* across :
       {"10.70.4.64/26", "10.70.4.64/28", "10.70.4.127/32", "10.70.4.0/24", "10.70.0.0/20"}) {
    const auto found = claims.Overlapping(Net(across));
    ASSERT_TRUE(found.has_value()) << across;
    EXPECT_EQ(found->node, "n1");
  }
  EXPECT_FALSE(claims.Overlapping(Net("10.70.4.128/26")).has_value());
  auto read = Claims::Decode({Claims::KeyFor(Net("10.70.4.64/26")), claims.Encode()});
  ASSERT_TRUE(read.ok()) << read.status();
  read->Remove(Net("10.70.4.64/26"), 17);
  EXPECT_FALSE(read->Overlapping(Net("10.70.0.0/20")).has_value());
  EXPECT_EQ(read->sequence(), 17u);
}

TEST(ClaimsTest, WhatIsNotThisRangesIsRefused) {
  Claims claims = Claims::Of(Net("10.70.4.64/26"));
  claims.Add(Net("10.80.0.0/26"), "n1");
  EXPECT_FALSE(Claims::Decode({Claims::KeyFor(Net("10.70.0.0/26")), claims.Encode()}).ok());
  EXPECT_FALSE(Claims::Decode({Claims::KeyFor(Net("10.80.0.0/26")), claims.Encode()}).ok());
  EXPECT_FALSE(Claims::Decode({Claims::KeyFor(Net("10.70.0.0/26")), "\xff"}).ok());
}

}  // namespace
}  // namespace ripstop::ipam
