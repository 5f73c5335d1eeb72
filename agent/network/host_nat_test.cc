// SPDX-License-Identifier: Apache-2.0
#include "agent/network/host_nat.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "agent/base/testing/test_netns.h"
#include "policy/status_macros.h"

namespace ripstop::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(HostNatSwitchTest, ItIsOnWithTheFirstRuleAndOffOnlyWhenThereHaveBeenNoneForAWhile) {
  HostNatSwitch nat(HostNatMode::kAuto);
  EXPECT_FALSE(nat.on());
  EXPECT_FALSE(nat.Note(false));
  EXPECT_TRUE(nat.Note(true));
  EXPECT_TRUE(nat.on());
  EXPECT_FALSE(nat.Note(true)) << "it has not moved";
  for (int i = 1; i < HostNatSwitch::kQuietTicks; ++i) EXPECT_FALSE(nat.Tick(false));
  // Whoever writes all rules anew takes the old ones away first.
  EXPECT_FALSE(nat.Note(false));
  EXPECT_FALSE(nat.Note(true));
  for (int i = 1; i < HostNatSwitch::kQuietTicks; ++i) EXPECT_FALSE(nat.Tick(false));
  EXPECT_TRUE(nat.on());
  EXPECT_TRUE(nat.Tick(false));
  EXPECT_FALSE(nat.on());
  EXPECT_TRUE(nat.Tick(true)) << "rules that only polling finds";
  EXPECT_TRUE(nat.on());
}

TEST(HostNatSwitchTest, AlwaysAndNeverDoNotMove) {
  for (const HostNatMode mode : {HostNatMode::kAlways, HostNatMode::kNever}) {
    HostNatSwitch nat(mode);
    EXPECT_FALSE(nat.Note(true));
    for (int i = 0; i < 2 * HostNatSwitch::kQuietTicks; ++i) EXPECT_FALSE(nat.Tick(false));
    EXPECT_EQ(nat.on(), mode == HostNatMode::kAlways);
  }
}

class HostNatTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto host = TestNetns::Create();
    if (absl::IsPermissionDenied(host.status())) GTEST_SKIP() << "needs CAP_SYS_ADMIN";
    ASSERT_TRUE(host.ok()) << host.status();
    host_.emplace(*std::move(host));
    auto loop = EventLoop::Create();
    ASSERT_TRUE(loop.ok()) << loop.status();
    loop_ = *std::move(loop);
  }
  void Create(HostNatMode mode) {
    const absl::Status made = host_->Run([&]() -> absl::Status {
      ASSIGN_OR_RETURN(nat_,
                       HostNat::Create(mode, 0xffff0000, loop_.get(), [this] { ++changes_; }));
      return absl::OkStatus();
    });
    ASSERT_TRUE(made.ok()) << made;
  }
  void AddRules() {
    ASSERT_EQ(host_->Shell("nft add table ip t && nft \"add chain ip t post { type nat hook "
                           "postrouting priority 100; }\" && nft add rule ip t post masquerade"),
              0);
  }

  std::optional<TestNetns> host_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<HostNat> nat_;
  int changes_ = 0;
};

TEST_F(HostNatTest, AutoFollowsTheRulesAndSaysWhich) {
  Create(HostNatMode::kAuto);
  EXPECT_FALSE(nat_->on());
  AddRules();
  while (!nat_->on()) {
    ASSERT_TRUE(host_->Run([&] { return loop_->RunOnce(absl::Minutes(10)); }).ok());
  }
  EXPECT_EQ(changes_, 1);
  EXPECT_TRUE(nat_->on());
  EXPECT_THAT(nat_->found(), ElementsAre("nftables ip t post"));
  EXPECT_THAT(nat_->problems(), IsEmpty());
  EXPECT_THAT(nat_->mark_users(), IsEmpty());
}

TEST_F(HostNatTest, RulesOfBeforeTheStartCountAndWhoUsesTheMarkIsNamed) {
  AddRules();
  ASSERT_EQ(host_->Shell("nft \"add chain ip t pre { type filter hook prerouting priority -150; "
                         "}\" && nft add rule ip t pre meta mark set 0x10000"),
            0);
  Create(HostNatMode::kAuto);
  EXPECT_TRUE(nat_->on());
  EXPECT_THAT(nat_->mark_users(), ElementsAre(HasSubstr("nftables ip t pre")));
}

TEST_F(HostNatTest, NeverIsOffBesideRulesAndAlwaysOnWithoutThem) {
  Create(HostNatMode::kAlways);
  EXPECT_TRUE(nat_->on());
  EXPECT_THAT(nat_->found(), IsEmpty());
  AddRules();
  Create(HostNatMode::kNever);
  EXPECT_FALSE(nat_->on());
}

}  // namespace
}  // namespace ripstop::agent
