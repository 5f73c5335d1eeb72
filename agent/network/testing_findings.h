// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_NETWORK_TESTING_FINDINGS_H_
#define RIPSTOP_AGENT_NETWORK_TESTING_FINDINGS_H_

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agent/network/firewall_findings.h"
#include "agent/network/testing_rules.h"

namespace ripstop::agent {

// What is found in the rules of a namespace, for a node with an uplink, a pool of each family, the
// tunnel and BGP.
class FirewallFindingsTest : public RulesTest {
 protected:
  FirewallFindingsTest() {
    scene_.uplinks = {{"eth0", 2}};
    scene_.pools = {*policy::Cidr::Parse("10.65.0.0/16"), *policy::Cidr::Parse("fd00:10:65::/48")};
    scene_.through_stack = true;
    scene_.vxlan_port = 4789;
    scene_.tunnel = FirewallScene::Tunnel{Addr("192.0.2.11"), {Addr("192.0.2.12")}};
    scene_.bgp = {*policy::Address::Parse("192.0.2.11"), *policy::Address::Parse("2001:db8::11")};
  }
  static policy::Address Addr(const std::string& text) { return *policy::Address::Parse(text); }
  std::vector<FirewallFinding> Find() { return FindInFirewall(Read(), scene_); }
  // "outgoing 4 loses ufw"
  std::vector<std::string> Summary() {
    static const char* const kWhose[] = {"outgoing", "answers", "tunnel",   "tunnel-to",
                                         "bgp",      "to-host", "from-host"};
    std::vector<std::string> lines;
    for (const FirewallFinding& finding : Find()) {
      lines.push_back(absl::StrCat(kWhose[finding.whose], " ", finding.family, " ",
                                   finding.loses()        ? "loses"
                                   : finding.drop.certain ? "certain"
                                                          : "maybe",
                                   " ", finding.owner));
    }
    return lines;
  }
  // What is typed stands in the rules where the program that is told puts it.
  void Ufw(const std::string& chain, const std::string& rule) {
    Shell(absl::StrCat("iptables-nft -A ufw-user-", chain, " ", rule, " -j ACCEPT && ",
                       "ip6tables-nft -A ufw6-user-", chain, " ", rule, " -j ACCEPT"));
  }
  FirewallScene scene_;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_NETWORK_TESTING_FINDINGS_H_
