// SPDX-License-Identifier: Apache-2.0
//
// Against the real kernel and the tools that write such rules, each test in a namespace of
// its own.
#include "agent/netlink/nat_monitor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <optional>

#include "agent/base/testing/test_netns.h"
#include "policy/status_macros.h"

namespace ripstop::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class NatMonitorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto host = TestNetns::Create();
    if (absl::IsPermissionDenied(host.status())) GTEST_SKIP() << "needs CAP_SYS_ADMIN";
    ASSERT_TRUE(host.ok()) << host.status();
    host_.emplace(*std::move(host));
  }
  void Open() {
    const absl::Status opened = host_->Run([&]() -> absl::Status {
      ASSIGN_OR_RETURN(monitor_, NatMonitor::Open());
      return absl::OkStatus();
    });
    ASSERT_TRUE(opened.ok()) << opened;
  }
  void Nft(const std::string& text) { ASSERT_EQ(host_->Shell("nft \"" + text + "\""), 0) << text; }
  // Waits for what the kernel tells, which is at once.
  void Told() {
    pollfd p{.fd = monitor_->fd(), .events = POLLIN, .revents = 0};
    ASSERT_EQ(poll(&p, 1, 60'000), 1) << "nftables said nothing";
    ASSERT_EQ(host_->Run([&] { return monitor_->Read(); }), absl::OkStatus());
  }
  bool HasNews() {
    pollfd p{.fd = monitor_->fd(), .events = POLLIN, .revents = 0};
    return poll(&p, 1, 0) == 1;
  }
  void Poll() {
    ASSERT_EQ(host_->Run([&] { return monitor_->Poll(); }), absl::OkStatus());
  }

  std::optional<TestNetns> host_;
  std::unique_ptr<NatMonitor> monitor_;
};

TEST_F(NatMonitorTest, NothingTranslatesInAnEmptyNamespaceOrWhereRulesOnlyFilter) {
  Nft("add table inet f");
  Nft("add chain inet f input { type filter hook input priority 0; }");
  Nft("add rule inet f input counter");
  Open();
  EXPECT_THAT(monitor_->found(), IsEmpty());
}

TEST_F(NatMonitorTest, RulesThatStandAtTheStartAreFoundByChain) {
  for (const char* family : {"ip", "ip6", "inet"}) {
    Nft(std::string("add table ") + family + " t");
    Nft(std::string("add chain ") + family + " t post { type nat hook postrouting priority 100; }");
    Nft(std::string("add rule ") + family + " t post masquerade");
  }
  Open();
  EXPECT_THAT(monitor_->found(), UnorderedElementsAre("nftables ip t post", "nftables ip6 t post",
                                                      "nftables inet t post"));
}

TEST_F(NatMonitorTest, AChainThatComesWithRulesAndGoesIsToldAtOnce) {
  Open();
  ASSERT_EQ(host_->Shell("printf \"table ip t {\\n chain pre { type nat hook prerouting priority "
                         "-100; tcp dport 80 dnat to 192.0.2.1; }\\n}\\n\" | nft -f -"),
            0);
  Told();
  EXPECT_THAT(monitor_->found(), ElementsAre("nftables ip t pre"));
  Nft("delete table ip t");
  Told();
  EXPECT_THAT(monitor_->found(), IsEmpty());
}

TEST_F(NatMonitorTest, AnEmptyChainTranslatesNothingUntilItsFirstRule) {
  Nft("add table ip t");
  Nft("add chain ip t post { type nat hook postrouting priority 100; }");
  Open();
  EXPECT_THAT(monitor_->found(), IsEmpty());
  Nft("add rule ip t post masquerade");
  Told();
  EXPECT_THAT(monitor_->found(), ElementsAre("nftables ip t post"));
  Nft("flush chain ip t post");
  Told();
  EXPECT_THAT(monitor_->found(), IsEmpty());
}

TEST_F(NatMonitorTest, IptablesInItsNftFormIsNftables) {
  Open();
  ASSERT_EQ(host_->Shell("iptables-nft -t nat -A POSTROUTING -j MASQUERADE && "
                         "ip6tables-nft -t nat -A POSTROUTING -j MASQUERADE"),
            0);
  Told();
  EXPECT_THAT(monitor_->found(),
              UnorderedElementsAre("nftables ip nat POSTROUTING", "nftables ip6 nat POSTROUTING"));
}

TEST_F(NatMonitorTest, LegacyTablesAreFoundByAskingAndOnlyWithRules) {
  Open();
  if (host_->Shell("iptables-legacy -t nat -L") != 0) {
    RecordProperty("kernel_lacks", "iptables-legacy");
    GTEST_SKIP() << "this kernel has no iptables-legacy";
  }
  Poll();
  EXPECT_THAT(monitor_->found(), IsEmpty()) << "to list a table makes it";
  ASSERT_EQ(host_->Shell("iptables-legacy -t nat -A POSTROUTING -j MASQUERADE && "
                         "ip6tables-legacy -t nat -A PREROUTING -j ACCEPT"),
            0);
  Poll();
  EXPECT_THAT(monitor_->found(),
              UnorderedElementsAre("iptables-legacy nat", "ip6tables-legacy nat"));
  ASSERT_EQ(host_->Shell("iptables-legacy -t nat -F && ip6tables-legacy -t nat -F"), 0);
  Poll();
  EXPECT_THAT(monitor_->found(), IsEmpty());
}

TEST_F(NatMonitorTest, AnotherNamespacesRulesAreNotOurs) {
  Open();
  auto other = TestNetns::Create();
  ASSERT_TRUE(other.ok());
  ASSERT_EQ(other->Shell("nft add table ip t && nft \"add chain ip t post { type nat hook "
                         "postrouting priority 100; }\" && nft add rule ip t post masquerade"),
            0);
  EXPECT_FALSE(HasNews());
  Poll();
  EXPECT_THAT(monitor_->found(), IsEmpty());
}

}  // namespace
}  // namespace ripstop::agent
