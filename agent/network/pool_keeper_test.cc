// SPDX-License-Identifier: Apache-2.0
#include "agent/network/pool_keeper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/ipam/testing/fake_store.h"
#include "agent/network/network_config.h"
#include "api/ipam/pools.h"
#include "api/resource.h"

namespace ripstop::agent {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr char kPool[] = "10.70.0.0/16";
// What a node's pods have of a pool.
const auto kHeld = [](const policy::Cidr&) { return true; };
const auto kNothing = [](const policy::Cidr&) { return false; };

class PoolKeeperTest : public ::testing::Test {
 protected:
  // An agent: its view, and what keeps its pools. Events are given by hand.
  struct Node {
    explicit Node(FakeStore* store) : keeper(store, &cluster) {}
    ClusterView cluster;
    PoolKeeper keeper;
  };

  api::ResourceKey Key(const std::string& name) { return {api::kKindIPPool, "", name}; }
  api::v1::IPPool Make(const std::string& name, bool marked = false) {
    api::v1::IPPool pool;
    pool.mutable_metadata()->set_name(name);
    if (marked) pool.mutable_metadata()->set_deletion_timestamp("2026-01-02T03:04:05Z");
    pool.mutable_spec()->set_cidr(kPool);
    pool.mutable_spec()->set_vxlan_mode("Always");
    return pool;
  }
  void Store(const api::v1::IPPool& pool) {
    api::Resource resource = api::Resource::Make<api::v1::IPPool>();
    *resource.MutableAs<api::v1::IPPool>() = pool;
    const int64_t revision =
        store_.Txn({{api::Mutation::Type::kPut, resource.key(), api::Serialize(resource), 0}})
            ->front();
    for (Node* node : {&a_, &b_}) node->keeper.Put(pool, revision);
  }
  void GiveBlock(const std::string& cidr) {
    for (Node* node : {&a_, &b_}) {
      node->cluster.blocks[cidr] = {*policy::Cidr::Parse(cidr), "a", {}};
    }
  }
  void TakeBlock(const std::string& cidr) {
    for (Node* node : {&a_, &b_}) node->cluster.blocks.erase(cidr);
  }
  std::optional<api::v1::IPPool> Stored(const std::string& name) {
    const auto stored = store_.Get(Key(name));
    if (!stored.ok()) return std::nullopt;
    return *api::Deserialize(*stored)->As<api::v1::IPPool>();
  }

  FakeStore store_;
  Node a_{&store_}, b_{&store_};
};

TEST_F(PoolKeeperTest, AMarkedPoolStaysWithItsBlocksAndGoesWithTheLast) {
  Store(Make("p", /*marked=*/true));
  GiveBlock("10.70.0.0/26");
  ASSERT_TRUE(a_.keeper.Settle(kHeld).ok());
  EXPECT_TRUE(Stored("p").has_value());
  EXPECT_EQ(BuildVxlanConfig(a_.cluster, "a", 1500).pools.size(), 0u) << "no Node, no plan";
  EXPECT_THAT(a_.cluster.pools, SizeIs(1));
  TakeBlock("10.70.0.0/26");
  ASSERT_TRUE(a_.keeper.Settle(kNothing).ok());
  EXPECT_FALSE(Stored("p").has_value());
  ASSERT_TRUE(b_.keeper.Settle(kNothing).ok()) << "a was faster";
  a_.keeper.Deleted("p");
  EXPECT_THAT(a_.cluster.pools, IsEmpty());
}

TEST_F(PoolKeeperTest, APoolThatVanishesInUseIsKeptAndPutBackMarkedByWhoHoldsAnAddress) {
  Store(Make("p"));
  GiveBlock("10.70.0.0/26");
  ASSERT_TRUE(store_.Delete(Key("p"), 0).ok());  // not by ripstopctl
  for (Node* node : {&a_, &b_}) {
    node->keeper.Deleted("p");
    ASSERT_THAT(node->cluster.pools, SizeIs(1));
    EXPECT_TRUE(ipam::IsTerminating(node->cluster.pools.at("p")));
    EXPECT_EQ(BuildIpamConfig(node->cluster, "a").pools.at(0).use, PoolUse::kNone);
  }
  ASSERT_TRUE(b_.keeper.Settle(kNothing).ok());
  EXPECT_FALSE(Stored("p").has_value()) << "b holds nothing of it";
  ASSERT_TRUE(a_.keeper.Settle(kHeld).ok());
  ASSERT_TRUE(Stored("p").has_value());
  EXPECT_TRUE(ipam::IsTerminating(*Stored("p")));
  EXPECT_EQ(Stored("p")->spec().vxlan_mode(), "Always");
  Store(*Stored("p"));  // the watch tells
  TakeBlock("10.70.0.0/26");
  ASSERT_TRUE(b_.keeper.Settle(kNothing).ok());
  EXPECT_FALSE(Stored("p").has_value());
}

TEST_F(PoolKeeperTest, AVanishedPoolWithoutBlocksOrWithASuccessorIsForgotten) {
  Store(Make("p"));
  ASSERT_TRUE(store_.Delete(Key("p"), 0).ok());
  a_.keeper.Deleted("p");
  EXPECT_THAT(a_.cluster.pools, IsEmpty());

  Store(Make("p"));
  GiveBlock("10.70.0.0/26");
  ASSERT_TRUE(store_.Delete(Key("p"), 0).ok());
  a_.keeper.Deleted("p");
  Store(Make("q"));
  ASSERT_TRUE(a_.keeper.Settle(kHeld).ok());
  EXPECT_FALSE(Stored("p").has_value());
  EXPECT_FALSE(a_.cluster.pools.contains("p"));
  EXPECT_TRUE(a_.cluster.pools.contains("q"));
}

TEST_F(PoolKeeperTest, APoolThatWasAppliedAgainIsNotDeletedByAnOldMark) {
  Store(Make("p", /*marked=*/true));
  api::Resource again = api::Resource::Make<api::v1::IPPool>();
  *again.MutableAs<api::v1::IPPool>() = Make("p");
  ASSERT_TRUE(store_.Update(Key("p"), api::Serialize(again), 0).ok());  // a has not heard
  ASSERT_TRUE(a_.keeper.Settle(kNothing).ok());
  EXPECT_TRUE(Stored("p").has_value());
}

}  // namespace
}  // namespace ripstop::agent
