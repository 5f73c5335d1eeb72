// SPDX-License-Identifier: Apache-2.0
#include "agent/network/bgp_peers.h"

#include <charconv>
#include <map>
#include <optional>

#include "absl/strings/str_cat.h"
#include "agent/network/bgp_settings.h"
#include "api/fields/judge.h"
#include "policy/selector.h"

namespace ripstop::agent {
namespace {

using api::v1::BGPPeerSpec;
using api::v1::Node;

// An unreadable selector selects nothing: a session too few is seen, one too many leaks.
bool Selects(const std::string& selector, const Node& node) {
  auto parsed = policy::Selector::Parse(selector);
  if (!parsed.ok()) return false;
  policy::Labels labels(node.metadata().labels().begin(), node.metadata().labels().end());
  return parsed->Matches(labels);
}

// Whether the BGPPeer is one of `node`'s own: by name, by selector, or for all.
bool IsFor(const BGPPeerSpec& spec, const Node& node) {
  if (!spec.node().empty() && spec.node() != node.metadata().name()) return false;
  return spec.node_selector().empty() || Selects(spec.node_selector(), node);
}

bool Picks(const BGPPeerSpec& spec, const Node& node) {
  return !spec.peer_selector().empty() && Selects(spec.peer_selector(), node);
}

// "192.0.2.7", "192.0.2.7:1790", "[2001:db8::7]:1790".
struct PeerAddress {
  std::string address;
  std::optional<uint16_t> port;
};

PeerAddress SplitPeerAddress(std::string_view text) {
  PeerAddress split;
  const size_t colon = text.rfind(':');
  const bool bracketed = text.starts_with('[');
  const bool has_port = colon != std::string_view::npos &&
                        (bracketed ? colon > text.find(']') : text.find(':') == colon);
  std::string_view address = has_port ? text.substr(0, colon) : text;
  if (has_port) {
    uint16_t port = 0;
    const std::string_view digits = text.substr(colon + 1);
    if (std::from_chars(digits.begin(), digits.end(), port).ec == std::errc{}) split.port = port;
  }
  if (bracketed && address.size() > 2) address = address.substr(1, address.size() - 2);
  split.address = std::string(address);
  return split;
}

bgp::NextHopMode NextHop(const BGPPeerSpec& spec) {
  if (spec.next_hop_mode() == "Self") return bgp::NextHopMode::kSelf;
  if (spec.next_hop_mode() == "Keep" || spec.keep_original_next_hop())
    return bgp::NextHopMode::kKeep;
  return bgp::NextHopMode::kAuto;
}

// What validation refuses where it would be cut to fit, or not be had at all.
std::string WhyUnusable(const api::v1::BGPPeer& resource) {
  static const api::KindInfo* kind = api::FindStoreKind(api::kKindBGPPeer);
  const BGPPeerSpec& spec = resource.spec();
  const std::string refused = api::RefusedText(api::InspectFields(*kind, resource));
  if (!refused.empty()) return refused;
  if (spec.num_allowed_local_as_numbers() < 0 || spec.num_allowed_local_as_numbers() > 255) {
    return absl::StrCat("spec.numAllowedLocalASNumbers: ", spec.num_allowed_local_as_numbers(),
                        " is not 0 to 255");
  }
  if (spec.ttl_security() < 0 || spec.ttl_security() > 255) {
    return absl::StrCat("spec.ttlSecurity: ", spec.ttl_security(), " is not 1 to 255");
  }
  return "";
}

bgp::Peer ToBgpPeer(const api::v1::BGPPeer& resource, const SecretReader& secrets) {
  const BGPPeerSpec& spec = resource.spec();
  bgp::Peer peer;
  peer.name = resource.metadata().name();
  const bool global = spec.node().empty() && spec.node_selector().empty();
  peer.type = global ? bgp::PeerType::kGlobal : bgp::PeerType::kNodeSpecific;
  peer.as_number = spec.as_number();
  peer.next_hop = NextHop(spec);
  peer.use_node_address = spec.source_address() != "None";
  peer.reachable_by = spec.reachable_by();
  peer.local_as_number = spec.local_as_number();
  peer.keepalive_s = SecondsOf(spec.keepalive_time());
  peer.max_restart_time_s = SecondsOf(spec.max_restart_time());
  peer.unusable = WhyUnusable(resource);
  if (!peer.unusable.empty()) return peer;
  peer.ttl_security_hops = static_cast<uint8_t>(spec.ttl_security());
  peer.allowed_local_as = static_cast<uint8_t>(spec.num_allowed_local_as_numbers());
  auto password = PasswordOf(spec.password(), "spec.password", secrets);
  if (password.ok()) {
    peer.password = *std::move(password);
  } else {
    peer.unusable = std::string(password.status().message());
  }
  return peer;
}

class PeerList {
 public:
  PeerList(const ClusterView& cluster, const Node& self)
      : cluster_(cluster), self_(self), settings_(SettingsOf(cluster, self.metadata().name())) {
    for (const auto& [name, node] : cluster_.nodes) {
      for (const auto& own : {NodeIpv4(node), NodeIpv6(node)}) {
        if (own.has_value()) node_of_.emplace(own->address, name);
      }
    }
  }

  void Add(const api::v1::BGPPeer& resource, const SecretReader& secrets) {
    const BGPPeerSpec& spec = resource.spec();
    const bool own = IsFor(spec, self_);
    const bool picked = spec.reverse_peering() != "Manual" && Picks(spec, self_);
    if (!own && !picked) return;
    bgp::Peer peer = ToBgpPeer(resource, secrets);
    if (own && !spec.peer_ip().empty()) AddAddress(spec, peer);
    if (spec.peer_selector().empty()) return;
    // Where the kernel chooses the source, the other side may know this node by another address.
    peer.pairs_nodes = spec.reverse_peering() != "Manual" && peer.use_node_address;
    for (const auto& [name, node] : cluster_.nodes) {
      if (name == self_.metadata().name()) continue;
      if (own && Picks(spec, node)) {
        AddNode(node, peer, false);
      } else if (picked && IsFor(spec, node)) {
        AddNode(node, peer, true);
      }
    }
  }

  std::vector<bgp::Peer> Take() { return std::move(peers_); }

 private:
  uint32_t AsNumberOf(const Node& node) const {
    const uint32_t own = node.spec().bgp().as_number();
    return own != 0 ? own : settings_.as_number;
  }

  void AddAddress(const BGPPeerSpec& spec, bgp::Peer peer) {
    const PeerAddress split = SplitPeerAddress(spec.peer_ip());
    peer.address = split.address;
    peer.port = split.port.value_or(PortOf(split.address));
    peers_.push_back(std::move(peer));
  }

  // That of the node of this address, if there is one; else BGP's.
  uint16_t PortOf(const std::string& text) const {
    const auto address = policy::Address::Parse(text);
    const auto node = address.ok() ? node_of_.find(*address) : node_of_.end();
    return node == node_of_.end() ? bgp::Peer().port
                                  : SettingsOf(cluster_, node->second).listen_port;
  }

  // `reverse`: the BGPPeer is the other's, and picked this node.
  void AddNode(const Node& node, bgp::Peer peer, bool reverse) {
    const auto& [own, other] =
        reverse ? std::pair(0u, peer.local_as_number) : std::pair(peer.local_as_number, 0u);
    peer.local_as_number = own;
    peer.as_number = other != 0 ? other : AsNumberOf(node);
    peer.port = SettingsOf(cluster_, node.metadata().name()).listen_port;
    // We reflect to nodes that are not reflectors themselves (RFC 4456 section 7).
    const bool internal = peer.as_number == (own != 0 ? own : AsNumberOf(self_));
    peer.route_reflector_client = internal &&
                                  !self_.spec().bgp().route_reflector_cluster_id().empty() &&
                                  node.spec().bgp().route_reflector_cluster_id().empty();
    for (const auto& address : {NodeIpv4(node), NodeIpv6(node)}) {
      if (!address.has_value()) continue;
      peer.address = address->address.ToString();
      peers_.push_back(peer);
    }
  }

  const ClusterView& cluster_;
  const Node& self_;
  const BgpSettings settings_;
  std::map<policy::Address, std::string> node_of_;
  std::vector<bgp::Peer> peers_;
};

}  // namespace

absl::StatusOr<std::string> PasswordOf(const api::v1::BgpPassword& password,
                                       const std::string& path, const SecretReader& secrets) {
  if (!password.has_secret_key_ref()) return std::string();
  const api::v1::SecretKeySelector& reference = password.secret_key_ref();
  auto secret = secrets(reference.name(), reference.key());
  if (absl::IsNotFound(secret.status()) && reference.optional()) return std::string();
  if (secret.ok()) return secret;
  return absl::Status(secret.status().code(),
                      absl::StrCat(path, ": ", std::string(secret.status().message())));
}

std::vector<bgp::Peer> PeersOf(const ClusterView& cluster, const Node& node,
                               const SecretReader& secrets) {
  PeerList list(cluster, node);
  for (const auto& [name, resource] : cluster.bgp_peers) list.Add(resource, secrets);
  return list.Take();
}

}  // namespace ripstop::agent
