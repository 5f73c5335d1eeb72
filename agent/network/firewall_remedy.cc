// SPDX-License-Identifier: Apache-2.0
#include "agent/network/firewall_remedy.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>

#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace ripstop::agent {
namespace {

constexpr char kUfw[] = "ufw", kFirewalld[] = "firewalld", kDocker[] = "Docker";
constexpr char kBgpService[] = "179";

// What is let in by a port, and not by an interface.
struct Service {
  const char* protocol;
  std::string port;
};
Service ServiceOf(const FirewallFinding& finding, const FirewallScene& scene) {
  if (finding.whose == FirewallFinding::kTunnel) return {"udp", absl::StrCat(scene.vxlan_port)};
  return {"tcp", kBgpService};
}
bool IsService(const FirewallFinding& finding) {
  return finding.whose == FirewallFinding::kTunnel || finding.whose == FirewallFinding::kBgp;
}

// iptables names its base chains so, and warns others off.
bool IsIptables(const FilterDrop& drop) {
  return drop.table.family != NFPROTO_INET && drop.base == absl::AsciiStrToUpper(drop.base);
}
std::string Iptables(const FirewallFinding& finding) {
  return finding.family == 4 ? "iptables" : "ip6tables";
}

std::string Ufw(const FirewallFinding& finding, const FirewallScene& scene) {
  if (IsService(finding)) {
    const Service service = ServiceOf(finding, scene);
    return absl::StrCat("ufw allow ", service.port, "/", service.protocol);
  }
  switch (finding.whose) {
    case FirewallFinding::kToHost: return "ufw allow in on cali+";
    case FirewallFinding::kAnswers: return "ufw route allow out on cali+";
    default: return "ufw route allow in on cali+";
  }
}

std::string Firewalld(const FirewallFinding& finding, const FirewallScene& scene) {
  std::string what = "--zone=trusted --add-interface=cali+";
  if (IsService(finding)) {
    const Service service = ServiceOf(finding, scene);
    what = absl::StrCat("--add-port=", service.port, "/", service.protocol);
  }
  return absl::StrCat("firewall-cmd --permanent ", what, " && firewall-cmd --reload");
}

std::string Docker(const FirewallFinding& finding) {
  return absl::StrCat(Iptables(finding), " -I DOCKER-USER ",
                      finding.whose == FirewallFinding::kAnswers ? "-o" : "-i", " cali+ -j ACCEPT");
}

std::string Plain(const FirewallFinding& finding, const FirewallScene& scene) {
  const bool answers = finding.whose == FirewallFinding::kAnswers;
  const FilterDrop& drop = finding.drop;
  const Service service = ServiceOf(finding, scene);
  if (IsIptables(drop)) {
    const std::string what = IsService(finding)
                                 ? absl::StrCat("-p ", service.protocol, " --dport ", service.port)
                                 : absl::StrCat(answers ? "-o" : "-i", " cali+");
    return absl::StrCat(Iptables(finding), " -I ", drop.base, " ", what, " -j ACCEPT");
  }
  const std::string what = IsService(finding)
                               ? absl::StrCat(service.protocol, " dport ", service.port)
                               : absl::StrCat(answers ? "oifname" : "iifname", " \"cali*\"");
  const std::string table = NameOf(drop.table);
  return absl::StrCat("nft insert rule ", table.substr(table.find(' ') + 1), " ", drop.base, " '",
                      what, " accept'");
}

}  // namespace

std::string OwnerOf(const FilterRules& rules, const FilterDrop& drop) {
  if (drop.table.name == kFirewalld) return kFirewalld;
  const auto table = rules.tables.find(drop.table);
  if (table == rules.tables.end()) return "";
  // A policy may be the one's or the other's, where both use the chain.
  std::vector<std::string> owners;
  const auto& chains = table->second.chains;
  if (chains.contains("ufw-user-input") || chains.contains("ufw6-user-input"))
    owners.push_back(kUfw);
  if (chains.contains("DOCKER-USER") && drop.base == "FORWARD") owners.push_back(kDocker);
  return absl::StrJoin(owners, " or ");
}

std::string RemedyFor(const FirewallFinding& finding, const FirewallScene& scene) {
  // Of several the first, whose rules come back by themselves; each accepts for all in the chain.
  if (absl::StartsWith(finding.owner, kUfw)) return Ufw(finding, scene);
  if (finding.owner == kFirewalld) return Firewalld(finding, scene);
  if (finding.owner == kDocker) return Docker(finding);
  return Plain(finding, scene);
}

}  // namespace ripstop::agent
