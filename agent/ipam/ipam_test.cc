// SPDX-License-Identifier: Apache-2.0
#include "agent/ipam/ipam.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "agent/ipam/testing/ipam_fixture.h"

namespace ripstop::agent {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST_F(IpamTest, DualStackGivesOneAddressOfEachFamilyFromOneBlockEach) {
  Ipam ipam = Node("a", {Pool("10.65.0.0/16"), Pool("2001:db8:65::/64")});
  auto got = ipam.Allocate(For("c1/eth0"));
  ASSERT_TRUE(got.ok()) << got.status();
  ASSERT_THAT(*got, SizeIs(2));
  EXPECT_TRUE(Net("10.65.0.0/16").Contains((*got)[0].address));
  EXPECT_EQ((*got)[0].block.family_bits(), 26);
  EXPECT_TRUE(Net("2001:db8:65::/64").Contains((*got)[1].address));
  EXPECT_EQ((*got)[1].block.family_bits(), 122);
  EXPECT_THAT(BlocksOf("a"), SizeIs(2));
}

TEST_F(IpamTest, AskingAgainReturnsTheSameAlsoAfterARestart) {
  Ipam ipam = Node("a", {Pool("192.0.2.0/24")});
  const Allocation first = One(ipam, For("c1/eth0"));
  EXPECT_EQ(One(ipam, For("c1/eth0")), first);
  Ipam restarted = Node("a", {Pool("192.0.2.0/24")});
  EXPECT_EQ(One(restarted, For("c1/eth0")), first);
  EXPECT_NE(One(restarted, For("c2/eth0")).address, first.address);
}

TEST_F(IpamTest, AnAllocationFromAnOwnBlockIsOneWrite) {
  Ipam ipam = Node("a", {Pool("192.0.2.0/24")});
  One(ipam, For("c1/eth0"));
  store_.writes = 0;
  One(ipam, For("c2/eth0"));
  EXPECT_EQ(store_.writes, 1);
}

TEST_F(IpamTest, ReleasedAddressGoesToTheBackOfTheQueue) {
  Ipam ipam = Node("a", {Pool("192.0.2.0/29", 29)});  // six usable
  const Allocation first = One(ipam, For("c1/eth0"));
  ASSERT_TRUE(ipam.Release(first).ok());
  for (int i = 0; i < 5; ++i) {
    EXPECT_NE(One(ipam, For(absl::StrCat("d", i, "/eth0"))).address, first.address);
  }
  EXPECT_EQ(One(ipam, For("last/eth0")).address, first.address);
}

TEST_F(IpamTest, ALateReleaseDoesNotFreeAReusedAddress) {
  Ipam ipam = Node("a", {Pool("192.0.2.1/32", 32)});
  const Allocation old = One(ipam, For("c1/eth0"));
  ASSERT_TRUE(ipam.Release(old).ok());
  ASSERT_TRUE(ipam.Release(old).ok()) << "repeated";
  const Allocation reused = One(ipam, For("c1/eth0"));  // same address, even the same handle
  ASSERT_EQ(reused.address, old.address);
  ASSERT_TRUE(ipam.Release(old).ok());
  EXPECT_THAT(ipam.AllocationsOf("c1/eth0"), SizeIs(1));
  ASSERT_TRUE(ReleaseAll(ipam, "c1/eth0").ok());
  EXPECT_THAT(ipam.AllocationsOf("c1/eth0"), IsEmpty());
}

TEST_F(IpamTest, RequestedAddressIsHonouredOrRefusedWithTheReason) {
  Ipam a = Node("a", {Pool("192.0.2.0/24")});
  EXPECT_EQ(One(a, For("c1/eth0", {Addr("192.0.2.77")})).address, Addr("192.0.2.77"));
  auto taken = a.Allocate(For("c2/eth0", {Addr("192.0.2.77")}));
  EXPECT_EQ(taken.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(taken.status().message(), HasSubstr("shop/pod-of-c1/eth0"));
  auto outside = a.Allocate(For("c2/eth0", {Addr("198.51.100.1")}));
  EXPECT_EQ(outside.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(outside.status().message(), HasSubstr("192.0.2.0/24"));
  Ipam strict = Node("b", {Pool("192.0.2.0/24")}, true);
  EXPECT_THAT(strict.Allocate(For("c3/eth0", {Addr("192.0.2.78")})).status().message(),
              HasSubstr("strictAffinity"));
}

TEST_F(IpamTest, WhenOneFamilyFailsTheOtherIsGivenBack) {
  Ipam ipam = Node("a", {Pool("192.0.2.0/24"), Pool("2001:db8::5/128", 128)});
  ASSERT_TRUE(ipam.Allocate(For("c1/eth0")).ok());
  auto second = ipam.Allocate(For("c2/eth0"));
  EXPECT_EQ(second.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(second.status().message(), HasSubstr("2001:db8::5/128"));
  EXPECT_THAT(ipam.Allocations(), SizeIs(2)) << "c1's only";
}

TEST_F(IpamTest, WithoutABlockOfItsOwnANodeBorrowsUnlessStrict) {
  const auto pools = std::vector<PoolConfig>{Pool("192.0.2.0/28", 28)};
  Ipam a = Node("a", pools);
  One(a, For("c1/eth0"));
  Ipam strict = Node("s", pools, true);
  EXPECT_EQ(strict.Allocate(For("s1/eth0")).status().code(), absl::StatusCode::kResourceExhausted);
  Ipam b = Node("b", pools);
  const Allocation borrowed = One(b, For("b1/eth0"));
  EXPECT_THAT(BlocksOf("b"), IsEmpty());
  const auto block = Block::Decode(*store_.Get(Block::KeyFor(borrowed.block)));
  ASSERT_TRUE(block.ok());
  EXPECT_THAT(block->Borrowed(),
              ::testing::ElementsAre(std::make_pair(borrowed.address, std::string("b"))));
  // The owner has not seen that write; its next one conflicts, reads and goes on.
  EXPECT_NE(One(a, For("c2/eth0")).address, borrowed.address);
  Ipam b_restarted = Node("b", pools);
  EXPECT_EQ(One(b_restarted, For("b1/eth0")), borrowed);
  ASSERT_TRUE(ReleaseAll(b_restarted, "b1/eth0").ok());
  EXPECT_THAT(b_restarted.Allocations(), IsEmpty());
}

TEST_F(IpamTest, UnreachableStoreLeavesNothingBehindAndALostAnswerIsRecognised) {
  Ipam ipam = Node("a", {Pool("192.0.2.0/24")});
  One(ipam, For("c0/eth0"));
  store_.before_write = [](const api::ResourceKey&, bool*) {
    return absl::UnavailableError("no store");
  };
  EXPECT_EQ(ipam.Allocate(For("c1/eth0")).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(ipam.Allocations(), SizeIs(1));
  store_.before_write = [](const api::ResourceKey&, bool* ret_lost) {
    *ret_lost = true;
    return absl::UnavailableError("no answer");
  };
  EXPECT_FALSE(ipam.Allocate(For("c2/eth0")).ok());
  store_.before_write = nullptr;
  One(ipam, For("c2/eth0"));
  EXPECT_THAT(ipam.Allocations(), SizeIs(2)) << "the write that was made is found again";
  // The same for a release.
  store_.before_write = [](const api::ResourceKey&, bool* ret_lost) {
    *ret_lost = true;
    return absl::UnavailableError("no answer");
  };
  EXPECT_FALSE(ReleaseAll(ipam, "c0/eth0").ok());
  store_.before_write = nullptr;
  ASSERT_TRUE(ReleaseAll(ipam, "c0/eth0").ok());
  EXPECT_THAT(ipam.Allocations(), SizeIs(1));
}

TEST_F(IpamTest, ADamagedBlockIsSetAsideAlone) {
  ASSERT_TRUE(store_.Create({ipam::kBlockKind, "", "192-0-2-0-26"}, "\xff\xff").ok());
  ripstop::ipam::v1::IPAMBlock doubled;
  doubled.set_cidr("192.0.2.64/26");
  doubled.add_free(1);
  doubled.add_free(1);
  ASSERT_TRUE(
      store_.Create({ipam::kBlockKind, "", "192-0-2-64-26"}, doubled.SerializeAsString()).ok());
  Ipam ipam = Node("a", {Pool("192.0.2.0/24")});
  EXPECT_TRUE(Net("192.0.2.128/25").Contains(One(ipam, For("c1/eth0")).address));
}

TEST_F(IpamTest, ConfigurationThatCannotWorkIsRefused) {
  Ipam ipam(&store_, "a");
  EXPECT_EQ(ipam.SetConfig({{Pool("10.0.0.0/8", 8)}}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ipam.Allocate(For("c1/eth0")).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(IpamTest, TheFirstAndLastOfAPoolAreGivenToWhoAsksOnly) {
  Ipam ipam = Node("a", {Pool("192.0.2.0/29", 29), Pool("2001:db8::/122")});
  for (const char* address : {"192.0.2.0", "192.0.2.7", "2001:db8::"}) {
    const auto got = ipam.Allocate(For(address, {Addr(address)}));
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ((Addr(address).is_v4() ? got->front() : got->back()).address, Addr(address));
    EXPECT_EQ(ipam.Allocate(For("late", {Addr(address)})).status().code(),
              absl::StatusCode::kAlreadyExists);
    ASSERT_TRUE(ReleaseAll(ipam, address).ok());
  }
  for (int i = 0; i < 6; ++i) {
    const policy::Address given = One(ipam, For(absl::StrCat("c", i))).address;
    EXPECT_NE(given, Addr("192.0.2.0"));
    EXPECT_NE(given, Addr("192.0.2.7"));
  }
}

TEST_F(IpamTest, APoolThatIsNotForThisNodeGivesWhatIsAskedForByAddress) {
  PoolConfig manual = Pool("192.0.2.0/24"), others = Pool("198.51.100.0/24");
  manual.use = others.use = PoolUse::kOnRequest;
  manual.why = "is assigned by hand (assignmentMode Manual)";
  others.why = "is for other nodes (nodeSelector zone == 'b')";
  Ipam only(&store_, "n");
  ASSERT_TRUE(only.SetConfig({{manual, others}}).ok());
  const absl::Status none = only.Allocate(For("c0")).status();
  EXPECT_EQ(none.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(none.message(), HasSubstr("assignmentMode Manual"));
  EXPECT_THAT(none.message(), HasSubstr("nodeSelector zone == 'b'"));

  Ipam ipam = Node("a", {manual, others, Pool("203.0.113.0/24")});
  for (int i = 0; i < 70; ++i) {
    EXPECT_TRUE(Net("203.0.113.0/24").Contains(One(ipam, For(absl::StrCat("c", i))).address));
  }
  EXPECT_EQ(One(ipam, For("m", {Addr("192.0.2.9")})).address, Addr("192.0.2.9"));
  EXPECT_EQ(One(ipam, For("o", {Addr("198.51.100.9")})).address, Addr("198.51.100.9"));
}

TEST_F(IpamTest, APoolThatIsClosedSaysWhy) {
  PoolConfig closed = Pool("192.0.2.0/24");
  closed.use = PoolUse::kNone;
  closed.why = "is disabled";
  Ipam ipam = Node("a", {closed, Pool("203.0.113.0/24")});
  const absl::Status refused = ipam.Allocate(For("c", {Addr("192.0.2.9")})).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(refused.message(), HasSubstr("pool-192.0.2.0/24, which is disabled"));
}

TEST_F(IpamTest, APoolForSomeNamespacesIsForTheirPodsOnly) {
  PoolConfig team_a = Pool("192.0.2.0/24"), rest = Pool("203.0.113.0/24");
  team_a.namespaces = *policy::Selector::Parse("team == 'a'");
  rest.namespaces = *policy::Selector::Parse("team != 'a' && has(team)");
  Ipam ipam(&store_, "n", {.namespace_labels = [](const std::string& ns) -> policy::Labels {
    if (ns == "nameless") return {};
    return {{"team", ns == "shop" ? "a" : "b"}};
  }});
  ASSERT_TRUE(ipam.SetConfig({{team_a, rest}}).ok());
  const auto in = [&ipam](const std::string& ns, const std::string& handle) {
    return ipam.Allocate({.owner = {handle, ns, "pod"}});
  };
  for (int i = 0; i < 100; ++i) {
    const std::string n = absl::StrCat(i);
    EXPECT_TRUE(team_a.cidr.Contains(in("shop", "s" + n)->front().address));
    EXPECT_TRUE(rest.cidr.Contains(in("bank", "b" + n)->front().address));
  }
  const absl::Status none = in("nameless", "x").status();
  EXPECT_EQ(none.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(none.message(), HasSubstr("namespace nameless"));
  EXPECT_THAT(none.message(), HasSubstr("team == \"a\""));
  // What is asked for by address is given, as with a node's selector.
  EXPECT_TRUE(
      ipam.Allocate({.owner = {"y", "nameless", "pod"}, .requested = {Addr("192.0.2.200")}}).ok());
}

TEST_F(IpamTest, OnePoolThatCannotWorkDoesNotTakeTheOthersAlong) {
  Ipam ipam(&store_, "a");
  EXPECT_EQ(ipam.SetConfig({{Pool("10.0.0.0/8", 8), Pool("192.0.2.0/24")}}).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(Net("192.0.2.0/24").Contains(One(ipam, For("c1")).address));
}

TEST_F(IpamTest, NodesRacingForBlocksNeverShareAnAddressAndUseTheWholePool) {
  // 4 nodes, 4 threads, one /25 in /29 blocks: 126 usable addresses.
  const auto pools = std::vector<PoolConfig>{Pool("192.0.2.0/25", 29)};
  std::vector<std::vector<Allocation>> got(4);
  std::vector<std::thread> threads;
  for (int n = 0; n < 4; ++n) {
    threads.emplace_back([&, n] {
      Ipam ipam(&store_, absl::StrCat("node-", n));
      ASSERT_TRUE(ipam.SetConfig({pools, false}).ok());
      ASSERT_TRUE(ipam.Load().ok());
      std::mt19937 random(n);
      for (int i = 0; i < 200; ++i) {
        if (random() % 3 == 0 && !got[n].empty()) {
          ASSERT_EQ(ipam.Release(got[n].back()), absl::OkStatus());
          got[n].pop_back();
        }
        auto made = ipam.Allocate(For(absl::StrCat("n", n, "i", i, "/eth0")));
        if (absl::IsResourceExhausted(made.status())) continue;
        if (absl::IsUnavailable(made.status())) continue;  // lost 32 races in a row
        ASSERT_TRUE(made.ok()) << made.status();
        got[n].push_back(made->front());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::set<policy::Address> all;
  size_t count = 0;
  for (const auto& node : got) {
    count += node.size();
    for (const Allocation& allocation : node) all.insert(allocation.address);
  }
  EXPECT_EQ(all.size(), count) << "an address was given twice";
  EXPECT_GT(count, 110u);
  EXPECT_LE(count, 126u);
}

}  // namespace
}  // namespace ripstop::agent
