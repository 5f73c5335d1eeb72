// SPDX-License-Identifier: Apache-2.0
//
// How blocks come and go: claimed in one way, given back when idle, held when lost.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "agent/ipam/testing/ipam_fixture.h"

namespace ripstop::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class IpamBlocksTest : public IpamTest {
 protected:
  void ExpectBlocksApart() {
    const std::vector<Block> blocks = StoredBlocks();
    for (size_t i = 0; i < blocks.size(); ++i) {
      for (size_t j = 0; j < i; ++j) {
        EXPECT_FALSE(blocks[i].cidr().Contains(blocks[j].cidr()) ||
                     blocks[j].cidr().Contains(blocks[i].cidr()))
            << blocks[i].cidr().ToString() << " and " << blocks[j].cidr().ToString();
      }
    }
  }
  absl::Time at_ = absl::UnixEpoch();
};

// ---- claiming ----

TEST_F(IpamBlocksTest, ARequestedAddressGoesByTheBlockThatIsThereNotByThePoolsBlockSize) {
  Ipam a = Node("a", {Pool("10.70.0.0/24", 26)});
  const Allocation first = One(a, For("c1", {Addr("10.70.0.5")}));
  for (const int block_size : {28, 24, 32}) {
    Ipam b = Node("b", {Pool("10.70.0.0/24", block_size)});
    const absl::Status taken = b.Allocate(For("thief", {Addr("10.70.0.5")})).status();
    EXPECT_EQ(taken.code(), absl::StatusCode::kAlreadyExists) << block_size << taken;
    EXPECT_THAT(taken.message(), HasSubstr("pod-of-c1"));
    const auto neighbour = static_cast<uint32_t>(0x0a460010 + block_size);
    const std::string handle = absl::StrCat("n", block_size);
    EXPECT_EQ(One(b, For(handle, {policy::Address::FromV4(neighbour)})).block, first.block);
  }
  EXPECT_THAT(StoredBlocks(), SizeIs(1));
}

TEST_F(IpamBlocksTest, AClaimAroundSmallerBlocksTakesWhatIsLeft) {
  Ipam a = Node("a", {Pool("10.70.0.0/24", 28)});
  One(a, For("c1", {Addr("10.70.0.5")}));
  Ipam b = Node("b", {Pool("10.70.0.0/24", 24)});  // changed in the store, say
  EXPECT_EQ(One(b, For("c2", {Addr("10.70.0.40")})).block, Net("10.70.0.32/27"));
  EXPECT_EQ(b.Allocate(For("c3", {Addr("10.70.0.5")})).status().code(),
            absl::StatusCode::kAlreadyExists);
  ExpectBlocksApart();
}

// The index may know nothing of what others claimed a moment ago: only the store decides.
TEST_F(IpamBlocksTest, AClaimThatNobodyToldOfIsSeenInTheStore) {
  Ipam a = Node("a", {Pool("10.70.0.0/24", 26)});
  Ipam b = Node("b", {Pool("10.70.0.0/24", 28)});  // loaded before anything was claimed
  One(a, For("c1", {Addr("10.70.0.5")}));
  EXPECT_EQ(b.Allocate(For("c2", {Addr("10.70.0.5")})).status().code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(One(b, For("c3", {Addr("10.70.0.6")})).block, Net("10.70.0.0/26"));
  ExpectBlocksApart();
}

TEST_F(IpamBlocksTest, ANewBlockCostsNoListAndTwoReadsHoweverManyAreKnown) {
  for (int i = 0; i < 300; ++i) {
    const auto address = policy::Address::FromV4(static_cast<uint32_t>(0x0a000000 + i * 64));
    const Block block = Block::Make(policy::Cidr::Of(address, 122), absl::StrCat("n", i % 50), {});
    ASSERT_TRUE(store_.Create(Block::KeyFor(block.cidr()), block.Encode()).ok());
  }
  Ipam ipam = Node("a", {Pool("10.0.0.0/16")});
  store_.lists = store_.writes = 0;
  One(ipam, For("c1"));
  EXPECT_EQ(store_.lists, 0);
  EXPECT_EQ(store_.writes, 2) << "the block and its claim, and the address";
  ExpectBlocksApart();
}

TEST_F(IpamBlocksTest, BlocksFromBeforeThereWereClaimsAreRespected) {
  const Block old = Block::Make(Net("10.70.0.0/26"), "old", {});
  ASSERT_TRUE(store_.Create(Block::KeyFor(old.cidr()), old.Encode()).ok());
  Ipam b = Node("b", {Pool("10.70.0.0/25", 25)});
  EXPECT_EQ(One(b, For("c1")).block, Net("10.70.0.0/26")) << "borrowed; no /25 fits";
  EXPECT_EQ(One(b, For("c2", {Addr("10.70.0.100")})).block, Net("10.70.0.64/26"));
  ExpectBlocksApart();
}

TEST_F(IpamBlocksTest, DamagedClaimsAreMadeAnewFromTheBlocks) {
  Ipam a = Node("a", {Pool("10.70.0.0/24", 26)});
  One(a, For("c1", {Addr("10.70.0.5")}));
  ASSERT_TRUE(store_.Update(ipam::Claims::KeyFor(Net("10.70.0.0/26")), "\xff\xff", 0).ok());
  Ipam b(&store_, "b");  // has heard of nothing
  ASSERT_TRUE(b.SetConfig({{Pool("10.70.0.0/24", 28)}}).ok());
  EXPECT_EQ(b.Allocate(For("c2", {Addr("10.70.0.5")})).status().code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(b.Allocate(For("c3", {Addr("10.70.0.200")})).ok());
  ExpectBlocksApart();
}

// A store without transactions may keep the claim of a block that was never made.
TEST_F(IpamBlocksTest, AClaimWithoutItsBlockIsTakenUpByItsNodeOnly) {
  ipam::Claims claims = ipam::Claims::Of(Net("10.70.0.0/24"));
  claims.Add(Net("10.70.0.0/24"), "a");
  ASSERT_TRUE(store_.Create(ipam::Claims::KeyFor(Net("10.70.0.0/24")), claims.Encode()).ok());
  Ipam b = Node("b", {Pool("10.70.0.0/24", 26)});
  EXPECT_EQ(b.Allocate(For("c1")).status().code(), absl::StatusCode::kResourceExhausted);
  Ipam a = Node("a", {Pool("10.70.0.0/24", 26)});
  EXPECT_TRUE(a.Allocate(For("c1")).ok());
}

// Nodes that each see the pool in another way, as while a change travels, and pods that
// come, go and ask for addresses; blocks are given back all the while.
TEST_F(IpamBlocksTest, WhateverSizesNodesBelieveInNoAddressIsGivenTwice) {
  constexpr int kNodes = 4, kSteps = 400;
  const int sizes[] = {24, 26, 27, 29, 32};
  std::vector<std::map<std::string, Allocation>> held(kNodes);
  std::vector<std::thread> threads;
  for (int n = 0; n < kNodes; ++n) {
    threads.emplace_back([&, n] {
      std::mt19937 random(static_cast<uint32_t>(n));
      Ipam ipam(&store_, absl::StrCat("node-", n));
      ASSERT_TRUE(ipam.Load().ok());
      for (int i = 0; i < kSteps; ++i) {
        IpamConfig config{{Pool("10.70.0.0/23", sizes[random() % 5]),
                           Pool("10.70.0.128/25", sizes[random() % 5])}};
        config.block_idle = absl::ZeroDuration();
        ASSERT_TRUE(ipam.SetConfig(config).ok());
        if (random() % 3 == 0 && !held[n].empty()) {
          ASSERT_EQ(ipam.Release(held[n].begin()->second), absl::OkStatus());
          held[n].erase(held[n].begin());
        }
        if (random() % 8 == 0) {
          ASSERT_EQ(ipam.GiveBackIdle(absl::UnixEpoch()), absl::OkStatus());
        }
        const std::string handle = absl::StrCat("n", n, "i", i);
        std::vector<policy::Address> asked;
        if (random() % 2 == 0) asked = {policy::Address::FromV4(0x0a460000 + random() % 512)};
        auto made = ipam.Allocate(For(handle, asked));
        const bool busy = absl::IsResourceExhausted(made.status()) ||
                          absl::IsAlreadyExists(made.status()) ||
                          absl::IsUnavailable(made.status());
        if (busy) continue;
        ASSERT_TRUE(made.ok()) << made.status();
        held[n].emplace(handle, made->front());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::set<policy::Address> all;
  size_t count = 0, stored = 0;
  for (const auto& node : held) {
    count += node.size();
    for (const auto& [handle, allocation] : node) all.insert(allocation.address);
  }
  for (const Block& block : StoredBlocks()) stored += block.AllocationsOf("").size();
  EXPECT_EQ(all.size(), count) << "an address was given twice";
  EXPECT_EQ(stored, count) << "an address leaked";
  ExpectBlocksApart();
}

// ---- giving back ----

TEST_F(IpamBlocksTest, IdleBlocksGoAfterAWhileButForOneWithRoom) {
  Ipam ipam = Node("a", {Pool("192.0.2.0/24", 28), Pool("2001:db8::/64")});
  for (int i = 0; i < 60; ++i) One(ipam, For(absl::StrCat("c", i)));
  const std::vector<policy::Cidr> before = BlocksOf("a");
  ASSERT_THAT(before, SizeIs(5));
  for (int i = 0; i < 60; ++i) ASSERT_TRUE(ReleaseAll(ipam, absl::StrCat("c", i)).ok());
  ASSERT_TRUE(ipam.GiveBackIdle(at_).ok());
  ASSERT_TRUE(ipam.GiveBackIdle(at_ + absl::Minutes(4)).ok());
  EXPECT_THAT(StoredBlocks(), SizeIs(5)) << "not yet";
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(ipam.GiveBackIdle(at_ + absl::Minutes(6)).ok());
  EXPECT_THAT(BlocksOf("a"), ElementsAre(before.front(), before.back())) << "one a family";
  EXPECT_THAT(StoredBlocks(), SizeIs(2));
  // Claimed anew by who needs them, with numbers that no late release knows.
  Ipam b = Node("b", {Pool(before[1].ToString(), 28)});
  EXPECT_GT(One(b, For("c1")).sequence, 14u);
}

TEST_F(IpamBlocksTest, ABlockUsedInBetweenOrNeededForTheNextPodsStays) {
  Ipam ipam = Node("a", {Pool("192.0.2.0/24", 28)});
  std::vector<Allocation> got;
  for (int i = 0; i < 17; ++i) got.push_back(One(ipam, For(absl::StrCat("c", i))));
  ASSERT_THAT(BlocksOf("a"), SizeIs(2));
  const Allocation last = got.back();
  ASSERT_NE(last.block, got.front().block);
  ASSERT_TRUE(ipam.Release(last).ok());
  ASSERT_TRUE(ipam.GiveBackIdle(at_).ok());
  ASSERT_TRUE(ipam.GiveBackIdle(at_ + absl::Hours(1)).ok());
  EXPECT_THAT(BlocksOf("a"), SizeIs(2)) << "the other one is full";
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(ipam.Release(got[i]).ok());  // a quarter
  const Allocation again = One(ipam, For("again", {last.address}));
  ASSERT_TRUE(ipam.Release(again).ok());
  ASSERT_TRUE(ipam.GiveBackIdle(at_ + absl::Hours(1)).ok());
  EXPECT_THAT(BlocksOf("a"), SizeIs(2)) << "it was used a moment ago";
  ASSERT_TRUE(ipam.GiveBackIdle(at_ + absl::Hours(2)).ok());
  EXPECT_THAT(BlocksOf("a"), ElementsAre(got.front().block));
}

TEST_F(IpamBlocksTest, ABlockThatSomebodyBorrowedFromMeanwhileIsNotGivenBack) {
  Ipam a = Node("a", {Pool("192.0.2.0/24", 28)});
  ASSERT_TRUE(a.Release(One(a, For("c1", {Addr("192.0.2.8")}))).ok());
  Ipam b = Node("b", {Pool("192.0.2.0/24", 28)});
  const Allocation borrowed = One(b, For("b1", {Addr("192.0.2.9")}));
  ASSERT_EQ(BlocksOf("a"), std::vector{borrowed.block});
  ASSERT_TRUE(a.SetConfig({}).ok());  // may use no pool: nothing holds it
  ASSERT_TRUE(a.GiveBackIdle(at_).ok());
  EXPECT_THAT(StoredBlocks(), SizeIs(1));
  EXPECT_THAT(b.Allocations(), ElementsAre(borrowed));
}

TEST_F(IpamBlocksTest, WhatANodeMayNoLongerUseGoesAtOnceWhenItIsEmpty) {
  Ipam ipam = Node("a", {Pool("192.0.2.0/24", 28), Pool("203.0.113.0/24", 28)});
  ASSERT_TRUE(ipam.Release(One(ipam, For("c1", {Addr("192.0.2.9")}))).ok());
  One(ipam, For("c2", {Addr("203.0.113.9")}));
  PoolConfig closed = Pool("203.0.113.0/24", 28);
  closed.use = PoolUse::kNone;
  ASSERT_TRUE(ipam.SetConfig({{closed}}).ok());  // one is deleted, the other disabled
  ASSERT_TRUE(ipam.GiveBackIdle(at_).ok());
  EXPECT_THAT(BlocksOf("a"), ElementsAre(Net("203.0.113.0/28")));
  ASSERT_TRUE(ReleaseAll(ipam, "c2").ok());
  ASSERT_TRUE(ipam.GiveBackIdle(at_).ok());
  EXPECT_THAT(StoredBlocks(), IsEmpty());
}

TEST_F(IpamBlocksTest, ABlockWhoseNodeIsGoneGoesWithItsLastAddress) {
  Ipam a = Node("a", {Pool("192.0.2.0/28", 28)});
  One(a, For("c1"));
  Ipam b = Node("b", {Pool("192.0.2.0/28", 28)});
  const Allocation borrowed = One(b, For("b1"));
  auto block = StoredBlocks().at(0);  // as ripstopctl ipam release --node a leaves it
  ASSERT_TRUE(block.Release(block.AllocationsOf("a").at(0)));
  block.set_affinity("");
  ASSERT_TRUE(store_.Update(Block::KeyFor(block.cidr()), block.Encode(), 0).ok());
  ASSERT_TRUE(b.Release(borrowed).ok());
  EXPECT_THAT(StoredBlocks(), IsEmpty());
}

TEST_F(IpamBlocksTest, ABlockThatNobodyOwnsIsTakenBeforeANewOne) {
  Ipam a = Node("a", {Pool("192.0.2.0/24", 28)});
  const Allocation one = One(a, For("c1", {Addr("192.0.2.99")}));
  auto block = StoredBlocks().at(0);
  block.set_affinity("");
  ASSERT_TRUE(store_.Update(Block::KeyFor(block.cidr()), block.Encode(), 0).ok());
  Ipam b = Node("b", {Pool("192.0.2.0/24", 28)});
  EXPECT_EQ(One(b, For("b1")).block, one.block);
  EXPECT_THAT(BlocksOf("b"), ElementsAre(one.block));
}

// ---- a store that was put back ----

// Of a store that was put back from a copy the watch tells each block that is otherwise than it
// told before. Its revisions may be lower ones.
TEST_F(IpamBlocksTest, AnOlderStoreIsBelievedWithoutReadingAllBlocks) {
  Ipam b = Node("b", {Pool("192.0.2.0/24", 28)});
  const Allocation one = One(b, For("b1"));
  auto block = StoredBlocks().at(0);
  ASSERT_TRUE(block.Release(block.AllocationsOf("b").at(0)));
  block.set_affinity("");
  ASSERT_TRUE(store_.Update(Block::KeyFor(block.cidr()), block.Encode(), 0).ok());
  Ipam a(&store_, "a");
  ASSERT_TRUE(a.SetConfig({{Pool("192.0.2.0/24", 28)}}).ok());
  const auto now = *store_.Get(Block::KeyFor(one.block));
  auto newer = block;
  newer.set_affinity("b");
  ASSERT_TRUE(a.Note({now.key, newer.Encode(), now.revision + 1000, now.create_revision}).ok());
  ASSERT_TRUE(a.Note(now).ok());
  const int lists = store_.lists;
  ASSERT_TRUE(a.Recheck().ok());
  EXPECT_EQ(One(a, For("a1")).block, one.block) << "nobody's, as the store has it";
  EXPECT_EQ(store_.lists, lists);
}

// What this node wrote and the watch has not told yet: the store was put back to before that.
TEST_F(IpamBlocksTest, AnOwnWriteThatTheStoreLostIsForgotten) {
  Ipam a = Node("a", {Pool("192.0.2.0/24", 28)});
  const Allocation one = One(a, For("a1"));
  ASSERT_TRUE(store_
                  .Txn({{api::Mutation::Type::kDelete, Block::KeyFor(one.block), "", 0},
                        {api::Mutation::Type::kDelete, ipam::Claims::KeyFor(one.block), "", 0}})
                  .ok());
  const int lists = store_.lists;
  ASSERT_TRUE(a.Recheck().ok());
  EXPECT_THAT(a.Allocations(), IsEmpty());
  EXPECT_TRUE(a.lost());
  EXPECT_EQ(store_.lists, lists);
}

// A block that was given back past the watch is there again.
TEST_F(IpamBlocksTest, ABlockThatCameBackWithTheStoreIsKnownAgain) {
  Ipam a = Node("a", {Pool("192.0.2.0/28", 28)});
  const Allocation one = One(a, For("a1"));
  const auto copy = *store_.Get(Block::KeyFor(one.block));
  ASSERT_TRUE(a.Note(copy).ok());
  ASSERT_TRUE(a.Release(one).ok());
  ASSERT_TRUE(a.SetConfig({}).ok());
  ASSERT_TRUE(a.GiveBackIdle(at_).ok());
  ASSERT_THAT(StoredBlocks(), IsEmpty());
  ASSERT_TRUE(store_.Txn({{api::Mutation::Type::kPut, copy.key, copy.value, 0}}).ok());
  ASSERT_TRUE(a.Recheck().ok());
  EXPECT_THAT(a.Allocations(), ElementsAre(one));
}

// ---- holding ----

// A node whose agent knows what its pods have.
class HoldingTest : public IpamBlocksTest {
 protected:
  HoldingTest()
      : a_(&store_, "a", {.hold_all = [this]() -> absl::Status {
          ++asked_;
          absl::Status first;
          for (const Allocation& one : pods_) {
            const absl::Status held = a_.Hold(For(one.handle).owner, one);
            if (first.ok()) first = held;
          }
          return first;
        }}) {
    EXPECT_TRUE(a_.SetConfig({{Pool("192.0.2.0/24", 28)}}).ok());
    EXPECT_TRUE(a_.Load().ok());
  }
  Allocation AddPod(const std::string& handle, std::vector<policy::Address> asked = {}) {
    pods_.push_back(One(a_, For(handle, std::move(asked))));
    return pods_.back();
  }
  void PutBack(const api::StoredResource& copy) {
    ASSERT_TRUE(store_.Txn({{api::Mutation::Type::kPut, copy.key, copy.value, 0}}).ok());
  }
  std::vector<Allocation> pods_;
  int asked_ = 0;
  Ipam a_;
};

// A copy of the store is put back that knows nothing of the last pods.
TEST_F(HoldingTest, WhatTheStoreLostIsPutBackUnderItsNumberBeforeAnybodyGetsIt) {
  const Allocation old = AddPod("c1");
  EXPECT_EQ(asked_, 1) << "once after Load";
  const auto copy = *store_.Get(Block::KeyFor(old.block));
  ASSERT_TRUE(a_.Release(One(a_, For("short-lived"))).ok());  // numbers go on
  const Allocation young = AddPod("c2");
  const Allocation elsewhere = AddPod("c3", {Addr("192.0.2.200")});
  ASSERT_TRUE(a_.HoldLost().ok());
  EXPECT_EQ(asked_, 1) << "nothing is lost";
  PutBack(copy);
  ASSERT_TRUE(store_.Delete(Block::KeyFor(elsewhere.block), 0).ok());
  Tell(a_, old.block);
  Tell(a_, elsewhere.block);
  ASSERT_TRUE(a_.HoldLost().ok());
  EXPECT_THAT(a_.Allocations(), ElementsAre(old, young, elsewhere));
  Ipam b = Node("b", {Pool("192.0.2.0/24", 28)});
  EXPECT_EQ(b.Allocate(For("x", {young.address})).status().code(),
            absl::StatusCode::kAlreadyExists);
  ASSERT_TRUE(a_.Release(young).ok());
  EXPECT_EQ(One(b, For("x", {young.address})).address, young.address);
}

// No news has come yet: the conflict with the store is the first that the node hears of it,
// and the next free address of the copy is the last pod's.
TEST_F(HoldingTest, TheNextPodDoesNotGetWhatTheStoreForgot) {
  AddPod("c1");
  const auto copy = *store_.Get(Block::KeyFor(pods_[0].block));
  const Allocation young = AddPod("c2");
  PutBack(copy);
  const Allocation next = One(a_, For("c3"));
  EXPECT_NE(next.address, young.address);
  EXPECT_THAT(a_.Allocations(), ElementsAre(pods_[0], young, next));
}

TEST_F(HoldingTest, NorWhenItForgotTheBlock) {
  const Allocation mine = AddPod("c1");
  ASSERT_TRUE(store_.Delete(Block::KeyFor(mine.block), 0).ok());
  ASSERT_TRUE(store_.Delete(ipam::Claims::KeyFor(mine.block), 0).ok());
  EXPECT_NE(One(a_, For("c2")).address, mine.address);
  EXPECT_THAT(a_.AllocationsOf("c1"), ElementsAre(mine));
}

// The control: an owner of pods who does not say what they have.
TEST_F(IpamBlocksTest, WithoutAnybodyWhoHoldsThemForgottenAddressesAreGivenAgain) {
  Ipam a = Node("a", {Pool("192.0.2.0/24", 28)});
  const auto copy = *store_.Get(Block::KeyFor(One(a, For("c1")).block));
  const Allocation young = One(a, For("c2"));
  ASSERT_TRUE(store_.Update(copy.key, copy.value, 0).ok());
  EXPECT_EQ(One(a, For("c3")).address, young.address);
}

TEST_F(HoldingTest, WhileTheStoreCannotBeAskedNothingIsHandedOut) {
  AddPod("c1");
  const auto copy = *store_.Get(Block::KeyFor(pods_[0].block));
  AddPod("c2");
  PutBack(copy);
  Tell(a_, pods_[0].block);
  int writes = 0;
  store_.before_write = [&writes](const api::ResourceKey&, bool*) -> absl::Status {
    return ++writes == 1 ? absl::UnavailableError("no store") : absl::OkStatus();
  };
  EXPECT_EQ(a_.Allocate(For("c3")).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(writes, 1);
}

TEST_F(HoldingTest, AnAddressThatSomebodyElseHasByNowIsNamed) {
  const Allocation mine = AddPod("c1");
  ASSERT_TRUE(store_.Delete(Block::KeyFor(mine.block), 0).ok());
  ASSERT_TRUE(store_.Delete(ipam::Claims::KeyFor(mine.block), 0).ok());
  Ipam b = Node("b", {Pool("192.0.2.0/24", 28)});
  One(b, For("b1", {mine.address}));
  Tell(a_, mine.block);
  const absl::Status taken = a_.HoldLost();
  EXPECT_EQ(taken.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(taken.message(), HasSubstr("pod-of-b1 on node b"));
}

TEST_F(HoldingTest, OldNewsOfABlockThatIsBackDoesNoHarm) {
  const Allocation mine = AddPod("c1");
  a_.Forget(mine.block);  // the watch is behind: given back once, claimed again
  ASSERT_TRUE(a_.HoldLost().ok());
  EXPECT_EQ(asked_, 1);
  EXPECT_THAT(a_.Allocations(), ElementsAre(mine));
}

}  // namespace
}  // namespace ripstop::agent
