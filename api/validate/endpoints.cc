// SPDX-License-Identifier: Apache-2.0
#include "absl/strings/str_cat.h"
#include "api/convert/values.h"
#include "api/validate/validators.h"

namespace ripstop::api {
namespace {

template <typename Ports>
void CheckPorts(const Ports& ports, const std::string& path, Checker& check) {
  for (int i = 0; i < ports.size(); ++i) {
    const std::string at = Index(path, i);
    if (ports[i].name().empty()) check.Wrong(Field(at, "name"), "is missing", "write a name");
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

// One address: bare, or with the length that covers it alone.
void CheckHostNetwork(const std::string& text, const std::string& path, Checker& check) {
  const auto cidr = check.Cidr(path, text, true);
  if (cidr && cidr->bits != 128) {
    check.Bad(path, text, "is more than one address",
              cidr->is_v4() ? "write it with /32" : "write it with /128");
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
    const std::string at = Index("spec.ipNATs", i);
    check.Address(Field(at, "internalIP"), spec.ip_nats(i).internal_ip());
    check.Address(Field(at, "externalIP"), spec.ip_nats(i).external_ip());
  }
  if (!spec.ipv4_gateway().empty()) check.Address("spec.ipv4Gateway", spec.ipv4_gateway());
  if (!spec.ipv6_gateway().empty()) check.Address("spec.ipv6Gateway", spec.ipv6_gateway());
  for (int i = 0; i < spec.allow_spoofed_source_prefixes_size(); ++i) {
    check.Cidr(Index("spec.allowSpoofedSourcePrefixes", i), spec.allow_spoofed_source_prefixes(i),
               true);
  }
  CheckPorts(spec.ports(), "spec.ports", check);
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
  CheckPorts(spec.ports(), "spec.ports", check);
}

void CheckPod(const v1::Pod& pod, Checker& check) {
  const auto containers = [&](const auto& list, const std::string& path) {
    for (int i = 0; i < list.size(); ++i) {
      for (int j = 0; j < list[i].ports_size(); ++j) {
        const v1::ContainerPort& port = list[i].ports(j);
        const std::string at = Index(Field(Index(path, i), "ports"), j);
        check.Range(Field(at, "containerPort"), port.container_port(), 1, 65535);
        check.EnumOrEmpty(Field(at, "protocol"), port.protocol(), {"TCP", "UDP", "SCTP"});
      }
    }
  };
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

}  // namespace ripstop::api
