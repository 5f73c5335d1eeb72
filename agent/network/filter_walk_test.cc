// SPDX-License-Identifier: Apache-2.0
#include "agent/network/filter_walk.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "absl/strings/str_join.h"
#include "agent/network/testing_rules.h"

namespace ripstop::agent {
namespace {

policy::Cidr Addr(const char* text) { return *policy::Cidr::Parse(text); }

class FilterWalkTest : public RulesTest {
 protected:
  void SetUp() override {
    RulesTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    Nft("add table inet t");
    Nft("add chain inet t f { type filter hook forward priority 0; }");
    for (const char* chain : {"a", "b"}) Nft(std::string("add chain inet t ") + chain);
    packet_.in = {"cali0", 7};
    packet_.out = {"eth0", 2};
    packet_.protocol = IPPROTO_TCP;
    packet_.source = Addr("10.65.0.1");
  }
  void Rule(const std::string& rule) { Nft("add rule inet t " + rule); }
  // "passes"; or "maybe", "dropped", by each base chain that may.
  std::string Fate() {
    std::vector<std::string> fates;
    for (const FilterDrop& drop : WhoDrops(Read(), packet_))
      fates.push_back(drop.certain ? "dropped" : "maybe");
    if (fates.empty()) return "passes";
    std::sort(fates.begin(), fates.end(), std::greater());
    return absl::StrJoin(fates, "|");
  }
  // What one rule's match makes of the packet, were it to drop.
  std::string FateBy(const std::string& match) {
    Nft("flush chain inet t f");
    Rule("f " + match + " drop");
    return Fate();
  }
  SamplePacket packet_;
};

TEST_F(FilterWalkTest, MatchesOfKnownFieldsAreDecided) {
  EXPECT_EQ(Fate(), "passes") << "control: no rule, no drop";
  EXPECT_EQ(FateBy("counter"), "dropped");
  for (const char* match : {"iifname cali0",
                            "iifname cali*",
                            "iifname != eth0",
                            "iif 7",
                            "oifname eth0",
                            "ip saddr 10.65.0.0/16",
                            "ip saddr 10.65.0.0/15",
                            "ip saddr { 192.0.2.1, 10.65.0.1 }",
                            "ip saddr { 10.65.0.0-10.65.0.9, 192.0.2.0/24 }",
                            "ip saddr != 10.66.0.0/16",
                            "meta nfproto ipv4",
                            "meta l4proto tcp",
                            "meta l4proto { tcp, udp }",
                            "ct state new",
                            "ct state != established",
                            "ct state { new, invalid }",
                            "ip protocol tcp",
                            "iifname cali0 oifname eth0 ct state new",
                            "fib daddr type unicast",
                            "ct status & dnat != dnat"})
    EXPECT_EQ(FateBy(match), "dropped") << match;
  for (const char* match : {"iifname eth0", "iifname docker*", "oif 3", "ip saddr 10.64.0.0/16",
                            "ip saddr { 192.0.2.1, 10.65.0.2 }", "ip saddr { 10.65.0.2-10.65.0.9 }",
                            "ip6 saddr fd00::/8", "meta l4proto udp", "udp dport 53",
                            "ct state established,related", "ct state invalid", "ct status dnat",
                            "fib daddr type local", "fib saddr . iif oif missing", "rt type 0"})
    EXPECT_EQ(FateBy(match), "passes") << match;
  for (const char* match :
       {"ip daddr 192.0.2.1", "tcp dport 443", "tcp dport 1-1023", "tcp sport != 5",
        "meta mark 0x4000", "meta mark and 0xff00 == 0x4000", "limit rate 3/minute",
        "ip daddr { 192.0.2.1 }", "ip ttl 3", "meta skuid 7", "tcp flags syn"})
    EXPECT_EQ(FateBy(match), "maybe") << match;
  packet_.destination_port = 443;
  EXPECT_EQ(FateBy("tcp dport 443"), "dropped");
  EXPECT_EQ(FateBy("tcp dport 1-1023"), "dropped");
  EXPECT_EQ(FateBy("tcp dport { 80, 8000-8080 }"), "passes");
  packet_.established = true;
  EXPECT_EQ(FateBy("ct state established,related"), "dropped");
}

TEST_F(FilterWalkTest, OfAnAddressOnlyItsPrefixMayBeKnown) {
  packet_.source = Addr("10.65.0.0/16");
  for (const char* match :
       {"ip saddr 10.65.0.0/16", "ip saddr 10.64.0.0/15", "ip saddr != 10.66.0.0/16",
        "ip saddr { 10.0.0.0-10.65.255.255, 192.0.2.0/24 }", "ip saddr { 10.64.0.0/15 }",
        "ip saddr != { 10.66.0.0/16 }", "ip saddr 10.64.0.1-10.65.255.255", "ip saddr < 10.66.0.0"})
    EXPECT_EQ(FateBy(match), "dropped") << match;
  for (const char* match : {"ip saddr 10.66.0.0/16", "ip saddr { 192.0.2.1, 10.64.0.0/16 }",
                            "ip saddr 10.66.0.0-10.67.0.0", "ip saddr > 10.66.0.0"})
    EXPECT_EQ(FateBy(match), "passes") << match;
  for (const char* match :
       {"ip saddr 10.65.3.0/26", "ip saddr 10.65.0.0/24", "ip saddr 10.65.0.0",
        "ip saddr { 10.65.0.0/17 }", "ip saddr { 10.65.0.0 }", "ip saddr 10.65.0.0-10.65.9.9",
        "ip saddr != 10.65.0.0/24", "ip saddr < 10.65.0.9"})
    EXPECT_EQ(FateBy(match), "maybe") << match;
}

TEST_F(FilterWalkTest, ConnectionsOfWhatMayNotBeTrackedAreNotKnown) {
  EXPECT_EQ(FateBy("ct state new"), "dropped");
  Nft("add chain inet t r { type filter hook prerouting priority raw; }");
  Rule("r udp dport 4789 notrack");
  EXPECT_EQ(FateBy("ct state new"), "dropped") << "control: it is TCP";
  Rule("r tcp dport 443 notrack");
  for (const char* match : {"ct state new", "ct state untracked", "ct status dnat"})
    EXPECT_EQ(FateBy(match), "maybe") << match;
  Nft("flush chain inet t r");
  Rule("r ct state invalid drop");
  EXPECT_EQ(FateBy("ct state new"), "maybe|dropped") << "nothing is tracked yet";
}

TEST_F(FilterWalkTest, TargetsOfIptablesKeepFromTrackingToo) {
  packet_.protocol = IPPROTO_UDP;
  packet_.destination_port = 4789;
  EXPECT_EQ(FateBy("ct state new"), "dropped");
  Shell("iptables-nft -t raw -A PREROUTING -p udp -j CT --zone 3");
  EXPECT_EQ(FateBy("ct state new"), "dropped") << "control: it is tracked";
  Shell("iptables-nft -t raw -A PREROUTING -p udp --dport 4789 -j CT --notrack");
  EXPECT_EQ(FateBy("ct state new"), "maybe");
  Shell("iptables-nft -A FORWARD -m conntrack --ctstate NEW -j DROP");
  EXPECT_EQ(FateBy("oif 3"), "maybe");
}

TEST_F(FilterWalkTest, WhatIsAcceptedBeforeIsNotDropped) {
  Nft("add chain inet t f { policy drop; }");
  EXPECT_EQ(Fate(), "dropped");
  Rule("f tcp dport 443 accept");
  EXPECT_EQ(Fate(), "maybe");
  Rule("f iifname cali* accept");
  EXPECT_EQ(Fate(), "passes");
  Nft("insert rule inet t f ip saddr 10.65.0.0/16 reject");
  EXPECT_EQ(Fate(), "dropped");
}

TEST_F(FilterWalkTest, JumpsComeBackGotosGoToTheEndAndReturnsReturn) {
  Nft("add chain inet t f { policy drop; }");
  Rule("f jump a");
  Rule("f accept");
  EXPECT_EQ(Fate(), "passes");
  Rule("a return");
  Rule("a drop");
  EXPECT_EQ(Fate(), "passes");
  Nft("flush chain inet t a");
  Rule("a goto b");
  Rule("a drop");
  EXPECT_EQ(Fate(), "passes") << "what follows a goto is not run";
  Nft("flush chain inet t f");
  Rule("f goto a");
  Rule("f accept");
  EXPECT_EQ(Fate(), "dropped") << "back from a goto is the policy";
  Rule("b accept");
  EXPECT_EQ(Fate(), "passes");
}

TEST_F(FilterWalkTest, MapsOfVerdictsAreLookedUp) {
  Rule("a drop");
  Rule("f iifname vmap { eth0 : drop, cali0 : jump b, lo : accept }");
  EXPECT_EQ(Fate(), "passes");
  Rule("f ct state vmap { established : accept, new : jump a }");
  EXPECT_EQ(Fate(), "dropped");
  Nft("flush chain inet t f");
  Rule("f ip daddr vmap { 192.0.2.1 : drop }");
  EXPECT_EQ(Fate(), "maybe") << "where it goes is not known";
  Nft("flush chain inet t f");
  Rule("f ip saddr vmap { 10.64.0.0/16 : accept, 10.65.0.0/16 : drop }");
  EXPECT_EQ(Fate(), "dropped");
}

TEST_F(FilterWalkTest, OnlyHooksThatThePacketMeetsCount) {
  Nft("add chain inet t i { type filter hook input priority 0; policy drop; }");
  Nft("add chain inet t o { type filter hook output priority 0; policy drop; }");
  EXPECT_EQ(Fate(), "passes");
  Nft("add table ip6 s");
  Nft("add chain ip6 s f { type filter hook forward priority 0; policy drop; }");
  EXPECT_EQ(Fate(), "passes") << "of the other family";
  SamplePacket to_host = packet_;
  to_host.way = SamplePacket::kToHost;
  const auto drops = WhoDrops(Read(), to_host);
  ASSERT_EQ(drops.size(), 1u);
  EXPECT_EQ(drops[0].chain, "i");
  EXPECT_EQ(drops[0].handle, 0u);
  SamplePacket from_host = packet_;
  from_host.way = SamplePacket::kFromHost;
  const auto own = WhoDrops(Read(), from_host);
  ASSERT_EQ(own.size(), 1u);
  EXPECT_EQ(own[0].chain, "o");
  Nft("add chain inet t p { type filter hook prerouting priority 0; }");
  Rule("p iifname cali* drop");
  EXPECT_EQ(Fate(), "dropped");
}

}  // namespace
}  // namespace ripstop::agent
