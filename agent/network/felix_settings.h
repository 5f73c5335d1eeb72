// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_NETWORK_FELIX_SETTINGS_H_
#define RIPSTOP_AGENT_NETWORK_FELIX_SETTINGS_H_

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "agent/network/cluster_view.h"
#include "api/felix_values.h"
#include "bpf/abi/timeouts.h"
#include "policy/address.h"

namespace ripstop::agent {

// How often what Log rules mark is written down: `burst` at once, then one each `interval`.
struct LogRate {
  absl::Duration interval;
  uint32_t burst = 5;
  bool operator==(const LogRate&) const = default;
};

struct TunnelSettings {
  uint32_t vni = 4096;
  uint16_t port = 4789;
  uint32_t mtu_v4 = 0, mtu_v6 = 0;  // with IPv4, IPv6 outside; 0: by the way out
  std::set<policy::Cidr> external_nodes;
  bool operator==(const TunnelSettings&) const = default;
};

enum class NatExclusions { kPoolsOnly, kPoolsAndHosts };

struct NatSettings {
  std::optional<api::PortRange> ports;     // absent: NatPortsBeside (masquerade_plan.h)
  std::optional<policy::Address> address;  // absent: by the route
  NatExclusions exclusions = NatExclusions::kPoolsOnly;
  bool operator==(const NatSettings&) const = default;
};

struct FailsafePort {
  uint8_t protocol = 0;
  uint16_t port = 0;
  std::optional<policy::Cidr> net;  // absent: any
  bool operator==(const FailsafePort&) const = default;
};
std::vector<FailsafePort> DefaultFailsafeInbound();
std::vector<FailsafePort> DefaultFailsafeOutbound();

// What the FelixConfigurations say of one node: `default`, and over it `node.<name>`, field by
// field; a list replaces the other's. Options of the agent's command line and environment come
// before both, as with Felix. What is not readable is as absent here: whoever stores such a
// document has it set aside (Agent::OnPut).
struct FelixSettings {
  flow_timeouts timeouts = {};  // 0: as the datapath has it
  std::string log_level;        // spdlog's name; empty: not said
  std::optional<LogRate> log_rate;
  TunnelSettings tunnel;
  std::string mtu_interfaces;  // regular expression (RE2); empty: those with the node's addresses

  bool reject_denied = false;  // answer what policy denies, instead of silence

  NatSettings nat;

  // Nothing acts on these yet (api/fields/rows_felix.cc).
  std::string gro_off_interfaces;  // regular expression; empty: none
  std::vector<FailsafePort> failsafe_inbound = DefaultFailsafeInbound();
  std::vector<FailsafePort> failsafe_outbound = DefaultFailsafeOutbound();

  bool operator==(const FelixSettings& other) const;
};

// Pure.
FelixSettings FelixSettingsOf(const ClusterView& cluster, const std::string& node);

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_NETWORK_FELIX_SETTINGS_H_
