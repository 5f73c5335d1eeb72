// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "api/codec/scalar.h"
#include "api/validate/validators.h"

namespace ripstop::api {
namespace {

// 65001:100 (RFC 1997) or 65001:1:2 (RFC 8092).
bool IsCommunity(const std::string& text) {
  const std::vector<std::string> parts = absl::StrSplit(text, ':');
  if (parts.size() != 2 && parts.size() != 3) return false;
  const int64_t max = parts.size() == 2 ? UINT16_MAX : UINT32_MAX;
  return std::all_of(parts.begin(), parts.end(), [max](const std::string& part) {
    const auto number = DecimalInteger(part);
    return number && *number >= 0 && *number <= max;
  });
}

// As Kubernetes has it. It is the name of a file too: see agent/network/secrets.h.
bool IsSecretKey(const std::string& key) {
  return key.size() <= 253 && key != "." && key != ".." &&
         std::all_of(key.begin(), key.end(), [](char c) {
           return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
         });
}

void CheckPassword(const v1::BgpPassword& password, const std::string& path, Checker& check) {
  const std::string at = Field(path, "secretKeyRef");
  if (!password.has_secret_key_ref()) {
    return (void)check.Wrong(at, "is missing", "write name and key of a secret");
  }
  check.Subdomain(Field(at, "name"), password.secret_key_ref().name());
  const std::string& key = password.secret_key_ref().key();
  if (key.empty()) {
    check.Wrong(Field(at, "key"), "is missing", "write the key inside the secret");
  } else if (!IsSecretKey(key)) {
    check.Bad(Field(at, "key"), key, "is not a key of a secret",
              "write at most 253 letters, digits, '-', '_' and '.'");
  }
}

// 192.0.2.1, 192.0.2.1:179, 2001:db8::1 or [2001:db8::1]:179.
void CheckPeerAddress(const std::string& path, const std::string& text, Checker& check) {
  std::string address = text, port;
  if (!text.empty() && text[0] == '[') {
    const size_t end = text.find("]:");
    if (end != std::string::npos) {
      address = text.substr(1, end - 1);
      port = text.substr(end + 2);
    }
  } else if (std::count(text.begin(), text.end(), ':') == 1) {
    address = text.substr(0, text.find(':'));
    port = text.substr(text.find(':') + 1);
  }
  const auto number = DecimalInteger(port);
  const bool port_good = address == text || (number && *number >= 1 && *number <= 65535);
  if (!policy::Address::Parse(address).ok() || !port_good) {
    check.Bad(path, text, "is not an address, nor one with a port",
              "write 192.0.2.1, 192.0.2.1:179, 2001:db8::1 or [2001:db8::1]:179");
  }
}

// Addresses of services: prefixes, or one address.
void CheckPrefixList(const google::protobuf::RepeatedPtrField<v1::CidrItem>& items,
                     const std::string& path, Checker& check) {
  for (int i = 0; i < items.size(); ++i) {
    const std::string at = Field(Index(path, i), "cidr");
    if (!policy::Address::Parse(items[i].cidr()).ok()) check.Network(at, items[i].cidr());
  }
}

// In letters of any case, as Calico takes it.
void CheckLogSeverity(const std::string& path, const std::string& text, Checker& check) {
  const std::vector<std::string> known = {"Trace", "Debug", "Info", "Warning", "Error", "Fatal"};
  const bool good = text.empty() || std::any_of(known.begin(), known.end(), [&](const auto& one) {
                      return absl::EqualsIgnoreCase(one, text);
                    });
  if (!good) check.Enum(path, text, known);
}

void CheckMeshFields(const v1::BGPConfigurationSpec& spec, Checker& check) {
  if (!spec.has_node_to_node_mesh_enabled() || spec.node_to_node_mesh_enabled()) return;
  for (const auto& [present, path] :
       {std::pair(spec.has_node_mesh_password(), "spec.nodeMeshPassword"),
        std::pair(!spec.node_mesh_max_restart_time().empty(), "spec.nodeMeshMaxRestartTime")}) {
    if (present) {
      check.Wrong(path, "is for the mesh, which nodeToNodeMeshEnabled: false turns off",
                  "remove it, or write it in the BGPPeers");
    }
  }
}

// A hold time is three of them, in 16 bits (RFC 4271 section 4.2).
void CheckKeepalive(const std::string& text, Checker& check) {
  absl::Duration duration;
  if (!check.Duration("spec.keepaliveTime", text) || !absl::ParseDuration(text, &duration)) return;
  if (duration < absl::Seconds(1) || duration > absl::Seconds(UINT16_MAX / 3)) {
    check.Bad("spec.keepaliveTime", text, "is not 1s to 21845s", "write one such as 30s");
  }
}

void CheckReachableBy(const v1::BGPPeerSpec& spec, Checker& check) {
  if (spec.reachable_by().empty()) return;
  const auto gateway = check.Address("spec.reachableBy", spec.reachable_by());
  if (spec.peer_ip().empty()) {
    check.Bad("spec.reachableBy", spec.reachable_by(), "needs a peerIP",
              "write the address that the gateway leads to, or remove it");
  } else if (gateway && gateway->is_v4() != (spec.peer_ip().find('.') != std::string::npos)) {
    check.Bad("spec.reachableBy", spec.reachable_by(), "is not of the version of peerIP",
              gateway->is_v4() ? "write an IPv6 address" : "write an IPv4 address");
  }
}

}  // namespace

void CheckAsNumber(const std::string& path, bool present, uint32_t number, Checker& check) {
  if (present && number == 0) {
    check.Bad(path, "0", "is not an AS number (RFC 7607)", "write 1 to 4294967295");
  }
}

void CheckBgpConfiguration(const v1::BGPConfiguration& configuration, Checker& check) {
  const v1::BGPConfigurationSpec& spec = configuration.spec();
  const std::string& name = configuration.metadata().name();
  const bool is_default = name == "default";
  if (!is_default && !absl::StartsWith(name, "node.")) {
    check.Bad("metadata.name", name, "is not a name that is looked at",
              "write default, or node. and the name of a node");
  }
  for (const auto& [present, path] :
       {std::pair(spec.has_as_number(), "spec.asNumber"),
        std::pair(spec.has_node_to_node_mesh_enabled(), "spec.nodeToNodeMeshEnabled"),
        std::pair(spec.has_node_mesh_password(), "spec.nodeMeshPassword"),
        std::pair(!spec.node_mesh_max_restart_time().empty(), "spec.nodeMeshMaxRestartTime")}) {
    if (present && !is_default) {
      check.Wrong(path, "is for the whole cluster",
                  "write it in the BGPConfiguration named default");
    }
  }
  CheckLogSeverity("spec.logSeverityScreen", spec.log_severity_screen(), check);
  CheckAsNumber("spec.asNumber", spec.has_as_number(), spec.as_number(), check);
  if (spec.has_listen_port()) check.Range("spec.listenPort", spec.listen_port(), 1, 65535);
  for (const auto& [present, path, metric] :
       {std::tuple(spec.has_ipv4_normal_route_priority(), "spec.ipv4NormalRoutePriority",
                   spec.ipv4_normal_route_priority()),
        std::tuple(spec.has_ipv6_normal_route_priority(), "spec.ipv6NormalRoutePriority",
                   spec.ipv6_normal_route_priority())}) {
    if (present) check.Range(path, metric, 1, INT32_MAX - 1);
  }
  for (const auto& [path, text, v4] :
       {std::tuple("spec.localWorkloadPeeringIPV4", &spec.local_workload_peering_ipv4(), true),
        std::tuple("spec.localWorkloadPeeringIPV6", &spec.local_workload_peering_ipv6(), false)}) {
    if (text->empty()) continue;
    const auto address = check.Address(path, *text);
    if (address && address->is_v4() != v4) {
      check.Bad(path, *text, v4 ? "is not IPv4" : "is not IPv6", "write it in the other field");
    }
  }
  check.EnumOrEmpty("spec.bindMode", spec.bind_mode(), {"None", "NodeIP"});
  check.EnumOrEmpty("spec.serviceLoadBalancerAggregation", spec.service_load_balancer_aggregation(),
                    {"Enabled", "Disabled"});
  check.EnumOrEmpty("spec.programClusterRoutes", spec.program_cluster_routes(),
                    {"Disabled", "EnabledIPIPOnly", "EnabledNoEncapOnly", "Enabled"});
  CheckMeshFields(spec, check);
  CheckPrefixList(spec.service_load_balancer_ips(), "spec.serviceLoadBalancerIPs", check);
  CheckPrefixList(spec.service_external_ips(), "spec.serviceExternalIPs", check);
  CheckPrefixList(spec.service_cluster_ips(), "spec.serviceClusterIPs", check);
  for (int i = 0; i < spec.communities_size(); ++i) {
    const std::string at = Index("spec.communities", i);
    if (spec.communities(i).name().empty()) {
      check.Wrong(Field(at, "name"), "is missing", "write a name");
    }
    if (!IsCommunity(spec.communities(i).value())) {
      check.Bad(Field(at, "value"), spec.communities(i).value(), "is not a community",
                "write 65001:100, or 65001:1:2 for a large one");
    }
  }
  for (int i = 0; i < spec.prefix_advertisements_size(); ++i) {
    const v1::PrefixAdvertisement& advertisement = spec.prefix_advertisements(i);
    const std::string at = Index("spec.prefixAdvertisements", i);
    check.Network(Field(at, "cidr"), advertisement.cidr());
    for (int j = 0; j < advertisement.communities_size(); ++j) {
      const std::string& community = advertisement.communities(j);
      const bool named =
          std::any_of(spec.communities().begin(), spec.communities().end(),
                      [&](const v1::Community& known) { return known.name() == community; });
      if (!named && !IsCommunity(community)) {
        check.Bad(Index(Field(at, "communities"), j), community,
                  "is neither a community nor the name of one",
                  "write a name from spec.communities, or 65001:100");
      }
    }
  }
  if (spec.has_node_mesh_password()) {
    CheckPassword(spec.node_mesh_password(), "spec.nodeMeshPassword", check);
  }
  if (!spec.node_mesh_max_restart_time().empty()) {
    check.Duration("spec.nodeMeshMaxRestartTime", spec.node_mesh_max_restart_time());
  }
  for (int i = 0; i < spec.ignored_interfaces_size(); ++i) {
    if (spec.ignored_interfaces(i).empty()) {
      check.Wrong(Index("spec.ignoredInterfaces", i), "is empty", "write a name or a pattern");
    }
  }
}

void CheckBgpPeer(const v1::BGPPeerSpec& spec, Checker& check) {
  if (!spec.node().empty() && !spec.node_selector().empty()) {
    check.Bad("spec.node", spec.node(), "cannot stand beside nodeSelector", "keep one of the two");
  }
  if (!spec.node().empty()) check.Subdomain("spec.node", spec.node());
  check.Selector("spec.nodeSelector", spec.node_selector());
  check.Selector("spec.peerSelector", spec.peer_selector());
  check.Selector("spec.localWorkloadSelector", spec.local_workload_selector());
  if (!spec.peer_ip().empty()) CheckPeerAddress("spec.peerIP", spec.peer_ip(), check);
  const bool workloads = !spec.local_workload_selector().empty();
  const bool by_address = !spec.peer_ip().empty(), by_selector = !spec.peer_selector().empty();
  if (by_address + by_selector + workloads != 1) {
    check.Wrong("spec", "has not exactly one of peerIP and peerSelector",
                "write the address of a router, or a selector of nodes");
  }
  if ((by_address || workloads) && !spec.has_as_number()) {
    check.Wrong("spec.asNumber", "is missing", "write the peer's AS number");
  }
  if (by_selector && spec.has_as_number()) {
    check.Bad("spec.asNumber", absl::StrCat(spec.as_number()), "cannot stand beside peerSelector",
              "remove it: the nodes say their own");
  }
  CheckAsNumber("spec.asNumber", spec.has_as_number(), spec.as_number(), check);
  CheckAsNumber("spec.localASNumber", spec.has_local_as_number(), spec.local_as_number(), check);
  check.EnumOrEmpty("spec.nextHopMode", spec.next_hop_mode(), {"Auto", "Self", "Keep"});
  if (!spec.next_hop_mode().empty() && spec.keep_original_next_hop()) {
    check.Wrong("spec.keepOriginalNextHop", "cannot stand beside nextHopMode",
                "write nextHopMode: Keep alone");
  }
  check.EnumOrEmpty("spec.sourceAddress", spec.source_address(), {"UseNodeIP", "None"});
  check.EnumOrEmpty("spec.reversePeering", spec.reverse_peering(), {"Auto", "Manual"});
  if (spec.has_ttl_security()) check.Range("spec.ttlSecurity", spec.ttl_security(), 1, 255);
  if (spec.has_num_allowed_local_as_numbers()) {
    check.Range("spec.numAllowedLocalASNumbers", spec.num_allowed_local_as_numbers(), 0, 255);
  }
  CheckReachableBy(spec, check);
  if (spec.has_password()) CheckPassword(spec.password(), "spec.password", check);
  if (!spec.max_restart_time().empty()) {
    check.Duration("spec.maxRestartTime", spec.max_restart_time());
  }
  if (!spec.keepalive_time().empty()) CheckKeepalive(spec.keepalive_time(), check);
}

}  // namespace ripstop::api
