// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_DAEMON_OPTIONS_H_
#define RIPSTOP_AGENT_DAEMON_OPTIONS_H_

#include <string>

#include "absl/time/time.h"
#include "agent/dataplane/dataplane.h"
#include "agent/network/host_nat.h"
#include "agent/policy/flow_log.h"

namespace ripstop::agent {

// What becomes of segments of connections that nobody here has seen begin, or that were forgotten.
enum class TcpMidStream {
  kReset,  // dropped; who may begin such a connection gets a reset
  kDrop,   // dropped in silence
};

// How one agent is told apart from another; everything else comes from the store.
// Defaults are those of a node that runs one agent.
struct Options {
  std::string node;  // name of this node's Node resource
  std::string store = "sqlite:///var/lib/ripstop/store.db";
  std::string socket = "/run/ripstop/agent.sock";  // of ripstopctl
  std::string cni_socket;                      // of the CNI plugin; empty: cni.sock beside `socket`
  std::string bpffs = "/sys/fs/bpf/ripstop";   // where maps, programs and links are pinned
  std::string run_dir = "/run/ripstop";        // BIRD's configuration, control socket, pid
  std::string state_dir = "/var/lib/ripstop";  // endpoints; must survive a reboot of the agent
  std::string secrets_dir = "/etc/ripstop/secrets";  // passwords of BGP sessions, NAME/KEY
  std::string bird = "/usr/sbin/bird";               // empty: no BGP here
  std::string log_file;                              // empty: standard error
  std::string log_level;                             // empty: as FelixConfigurations say, else info
  // How long an empty block of addresses stays with the node.
  absl::Duration block_idle = absl::Minutes(5);
  FlowLogOptions flow_log;          // what Log rules say
  uint32_t flow_table_entries = 0;  // 0: by memory (flow_keeper.h)
  TcpMidStream tcp_mid_stream = TcpMidStream::kReset;
  HostNatMode host_nat = HostNatMode::kAuto;
  uint32_t mark_mask = DataplaneOptions{}.mark_mask;  // bits of packets' marks that are ours
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_DAEMON_OPTIONS_H_
