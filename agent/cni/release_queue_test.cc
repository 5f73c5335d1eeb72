// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/release_queue.h"

#include "agent/cni/testing_node.h"

namespace ripstop::agent {
namespace {

using ripstop::agent::v1::CniRequest;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using ReleaseQueueTest = testing::EndpointNodeTest;

TEST_F(ReleaseQueueTest, DelAsksTheStoreNothingAndTheAddressIsReleasedLater) {
  TestNetns pod = NewPod();
  ASSERT_TRUE(Add(Request("a", pod)).ok());
  const int writes = store_.writes;
  EXPECT_EQ(Del("a"), absl::OkStatus());
  EXPECT_EQ(Del("a"), absl::OkStatus());
  EXPECT_EQ(store_.writes, writes);
  EXPECT_EQ(manager_->releasing(), 1u);

  store_.before_write = [](const api::ResourceKey&, bool*) {
    return absl::UnavailableError("no store");
  };
  for (int i = 0; i < 3; ++i) {
    ASSERT_THAT(later_, SizeIs(1)) << "it tries again by itself";
    RunLater();
  }
  EXPECT_THAT(ipam_->Allocations(), SizeIs(2)) << "nobody else gets it meanwhile";
  StartAgent();  // it is durable
  EXPECT_EQ(manager_->releasing(), 1u);
  store_.before_write = nullptr;
  hooks_->withdrawn.clear();
  RunLater();
  EXPECT_THAT(hooks_->withdrawn, ElementsAre("shop/a a/eth0"));
  EXPECT_EQ(manager_->releasing(), 0u);
  EXPECT_THAT(later_, IsEmpty());
  ExpectNothingLeft();
}

TEST_F(ReleaseQueueTest, AddressesAreFreeOnlyWhenTheirConnectionsAreForgottenInOneWalk) {
  TestNetns a = NewPod(), b = NewPod();
  const auto ea = Add(Request("a", a)), eb = Add(Request("b", b));
  ASSERT_TRUE(ea.ok() && eb.ok());
  EXPECT_EQ(hooks_->walks, 0) << "an ADD has nothing to forget";
  ASSERT_TRUE(Del("a").ok() && Del("b").ok());
  EXPECT_EQ(hooks_->walks, 0) << "nor does a DEL wait for it";
  hooks_->unforgettable = absl::InternalError("flow_sweep");
  RunLater();
  EXPECT_THAT(ipam_->Allocations(), SizeIs(4)) << "nobody else gets them meanwhile";
  EXPECT_THAT(hooks_->withdrawn, IsEmpty());
  StartAgent();  // which finds them waiting, and forgets
  hooks_->unforgettable = absl::OkStatus();
  RunLater();
  EXPECT_EQ(hooks_->walks, 1) << "for both";
  std::set<policy::Address> all;
  for (const auto& e : {*ea, *eb}) {
    for (const policy::Address& address : e.addresses()) all.insert(address);
  }
  EXPECT_EQ(hooks_->forgotten, all);
  ExpectNothingLeft();
}

TEST_F(ReleaseQueueTest, AnAddThatTakesBackItsAddressesHasNoConnectionsOfBefore) {
  TestNetns pod = NewPod();
  ASSERT_TRUE(Add(Request("a", pod)).ok());
  ASSERT_TRUE(Del("a").ok());
  const auto again = Add(Request("a", pod));
  ASSERT_TRUE(again.ok()) << again.status();
  for (const policy::Address& address : again->addresses()) {
    EXPECT_TRUE(hooks_->forgotten.contains(address)) << address.ToString();
  }
}

TEST_F(ReleaseQueueTest, AnAddTakesBackWhatItsOwnDelHasNotReleasedYet) {
  TestNetns pod = NewPod(), other = NewPod();
  const auto before = Add(Request("a", pod));
  ASSERT_TRUE(before.ok());
  ASSERT_TRUE(Del("a").ok());
  const auto after = Add(Request("a", pod));
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_EQ(after->addresses(), before->addresses());
  RunLater();
  EXPECT_THAT(ipam_->Allocations(), SizeIs(2)) << "nothing of the DEL releases it now";
  ASSERT_TRUE(Del("a").ok());
  CniRequest wants = Request("b", other);
  wants.add_requested_ips(before->addresses()[0].ToString());
  const auto b = Add(wants);
  ASSERT_TRUE(b.ok()) << b.status() << ": what waits is released when somebody needs it";
  EXPECT_EQ(b->addresses()[0], before->addresses()[0]);
}

TEST_F(ReleaseQueueTest, WhatTheStoreHasOfThisNodeWithoutAPodHereIsReleased) {
  TestNetns lives = NewPod(), goes = NewPod();
  ASSERT_TRUE(Add(Request("a", lives)).ok());
  const auto lost = Add(Request("b", goes));
  ASSERT_TRUE(lost.ok());
  // As after a disk was replaced: the files are gone, and with a reboot the interface of b.
  std::filesystem::remove_all(state_);
  ASSERT_TRUE(netlink_->DeleteLink(lost->ifindex).ok());
  StartAgent();
  later_.clear();
  EXPECT_THAT(manager_->endpoints(), IsEmpty());
  hooks_->withdrawn.clear();
  const std::vector<EndpointName> published = {
      {"b", "eth0", "shop", "b"}, {"c", "eth0", "shop", "c"}, {"../c", "eth0", "shop", "c"}};
  EXPECT_EQ(manager_->ReleaseStrays(published), 2u);
  EXPECT_EQ(manager_->ReleaseStrays(published), 0u) << "they are in the queue already";
  RunLater();
  EXPECT_THAT(hooks_->withdrawn, ElementsAre("shop/b b/eth0", "shop/c c/eth0"));
  ASSERT_THAT(ipam_->Allocations(), SizeIs(2));
  EXPECT_EQ(ipam_->Allocations()[0].handle, "a/eth0") << "its interface is here";
}

}  // namespace
}  // namespace ripstop::agent
