// SPDX-License-Identifier: Apache-2.0
//
// Pods of which pools leave under which address and port. Pure.
#ifndef RIPSTOP_AGENT_NETWORK_MASQUERADE_PLAN_H_
#define RIPSTOP_AGENT_NETWORK_MASQUERADE_PLAN_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/network/cluster_view.h"
#include "agent/network/felix_settings.h"
#include "api/felix_values.h"
#include "bpf/loader/masquerade_store.h"
#include "policy/address.h"

namespace ripstop::agent {

// The ports for masqueraded flows where natPortRange says nothing: the larger part of what the
// host's own sockets do not take by themselves (net.ipv4.ip_local_port_range, here as it is read),
// so that none of them comes to have the port of a pod's flow. What is below 1024 is nobody's.
// Where that leaves fewer than 1024, all from 1024 on, and only a look at sockets when a flow
// begins keeps both apart.
//   kInvalidArgument  it is not two ports
absl::StatusOr<api::PortRange> NatPortsBeside(const std::string& local_port_range);

// What the host itself has, as the kernel and the Node resource say.
struct NatHost {
  // By interface: what the kernel sends from there to whom it has no other route for.
  std::map<uint32_t, loader::Exit> exits;
  loader::Exit node;  // the node's own addresses, for interfaces without
  api::PortRange ports;
};

struct MasqueradePlan {
  loader::Masquerade tables;
  std::vector<std::string> problems;  // families in which pods cannot leave
};

MasqueradePlan PlanMasquerade(const ClusterView& cluster, const NatSettings& settings,
                              const NatHost& host);

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_NETWORK_MASQUERADE_PLAN_H_
