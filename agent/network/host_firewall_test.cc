// SPDX-License-Identifier: Apache-2.0
#include "agent/network/host_firewall.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/network/testing_rules.h"

namespace ripstop::agent {
namespace {

class HostFirewallTest : public RulesTest {
 protected:
  void SetUp() override {
    RulesTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    auto loop = EventLoop::Create();
    ASSERT_TRUE(loop.ok()) << loop.status();
    loop_ = *std::move(loop);
    ASSERT_EQ(host_->Run([&] {
      firewall_ = std::make_unique<HostFirewall>(loop_.get(), [this] { ++changes_; });
      return absl::OkStatus();
    }),
              absl::OkStatus());
    scene_.uplinks = {{"eth0", 2}};
    scene_.pools = {*policy::Cidr::Parse("10.65.0.0/16")};
    scene_.through_stack = true;
  }
  // Turns the loop until there are so many findings; for a hang only it is not for ever.
  bool Found(size_t findings) {
    for (int turns = 0; turns < 600; ++turns) {
      if (firewall_->report().findings.size() == findings) return true;
      EXPECT_EQ(loop_->RunOnce(absl::Seconds(1)), absl::OkStatus());
    }
    return false;
  }

  std::unique_ptr<EventLoop> loop_;
  int changes_ = 0;
  FirewallScene scene_;
  std::unique_ptr<HostFirewall> firewall_;  // before the loop
};

TEST_F(HostFirewallTest, ItFollowsRulesAndWhatMeetsThem) {
  Nft("add table ip t");
  Nft("add chain ip t f { type filter hook forward priority 0; policy drop; }");
  firewall_->SetScene(scene_);
  ASSERT_TRUE(Found(2)) << "outgoing, answers";
  EXPECT_EQ(changes_, 1);
  scene_.through_stack = false;
  firewall_->SetScene(scene_);
  ASSERT_TRUE(Found(0)) << "no packet of ours gets there";
  scene_.through_stack = true;
  firewall_->SetScene(scene_);
  ASSERT_TRUE(Found(2));
  Nft("add chain ip t f { policy accept; }");
  ASSERT_TRUE(Found(0));
  Nft("add rule ip t f iifname cali* drop");
  ASSERT_TRUE(Found(1));
  EXPECT_TRUE(firewall_->report().findings[0].loses());
  EXPECT_EQ(firewall_->report().problem, "");
}

TEST_F(HostFirewallTest, ItGoesWhileItReadsAndTellsNobodyAfterwards) {
  LoadUfw();
  firewall_->SetScene(scene_);
  firewall_.reset();
  EXPECT_EQ(loop_->RunOnce(absl::ZeroDuration()), absl::OkStatus());
  EXPECT_EQ(changes_, 0);
}

TEST(FirewallLossesTest, TheyAreRecentForAWhileAfterTheCountHasMoved) {
  FirewallLosses losses;
  const absl::Time start = absl::UnixEpoch();
  losses.Note(0, start);
  EXPECT_FALSE(losses.recent(start));
  losses.Note(3, start);
  EXPECT_TRUE(losses.recent(start));
  losses.Note(3, start + 2 * FirewallLosses::kRecent);
  EXPECT_FALSE(losses.recent(start + 2 * FirewallLosses::kRecent));
  EXPECT_EQ(losses.packets(), 3u);
}

}  // namespace
}  // namespace ripstop::agent
