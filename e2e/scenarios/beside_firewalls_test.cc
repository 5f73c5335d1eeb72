// SPDX-License-Identifier: Apache-2.0
//
// Rules as ufw, firewalld and Docker make them, beside real agents: what breaks is named, what is
// typed then mends it, and all else goes on. real_firewalls.cc has the programs themselves.
#include <gmock/gmock.h>

#include "e2e/scenarios/firewall_lab.h"

namespace ripstop::lab {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class BesideFirewalls : public FirewallLab {
 protected:
  std::string Status() {
    const auto status = lab().Ctl({"node", "status"}, "", "node1");
    EXPECT_TRUE(status.ok()) << status.status();
    return status.ok() ? status->out : "";
  }
  void LoadUfw(const std::string& node) {
    Sh(node, "iptables-nft-restore " FIREWALL_TESTDATA
             "/ufw.iptables && "
             "ip6tables-nft-restore " FIREWALL_TESTDATA "/ufw.ip6tables");
  }
};

TEST_F(BesideFirewalls, WithoutThemNothingIsSaid) {
  EXPECT_EQ(Firewall("node1").findings_size(), 0);
  EXPECT_EQ(Firewall("node1").dropped_packets(), 0u);
  EXPECT_THAT(Status(), Not(HasSubstr("Other firewalls")));
}

TEST_F(BesideFirewalls, DockersPolicyKeepsPodsFromOutsideOnlyAndItsOwnChainOpensThat) {
  Sh("node1", "iptables-nft-restore " FIREWALL_TESTDATA "/docker.iptables");
  ASSERT_TRUE(Loses("node1", "what pods send", "nftables ip filter FORWARD: its policy drops"));
  EXPECT_TRUE(KeptFromOutside(4));
  EXPECT_TRUE(ReachesOutside(6)) << "Docker filters IPv4";
  ExpectMatrix();
  EXPECT_TRUE(Eventually([&] { return Firewall("node1").dropped_packets() > 0; }));
  EXPECT_TRUE(Firewall("node1").dropping());
  const std::string status = Status();
  EXPECT_THAT(status, HasSubstr("Node node1, ripstop-agent"));
  EXPECT_THAT(status, HasSubstr(": ready\n")) << "the node does its part";
  EXPECT_THAT(status, HasSubstr("Other firewalls on this host: they have dropped"));
  EXPECT_THAT(status, HasSubstr("iptables -I DOCKER-USER -i cali+ -j ACCEPT"));
  for (const std::string& remedy : Remedies("node1")) Sh("node1", remedy);
  EXPECT_TRUE(ReachesOutside(4));
  EXPECT_TRUE(LosesNothing("node1"));
}

TEST_F(BesideFirewalls, UfwKeepsTheTunnelOutAndNothingElseOfPods) {
  LoadUfw("node1");
  ASSERT_TRUE(Loses("node1", "VXLAN of other nodes", "nftables ip filter INPUT: its policy drops"));
  for (const int family : {4, 6}) {
    EXPECT_TRUE(Silent(ByTunnel(family))) << "answers come by the tunnel";
    EXPECT_TRUE(Reaches(Natively(family)));
    EXPECT_TRUE(Reaches(OnTheNode(family)));
    EXPECT_TRUE(ReachesOutside(family)) << "masqueraded without the stack";
  }
  EXPECT_EQ(Remedies("node1"),
            std::set<std::string>{"ufw allow in on eth0 to any port 4789 proto udp"});
  // As ufw writes that.
  Sh("node1", "iptables-nft -A ufw-user-input -i eth0 -p udp --dport 4789 -j ACCEPT");
  for (const int family : {4, 6}) EXPECT_TRUE(Reaches(ByTunnel(family)));
  EXPECT_TRUE(LosesNothing("node1"));
  ExpectMatrix();
}

TEST_F(BesideFirewalls, FirewalldRejectsTheTunnelAndWhatItsOwnNatSendsByTheStack) {
  Sh("node1", "nft -f " FIREWALL_TESTDATA "/firewalld.nft");
  ASSERT_TRUE(Loses("node1", "VXLAN of other nodes", "nftables inet firewalld"));
  ASSERT_TRUE(Loses("node1", "what pods send", "nftables inet firewalld filter_FWD_public"));
  for (const int family : {4, 6}) {
    EXPECT_TRUE(KeptFromOutside(family)) << "chains of type nat with rules turn host's NAT on";
    EXPECT_TRUE(Silent(ByTunnel(family)));
    EXPECT_TRUE(Reaches(Natively(family)));
    EXPECT_TRUE(Reaches(OnTheNode(family)));
  }
  // As firewalld writes what is to be typed.
  Sh("node1",
     "nft add chain inet firewalld trusted && nft add rule inet firewalld trusted accept && "
     "nft insert rule inet firewalld filter_FORWARD_ZONES iifname 'cali*' goto trusted && "
     "nft add rule inet firewalld filter_IN_public_allow udp dport 4789 accept");
  for (const int family : {4, 6}) EXPECT_TRUE(ReachesOutside(family));
  EXPECT_TRUE(LosesNothing("node1"));
  ExpectMatrix();
}

// The first packet to a next hop that is not known is what has it asked for.
TEST_F(BesideFirewalls, ANextHopThatIsNotKnownYetNeedsNoRule) {
  Sh("node2",
     "nft 'add table inet f; add chain inet f f { type filter hook forward priority 0; "
     "policy drop; }'");
  for (const int family : {4, 6}) {
    Sh("node2", absl::StrCat("ip -", family, " neigh flush dev eth0"));
    EXPECT_TRUE(Reaches(Natively(family)));
  }
  EXPECT_EQ(Firewall("node2").dropped_packets(), 0u);
}

}  // namespace
}  // namespace ripstop::lab
