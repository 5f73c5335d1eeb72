// SPDX-License-Identifier: Apache-2.0
#include "agent/network/firewall_findings.h"

#include <netinet/in.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/network/firewall_remedy.h"

namespace ripstop::agent {
namespace {

constexpr uint16_t kBgpPort = 179;

uint8_t FamilyOf(const policy::Address& address) { return address.is_v4() ? 4 : 6; }
policy::Cidr Only(const policy::Address& address) { return policy::Cidr::Of(address, 128); }

// Beyond so many nodes one stands for all whose address is not known: each is a walk.
constexpr size_t kPeersMax = 16;

class Finder {
 public:
  Finder(const FilterRules& rules, const FirewallScene& scene, const std::function<bool()>& stop)
      : rules_(rules), scene_(scene), stop_(stop) {}

  // Packets of one kind and family, of which any may be all that there are.
  void Try(FirewallFinding::Whose whose, const std::vector<SamplePacket>& packets) {
    std::vector<Drop> drops;
    size_t lost = 0;  // of these packets
    for (const SamplePacket& packet : packets) {
      if (stop_ && stop_()) return;
      bool certain = false;
      for (const FilterDrop& drop : WhoDrops(rules_, packet)) {
        certain |= drop.certain;
        Add(drop, &drops);
      }
      lost += certain;
    }
    const auto takes_all = [&](const Drop& drop) { return drop.certain == packets.size(); };
    // Where no rule takes them all, but each packet has one that takes it, these do together.
    const bool together =
        lost == packets.size() && std::none_of(drops.begin(), drops.end(), takes_all);
    for (Drop& drop : drops) {
      FirewallFinding finding;
      finding.whose = whose;
      finding.family = packets[0].family;
      finding.drop = std::move(drop.drop);
      finding.drop.certain = takes_all(drop) || (together && drop.certain > 0);
      finding.owner = OwnerOf(rules_, finding.drop);
      finding.remedy = RemedyFor(finding, scene_);
      found_.push_back(std::move(finding));
    }
  }

  std::vector<FirewallFinding> Take() {
    std::stable_sort(found_.begin(), found_.end(), [](const auto& a, const auto& b) {
      return std::pair(!a.loses(), !a.drop.certain) < std::pair(!b.loses(), !b.drop.certain);
    });
    return std::move(found_);
  }

 private:
  struct Drop {
    FilterDrop drop;
    size_t certain = 0;  // for how many packets
  };
  static void Add(FilterDrop drop, std::vector<Drop>* drops) {
    const size_t certain = drop.certain;
    drop.certain = false;
    for (Drop& known : *drops) {
      if (known.drop != drop) continue;
      known.certain += certain;
      return;
    }
    drops->push_back({std::move(drop), certain});
  }

  const FilterRules& rules_;
  const FirewallScene& scene_;
  const std::function<bool()>& stop_;
  std::vector<FirewallFinding> found_;
};

using Samples = std::vector<SamplePacket>;

void TryPods(const FirewallScene& scene, uint8_t family, Finder& finder) {
  Samples outgoing, answers, to_host, from_host;
  for (const policy::Cidr& pool : scene.pools) {
    if (FamilyOf(pool.address) != family) continue;
    SamplePacket sent;
    sent.family = family;
    sent.protocol = IPPROTO_TCP;
    sent.in = AnyPod();
    sent.source = pool;
    for (const SamplePacket::Interface& uplink : scene.uplinks) {
      if (!scene.through_stack) break;
      sent.out = uplink;
      outgoing.push_back(sent);
      SamplePacket answer = sent;
      std::swap(answer.in, answer.out);
      std::swap(answer.source, answer.destination);
      answer.established = true;
      answers.push_back(answer);
    }
    sent.out = {};
    sent.way = SamplePacket::kToHost;
    to_host.push_back(sent);
    std::swap(sent.in, sent.out);
    std::swap(sent.source, sent.destination);
    sent.way = SamplePacket::kFromHost;
    from_host.push_back(sent);
  }
  finder.Try(FirewallFinding::kOutgoing, outgoing);
  finder.Try(FirewallFinding::kAnswers, answers);
  finder.Try(FirewallFinding::kToHost, to_host);
  finder.Try(FirewallFinding::kFromHost, from_host);
}

void TryTunnel(const FirewallScene& scene, Finder& finder) {
  if (scene.vxlan_port == 0 || !scene.tunnel.has_value()) return;
  std::vector<std::optional<policy::Cidr>> others;
  for (const policy::Address& other : scene.tunnel->others) others.emplace_back(Only(other));
  if (others.size() > kPeersMax) others = {std::nullopt};
  Samples arriving, leaving;
  for (const SamplePacket::Interface& uplink : scene.uplinks) {
    for (const auto& other : others) {
      SamplePacket outer;
      outer.family = FamilyOf(scene.tunnel->own);
      outer.protocol = IPPROTO_UDP;
      outer.way = SamplePacket::kToHost;
      outer.in = uplink;
      outer.source = other;
      outer.destination = Only(scene.tunnel->own);
      outer.destination_port = scene.vxlan_port;
      arriving.push_back(outer);
      std::swap(outer.in, outer.out);
      std::swap(outer.source, outer.destination);
      outer.way = SamplePacket::kFromHost;
      leaving.push_back(outer);
    }
  }
  finder.Try(FirewallFinding::kTunnel, arriving);
  finder.Try(FirewallFinding::kTunnelTo, leaving);
}

void TryBgp(const FirewallScene& scene, const policy::Address& own, Finder& finder) {
  Samples sessions;
  for (const SamplePacket::Interface& uplink : scene.uplinks) {
    SamplePacket session;
    session.way = SamplePacket::kToHost;
    session.in = uplink;
    session.family = FamilyOf(own);
    session.protocol = IPPROTO_TCP;
    session.destination = Only(own);
    session.destination_port = kBgpPort;
    sessions.push_back(session);
  }
  finder.Try(FirewallFinding::kBgp, sessions);
}

}  // namespace

SamplePacket::Interface AnyPod() { return {"cali00000000000", 0x7fffffff}; }

std::string NameOf(const FirewallFinding& finding) {
  const char* what = "";
  switch (finding.whose) {
    case FirewallFinding::kOutgoing: what = "what pods send to others than pods and nodes"; break;
    case FirewallFinding::kAnswers: what = "answers to pods from others than pods and nodes"; break;
    case FirewallFinding::kTunnel: what = "VXLAN of other nodes"; break;
    case FirewallFinding::kTunnelTo: what = "VXLAN to other nodes"; break;
    case FirewallFinding::kBgp: what = "BGP sessions that peers begin"; break;
    case FirewallFinding::kToHost: what = "what pods send to this node itself"; break;
    case FirewallFinding::kFromHost: what = "what this node itself sends to pods"; break;
  }
  return absl::StrCat(what, ", IPv", finding.family);
}

std::string NameOf(const FilterDrop& drop) {
  if (drop.handle == 0)
    return absl::StrCat(NameOf(drop.table), " ", drop.base, ": its policy drops");
  return absl::StrCat(NameOf(drop.table), " ", drop.chain, ": rule with handle ", drop.handle,
                      drop.verdict == RuleVerdict::kReject ? " rejects" : " drops");
}

std::vector<FirewallFinding> FindInFirewall(const FilterRules& rules, const FirewallScene& scene,
                                            const std::function<bool()>& stop) {
  Finder finder(rules, scene, stop);
  for (const uint8_t family : {4, 6}) TryPods(scene, family, finder);
  TryTunnel(scene, finder);
  for (const policy::Address& own : scene.bgp) TryBgp(scene, own, finder);
  return finder.Take();
}

}  // namespace ripstop::agent
