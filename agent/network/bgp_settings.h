// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_NETWORK_BGP_SETTINGS_H_
#define RIPSTOP_AGENT_NETWORK_BGP_SETTINGS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "agent/network/cluster_view.h"
#include "bgp-bridge/model.h"

namespace ripstop::agent {

// What the BGPConfigurations say of one node: `default`, and over it `node.<name>`, field by
// field; a list replaces the other's. What concerns all nodes (AS number, mesh and its
// password) is read from `default` alone.
struct BgpSettings {
  uint32_t as_number = 64512;
  bool node_mesh = true;
  uint32_t node_mesh_restart_s = 0;
  uint16_t listen_port = 179;
  bool bind_node_address = false;
  bgp::LogSeverity log_severity = bgp::LogSeverity::kInfo;
  std::vector<std::string> ignored_interfaces;
  std::vector<bgp::Advertisement> advertisements;
};

BgpSettings SettingsOf(const ClusterView& cluster, const std::string& node);

// Whole seconds of "90s" or "2m", at least 1; 0 for what is not a duration.
uint32_t SecondsOf(const std::string& duration);

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_NETWORK_BGP_SETTINGS_H_
