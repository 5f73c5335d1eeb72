// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_NETWORK_FIREWALL_FINDINGS_H_
#define RIPSTOP_AGENT_NETWORK_FIREWALL_FINDINGS_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "agent/network/filter_walk.h"
#include "policy/address.h"

namespace ripstop::agent {

// Which packets of ours the host's netfilter sees at all. What is redirected at a pod's veth or at
// an uplink passes it by.
struct FirewallScene {
  std::vector<SamplePacket::Interface> uplinks;  // ours may come and go by each of them
  std::vector<policy::Cidr> pools;
  // What pods send to others than pods and nodes, and its answers: while host's NAT is on.
  bool through_stack = false;
  uint16_t vxlan_port = 0;  // 0: no tunnel
  // The tunnel's outer packets: this node, and those that it has a route to by it.
  struct Tunnel {
    policy::Address own;
    std::vector<policy::Address> others;
    bool operator==(const Tunnel&) const = default;
  };
  std::optional<Tunnel> tunnel;
  std::vector<policy::Address> bgp;  // own addresses that peers may come to
  bool operator==(const FirewallScene&) const = default;
};

// What some rule of somebody else's does to packets of ours.
struct FirewallFinding {
  enum Whose {
    kOutgoing,  // of pods to others than pods and nodes
    kAnswers,   // to these
    kTunnel,    // of other nodes
    kTunnelTo,  // to these
    kBgp,       // where a session is not established: one that this node began needs no rule
    kToHost,    // of pods to this node itself: may be meant
    kFromHost,  // of this node itself to its pods: kubelet's probes
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

// Pure. Those that lose packets for certain come first. Nothing is certain that holds for some
// uplinks, pools or nodes alone: which of them ours use is not known. Returns early, with what it
// has, once `stop` says so.
std::vector<FirewallFinding> FindInFirewall(const FilterRules& rules, const FirewallScene& scene,
                                            const std::function<bool()>& stop = {});

// Of the interface and address that stand for any pod's: no rule names them by chance.
SamplePacket::Interface AnyPod();

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_NETWORK_FIREWALL_FINDINGS_H_
