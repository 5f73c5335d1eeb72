// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_NETWORK_BGP_PEERS_H_
#define RIPSTOP_AGENT_NETWORK_BGP_PEERS_H_

#include <string>
#include <vector>

#include "agent/network/cluster_view.h"
#include "agent/network/secrets.h"
#include "bgp-bridge/model.h"

namespace ripstop::agent {

// The sessions that the BGPPeers ask of `node`: with the address of peerIP, and with the
// nodes that peerSelector picks, one for each address family.
//
// A BGPPeer with peerSelector is about pairs of nodes, and each session needs both ends. The
// nodes that it picks therefore peer with those that `node` and `nodeSelector` pick, unless
// it says reversePeering: Manual. Its settings are of both ends; localASNumber is of the
// selecting side, and what the other expects.
//
// A BGPPeer that cannot be had as it is written (a password that cannot be read, a field that
// api/fields refuses) is unusable: bgp::Peer::unusable.
std::vector<bgp::Peer> PeersOf(const ClusterView& cluster, const api::v1::Node& node,
                               const SecretReader& secrets);

// The password that the reference names, or nothing where none is asked for: without a
// reference, or with an optional one to a secret that is not there. Errors name `path`.
absl::StatusOr<std::string> PasswordOf(const api::v1::BgpPassword& password,
                                       const std::string& path, const SecretReader& secrets);

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_NETWORK_BGP_PEERS_H_
