// SPDX-License-Identifier: Apache-2.0
#include "agent/network/firewall_findings.h"

#include <netinet/in.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/network/firewall_remedy.h"

namespace ripstop::agent {
namespace {

constexpr uint16_t kBgpPort = 179;

uint8_t FamilyOf(const policy::Address& address) { return address.is_v4() ? 4 : 6; }

class Finder {
 public:
  Finder(const FilterRules& rules, const FirewallScene& scene) : rules_(rules), scene_(scene) {}

  void Try(FirewallFinding::Whose whose, const SamplePacket& packet) {
    for (FilterDrop& drop : WhoDrops(rules_, packet)) {
      FirewallFinding finding;
      finding.whose = whose;
      finding.family = packet.family;
      finding.owner = OwnerOf(rules_, drop);
      finding.drop = std::move(drop);
      finding.remedy = RemedyFor(finding, scene_);
      Add(std::move(finding));
    }
  }

  std::vector<FirewallFinding> Take() {
    std::stable_sort(found_.begin(), found_.end(), [](const auto& a, const auto& b) {
      return std::pair(!a.loses(), !a.drop.certain) < std::pair(!b.loses(), !b.drop.certain);
    });
    return std::move(found_);
  }

 private:
  // By several uplinks or pools the same thing is said once, and is certain if it is for one.
  void Add(FirewallFinding finding) {
    for (FirewallFinding& known : found_) {
      FilterDrop same = known.drop;
      same.certain = finding.drop.certain;
      if (known.whose != finding.whose || known.family != finding.family || same != finding.drop)
        continue;
      known.drop.certain |= finding.drop.certain;
      return;
    }
    found_.push_back(std::move(finding));
  }

  const FilterRules& rules_;
  const FirewallScene& scene_;
  std::vector<FirewallFinding> found_;
};

void TryPods(const FirewallScene& scene, Finder& finder) {
  for (const policy::Cidr& pool : scene.pools) {
    SamplePacket sent;
    sent.family = FamilyOf(pool.address);
    sent.protocol = IPPROTO_TCP;
    sent.in = AnyPod();
    sent.source = pool.address;
    for (const SamplePacket::Interface& uplink : scene.uplinks) {
      if (!scene.through_stack) break;
      sent.out = uplink;
      finder.Try(FirewallFinding::kOutgoing, sent);
      SamplePacket answer = sent;
      std::swap(answer.in, answer.out);
      std::swap(answer.source, answer.destination);
      answer.established = true;
      finder.Try(FirewallFinding::kAnswers, answer);
    }
    SamplePacket to_host = sent;
    to_host.way = SamplePacket::kToHost;
    to_host.out = {};
    finder.Try(FirewallFinding::kToHost, to_host);
  }
}

void TryNodes(const FirewallScene& scene, Finder& finder) {
  for (const SamplePacket::Interface& uplink : scene.uplinks) {
    SamplePacket arriving;
    arriving.way = SamplePacket::kToHost;
    arriving.in = uplink;
    if (scene.vxlan_port != 0 && scene.tunnel.has_value()) {
      SamplePacket outer = arriving;
      outer.family = FamilyOf(scene.tunnel->own);
      outer.protocol = IPPROTO_UDP;
      outer.source = scene.tunnel->other;
      outer.destination = scene.tunnel->own;
      outer.destination_port = scene.vxlan_port;
      finder.Try(FirewallFinding::kTunnel, outer);
    }
    for (const policy::Address& own : scene.bgp) {
      SamplePacket session = arriving;
      session.family = FamilyOf(own);
      session.protocol = IPPROTO_TCP;
      session.destination = own;
      session.destination_port = kBgpPort;
      finder.Try(FirewallFinding::kBgp, session);
    }
  }
}

}  // namespace

SamplePacket::Interface AnyPod() { return {"cali00000000000", 0x7fffffff}; }

std::string NameOf(const FirewallFinding& finding) {
  const char* what = "";
  switch (finding.whose) {
    case FirewallFinding::kOutgoing: what = "what pods send to others than pods and nodes"; break;
    case FirewallFinding::kAnswers: what = "answers to pods from others than pods and nodes"; break;
    case FirewallFinding::kTunnel: what = "VXLAN of other nodes"; break;
    case FirewallFinding::kBgp: what = "BGP sessions that peers begin"; break;
    case FirewallFinding::kToHost: what = "what pods send to this node itself"; break;
  }
  return absl::StrCat(what, ", IPv", finding.family);
}

std::string NameOf(const FilterDrop& drop) {
  if (drop.handle == 0)
    return absl::StrCat(NameOf(drop.table), " ", drop.base, ": its policy drops");
  return absl::StrCat(NameOf(drop.table), " ", drop.chain, ": rule with handle ", drop.handle,
                      drop.verdict == RuleVerdict::kReject ? " rejects" : " drops");
}

std::vector<FirewallFinding> FindInFirewall(const FilterRules& rules, const FirewallScene& scene) {
  Finder finder(rules, scene);
  TryPods(scene, finder);
  TryNodes(scene, finder);
  return finder.Take();
}

}  // namespace ripstop::agent
