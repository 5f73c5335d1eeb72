// SPDX-License-Identifier: Apache-2.0
#include "agent/netlink/mark_users.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "agent/base/testing/test_netns.h"

namespace ripstop::agent {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr uint32_t kOurs = 0xffff0000;

class MarkUsersTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto host = TestNetns::Create();
    if (absl::IsPermissionDenied(host.status())) GTEST_SKIP() << "needs CAP_SYS_ADMIN";
    ASSERT_TRUE(host.ok()) << host.status();
    host_.emplace(*std::move(host));
    ASSERT_EQ(host_->Shell("nft add table ip t && nft \"add chain ip t c { type filter hook "
                           "prerouting priority -150; }\""),
              0);
  }
  std::vector<std::string> Find() {
    std::vector<std::string> lines;
    const absl::Status found = host_->Run([&]() -> absl::Status {
      auto users = FindMarkUsers(kOurs);
      if (users.ok()) lines = *users;
      return users.status();
    });
    EXPECT_TRUE(found.ok()) << found;
    return lines;
  }
  void Rule(const std::string& rule) {
    ASSERT_EQ(host_->Shell("nft add rule ip t c " + rule), 0) << rule;
  }
  std::optional<TestNetns> host_;
};

TEST_F(MarkUsersTest, RulesThatLeaveOurBitsAloneAreNoConcern) {
  Rule("meta mark set meta mark or 0x4000");
  Rule("meta mark set meta mark and 0xffffbfff");
  Rule("meta mark set mark xor 0x8000");
  Rule("meta mark and 0x4000 == 0x4000 counter");
  Rule("ct mark set meta mark");
  Rule("meta priority set 1");
  ASSERT_EQ(host_->Shell("iptables-nft -t mangle -A FORWARD -j MARK --set-xmark 0x4000/0x4000 && "
                         "iptables-nft -t mangle -A FORWARD -j CONNMARK --save-mark && "
                         "ip rule add fwmark 0x1/0xff lookup 77"),
            0);
  EXPECT_THAT(Find(), IsEmpty());
}

TEST_F(MarkUsersTest, ARuleThatSetsAllBitsIsNamed) {
  Rule("meta mark set 0x1");
  EXPECT_THAT(Find(), ElementsAre(AllOf(HasSubstr("nftables ip t c, handle"),
                                        HasSubstr("sets bits 0xffff0000"))));
}

TEST_F(MarkUsersTest, BitsThatARuleSetsOrClearsAreNamed) {
  Rule("meta mark set meta mark or 0x40000");
  Rule("meta mark set meta mark and 0xff00ffff");
  Rule("meta mark set ct mark");
  EXPECT_THAT(Find(), ElementsAre(HasSubstr("sets bits 0x40000 "), HasSubstr("sets bits 0xff0000 "),
                                  HasSubstr("sets bits 0xffff0000 ")));
}

TEST_F(MarkUsersTest, IptablesTargetsAreRead) {
  ASSERT_EQ(
      host_->Shell("iptables-nft -t mangle -A FORWARD -j MARK --set-xmark 0x40000/0xff0000 && "
                   "ip6tables-nft -t mangle -A FORWARD -j CONNMARK --restore-mark"),
      0);
  EXPECT_THAT(
      Find(),
      ElementsAre(
          AllOf(HasSubstr("nftables ip mangle FORWARD"), HasSubstr("sets bits 0xff0000 ")),
          AllOf(HasSubstr("nftables ip6 mangle FORWARD"), HasSubstr("sets bits 0xffff0000 "))));
}

TEST_F(MarkUsersTest, PolicyRoutingByOurBitsIsNamed) {
  ASSERT_EQ(host_->Shell("ip rule add pref 5210 fwmark 0x80000/0xff0000 lookup 77 && "
                         "ip -6 rule add pref 9 fwmark 0x1 lookup 77"),
            0);
  EXPECT_THAT(Find(), ElementsAre("ip rule 5210: fwmark 0x80000/0xff0000 looks at bits 0xff0000",
                                  "ip -6 rule 9: fwmark 0x1/0xffffffff looks at bits 0xffff0000"));
}

}  // namespace
}  // namespace ripstop::agent
