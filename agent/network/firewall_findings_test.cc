// SPDX-License-Identifier: Apache-2.0
#include "agent/network/firewall_findings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "agent/network/testing_findings.h"

namespace ripstop::agent {
namespace {

using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

TEST_F(FirewallFindingsTest, NothingIsFoundWhereNobodyFilters) { EXPECT_THAT(Find(), IsEmpty()); }

TEST_F(FirewallFindingsTest, UfwDropsAllThatIsNewAndItsOwnCommandsLetItPass) {
  LoadUfw();
  EXPECT_THAT(Summary(),
              UnorderedElementsAre("outgoing 4 loses ufw", "outgoing 6 loses ufw",
                                   "tunnel 4 loses ufw", "bgp 4 certain ufw", "bgp 6 certain ufw",
                                   "to-host 4 certain ufw", "to-host 6 certain ufw"));
  const FirewallFinding first = Find()[0];
  EXPECT_EQ(NameOf(first.drop), "nftables ip filter FORWARD: its policy drops");
  EXPECT_EQ(first.remedy, "ufw route allow in on cali+");
  Ufw("forward", "-i cali+");
  EXPECT_THAT(Summary(), Not(Contains(HasSubstr("outgoing"))));
  Ufw("input", "-p udp --dport 4789");
  EXPECT_THAT(Summary(), Each(HasSubstr("certain"))) << "nothing is lost any more";
  Ufw("input", "-i cali+");
  Ufw("input", "-p tcp --dport 179");
  EXPECT_THAT(Find(), IsEmpty());
}

TEST_F(FirewallFindingsTest, WhatDoesNotMeetNetfilterIsNotLostByIt) {
  LoadUfw();
  scene_.through_stack = false;
  scene_.vxlan_port = 0;
  EXPECT_THAT(Summary(), Each(HasSubstr("certain")));
  scene_.bgp.clear();
  EXPECT_THAT(Summary(), UnorderedElementsAre("to-host 4 certain ufw", "to-host 6 certain ufw"));
}

TEST_F(FirewallFindingsTest, FirewalldRejectsAndNamesTheZone) {
  LoadFirewalld();
  EXPECT_THAT(Summary(),
              UnorderedElementsAre("outgoing 4 loses firewalld", "outgoing 6 loses firewalld",
                                   "tunnel 4 loses firewalld", "bgp 4 certain firewalld",
                                   "bgp 6 certain firewalld", "to-host 4 maybe firewalld",
                                   "to-host 6 maybe firewalld"))
      << "port 22 is open to pods, too";
  const FirewallFinding first = Find()[0];
  EXPECT_THAT(NameOf(first.drop), HasSubstr("nftables inet firewalld filter_FWD_public: rule"));
  EXPECT_THAT(NameOf(first.drop), EndsWith("rejects"));
  EXPECT_EQ(first.remedy,
            "firewall-cmd --permanent --zone=trusted --add-interface=cali+ && firewall-cmd "
            "--reload");
  // As firewalld writes it for that.
  Nft("add chain inet firewalld trusted");
  Nft("add rule inet firewalld trusted accept");
  for (const char* chain : {"FORWARD", "INPUT"}) {
    Nft(absl::StrCat("insert rule inet firewalld filter_", chain,
                     "_ZONES iifname cali* goto trusted"));
  }
  Nft("add rule inet firewalld filter_IN_public_allow udp dport 4789 accept");
  Nft("add rule inet firewalld filter_IN_public_allow tcp dport 179 accept");
  EXPECT_THAT(Summary(), ElementsAre("outgoing 6 maybe firewalld"))
      << "addresses that hide an IPv4 one are rejected before";
}

TEST_F(FirewallFindingsTest, DockerDropsWhatIsForwardedAndAnswersToo) {
  LoadDocker();
  EXPECT_THAT(Summary(), UnorderedElementsAre("outgoing 4 loses Docker", "answers 4 loses Docker"));
  for (const FirewallFinding& finding : Find()) {
    EXPECT_THAT(finding.remedy, HasSubstr("iptables -I DOCKER-USER")) << finding.remedy;
    Shell(absl::StrReplaceAll(finding.remedy, {{"iptables", "iptables-nft"}}));
  }
  EXPECT_THAT(Find(), IsEmpty());
}

TEST_F(FirewallFindingsTest, RulesOfNobodyKnownAreAnsweredInTheirOwnTable) {
  Nft("add table inet mine");
  Nft("add chain inet mine f { type filter hook forward priority 0; policy drop; }");
  Nft("add chain inet mine i { type filter hook input priority 0; }");
  Nft("add rule inet mine i ct state established,related accept");
  Nft("add rule inet mine i iif lo accept");
  Nft("add rule inet mine i reject with icmpx admin-prohibited");
  scene_.bgp.clear();
  EXPECT_EQ(Find().size(), 4u + 1 + 2) << "outgoing and answers, the tunnel, to the host";
  for (const FirewallFinding& finding : Find()) {
    EXPECT_TRUE(finding.drop.certain) << NameOf(finding);
    if (finding.whose == FirewallFinding::kTunnel) {
      EXPECT_EQ(finding.remedy,
                "nft insert rule inet mine i 'iifname \"eth0\" udp dport 4789 accept'");
    }
  }
  for (const char* rule :
       {"i udp dport 4789", "i iifname cali*", "f iifname cali*", "f oifname cali*"})
    Nft(absl::StrCat("insert rule inet mine ", rule, " accept"));
  EXPECT_THAT(Find(), IsEmpty());
}

}  // namespace
}  // namespace ripstop::agent
