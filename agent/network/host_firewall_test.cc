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

// Of the program as root has it, in the same namespace; nothing of nftables moves.
TEST_F(HostFirewallTest, RulesOfIptablesLegacyThatComeLaterAreNamed) {
  firewall_->SetScene(scene_);
  Nft("add table ip t");
  Nft("add chain ip t f { type filter hook forward priority 0; policy drop; }");
  ASSERT_TRUE(Found(2));
  ASSERT_THAT(firewall_->report().unread, ::testing::IsEmpty());
  if (host_->Shell("iptables-legacy -A FORWARD -j DROP") != 0)
    GTEST_SKIP() << "the kernel has no tables of iptables-legacy";
  for (int turns = 0; turns < 60 && firewall_->report().unread.empty(); ++turns)
    EXPECT_EQ(loop_->RunOnce(absl::Seconds(1)), absl::OkStatus());
  EXPECT_THAT(firewall_->report().unread, ::testing::ElementsAre("iptables-legacy filter"));
}

TEST_F(HostFirewallTest, AReadingThatIsCalledOffSaysSo) {
  LoadUfw();
  int asked = 0;
  ASSERT_EQ(host_->Run([&] {
    const auto rules = ReadFilterRules([&] { return ++asked == 3; });
    EXPECT_TRUE(absl::IsCancelled(rules.status())) << rules.status();
    return absl::OkStatus();
  }),
            absl::OkStatus());
  EXPECT_EQ(asked, 3) << "nothing more is read";
  asked = 0;
  EXPECT_THAT(FindInFirewall(Read(), scene_, [&] { return ++asked > 0; }), ::testing::IsEmpty());
  EXPECT_EQ(FindInFirewall(Read(), scene_).size(), 2u) << "control: outgoing, to the host";
}

TEST(FirewallLossesTest, AReadingThatFailedIsNoChangeOfTheCount) {
  FirewallLosses losses;
  const absl::Time start = absl::UnixEpoch(), later = start + 2 * FirewallLosses::kRecent;
  losses.Note(3, start);
  losses.Note(absl::UnavailableError("no program"), later);
  EXPECT_EQ(losses.packets(), 3u);
  EXPECT_EQ(losses.problem(), "no program");
  EXPECT_FALSE(losses.recent(later));
  losses.Note(3, later);
  EXPECT_EQ(losses.problem(), "");
  EXPECT_FALSE(losses.recent(later)) << "it is the same";
  losses.Note(4, later);
  EXPECT_TRUE(losses.recent(later)) << "control";
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
