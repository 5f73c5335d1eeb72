// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "api/convert/values.h"
#include "api/validate/validators.h"

namespace ripstop::api {
namespace {

int64_t HostPortOf(const v1::WorkloadEndpointPort& port) { return port.host_port(); }
int64_t HostPortOf(const v1::EndpointPort&) { return 0; }

template <typename Ports>
void CheckPorts(const Ports& ports, const std::string& path, Checker& check) {
  for (int i = 0; i < ports.size(); ++i) {
    const std::string at = Index(path, i);
    v1::IntOrString name;
    name.set_text(ports[i].name());
    const auto named = CalicoPort(name);
    if (ports[i].name().empty()) {
      // A port of the host is asked for by number.
      if (HostPortOf(ports[i]) == 0) check.Wrong(Field(at, "name"), "is missing", "write a name");
    } else if (!named || !std::holds_alternative<std::string>(*named)) {
      check.Bad(Field(at, "name"), ports[i].name(),
                "is not a name that a rule's ports could ask for",
                "write at most 128 of A-Z, a-z, 0-9, -, _ and ., not digits alone");
    }
    const v1::IntOrString& protocol = ports[i].protocol();
    const auto number = ProtocolNumber(protocol);
    if (!ports[i].has_protocol()) {
      check.Wrong(Field(at, "protocol"), "is missing", "write TCP, UDP, SCTP or UDPLite");
    } else if (!number || !policy::HasPorts(*number)) {
      check.Bad(Field(at, "protocol"), ToString(protocol), "is not a protocol with ports",
                "write TCP, UDP, SCTP or UDPLite");
    }
    check.Range(Field(at, "port"), ports[i].port(), 1, 65535);
  }
}

// 0: none.
void CheckHostPort(const std::string& path, int64_t port, Checker& check) {
  if (port != 0) check.Range(path, port, 1, 65535);
}

// One address: bare, or with the length that covers it alone.
void CheckHostNetwork(const std::string& text, const std::string& path, Checker& check) {
  const auto cidr = check.Cidr(path, text, true);
  if (cidr && cidr->bits != 128) {
    check.Bad(path, text, "is more than one address",
              cidr->is_v4() ? "write it with /32" : "write it with /128");
  }
}

// A code point (RFC 2474) by number, or by one of the names of RFC 4594 and RFC 2474.
void CheckDscp(const v1::IntOrString& dscp, const std::string& path, Checker& check) {
  static const auto* names =
      new std::set<std::string>{"DF",   "LE",   "EF",   "VA",   "CS0",  "CS1",  "CS2",  "CS3",
                                "CS4",  "CS5",  "CS6",  "CS7",  "AF11", "AF12", "AF13", "AF21",
                                "AF22", "AF23", "AF31", "AF32", "AF33", "AF41", "AF42", "AF43"};
  const bool good = dscp.has_number() ? dscp.number() >= 0 && dscp.number() <= 63
                                      : names->count(absl::AsciiStrToUpper(dscp.text())) > 0;
  if (!good) {
    check.Bad(path, ToString(dscp), "is not a DSCP", "write 0 to 63, or a name such as EF or AF11");
  }
}

// The ranges that Calico's annotations have; packet rates are those of xt_limit.
void CheckQos(const v1::QosControls& qos, const std::string& path, Checker& check) {
  struct Limit {
    bool present;
    int64_t value;
    const char* name;
    int64_t min, max;
  };
  constexpr int64_t kBits = 1'000, kBitsMax = 1'000'000'000'000'000, kPackets = 10'000;
  for (const Limit& limit : {
           Limit{qos.has_ingress_bandwidth(), qos.ingress_bandwidth(), "ingressBandwidth", kBits,
                 kBitsMax},
           Limit{qos.has_egress_bandwidth(), qos.egress_bandwidth(), "egressBandwidth", kBits,
                 kBitsMax},
           Limit{qos.has_ingress_burst(), qos.ingress_burst(), "ingressBurst", kBits,
                 int64_t{UINT32_MAX} * 8},
           Limit{qos.has_egress_burst(), qos.egress_burst(), "egressBurst", kBits,
                 int64_t{UINT32_MAX} * 8},
           Limit{qos.has_ingress_peakrate(), qos.ingress_peakrate(), "ingressPeakrate", 1'010,
                 kBitsMax / 100 * 101},
           Limit{qos.has_egress_peakrate(), qos.egress_peakrate(), "egressPeakrate", 1'010,
                 kBitsMax / 100 * 101},
           Limit{qos.has_ingress_minburst(), qos.ingress_minburst(), "ingressMinburst", 1'000,
                 100'000'000},
           Limit{qos.has_egress_minburst(), qos.egress_minburst(), "egressMinburst", 1'000,
                 100'000'000},
           Limit{qos.has_ingress_packet_rate(), qos.ingress_packet_rate(), "ingressPacketRate", 1,
                 kPackets},
           Limit{qos.has_egress_packet_rate(), qos.egress_packet_rate(), "egressPacketRate", 1,
                 kPackets},
           Limit{qos.has_ingress_packet_burst(), qos.ingress_packet_burst(), "ingressPacketBurst",
                 1, kPackets},
           Limit{qos.has_egress_packet_burst(), qos.egress_packet_burst(), "egressPacketBurst", 1,
                 kPackets},
           Limit{qos.has_ingress_max_connections(), qos.ingress_max_connections(),
                 "ingressMaxConnections", 1, UINT32_MAX},
           Limit{qos.has_egress_max_connections(), qos.egress_max_connections(),
                 "egressMaxConnections", 1, UINT32_MAX},
       }) {
    if (limit.present) check.Range(Field(path, limit.name), limit.value, limit.min, limit.max);
  }
  if (qos.has_dscp()) CheckDscp(qos.dscp(), Field(path, "dscp"), check);
}

// A translation is of one of the endpoint's own addresses, to one of the same version.
void CheckNat(const v1::IpNat& nat, const v1::WorkloadEndpointSpec& spec, const std::string& path,
              Checker& check) {
  const auto internal = check.Address(Field(path, "internalIP"), nat.internal_ip());
  const auto external = check.Address(Field(path, "externalIP"), nat.external_ip());
  if (internal && external && internal->is_v4() != external->is_v4()) {
    check.Bad(Field(path, "externalIP"), nat.external_ip(), "is not of the version of internalIP",
              internal->is_v4() ? "write an IPv4 address" : "write an IPv6 address");
  }
  const bool own = std::any_of(spec.ip_networks().begin(), spec.ip_networks().end(),
                               [&](const std::string& text) {
                                 const auto network = policy::Cidr::Parse(text);
                                 return network.ok() && internal && network->Contains(*internal);
                               });
  if (internal && !own) {
    check.Bad(Field(path, "internalIP"), nat.internal_ip(), "is none of ipNetworks",
              "write an address of the endpoint");
  }
}

void CheckGateway(const std::string& path, const std::string& text, bool v4, Checker& check) {
  if (text.empty()) return;
  const auto address = check.Address(path, text);
  if (address && address->is_v4() != v4) {
    check.Bad(path, text, v4 ? "is not IPv4" : "is not IPv6", "write it in the other field");
  }
}

// Items that the API keeps as a set.
template <typename List>
void CheckUnique(const List& list, const std::string& path, Checker& check) {
  std::set<std::string> seen;
  for (int i = 0; i < list.size(); ++i) {
    if (seen.insert(list[i]).second) continue;
    check.Bad(Index(path, i), list[i], "appears twice", "keep one of the two");
  }
}

}  // namespace

void CheckWorkloadEndpoint(const v1::WorkloadEndpointSpec& spec, Checker& check) {
  if (!spec.node().empty()) check.Subdomain("spec.node", spec.node());
  if (!spec.interface_name().empty()) {
    check.InterfaceName("spec.interfaceName", spec.interface_name());
  }
  if (!spec.mac().empty()) check.Mac("spec.mac", spec.mac());
  for (int i = 0; i < spec.ip_networks_size(); ++i) {
    CheckHostNetwork(spec.ip_networks(i), Index("spec.ipNetworks", i), check);
  }
  for (int i = 0; i < spec.ip_nats_size(); ++i) {
    CheckNat(spec.ip_nats(i), spec, Index("spec.ipNATs", i), check);
  }
  CheckGateway("spec.ipv4Gateway", spec.ipv4_gateway(), true, check);
  CheckGateway("spec.ipv6Gateway", spec.ipv6_gateway(), false, check);
  if (spec.has_qos_controls()) CheckQos(spec.qos_controls(), "spec.qosControls", check);
  for (int i = 0; i < spec.allow_spoofed_source_prefixes_size(); ++i) {
    check.Cidr(Index("spec.allowSpoofedSourcePrefixes", i), spec.allow_spoofed_source_prefixes(i),
               true);
  }
  if (!spec.service_account_name().empty()) {
    check.Subdomain("spec.serviceAccountName", spec.service_account_name());
  }
  for (int i = 0; i < spec.profiles_size(); ++i) {
    check.ProfileName(Index("spec.profiles", i), spec.profiles(i));
  }
  CheckPorts(spec.ports(), "spec.ports", check);
  for (int i = 0; i < spec.ports_size(); ++i) {
    const std::string& host_ip = spec.ports(i).host_ip();
    if (!host_ip.empty()) check.Address(Field(Index("spec.ports", i), "hostIP"), host_ip);
    CheckHostPort(Field(Index("spec.ports", i), "hostPort"), spec.ports(i).host_port(), check);
  }
}

void CheckHostEndpoint(const v1::HostEndpointSpec& spec, Checker& check) {
  check.Subdomain("spec.node", spec.node());
  if (spec.interface_name().empty() && spec.expected_ips_size() == 0) {
    check.Wrong("spec", "says neither interfaceName nor expectedIPs",
                "write interfaceName: with a name or \"*\", or expectedIPs");
  }
  if (!spec.interface_name().empty() && spec.interface_name() != "*") {
    check.InterfaceName("spec.interfaceName", spec.interface_name());
  }
  for (int i = 0; i < spec.expected_ips_size(); ++i) {
    check.Address(Index("spec.expectedIPs", i), spec.expected_ips(i));
  }
  CheckUnique(spec.expected_ips(), "spec.expectedIPs", check);
  for (int i = 0; i < spec.profiles_size(); ++i) {
    check.ProfileName(Index("spec.profiles", i), spec.profiles(i));
  }
  CheckUnique(spec.profiles(), "spec.profiles", check);
  CheckPorts(spec.ports(), "spec.ports", check);
}

void CheckPod(const v1::Pod& pod, Checker& check) {
  const auto containers = [&](const auto& list, const std::string& path) {
    for (int i = 0; i < list.size(); ++i) {
      for (int j = 0; j < list[i].ports_size(); ++j) {
        const v1::ContainerPort& port = list[i].ports(j);
        const std::string at = Index(Field(Index(path, i), "ports"), j);
        check.Range(Field(at, "containerPort"), port.container_port(), 1, 65535);
        CheckHostPort(Field(at, "hostPort"), port.host_port(), check);
        check.EnumOrEmpty(Field(at, "protocol"), port.protocol(), {"TCP", "UDP", "SCTP"});
        if (!port.name().empty() && !IsPortName(port.name())) {
          check.Bad(Field(at, "name"), port.name(), "is not the name of a port",
                    "write at most 15 of a-z, 0-9 and -, at least one of them a letter");
        }
      }
    }
  };
  if (!pod.spec().node_name().empty()) check.Subdomain("spec.nodeName", pod.spec().node_name());
  if (!pod.spec().service_account_name().empty()) {
    check.Subdomain("spec.serviceAccountName", pod.spec().service_account_name());
  }
  // A finished pod is no peer, so a phase that nobody knows would keep it one.
  check.EnumOrEmpty("status.phase", pod.status().phase(),
                    {"Pending", "Running", "Succeeded", "Failed", "Unknown"});
  if (!pod.status().host_ip().empty()) check.Address("status.hostIP", pod.status().host_ip());
  containers(pod.spec().containers(), "spec.containers");
  containers(pod.spec().init_containers(), "spec.initContainers");
  if (!pod.status().pod_ip().empty()) check.Address("status.podIP", pod.status().pod_ip());
  for (int i = 0; i < pod.status().pod_ips_size(); ++i) {
    check.Address(Field(Index("status.podIPs", i), "ip"), pod.status().pod_ips(i).ip());
  }
}

void CheckSlice(const v1::EndpointSlice& slice, Checker& check) {
  if (!check.Enum("addressType", slice.address_type(), {"IPv4", "IPv6", "FQDN"})) return;
  if (slice.address_type() == "FQDN") return;
  for (int i = 0; i < slice.endpoints_size(); ++i) {
    for (int j = 0; j < slice.endpoints(i).addresses_size(); ++j) {
      const std::string path = Index(Field(Index("endpoints", i), "addresses"), j);
      const std::string& text = slice.endpoints(i).addresses(j);
      const auto address = check.Address(path, text);
      if (address && address->is_v4() != (slice.address_type() == "IPv4")) {
        check.Bad(path, text, absl::StrCat("is not ", slice.address_type()),
                  "put it into a slice of its own addressType");
      }
    }
  }
  for (int i = 0; i < slice.ports_size(); ++i) {
    if (slice.ports(i).has_port()) {
      check.Range(Field(Index("ports", i), "port"), slice.ports(i).port(), 0, 65535);
    }
    check.EnumOrEmpty(Field(Index("ports", i), "protocol"), slice.ports(i).protocol(),
                      {"TCP", "UDP", "SCTP"});
  }
}

void CheckService(const v1::Service& service, Checker& check) {
  const v1::ServiceSpec& spec = service.spec();
  check.EnumOrEmpty("spec.type", spec.type(),
                    {"ClusterIP", "NodePort", "LoadBalancer", "ExternalName"});
  check.EnumOrEmpty("spec.externalTrafficPolicy", spec.external_traffic_policy(),
                    {"Cluster", "Local"});
  const auto address = [&](const std::string& path, const std::string& text) {
    if (!text.empty() && text != "None") check.Address(path, text);
  };
  address("spec.clusterIP", spec.cluster_ip());
  for (int i = 0; i < spec.cluster_ips_size(); ++i) {
    address(Index("spec.clusterIPs", i), spec.cluster_ips(i));
  }
  for (int i = 0; i < spec.external_ips_size(); ++i) {
    check.Address(Index("spec.externalIPs", i), spec.external_ips(i));
  }
  if (!spec.load_balancer_ip().empty()) {
    check.Address("spec.loadBalancerIP", spec.load_balancer_ip());
  }
  for (int i = 0; i < spec.ports_size(); ++i) {
    const v1::ServicePort& port = spec.ports(i);
    const std::string at = Index("spec.ports", i);
    check.Range(Field(at, "port"), port.port(), 1, 65535);
    check.EnumOrEmpty(Field(at, "protocol"), port.protocol(), {"TCP", "UDP", "SCTP"});
    if (port.node_port() != 0) check.Range(Field(at, "nodePort"), port.node_port(), 1, 65535);
    if (port.target_port().has_number()) {
      check.Range(Field(at, "targetPort"), port.target_port().number(), 1, 65535);
    } else if (port.has_target_port() && !IsPortName(port.target_port().text())) {
      check.Bad(Field(at, "targetPort"), port.target_port().text(), "is not the name of a port",
                "write at most 15 of a-z, 0-9 and -, at least one of them a letter");
    }
  }
  for (int i = 0; i < service.status().load_balancer().ingress_size(); ++i) {
    const std::string& ip = service.status().load_balancer().ingress(i).ip();
    if (!ip.empty()) check.Address(Field(Index("status.loadBalancer.ingress", i), "ip"), ip);
  }
}

}  // namespace ripstop::api
