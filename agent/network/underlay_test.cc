// SPDX-License-Identifier: Apache-2.0
#include "agent/network/underlay.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ripstop::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class UnderlayTest : public ::testing::Test {
 protected:
  UnderlayTest() {
    Add("lo", "", 65536).loopback = true;
    Add("eth0", "", 1500);
    Add("eth1", "", 9000);
  }
  Link& Add(const std::string& name, const std::string& kind, uint32_t mtu) {
    Link link;
    link.index = static_cast<uint32_t>(links_.size() + 1);
    link.name = name;
    link.kind = kind;
    link.mtu = mtu;
    link.up = true;
    links_.push_back(link);
    return links_.back();
  }
  void Have(uint32_t ifindex, const char* address) {
    InterfaceAddress one;
    one.ifindex = ifindex;
    one.address = *policy::Address::Parse(address);
    addresses_.push_back(one);
  }
  Underlay Find() const {
    return FindUnderlay(
        {*policy::Address::Parse("192.0.2.1"), *policy::Address::Parse("2001:db8::1")}, addresses_,
        links_);
  }
  static LinkEvent Changed(Link link, uint32_t mtu) {
    link.mtu = mtu;
    return {link, false};
  }

  static constexpr uint32_t kLo = 1, kEth0 = 2, kEth1 = 3;
  std::vector<Link> links_;
  std::vector<InterfaceAddress> addresses_;
};

TEST_F(UnderlayTest, TheWayIsTheInterfaceThatHoldsTheAddress) {
  Have(kEth1, "192.0.2.1");
  Have(kEth0, "203.0.113.7");
  EXPECT_THAT(Find().holders, ElementsAre(kEth1));
  EXPECT_EQ(Find().mtu(), 9000u);
}

TEST_F(UnderlayTest, WhatThePatternMatchesIsTheWayInstead) {
  Have(kEth1, "192.0.2.1");
  const auto find = [this](const char* pattern) {
    return FindUnderlay({*policy::Address::Parse("192.0.2.1")}, addresses_, links_,
                        InterfacePattern(pattern));
  };
  EXPECT_EQ(find("^eth0$").mtu(), 1500u);
  EXPECT_THAT(find("^eth0$").holders, ElementsAre(kEth1)) << "where nodes are has not changed";
  EXPECT_EQ(find("eth").mtu(), 1500u) << "the narrowest";
  EXPECT_EQ(find("^wlan").mtu(), 9000u) << "none: as without it";
  links_[kEth0 - 1].up = false;
  EXPECT_EQ(find("^eth0$").mtu(), 9000u);
}

TEST_F(UnderlayTest, ItDependsOnWhatThePatternMatches) {
  Have(kEth1, "192.0.2.1");
  const InterfacePattern chosen("^eth0$");
  const Underlay underlay =
      FindUnderlay({*policy::Address::Parse("192.0.2.1")}, addresses_, links_, chosen);
  Link eth0 = links_[kEth0 - 1], eth1 = links_[kEth1 - 1];
  EXPECT_FALSE(underlay.DependsOn({eth0, false}, chosen));
  EXPECT_TRUE(underlay.DependsOn(Changed(eth0, 1400), chosen));
  EXPECT_FALSE(underlay.DependsOn(Changed(eth1, 1400), chosen));
  EXPECT_TRUE(underlay.DependsOn({eth0, true}, chosen));
  eth0.up = false;
  EXPECT_TRUE(underlay.DependsOn({eth0, false}, chosen));
  eth1.name = "eth0";
  EXPECT_TRUE(underlay.DependsOn({eth1, false}, chosen)) << "one that was not there";
}

TEST_F(UnderlayTest, OfTwoWaysTheNarrowerCounts) {
  Have(kEth0, "192.0.2.1");
  Have(kEth1, "2001:db8::1");
  EXPECT_THAT(Find().holders, ElementsAre(kEth0, kEth1));
  EXPECT_EQ(Find().mtu(), 1500u);
  addresses_.clear();
  Have(kEth1, "192.0.2.1");
  Have(kEth0, "2001:db8::1");
  EXPECT_EQ(Find().mtu(), 1500u);
}

TEST_F(UnderlayTest, TheLoopbackIsNoWayWhateverLeadsOutIs) {
  Have(kLo, "192.0.2.1");
  EXPECT_THAT(Find().holders, ElementsAre(kLo));
  EXPECT_EQ(Find().mtu(), 1500u);
  links_[1].up = false;
  EXPECT_EQ(Find().mtu(), 9000u);
  // What leads to pods and containers, or by another interface, does not count.
  Add("cali0123456789a", "veth", 1280);
  Add("docker0", "bridge", 1280);
  Add("veth1", "veth", 1280).master = 5;
  Add("vxlan.ripstop", "vxlan", 1280);
  Add("spare", "dummy", 1280);
  EXPECT_EQ(Find().mtu(), 9000u);
  addresses_[0].ifindex = 8;  // the dummy
  EXPECT_EQ(Find().mtu(), 9000u);
  links_.resize(1);
  EXPECT_THAT(Find().mtus, IsEmpty());
  EXPECT_EQ(Find().mtu(), 1500u);
}

TEST_F(UnderlayTest, ANodeThatIsAContainerIsReachedByItsVeth) {
  links_.resize(1);
  Add("eth0", "veth", 1400);
  Have(kLo, "192.0.2.1");
  EXPECT_EQ(Find().mtu(), 1400u);
}

TEST_F(UnderlayTest, ItDependsOnWhatItsWaysDoAndOnNothingElse) {
  Have(kEth0, "192.0.2.1");
  const Underlay held = Find();
  EXPECT_FALSE(held.DependsOn({links_[kEth0 - 1], false})) << "nothing changed";
  EXPECT_TRUE(held.DependsOn(Changed(links_[kEth0 - 1], 1400)));
  EXPECT_TRUE(held.DependsOn({links_[kEth0 - 1], true}));
  EXPECT_FALSE(held.DependsOn(Changed(links_[kEth1 - 1], 1400)));
  addresses_[0].ifindex = kLo;
  const Underlay anywhere = Find();
  EXPECT_FALSE(anywhere.DependsOn({links_[kEth1 - 1], false}));
  EXPECT_TRUE(anywhere.DependsOn(Changed(links_[kEth1 - 1], 1400)));
  EXPECT_TRUE(anywhere.DependsOn({Add("eth2", "", 1400), false})) << "one more way";
  EXPECT_FALSE(anywhere.DependsOn({Add("cali0123456789a", "veth", 1400), false}));
  links_[kEth1 - 1].up = false;
  EXPECT_TRUE(anywhere.DependsOn({links_[kEth1 - 1], false})) << "one way less";
}

}  // namespace
}  // namespace ripstop::agent
