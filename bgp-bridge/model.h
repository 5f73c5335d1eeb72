// SPDX-License-Identifier: Apache-2.0
//
// What BIRD on this node shall do, in plain structs.
//
//   resources ──(agent)──▶ Model ──[ExpandSessions]──▶ sessions ──[RenderBirdConfig]──▶ text
//
// Selectors are resolved before this point: `peers` are those that apply to this node,
// one entry per remote address. Strings come from users and are not trusted; whatever
// cannot be expressed in BIRD's language is set aside by name (see render.h).
// Values only; any thread.
#ifndef RIPSTOP_BGP_BRIDGE_MODEL_H_
#define RIPSTOP_BGP_BRIDGE_MODEL_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace ripstop::bgp {

// An object that was left out, so that one bad object costs only itself.
struct SetAside {
  std::string object;  // "BGPPeer rack1", "block 10.65.0.0/99"
  std::string reason;  // what is wrong and what would be right
};

struct Node {
  std::string name;
  std::string ipv4;                        // address of the node with its subnet, "192.0.2.1/24"
  std::string ipv6;                        // or empty; both empty: the node takes no part in BGP
  uint32_t as_number = 0;                  // 0: Model::as_number
  std::string route_reflector_cluster_id;  // dotted quad; nodes that have one leave the mesh
  uint16_t listen_port = 0;                // 0: Model::listen_port
};

enum class PeerType { kMesh, kGlobal, kNodeSpecific };
// As `ripstopctl node status` prints it: "node-to-node mesh", "global", "node specific".
const char* PeerTypeName(PeerType type);

// How NEXT_HOP leaves towards a peer. kAuto: self towards another AS, as learned inside ours.
enum class NextHopMode { kAuto, kSelf, kKeep };

struct Peer {
  std::string name;  // of the BGPPeer
  PeerType type = PeerType::kGlobal;
  std::string address;  // IPv4 or IPv6, without prefix
  uint16_t port = 179;
  uint32_t as_number = 0;  // 0: ours
  std::string password;    // TCP-MD5, 80 bytes at most, without '"' and line ends
  NextHopMode next_hop = NextHopMode::kAuto;
  bool use_node_address = true;     // false: sourceAddress None, the kernel chooses
  uint8_t ttl_security_hops = 0;    // 0: off
  std::string reachable_by;         // gateway through which a static host route leads to the peer
  uint32_t local_as_number = 0;     // 0: the node's
  uint8_t allowed_local_as = 0;     // how often our AS may appear in AS_PATH
  uint32_t keepalive_s = 0;         // 0: a third of the hold time
  uint32_t max_restart_time_s = 0;  // 0: Timers::restart_s
  bool pairs_nodes = false;         // the other node has the same session by the same BGPPeer
  bool route_reflector_client = false;  // needs Model::self.route_reflector_cluster_id
  // Why there shall be no session, such as a password that cannot be read. Its address stays
  // taken: no less protected session to it comes up instead.
  std::string unusable;
};

// Who writes routes to blocks of a pool into the kernel. Never two for one route.
enum class RouteOwner {
  kBird,              // no encapsulation: via the next hop that BGP learned
  kBirdWithinSubnet,  // VXLAN CrossSubnet: BIRD where the next hop is a node of our subnet,
                      // the agent everywhere else
  kAgent,             // VXLAN Always, IPIP, programClusterRoutes: BIRD never
};

struct Pool {
  std::string cidr;
  RouteOwner owner = RouteOwner::kBird;
  bool disable_bgp_export = false;
};

// A set of prefixes outside the pools that the configuration admits from peers.
struct AdmittedPrefix {
  std::string cidr;  // "0.0.0.0/0" or "::/0" with length_min = length_max = 0: the default route
  uint8_t length_min = 0;
  uint8_t length_max = 0;
};

// One of RFC 1997, two numbers of 16 bits, or of RFC 8092, three of 32.
struct Community {
  bool large = false;
  std::array<uint32_t, 3> parts{};
};

// What routes inside `cidr` carry when they leave.
struct Advertisement {
  std::string cidr;
  std::vector<Community> communities;
};

// Which lines BIRD writes to its log: those of this severity and above.
enum class LogSeverity { kDebug, kInfo, kWarning, kError, kFatal };

struct Timers {
  uint32_t hold_s = 90;
  uint32_t connect_delay_s = 1;
  uint32_t connect_retry_s = 2;
  uint32_t error_wait_min_s = 1;
  uint32_t error_wait_max_s = 30;
  uint32_t restart_s = 120;      // how long peers keep our routes while BIRD restarts
  uint32_t restart_wait_s = 20;  // how long BIRD waits for silent peers after a restart
  uint32_t scan_s = 10;          // full scans of the kernel's tables; events come at once
};

struct Model {
  Node self;
  std::string router_id;    // dotted quad; empty: the node's IPv4 address
  std::vector<Node> nodes;  // all nodes of the cluster, self included or not
  uint32_t as_number = 64512;
  uint16_t listen_port = 179;
  bool node_mesh = true;
  std::string node_mesh_password;
  std::string node_mesh_unusable;    // why there shall be no mesh; see Peer::unusable
  uint32_t node_mesh_restart_s = 0;  // 0: Timers::restart_s
  // Listens on the node's addresses only, not on all; then each session needs one of them.
  bool bind_node_address = false;
  std::vector<Peer> peers;
  std::vector<Pool> pools;
  std::vector<std::string> blocks;    // affine to this node; leave as aggregates
  std::vector<std::string> borrowed;  // addresses here from other nodes' blocks; leave as /32, /128
  std::vector<AdmittedPrefix> admitted;
  std::vector<Advertisement> advertisements;
  std::vector<std::string> ignored_interfaces;  // patterns; their networks resolve no next hop
  uint32_t prefix_limit = 100000;               // per session and address family; 0: none
  uint32_t kernel_table = 0;                    // 0: main
  uint32_t kernel_metric = 32;  // differs from the agent's, so neither replaces the other's route
  uint8_t agent_route_protocol =
      80;                // rtm_protocol of the agent's routes, which BIRD must not learn
  std::string log_path;  // of BIRD's log file; empty: standard error
  LogSeverity log_severity = LogSeverity::kInfo;
  Timers timers;
};

}  // namespace ripstop::bgp

#endif  // RIPSTOP_BGP_BRIDGE_MODEL_H_
