// SPDX-License-Identifier: Apache-2.0
#include "bgp-bridge/render.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "bgp-bridge/escape.h"
#include "bgp-bridge/prefix_plan.h"

namespace ripstop::bgp {
namespace {

// Never a route of ours, whoever announces it: RFC 6890, RFC 4291 and multicast.
constexpr absl::string_view kMartians4 =
    "0.0.0.0/8{8,32}, 127.0.0.0/8+, 169.254.0.0/16+, 224.0.0.0/4+, 240.0.0.0/4+";
constexpr absl::string_view kMartians6 = "::/128, ::1/128, ::ffff:0:0/96+, fe80::/10+, ff00::/8+";

// IFNAMSIZ of linux/if.h, and a wildcard.
constexpr size_t kInterfacePatternMax = 16;

// Of BIRD's classes (conf/conf.Y) those of this severity and above.
const char* LogClasses(LogSeverity severity) {
  switch (severity) {
    case LogSeverity::kDebug: return "debug, trace, info, remote, warning, error, auth, fatal, bug";
    case LogSeverity::kInfo: return "info, remote, warning, error, auth, fatal, bug";
    case LogSeverity::kWarning: return "remote, warning, error, auth, fatal, bug";
    case LogSeverity::kError: return "error, auth, fatal, bug";
    case LogSeverity::kFatal: return "fatal, bug";
  }
  return "all";
}

// A session ends after three keepalives that did not come (RFC 4271 section 10).
uint32_t HoldTime(const Timers& timers, uint32_t keepalive_s) {
  return std::min(std::max(timers.hold_s, 3 * keepalive_s), uint32_t{UINT16_MAX});
}

// Twelve bits in the capability (RFC 4724 section 3).
constexpr uint32_t kRestartTimeMax = 4095;

class Renderer {
 public:
  explicit Renderer(const Model& model) : model_(model) {}

  RenderedConfig Run() {
    SessionPlan sessions = ExpandSessions(model_);
    plan_ = PlanPrefixes(model_);
    result_.sessions = std::move(sessions.sessions);
    result_.set_aside = std::move(sessions.set_aside);
    for (SetAside& one : plan_.set_aside) result_.set_aside.push_back(std::move(one));
    Head();
    for (const FamilyPlan* family : {&plan_.ipv4, &plan_.ipv6})
      if (Carried(*family)) Family(*family);
    for (const Session& session : result_.sessions) Bgp(session);
    return std::move(result_);
  }

 private:
  template <typename... Parts>
  void Line(const Parts&... parts) {
    absl::StrAppend(&result_.text, parts..., "\n");
  }

  // A family that nothing uses is left out: a host may have it switched off.
  bool Carried(const FamilyPlan& family) const {
    if (!(family.ipv6 ? model_.self.ipv6 : model_.self.ipv4).empty()) return true;
    if (!family.pools.empty() || !family.blocks.empty()) return true;
    for (const Session& session : result_.sessions)
      if (family.ipv6 ? session.carries_ipv6 : session.carries_ipv4) return true;
    return false;
  }

  void Head() {
    const Timers& timers = model_.timers;
    Line("# Written by ripstop; edits are lost.");
    if (!model_.log_path.empty()) {
      absl::StatusOr<std::string> path = QuotedExact(model_.log_path, 4000);
      absl::StatusOr<std::string> old = QuotedExact(absl::StrCat(model_.log_path, ".1"), 4000);
      if (path.ok() && old.ok())
        Line("log ", *path, " 1000000 ", *old, " { ", LogClasses(model_.log_severity), " };");
      else
        result_.set_aside.push_back({"log path", std::string(path.status().message())});
    }
    if (model_.log_severity == LogSeverity::kDebug) Line("debug protocols { states, events };");
    Line("router id ", plan_.router_id, ";");
    Line("timeformat protocol iso long;");
    Line("graceful restart wait ", timers.restart_wait_s, ";");
    Line("protocol device device1 { scan time ", timers.scan_s, "; }");
    // Without interface routes the next hops of iBGP stay unreachable.
    Line("protocol direct direct1 { ipv4; ipv6; interface ", Interfaces(), "\"*\"; }");
  }

  // The first pattern that fits decides.
  std::string Interfaces() {
    std::string patterns;
    for (const std::string& pattern : model_.ignored_interfaces) {
      absl::StatusOr<std::string> quoted = QuotedExact(pattern, kInterfacePatternMax);
      if (quoted.ok()) {
        absl::StrAppend(&patterns, "-", *quoted, ", ");
      } else {
        result_.set_aside.push_back(
            {"BGPConfiguration",
             absl::StrCat("spec.ignoredInterfaces: ", std::string(quoted.status().message()))});
      }
    }
    return patterns;
  }

  // Communities are added, not set: what a route brought along stays.
  void Advertisements(const FamilyPlan& family) {
    for (const Advertisement& one : model_.advertisements) {
      absl::StatusOr<Prefix> cidr = ParsePrefix(one.cidr);
      if (!cidr.ok()) {
        Reject(absl::StrCat("spec.prefixAdvertisements ", absl::CEscape(one.cidr)), cidr.status());
        continue;
      }
      if (cidr->ipv6 != family.ipv6 || one.communities.empty()) continue;
      Line("  if net ~ [ ", cidr->ToString(), "+ ] then {");
      for (const Community& community : one.communities) {
        const auto& [a, b, c] = community.parts;
        if (community.large) {
          Line("    bgp_large_community.add((", a, ", ", b, ", ", c, "));");
        } else {
          Line("    bgp_community.add((", a, ", ", b, "));");
        }
      }
      Line("  }");
    }
  }

  // Once, though both families come across it.
  void Reject(const std::string& object, const absl::Status& status) {
    for (const SetAside& known : result_.set_aside)
      if (known.object == object) return;
    result_.set_aside.push_back({object, std::string(status.message())});
  }

  // define NAME = [ members ]; and the test for it, or `false` where BIRD has no empty set.
  std::string Set(absl::string_view name, absl::string_view operand,
                  const std::vector<std::string>& members) {
    if (members.empty()) return "false";
    Line("define ", name, " = [ ", absl::StrJoin(members, ", "), " ];");
    return absl::StrCat(operand, " ~ ", name);
  }

  void Family(const FamilyPlan& family) {
    const std::string v = family.ipv6 ? "6" : "4";
    Line();
    const std::string in_pools = Set("POOLS" + v, "net", family.pools);
    const std::string agents = Set("AGENT_POOLS" + v, "net", family.agent_pools);
    const std::string subnet = Set("SUBNET_POOLS" + v, "net", family.subnet_pools);
    const std::string silent = Set("SILENT_POOLS" + v, "net", family.silent_pools);
    const std::string admitted = Set("ADMITTED" + v, "net", family.admitted);
    std::string near = Set("NEAR_NODES" + v, "bgp_next_hop", family.near_nodes);
    if (!family.ipv6 && !plan_.ipv6.near_nodes.empty()) {
      // RFC 8950: an IPv4 route may have the IPv6 address of a node as its next hop.
      Line("define NEAR_NODES64 = [ ", absl::StrJoin(plan_.ipv6.near_nodes, ", "), " ];");
      absl::StrAppend(&near, " || bgp_next_hop ~ NEAR_NODES64");
    }

    Line("filter from_peer", v, " {");
    Line("  if net ~ [ ", family.ipv6 ? kMartians6 : kMartians4, " ] then reject;");
    Line("  if ", in_pools, " then accept;");
    Line("  if ", admitted, " then accept;");
    Line("  reject;");
    Line("}");

    Line("filter to_peer", v, " {");
    Line("  if ", silent, " then reject;");
    Advertisements(family);
    Line("  if source = RTS_STATIC && (proto = \"blocks", v, "\" || proto = \"borrowed", v,
         "\") then accept;");
    Line("  if source = RTS_BGP && ", in_pools, " then accept;");
    Line("  reject;");
    Line("}");

    Line("filter from_kernel", v, " {");
    Line("  if krt_source = ", model_.agent_route_protocol, " then reject;");
    Line("  if ", in_pools, " then reject;");
    Line("  accept;");
    Line("}");

    Line("filter to_kernel", v, " {");
    Line("  if source = RTS_STATIC then {");
    Line("    if proto = \"blocks", v, "\" || proto = \"reach", v, "\" then accept;");
    Line("    reject;");
    Line("  }");
    Line("  if source != RTS_BGP then reject;");
    Line("  if ", agents, " then reject;");
    Line("  if ", subnet, " then {");
    Line("    if ", near, " then accept;");
    Line("    reject;");
    Line("  }");
    Line("  accept;");
    Line("}");

    Line("protocol kernel kernel", v, " {");
    if (model_.kernel_table != 0) Line("  kernel table ", model_.kernel_table, ";");
    Line("  metric ", model_.kernel_metric, ";");
    Line("  scan time ", model_.timers.scan_s, ";");
    Line("  learn;");
    Line("  persist;");
    Line("  merge paths on;");
    Line("  graceful restart;");
    Line("  ipv", v, " { import filter from_kernel", v, "; export filter to_kernel", v, "; };");
    Line("}");

    Static("blocks", family, family.blocks, "blackhole");
    Static("borrowed", family, family.borrowed, "unreachable");
    Line("protocol static reach", v, " {");
    Line("  ipv", v, ";");
    for (const Session& session : result_.sessions)
      if (!session.reachable_by.empty() && session.remote.ipv6 == family.ipv6)
        Line("  route ", session.remote.ToString(), " via ", session.reachable_by, ";");
    Line("}");
  }

  void Static(absl::string_view name, const FamilyPlan& family,
              const std::vector<std::string>& routes, absl::string_view how) {
    const char* v = family.ipv6 ? "6" : "4";
    Line("protocol static ", name, v, " {");
    Line("  ipv", v, ";");
    for (const std::string& route : routes) Line("  route ", route, " ", how, ";");
    Line("}");
  }

  void Bgp(const Session& session) {
    const Timers& timers = model_.timers;
    const Peer& options = session.options;
    Line();
    Line("protocol bgp ", session.symbol, " {");
    Line("  description ", QuotedDescription(session.description), ";");
    Line("  local ", session.local, session.local.empty() ? "" : " ", "port ", model_.listen_port,
         " as ", session.local_as, ";");
    Line("  neighbor ", session.remote.Address(), " port ", session.port, " as ", session.remote_as,
         ";");
    if (options.ttl_security_hops != 0) {
      Line("  multihop ", options.ttl_security_hops, ";");
      Line("  ttl security on;");
    } else {
      Line("  multihop;");
    }
    if (session.passive) Line("  passive on;");
    if (!session.quoted_password.empty()) Line("  password ", session.quoted_password, ";");
    if (options.allowed_local_as != 0) Line("  allow local as ", options.allowed_local_as, ";");
    if (options.route_reflector_client) {
      Line("  rr client;");
      // Without one BIRD takes the router ID (RFC 4456 section 7).
      if (!plan_.cluster_id.empty()) Line("  rr cluster id ", plan_.cluster_id, ";");
    }
    if (model_.bind_node_address) Line("  strict bind on;");
    Line("  hold time ", HoldTime(timers, options.keepalive_s), ";");
    if (options.keepalive_s != 0) Line("  keepalive time ", options.keepalive_s, ";");
    Line("  connect delay time ", timers.connect_delay_s, ";");
    Line("  connect retry time ", timers.connect_retry_s, ";");
    Line("  error wait time ", timers.error_wait_min_s, ", ", timers.error_wait_max_s, ";");
    Line("  graceful restart on;");
    Line("  graceful restart time ",
         std::min(kRestartTimeMax,
                  options.max_restart_time_s != 0 ? options.max_restart_time_s : timers.restart_s),
         ";");
    if (session.carries_ipv4) Channel(session, false);
    if (session.carries_ipv6) Channel(session, true);
    Line("}");
  }

  void Channel(const Session& session, bool ipv6) {
    const char* v = ipv6 ? "6" : "4";
    Line("  ipv", v, " {");
    Line("    import filter from_peer", v, ";");
    Line("    export filter to_peer", v, ";");
    if (model_.prefix_limit != 0) Line("    import limit ", model_.prefix_limit, " action block;");
    Line("    gateway recursive;");
    const NextHopMode mode = session.options.next_hop;
    if (mode == NextHopMode::kSelf || (mode == NextHopMode::kAuto && session.External()))
      Line("    next hop self;");
    if (mode == NextHopMode::kKeep) Line("    next hop keep;");
    if (!ipv6 && session.extended_next_hop) Line("    extended next hop;");
    Line("  };");
  }

  const Model& model_;
  PrefixPlan plan_;
  RenderedConfig result_;
};

}  // namespace

RenderedConfig RenderBirdConfig(const Model& model) { return Renderer(model).Run(); }

}  // namespace ripstop::bgp
