// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_NETWORK_FIREWALL_FINDINGS_H_
#define RIPSTOP_AGENT_NETWORK_FIREWALL_FINDINGS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/network/filter_walk.h"
#include "policy/address.h"

namespace ripstop::agent {

// Which packets of ours the host's netfilter sees at all. What is redirected at a pod's veth or at
// an uplink passes it by.
struct FirewallScene {
  std::vector<SamplePacket::Interface> uplinks;
  std::vector<policy::Cidr> pools;
  // What pods send to others than pods and nodes, and its answers: while host's NAT is on.
  bool through_stack = false;
  uint16_t vxlan_port = 0;  // 0: no tunnel
  // Between this node and another: the outer packets of the tunnel.
  struct Pair {
    policy::Address own, other;
    bool operator==(const Pair&) const = default;
  };
  std::optional<Pair> tunnel;
  std::vector<policy::Address> bgp;  // own addresses that peers may come to
  bool operator==(const FirewallScene&) const = default;
};

// What some rule of somebody else's does to packets of ours.
struct FirewallFinding {
  enum Whose {
    kOutgoing,  // of pods to others than pods and nodes
    kAnswers,   // to these
    kTunnel,
    kBgp,     // where a session is not established: one that this node began needs no rule
    kToHost,  // of pods to this node itself: may be meant
  };
  Whose whose = kOutgoing;
  uint8_t family = 4;
  FilterDrop drop;
  std::string owner;   // "ufw", "firewalld", "Docker"; empty: not known
  std::string remedy;  // what to type
  // Ours are certainly lost by it. Otherwise it may be, or may be meant.
  bool loses() const { return drop.certain && whose != kToHost && whose != kBgp; }
  bool operator==(const FirewallFinding&) const = default;
};

// In words: "what pods send to others than pods and nodes, IPv4".
std::string NameOf(const FirewallFinding& finding);
// "nftables ip filter FORWARD: its policy drops"
std::string NameOf(const FilterDrop& drop);

// Pure. Those that lose packets for certain come first.
std::vector<FirewallFinding> FindInFirewall(const FilterRules& rules, const FirewallScene& scene);

// Of the interface and address that stand for any pod's: no rule names them by chance.
SamplePacket::Interface AnyPod();

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_NETWORK_FIREWALL_FINDINGS_H_
