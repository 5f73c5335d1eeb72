// SPDX-License-Identifier: Apache-2.0
#include "bgp-bridge/sessions.h"

#include <algorithm>
#include <optional>
#include <set>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "bgp-bridge/escape.h"
#include "policy/status_macros.h"

namespace ripstop::bgp {
namespace {

class Expander {
 public:
  explicit Expander(const Model& model) : model_(model) {
    self4_ = NodeAddress(model.self, false);
    self6_ = NodeAddress(model.self, true);
  }

  SessionPlan Run() {
    // By precedence: the first session to an address stays.
    for (PeerType type : {PeerType::kNodeSpecific, PeerType::kGlobal})
      for (const Peer& peer : model_.peers)
        if (peer.type == type) AddPeer(peer);
    if (model_.node_mesh && model_.self.route_reflector_cluster_id.empty()) AddMesh();
    std::sort(plan_.sessions.begin(), plan_.sessions.end(),
              [](const Session& a, const Session& b) { return a.symbol < b.symbol; });
    return std::move(plan_);
  }

 private:
  std::optional<Prefix> NodeAddress(const Node& node, bool ipv6) {
    const std::string& text = ipv6 ? node.ipv6 : node.ipv4;
    if (text.empty()) return std::nullopt;
    absl::StatusOr<Prefix> prefix = ParsePrefix(text);
    if (prefix.ok() && prefix->ipv6 == ipv6) return *prefix;
    Reject(absl::StrCat("Node ", absl::CEscape(node.name)),
           absl::StrCat("spec.bgp.", ipv6 ? "ipv6Address" : "ipv4Address", ": ",
                        prefix.ok() ? "is of the other address family"
                                    : std::string(prefix.status().message())));
    return std::nullopt;
  }

  void AddMesh() {
    if (!model_.node_mesh_unusable.empty())
      return Reject("BGPConfiguration default", model_.node_mesh_unusable);
    for (const Node& node : model_.nodes) AddMesh(node);
  }

  void AddMesh(const Node& node) {
    if (node.name == model_.self.name || !node.route_reflector_cluster_id.empty()) return;
    Session session;
    session.name = node.name;
    session.type = PeerType::kMesh;
    session.local_as = LocalAs();
    session.remote_as = node.as_number != 0 ? node.as_number : ClusterAs();
    session.port = node.listen_port != 0 ? node.listen_port : model_.listen_port;
    session.options.max_restart_time_s = model_.node_mesh_restart_s;
    if (!SetPassword(model_.node_mesh_password, "BGPConfiguration", session)) return;
    const std::optional<Prefix> remote4 = NodeAddress(node, false);
    const std::optional<Prefix> remote6 = NodeAddress(node, true);
    const bool both4 = self4_ && remote4;
    if (both4) {
      Session v4 = session;
      v4.remote = *remote4;
      v4.local = self4_->Address();
      v4.carries_ipv4 = true;
      v4.passive = OtherOpens(*self4_, *remote4);
      Add(std::move(v4), "mesh4");
    }
    if (self6_ && remote6) {
      Session v6 = session;
      v6.remote = *remote6;
      v6.local = self6_->Address();
      v6.carries_ipv6 = true;
      v6.carries_ipv4 = v6.extended_next_hop = !both4;
      v6.passive = OtherOpens(*self6_, *remote6);
      Add(std::move(v6), "mesh6");
    }
  }

  // One of two nodes opens the session. If both did at once, the message that ends the second
  // connection (RFC 4271 section 6.8) may find the session established, and ends it; after the
  // death of a BIRD that is no graceful restart any more, and the peer drops its routes. By the
  // addresses' text, as Calico's nodes of the same mesh decide it.
  static bool OtherOpens(const Prefix& self, const Prefix& other) {
    return other.Address() > self.Address();
  }

  void AddPeer(const Peer& peer) {
    const std::string object = absl::StrCat("BGPPeer ", absl::CEscape(peer.name));
    absl::StatusOr<Prefix> remote = ParseAddress(peer.address);
    if (!remote.ok())
      return Reject(object, absl::StrCat("spec.peerIP: ", remote.status().message()));
    const std::optional<Prefix>& self = remote->ipv6 ? self6_ : self4_;
    if (peer.port == 0) return Reject(object, "spec.peerIP: port 0 is not possible");
    const auto reject = [&](const std::string& reason) {
      taken_.insert(absl::StrCat(remote->Address(), " ", peer.port));
      Reject(object, reason);
    };
    if (!peer.unusable.empty()) return reject(peer.unusable);
    if (!peer.use_node_address && model_.bind_node_address)
      return reject("sourceAddress: None cannot stand beside bindMode: NodeIP; change one of them");
    if (peer.use_node_address && !self)
      return reject(absl::StrCat("spec.peerIP ", remote->Address(), ": this node has no ",
                                 remote->ipv6 ? "IPv6" : "IPv4",
                                 " address; give it one or set sourceAddress: None"));
    Session session;
    session.name = peer.name;
    session.type = peer.type;
    session.remote = *remote;
    if (peer.use_node_address) session.local = self->Address();
    session.port = peer.port;
    session.local_as = peer.local_as_number != 0 ? peer.local_as_number : LocalAs();
    session.remote_as = peer.as_number != 0 ? peer.as_number : LocalAs();
    session.carries_ipv4 = !remote->ipv6 || !self4_;
    session.carries_ipv6 = remote->ipv6;
    session.extended_next_hop = remote->ipv6 && !self4_;
    session.passive = peer.pairs_nodes && self && OtherOpens(*self, *remote);
    session.options = peer;
    if (!SetPassword(peer.password, object, session)) return reject("");
    if (peer.route_reflector_client &&
        (session.External() || model_.self.route_reflector_cluster_id.empty()))
      return reject("a route reflector client needs our own AS and a cluster ID on this node");
    if (!peer.reachable_by.empty()) {
      absl::StatusOr<Prefix> gateway = ParseAddress(peer.reachable_by);
      if (!gateway.ok() || gateway->ipv6 != remote->ipv6)
        return reject("spec.reachableBy: is not an address of the peer's family");
      session.reachable_by = gateway->Address();
    }
    Add(std::move(session), peer.type == PeerType::kGlobal ? "global" : "node");
  }

  void Add(Session session, absl::string_view prefix) {
    // The same address behind two ports is two peers; behind one port it is one.
    const std::string remote = session.remote.Address();
    if ((self4_ && remote == self4_->Address()) || (self6_ && remote == self6_->Address())) return;
    if (!taken_.insert(absl::StrCat(remote, " ", session.port)).second) {
      if (session.type != PeerType::kMesh)
        Reject(absl::StrCat("BGPPeer ", absl::CEscape(session.name)),
               absl::StrCat("a more specific or earlier BGPPeer already peers with ", remote));
      return;
    }
    session.symbol = SafeSymbol(prefix, session.name,
                                absl::StrCat(session.name, "\n", remote, "\n", session.port));
    session.description = absl::StrCat(PeerTypeName(session.type), ": ", session.name);
    plan_.sessions.push_back(std::move(session));
  }

  bool SetPassword(const std::string& password, const std::string& object, Session& session) {
    if (password.empty()) return true;
    absl::StatusOr<std::string> quoted = QuotedExact(password, kPasswordBytesMax);
    if (quoted.ok()) {
      session.quoted_password = *std::move(quoted);
      return true;
    }
    Reject(object, absl::StrCat("password ", quoted.status().message()));
    return false;
  }

  void Reject(std::string object, std::string reason) {
    if (reason.empty()) return;  // it has been told
    // The mesh password concerns every node; one line about it is enough.
    for (const SetAside& known : plan_.set_aside)
      if (known.object == object && known.reason == reason) return;
    plan_.set_aside.push_back({std::move(object), std::move(reason)});
  }

  uint32_t LocalAs() const {
    return model_.self.as_number != 0 ? model_.self.as_number : ClusterAs();
  }
  // AS 0 is nobody's (RFC 7607); 64512 is the default that users of this field know.
  uint32_t ClusterAs() const { return model_.as_number != 0 ? model_.as_number : 64512; }

  const Model& model_;
  std::optional<Prefix> self4_, self6_;
  std::set<std::string> taken_;
  SessionPlan plan_;
};

}  // namespace

const char* PeerTypeName(PeerType type) {
  switch (type) {
    case PeerType::kMesh: return "node-to-node mesh";
    case PeerType::kGlobal: return "global";
    case PeerType::kNodeSpecific: return "node specific";
  }
  return "unknown";
}

SessionPlan ExpandSessions(const Model& model) { return Expander(model).Run(); }

}  // namespace ripstop::bgp
