// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "api/validate/validators.h"

namespace ripstop::api {
namespace {

const std::vector<std::string> kEncapsulation = {"Never", "Always", "CrossSubnet"};

bool IsOn(const std::string& mode) { return !mode.empty() && mode != "Never"; }

// Of no use as addresses of pods: they never leave a link.
const policy::Cidr& LinkLocal(bool v4) {
  static const auto* v4_prefix = new policy::Cidr(*policy::Cidr::Parse("169.254.0.0/16"));
  static const auto* v6_prefix = new policy::Cidr(*policy::Cidr::Parse("fe80::/10"));
  return v4 ? *v4_prefix : *v6_prefix;
}

// What this datapath drops as no unicast address (bpf/lib/martian.h), and the host routes nowhere.
struct Reserved {
  const char* cidr;
  const char* what;
};
constexpr Reserved kNoUnicast[] = {{"0.0.0.0/8", "addresses of \"this\" network"},
                                   {"127.0.0.0/8", "loopback addresses"},
                                   {"224.0.0.0/4", "multicast addresses"},
                                   {"240.0.0.0/4", "addresses reserved by RFC 1112"},
                                   {"::/127", "unspecified and loopback addresses"},
                                   {"ff00::/8", "multicast addresses"}};

void CheckUnicast(const v1::IPPoolSpec& spec, const policy::Cidr& cidr, Checker& check) {
  for (const Reserved& reserved : kNoUnicast) {
    const policy::Cidr range = *policy::Cidr::Parse(reserved.cidr);
    if (range.is_v4() != cidr.is_v4()) continue;
    if (!range.Contains(cidr) && !cidr.Contains(range)) continue;
    check.Bad("spec.cidr", spec.cidr(), absl::StrCat("overlaps the ", reserved.what),
              absl::StrCat("write a prefix outside ", reserved.cidr));
    return;
  }
}

// As users write a node's address: with or without the length of its subnet.
void CheckNodeAddress(const std::string& path, const std::string& text, bool v4, Checker& check) {
  if (text.empty()) return;
  const auto cidr = check.Cidr(path, text, true);
  if (cidr && cidr->is_v4() != v4) {
    check.Bad(path, text, v4 ? "is not IPv4" : "is not IPv6", "write it in the other field");
  }
}

// Addresses of services are given out and advertised, never carried in a tunnel or by a pod.
void CheckLoadBalancerPool(const v1::IPPoolSpec& spec, Checker& check) {
  const auto& uses = spec.allowed_uses();
  if (std::find(uses.begin(), uses.end(), "LoadBalancer") == uses.end()) return;
  for (int i = 0; i < uses.size(); ++i) {
    if (uses[i] != "Workload" && uses[i] != "Tunnel") continue;
    check.Bad(Index("spec.allowedUses", i), uses[i], "cannot stand beside LoadBalancer",
              "write a pool of its own");
  }
  for (const auto& [path, mode] : {std::pair("spec.vxlanMode", &spec.vxlan_mode()),
                                   std::pair("spec.ipipMode", &spec.ipip_mode())}) {
    if (IsOn(*mode)) check.Bad(path, *mode, "is not for a LoadBalancer pool", "write Never");
  }
  if (!spec.node_selector().empty() && spec.node_selector() != "all()") {
    check.Bad("spec.nodeSelector", spec.node_selector(), "is not for a LoadBalancer pool",
              "write all(), or remove it");
  }
  if (spec.disable_bgp_export()) {
    check.Wrong("spec.disableBGPExport", "is not for a LoadBalancer pool",
                "remove it: nobody would reach the addresses");
  }
}

}  // namespace

void CheckPool(const v1::IPPoolSpec& spec, Checker& check) {
  check.EnumOrEmpty("spec.vxlanMode", spec.vxlan_mode(), kEncapsulation);
  check.EnumOrEmpty("spec.ipipMode", spec.ipip_mode(), kEncapsulation);
  check.EnumOrEmpty("spec.assignmentMode", spec.assignment_mode(), {"Automatic", "Manual"});
  for (int i = 0; i < spec.allowed_uses_size(); ++i) {
    check.Enum(Index("spec.allowedUses", i), spec.allowed_uses(i),
               {"Workload", "Tunnel", "LoadBalancer"});
  }
  CheckLoadBalancerPool(spec, check);
  check.Selector("spec.nodeSelector", spec.node_selector());
  check.Selector("spec.namespaceSelector", spec.namespace_selector());
  if (IsOn(spec.vxlan_mode()) && IsOn(spec.ipip_mode())) {
    check.Bad("spec.ipipMode", spec.ipip_mode(), "cannot stand beside vxlanMode",
              "write Never for one of the two");
  }
  if (spec.cidr().empty()) {
    return (void)check.Wrong("spec.cidr", "is missing", "write the pool's prefix");
  }
  const auto cidr = check.Network("spec.cidr", spec.cidr());
  if (!cidr) return;
  const bool v4 = cidr->is_v4();
  if (LinkLocal(v4).Contains(*cidr) || cidr->Contains(LinkLocal(v4))) {
    check.Bad("spec.cidr", spec.cidr(), "overlaps the link-local addresses",
              absl::StrCat("write a prefix outside ", LinkLocal(v4).ToString()));
  } else {
    CheckUnicast(spec, *cidr, check);
  }
  if (!v4 && IsOn(spec.ipip_mode())) {
    check.Bad("spec.ipipMode", spec.ipip_mode(), "is for IPv4 pools only", "use vxlanMode");
  }
  const int64_t smallest = v4 ? 20 : 116, largest = v4 ? 32 : 128;
  const int64_t block = spec.has_block_size() ? spec.block_size() : v4 ? 26 : 122;
  if (spec.has_block_size() && !check.Range("spec.blockSize", block, smallest, largest)) return;
  // Nothing is given out of a disabled pool; it only says what is ours.
  if (cidr->family_bits() > block && !spec.disabled()) {
    check.Bad("spec.cidr", spec.cidr(), absl::StrCat("is smaller than one block (/", block, ")"),
              absl::StrCat("write a prefix of at most /", block, ", or a blockSize of ",
                           cidr->family_bits(), " to ", largest));
  }
}

void CheckNode(const v1::NodeSpec& spec, Checker& check) {
  const v1::NodeBgpSpec& bgp = spec.bgp();
  CheckAsNumber("spec.bgp.asNumber", bgp.has_as_number(), bgp.as_number(), check);
  CheckNodeAddress("spec.bgp.ipv4Address", bgp.ipv4_address(), true, check);
  CheckNodeAddress("spec.bgp.ipv6Address", bgp.ipv6_address(), false, check);
  CheckNodeAddress("spec.bgp.ipv4IPIPTunnelAddr", bgp.ipv4_ipip_tunnel_addr(), true, check);
  if (!bgp.interface_name().empty()) {
    check.InterfaceName("spec.bgp.interfaceName", bgp.interface_name());
  }
  const std::string& cluster = bgp.route_reflector_cluster_id();
  if (!cluster.empty()) {
    const auto id = policy::Address::Parse(cluster);
    if (!id.ok() || !id->is_v4()) {
      check.Bad("spec.bgp.routeReflectorClusterID", cluster, "is not a cluster ID (RFC 4456)",
                "write it as an IPv4 address, such as 192.0.2.1");
    }
  }
  CheckNodeAddress("spec.ipv4VXLANTunnelAddr", spec.ipv4_vxlan_tunnel_addr(), true, check);
  CheckNodeAddress("spec.ipv6VXLANTunnelAddr", spec.ipv6_vxlan_tunnel_addr(), false, check);
  CheckNodeAddress("spec.wireguard.interfaceIPv4Address", spec.wireguard().interface_ipv4_address(),
                   true, check);
  CheckNodeAddress("spec.wireguard.interfaceIPv6Address", spec.wireguard().interface_ipv6_address(),
                   false, check);
  for (const auto& [path, mac] :
       {std::pair("spec.vxlanTunnelMACAddr", &spec.vxlan_tunnel_mac_addr()),
        std::pair("spec.vxlanTunnelMACAddrV6", &spec.vxlan_tunnel_mac_addr_v6())}) {
    if (!mac->empty()) check.Mac(path, *mac);
  }
  for (int i = 0; i < spec.interfaces_size(); ++i) {
    const std::string at = Index("spec.interfaces", i);
    check.InterfaceName(Field(at, "name"), spec.interfaces(i).name());
    for (int j = 0; j < spec.interfaces(i).addresses_size(); ++j) {
      check.Cidr(Index(Field(at, "addresses"), j), spec.interfaces(i).addresses(j), true);
    }
  }
  for (int i = 0; i < spec.addresses_size(); ++i) {
    const std::string at = Index("spec.addresses", i);
    check.Cidr(Field(at, "address"), spec.addresses(i).address(), true);
    check.EnumOrEmpty(Field(at, "type"), spec.addresses(i).type(),
                      {"InternalIP", "ExternalIP", "CalicoNodeIP"});
  }
}

}  // namespace ripstop::api
