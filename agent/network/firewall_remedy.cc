// SPDX-License-Identifier: Apache-2.0
#include "agent/network/firewall_remedy.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>

#include <optional>
#include <set>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace ripstop::agent {
namespace {

constexpr char kUfw[] = "ufw", kFirewalld[] = "firewalld", kDocker[] = "Docker";
constexpr char kZoneChain[] = "filter_IN_", kPolicyChain[] = "filter_OUT_policy_";

// What is let in or out by a port, and not by a pod's interface.
struct Service {
  const char* protocol;
  std::string port;
};
Service ServiceOf(const FirewallFinding& finding, const FirewallScene& scene) {
  if (finding.whose == FirewallFinding::kBgp) return {"tcp", "179"};
  return {"udp", absl::StrCat(scene.vxlan_port)};
}
bool IsService(const FirewallFinding& finding) {
  return finding.whose == FirewallFinding::kTunnel || finding.whose == FirewallFinding::kTunnelTo ||
         finding.whose == FirewallFinding::kBgp;
}
// Towards pods or other nodes, not from them.
bool IsAway(const FirewallFinding& finding) {
  return finding.whose == FirewallFinding::kAnswers ||
         finding.whose == FirewallFinding::kFromHost || finding.whose == FirewallFinding::kTunnelTo;
}

// Which packets a rule is to accept, no more than is needed where that is known.
struct Accepted {
  bool away = false;      // interface and addresses are those it goes to
  bool pods = false;      // by any pod's interface
  std::string interface;  // else by this one; empty: any
  std::string addresses;  // with commas; empty: any
  std::optional<Service> service;
};
Accepted AcceptedBy(const FirewallFinding& finding, const FirewallScene& scene) {
  Accepted accepted;
  accepted.away = IsAway(finding);
  if (IsService(finding)) {
    accepted.service = ServiceOf(finding, scene);
    if (scene.uplinks.size() == 1) {
      accepted.interface = scene.uplinks[0].name;
    } else if (finding.whose != FirewallFinding::kBgp && scene.tunnel.has_value() &&
               scene.tunnel->others.size() == 1) {
      accepted.addresses = scene.tunnel->others[0].ToString();
    }
    return accepted;
  }
  // Before routing nobody knows by what it will leave, and iptables not after it by what it came.
  const uint32_t hook = finding.drop.hook;
  accepted.pods = accepted.away ? hook != NF_INET_PRE_ROUTING : hook != NF_INET_POST_ROUTING;
  if (accepted.pods) return accepted;
  std::vector<std::string> pools;
  for (const policy::Cidr& pool : scene.pools) {
    if (pool.is_v4() == (finding.family == 4)) pools.push_back(pool.ToString());
  }
  accepted.addresses = absl::StrJoin(pools, ",");
  return accepted;
}

// iptables' own, of which it names the base chains so; it warns others off.
bool IsIptables(const FilterDrop& drop) {
  static const std::set<std::string> kTables = {"filter", "mangle", "raw", "security"};
  return drop.table.family != NFPROTO_INET && kTables.contains(drop.table.name) &&
         drop.base == absl::AsciiStrToUpper(drop.base);
}
std::string Program(const FirewallFinding& finding) {
  return finding.family == 4 ? "iptables" : "ip6tables";
}

std::string Ufw(const FirewallFinding& finding, const FirewallScene& scene) {
  const Accepted accepted = AcceptedBy(finding, scene);
  const char* way = accepted.away ? "out" : "in";
  const bool routed =
      finding.whose == FirewallFinding::kOutgoing || finding.whose == FirewallFinding::kAnswers;
  if (!accepted.service.has_value())
    return absl::StrCat(routed ? "ufw route allow " : "ufw allow ", way, " on cali+");
  const auto& [protocol, port] = *accepted.service;
  if (accepted.interface.empty() && accepted.addresses.empty())
    return absl::StrCat("ufw allow ", accepted.away ? "out " : "", port, "/", protocol);
  std::string command = absl::StrCat("ufw allow ", way);
  if (!accepted.interface.empty()) absl::StrAppend(&command, " on ", accepted.interface);
  const bool from = !accepted.addresses.empty() && !accepted.away;
  const std::string to = accepted.away && !accepted.addresses.empty() ? accepted.addresses : "any";
  if (from) absl::StrAppend(&command, " from ", accepted.addresses);
  return absl::StrCat(command, " to ", to, " port ", port, " proto ", protocol);
}

// Zones let in and policies let out, each with chains of its name: "filter_IN_public",
// "filter_OUT_policy_strict_deny". Empty where the chain is none of these.
std::string PolicyOf(absl::string_view chain) {
  if (!absl::ConsumePrefix(&chain, kPolicyChain)) return "";
  for (const char* part : {"_pre", "_log", "_deny", "_allow", "_post"})
    if (absl::ConsumeSuffix(&chain, part)) break;
  return std::string(chain);
}
std::string ZoneOf(absl::string_view chain) {
  const bool whole = absl::ConsumePrefix(&chain, kZoneChain) && !absl::StrContains(chain, "_");
  return whole ? std::string(chain) : "";
}

std::string Firewalld(const FirewallFinding& finding, const FirewallScene& scene) {
  const std::string policy = PolicyOf(finding.drop.chain), zone = ZoneOf(finding.drop.chain);
  std::string what;
  if (!policy.empty()) absl::StrAppend(&what, " --policy=", policy);
  if (IsService(finding)) {
    const Service service = ServiceOf(finding, scene);
    if (!zone.empty()) absl::StrAppend(&what, " --zone=", zone);
    absl::StrAppend(&what, " --add-port=", service.port, "/", service.protocol);
  } else if (!policy.empty()) {
    for (const policy::Cidr& pool : scene.pools) {
      if (pool.is_v4() != (finding.family == 4)) continue;
      absl::StrAppend(&what, " --add-rich-rule='rule family=ipv", finding.family,
                      " destination address=", pool.ToString(), " accept'");
    }
  } else {
    what = " --zone=trusted --add-interface=cali+";
  }
  return absl::StrCat("firewall-cmd --permanent", what, " && firewall-cmd --reload");
}

std::string Docker(const FirewallFinding& finding) {
  return absl::StrCat(Program(finding), " -I DOCKER-USER ", IsAway(finding) ? "-o" : "-i",
                      " cali+ -j ACCEPT");
}

std::string Iptables(const FirewallFinding& finding, const Accepted& accepted) {
  const std::string& table = finding.drop.table.name;
  std::string command = Program(finding);
  if (table != "filter") absl::StrAppend(&command, " -t ", table);
  absl::StrAppend(&command, " -I ", finding.drop.base);
  const std::string interface = accepted.pods ? "cali+" : accepted.interface;
  if (!interface.empty()) absl::StrAppend(&command, accepted.away ? " -o " : " -i ", interface);
  if (!accepted.addresses.empty())
    absl::StrAppend(&command, accepted.away ? " -d " : " -s ", accepted.addresses);
  if (accepted.service.has_value())
    absl::StrAppend(&command, " -p ", accepted.service->protocol, " --dport ",
                    accepted.service->port);
  return absl::StrCat(command, " -j ACCEPT");
}

std::string Nft(const FirewallFinding& finding, const Accepted& accepted) {
  const std::string table = NameOf(finding.drop.table);
  std::string command = absl::StrCat("nft insert rule ", table.substr(table.find(' ') + 1), " ",
                                     finding.drop.base, " '");
  const std::string interface = accepted.pods ? "cali*" : accepted.interface;
  if (!interface.empty())
    absl::StrAppend(&command, accepted.away ? "oifname" : "iifname", " \"", interface, "\" ");
  if (!accepted.addresses.empty())
    absl::StrAppend(&command, finding.family == 4 ? "ip " : "ip6 ",
                    accepted.away ? "daddr { " : "saddr { ", accepted.addresses, " } ");
  if (accepted.service.has_value())
    absl::StrAppend(&command, accepted.service->protocol, " dport ", accepted.service->port, " ");
  return absl::StrCat(command, "accept'");
}

std::string Plain(const FirewallFinding& finding, const FirewallScene& scene) {
  const Accepted accepted = AcceptedBy(finding, scene);
  return IsIptables(finding.drop) ? Iptables(finding, accepted) : Nft(finding, accepted);
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
