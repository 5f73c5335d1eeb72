// SPDX-License-Identifier: Apache-2.0
#include "bgp-bridge/bird_status.h"

#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace ripstop::bgp {
namespace {

std::string Way(const Session& session, const RouteLookup& look_up) {
  const std::string from =
      session.local.empty() ? "From an address of the kernel's choice" : "From " + session.local;
  absl::StatusOr<KernelPath> path = look_up(session.remote);
  if (!path.ok()) return absl::StrCat(from, ", but ", path.status().message());
  std::string way = absl::StrCat(
      from, " over ", path->interface, ", because ",
      path->gateway.empty() ? "the peer is on that link" : "the route leads via " + path->gateway);
  // The most common wrong choice: a node address on another interface than the way out.
  if (!session.local.empty() && !path->source.empty() && path->source != session.local)
    absl::StrAppend(&way, " (the kernel itself would use ", path->source, ")");
  return way;
}

// BIRD's words (proto/bgp/bgp.c, bgp_log_error and sk errors) to the next command.
std::string NextStep(const Session& session, const Protocol& protocol, bool has_route) {
  const std::string peer = session.remote.Address();
  const std::string on_peer = session.type == PeerType::kMesh
                                  ? absl::StrCat("on ", session.name, ": ripstopctl node status")
                                  : absl::StrCat("look at the BGP speaker of ", peer);
  const std::string& error = protocol.last_error;
  if (!has_route || absl::StrContains(error, "No route") || absl::StrContains(error, "unreachable"))
    return absl::StrCat("ip route get ", peer,
                        session.local.empty() ? "" : absl::StrCat(" from ", session.local));
  if (absl::StrContains(error, "refused") || absl::StrContains(error, "Connection closed") ||
      absl::StrContains(error, "reset"))
    return absl::StrCat("nothing takes TCP ", session.port, " there; ", on_peer);
  if (absl::StrContains(error, "AS"))
    return absl::StrCat("compare asNumber: ripstopctl get node,bgppeer,bgpconfiguration -o yaml; ",
                        "we expect ", session.remote_as, " and are ", session.local_as);
  if (absl::StrContains(error, "assign"))
    return absl::StrCat(session.local, " is not an address of this node: ip addr show");
  return absl::StrCat("no answer on TCP ", session.port, ": a firewall",
                      session.quoted_password.empty() ? "" : ", another password",
                      " or a dead node; ping ",
                      session.local.empty() ? "" : absl::StrCat("-I ", session.local, " "), peer,
                      ", then ", on_peer);
}

SessionStatus StatusOf(const Session& session) {
  return {.name = session.name,
          .peer_address = session.remote.Address(),
          .peer_type = PeerTypeName(session.type),
          .peer_as = session.remote_as,
          .state = "Unknown"};
}

}  // namespace

BirdStatus SummarizeBird(const RenderedConfig& config, const absl::StatusOr<BirdReport>& report,
                         const RouteLookup& look_up) {
  BirdStatus status;
  for (const SetAside& one : config.set_aside)
    status.reasons.push_back(absl::StrCat(one.object, " is not in use: ", one.reason));
  if (!report.ok()) {
    for (const Session& session : config.sessions) status.sessions.push_back(StatusOf(session));
    status.reasons.push_back(std::string(report.status().message()));
    return status;
  }

  std::map<std::string, const Protocol*> protocols;
  for (const Protocol& one : report->protocols) protocols[one.name] = &one;
  size_t established = 0;
  for (const Session& session : config.sessions) {
    SessionStatus one = StatusOf(session);
    const auto found = protocols.find(session.symbol);
    if (found == protocols.end()) {
      one.info = "BIRD does not know it yet";
      status.reasons.push_back(absl::StrCat("BGP with ", one.name, " (", one.peer_address, ", ",
                                            one.peer_type, ") is not in the running BIRD yet"));
    } else {
      const Protocol& protocol = *found->second;
      one.state = protocol.bgp_state.empty() ? protocol.state : protocol.bgp_state;
      one.since = protocol.since;
      one.routes_imported = protocol.imported;
      one.routes_exported = protocol.exported;
      if (one.state == "Established") {
        ++established;
      } else {
        one.info = protocol.last_error;
        const bool has_route = look_up(session.remote).ok();
        status.reasons.push_back(absl::StrCat(
            "BGP with ", one.name, " (", one.peer_address, ", ", one.peer_type, ") is ", one.state,
            " since ", one.since,
            protocol.last_error.empty() ? "" : absl::StrCat(", last error: ", protocol.last_error),
            ". ", Way(session, look_up), ". Next: ", NextStep(session, protocol, has_route)));
      }
    }
    status.sessions.push_back(std::move(one));
  }
  if (report->general.recovering)
    status.reasons.push_back(
        "BIRD waits for its peers after a restart; routes are as they were before");
  status.ready = !report->general.recovering && !report->general.shutting_down &&
                 (established > 0 || config.sessions.empty());
  return status;
}

}  // namespace ripstop::bgp
