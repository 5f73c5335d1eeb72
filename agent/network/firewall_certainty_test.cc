// SPDX-License-Identifier: Apache-2.0
//
// What is said to be lost for certain, and what to type against it: neither more than is known.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "agent/network/testing_findings.h"

namespace ripstop::agent {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

class FirewallCertaintyTest : public FirewallFindingsTest {
 protected:
  std::vector<std::string> Remedies() {
    std::vector<std::string> all;
    for (const FirewallFinding& finding : Find()) all.push_back(finding.remedy);
    return all;
  }
};

// A base chain of nobody known's, and the tunnel's outer packets alone.
class OfTheTunnel : public FirewallCertaintyTest {
 protected:
  void SetUp() override {
    FirewallFindingsTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    scene_.through_stack = false;
    scene_.pools.clear();
    scene_.bgp.clear();
    scene_.uplinks = {{"eth0", 2}, {"eth1", 3}};
    Nft("add table inet mine");
    Nft("add chain inet mine i { type filter hook input priority 0; policy drop; }");
  }
};

TEST_F(OfTheTunnel, AllOfItIsLostOnlyWhereItIsByEachUplink) {
  EXPECT_THAT(Summary(), ElementsAre("tunnel 4 loses "));
  EXPECT_THAT(Remedies(), ElementsAre("nft insert rule inet mine i 'ip saddr { 192.0.2.12 } "
                                      "udp dport 4789 accept'"));
  Nft("add rule inet mine i iifname eth0 udp dport 4789 accept");
  EXPECT_THAT(Summary(), ElementsAre("tunnel 4 maybe ")) << "it comes by eth0, or by eth1";
  Nft("add rule inet mine i iifname eth1 udp dport 4789 accept");
  EXPECT_THAT(Find(), IsEmpty());
}

TEST_F(OfTheTunnel, RulesThatTakeItByOneUplinkEachLoseItTogether) {
  Nft("add chain inet mine i { policy accept; }");
  Nft("add rule inet mine i iifname eth0 udp dport 4789 drop");
  EXPECT_THAT(Summary(), ElementsAre("tunnel 4 maybe "));
  Nft("add chain inet mine j { type filter hook input priority 5; }");
  Nft("add rule inet mine j iifname eth1 udp dport 4789 reject");
  EXPECT_THAT(Summary(), ElementsAre("tunnel 4 loses ", "tunnel 4 loses "));
}

TEST_F(OfTheTunnel, AllOfItIsLostOnlyWhereItIsOfEachNode) {
  scene_.tunnel->others.push_back(Addr("198.51.100.3"));
  Nft("add rule inet mine i ip saddr 192.0.2.0/24 udp dport 4789 accept");
  EXPECT_THAT(Summary(), ElementsAre("tunnel 4 maybe "));
  Nft("add rule inet mine i ip saddr 198.51.100.0/24 udp dport 4789 accept");
  EXPECT_THAT(Find(), IsEmpty());
  for (int node = 10; node < 30; ++node)
    scene_.tunnel->others.push_back(Addr(absl::StrCat("198.51.100.", node)));
  EXPECT_THAT(Summary(), ElementsAre("tunnel 4 maybe ")) << "of so many none is tried by itself";
  Nft("flush chain inet mine i");
  EXPECT_THAT(Summary(), ElementsAre("tunnel 4 loses "));
  EXPECT_THAT(Remedies(), ElementsAre("nft insert rule inet mine i 'udp dport 4789 accept'"));
}

TEST_F(OfTheTunnel, WhatThisNodeSendsIsLostByItsOutput) {
  Nft("add chain inet mine i { policy accept; }");
  Nft("add chain inet mine o { type filter hook output priority 0; policy drop; }");
  EXPECT_THAT(Summary(), ElementsAre("tunnel-to 4 loses "));
  scene_.pools = {*policy::Cidr::Parse("10.65.0.0/16")};
  EXPECT_THAT(Summary(), UnorderedElementsAre("tunnel-to 4 loses ", "from-host 4 loses "));
  Nft("add rule inet mine o oifname cali* accept");
  EXPECT_THAT(Summary(), ElementsAre("tunnel-to 4 loses "));
  scene_.uplinks = {{"eth0", 2}};
  EXPECT_THAT(Remedies(), ElementsAre("nft insert rule inet mine o 'oifname \"eth0\" "
                                      "udp dport 4789 accept'"));
  Nft("add rule inet mine o oifname eth0 udp dport 4789 accept");
  EXPECT_THAT(Find(), IsEmpty());
}

TEST_F(OfTheTunnel, ThatIsNotTrackedMayBeAcceptedForThat) {
  Nft("add rule inet mine i ct state untracked accept");
  EXPECT_THAT(Summary(), ElementsAre("tunnel 4 loses ")) << "control: it is tracked";
  Nft("add chain inet mine r { type filter hook prerouting priority raw; }");
  Nft("add rule inet mine r udp dport 4789 notrack");
  EXPECT_THAT(Summary(), ElementsAre("tunnel 4 maybe "));
}

TEST_F(FirewallCertaintyTest, UfwThatDeniesOutgoingIsFoundAndItsCommandsNameTheInterface) {
  LoadUfw();
  Shell("iptables-nft -P OUTPUT DROP && ip6tables-nft -P OUTPUT DROP");
  // What ufw writes for `default deny outgoing` goes without these.
  for (const char* program : {"iptables-nft", "ip6tables-nft"})
    Shell(absl::StrCat(program, " -F ", program[2] == '6' ? "ufw6" : "ufw", "-track-output"));
  std::set<std::string> remedies;
  for (const FirewallFinding& finding : Find()) {
    if (finding.drop.base != "OUTPUT" && finding.whose != FirewallFinding::kTunnel) continue;
    EXPECT_TRUE(finding.loses()) << NameOf(finding);
    remedies.insert(finding.remedy);
  }
  EXPECT_THAT(remedies, UnorderedElementsAre("ufw allow out on cali+",
                                             "ufw allow out on eth0 to any port 4789 proto udp",
                                             "ufw allow in on eth0 to any port 4789 proto udp"));
  Ufw("output", "-o cali+");
  Ufw("output", "-o eth0 -p udp --dport 4789");
  EXPECT_THAT(Summary(), Not(Contains(HasSubstr("from-host"))));
  EXPECT_THAT(Summary(), Not(Contains(HasSubstr("tunnel-to"))));
}

TEST_F(FirewallCertaintyTest, SomeAddressesOfAPoolAreNotAllOfIt) {
  Nft("add table inet mine");
  Nft("add chain inet mine f { type filter hook forward priority 0; policy drop; }");
  Nft("add rule inet mine f meta nfproto ipv6 accept");
  Nft("add rule inet mine f ct state established accept");
  EXPECT_THAT(Summary(), ElementsAre("outgoing 4 loses "));
  Nft("add rule inet mine f ip saddr 10.65.3.0/26 accept");
  EXPECT_THAT(Summary(), ElementsAre("outgoing 4 maybe ")) << "this node's pods, for example";
  Nft("add chain inet mine f { policy accept; }");
  EXPECT_THAT(Find(), IsEmpty());
  Nft("insert rule inet mine f ip saddr 10.65.0.0/24 drop");
  EXPECT_THAT(Summary(), UnorderedElementsAre("outgoing 4 maybe ", "answers 4 maybe "))
      << "of answers the source is not known at all";
}

TEST_F(FirewallCertaintyTest, RemediesNameTheTableAndNoInterfaceThatIsNotKnownThere) {
  scene_.vxlan_port = 0;
  scene_.bgp.clear();
  scene_.pools.pop_back();
  const auto type = [this](std::string remedy) {
    Shell(remedy.replace(0, sizeof("iptables") - 1, "iptables-nft"));
    EXPECT_THAT(Find(), IsEmpty()) << remedy;
  };
  std::string remedy = "iptables -t mangle -I PREROUTING -d 10.65.0.0/16 -j ACCEPT";
  Shell("iptables-nft -t mangle -A PREROUTING -i eth0 -p tcp -j DROP");
  EXPECT_THAT(Remedies(), ElementsAre(remedy));
  type(remedy);
  remedy = "iptables -t mangle -I POSTROUTING -s 10.65.0.0/16 -j ACCEPT";
  Shell("iptables-nft -t mangle -A POSTROUTING -o eth0 -j DROP");
  EXPECT_THAT(Remedies(), ElementsAre(remedy));
  type(remedy);
  Nft("add table ip mine");
  Nft("add chain ip mine FORWARD { type filter hook forward priority 5; policy drop; }");
  EXPECT_THAT(Remedies(), ::testing::Each(HasSubstr("nft insert rule ip mine FORWARD '")));
}

// As firewalld writes a policy from HOST to ANY whose target is DROP.
TEST_F(FirewallCertaintyTest, FirewalldsPolicyOfWhatGoesOutIsNamed) {
  LoadFirewalld();
  for (const char* chain : {"filter_OUT_policy_strict", "filter_OUT_policy_strict_deny"})
    Nft(absl::StrCat("add chain inet firewalld ", chain));
  Nft("add rule inet firewalld filter_OUT_policy_strict jump filter_OUT_policy_strict_deny");
  Nft("add rule inet firewalld filter_OUT_policy_strict drop");
  Nft("add rule inet firewalld filter_OUTPUT_POLICIES_pre jump filter_OUT_policy_strict");
  const std::string begin = "firewall-cmd --permanent --policy=strict --add-",
                    end = " && firewall-cmd --reload";
  EXPECT_THAT(
      Remedies(),
      ::testing::IsSupersetOf(
          {begin + "port=4789/udp" + end,
           begin + "rich-rule='rule family=ipv4 destination address=10.65.0.0/16 accept'" + end,
           begin + "rich-rule='rule family=ipv6 destination address=fd00:10:65::/48 accept'" +
               end}));
  EXPECT_THAT(Summary(),
              ::testing::IsSupersetOf({"tunnel-to 4 loses firewalld", "from-host 4 loses firewalld",
                                       "from-host 6 loses firewalld"}));
}

TEST_F(FirewallCertaintyTest, FirewalldsZoneIsNamed) {
  LoadFirewalld();
  EXPECT_THAT(Remedies(), Contains("firewall-cmd --permanent --zone=public --add-port=4789/udp && "
                                   "firewall-cmd --reload"));
}

}  // namespace
}  // namespace ripstop::agent
