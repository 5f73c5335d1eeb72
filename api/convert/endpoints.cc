// SPDX-License-Identifier: Apache-2.0
#include <set>

#include "absl/strings/str_cat.h"
#include "api/convert/converters.h"
#include "api/convert/endpoint_join.h"
#include "api/convert/selector_text.h"
#include "api/convert/values.h"
#include "policy/selector.h"
#include "policy/status_macros.h"

namespace ripstop::api {
namespace {

using Texts = google::protobuf::RepeatedPtrField<std::string>;

// Of host endpoints and network sets, which no selector of Kubernetes means. What converters say
// is not for documents to say.
policy::Labels OwnLabels(const v1::ObjectMeta& metadata) {
  policy::Labels labels;
  for (const auto& [key, value] : metadata.labels()) {
    if (policy::IsLabelKey(key) && !policy::IsReservedLabel(key)) labels[key] = value;
  }
  return labels;
}

policy::Labels WorkloadLabels(const v1::ObjectMeta& metadata, const std::string& orchestrator,
                              const std::string& account) {
  policy::Labels labels;
  // With a label pcns.team of its own a pod would pass for one of another team's namespace, since
  // own labels win over inherited ones; selectors of Kubernetes mean that label all the same.
  for (const auto& [key, value] : metadata.labels()) {
    if (policy::IsLabelKey(key)) labels[policy::KeyOfPod(key)] = value;
  }
  labels[policy::kNamespaceLabel] = metadata.namespace_();
  labels[policy::kOrchestratorLabel] = orchestrator.empty() ? "k8s" : orchestrator;
  if (!account.empty()) labels[policy::kServiceAccountLabel] = account;
  return labels;
}

// An address, or one with its prefix length: 192.0.2.1 or 192.0.2.1/24.
absl::StatusOr<policy::Address> ParseAddress(const std::string& text, const std::string& path) {
  const auto address = policy::Address::Parse(text.substr(0, text.find('/')));
  if (!address.ok() || !policy::Cidr::Parse(text).ok()) {
    return BadValue(path, text, "is not an IP address");
  }
  return *address;
}

absl::Status AddAddress(const std::string& text, const std::string& path,
                        std::vector<policy::Address>* addresses) {
  if (text.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const policy::Address address, ParseAddress(text, path));
  if (std::find(addresses->begin(), addresses->end(), address) == addresses->end()) {
    addresses->push_back(address);
  }
  return absl::OkStatus();
}

absl::Status AddAddresses(const Texts& texts, const std::string& path,
                          std::vector<policy::Address>* addresses) {
  for (int i = 0; i < texts.size(); ++i) {
    RETURN_IF_ERROR(AddAddress(texts[i], absl::StrCat(path, "[", i, "]"), addresses));
  }
  return absl::OkStatus();
}

absl::Status AddPort(const std::string& name, const std::string& protocol, int64_t number,
                     const std::string& path, std::vector<policy::NamedPort>* ports) {
  if (name.empty()) return absl::OkStatus();
  const auto known = ProtocolNumber(protocol.empty() ? "TCP" : protocol);
  const auto port = PortNumber(number);
  if (!known) return BadValue(absl::StrCat(path, ".protocol"), protocol, "is not a protocol");
  if (!port) return BadValue(absl::StrCat(path, ".port"), absl::StrCat(number), "is not a port");
  ports->push_back({name, *known, *port});
  return absl::OkStatus();
}

absl::Status AddContainerPorts(const google::protobuf::RepeatedPtrField<v1::Container>& containers,
                               const std::string& path, std::vector<policy::NamedPort>* ports) {
  for (int i = 0; i < containers.size(); ++i) {
    for (int j = 0; j < containers[i].ports_size(); ++j) {
      const v1::ContainerPort& port = containers[i].ports(j);
      RETURN_IF_ERROR(AddPort(port.name(), port.protocol(), port.container_port(),
                              absl::StrCat(path, "[", i, "].ports[", j, "]"), ports));
    }
  }
  return absl::OkStatus();
}

}  // namespace

const std::string& WorkloadName(const v1::WorkloadEndpoint& from) {
  const v1::WorkloadEndpointSpec& spec = from.spec();
  return !spec.pod().empty()        ? spec.pod()
         : !spec.workload().empty() ? spec.workload()
                                    : from.metadata().name();
}

absl::StatusOr<policy::Endpoint> ConvertPod(const v1::Pod& pod) {
  const v1::ObjectMeta& metadata = pod.metadata();
  const std::string& account = pod.spec().service_account_name();
  policy::Endpoint endpoint;
  endpoint.name = absl::StrCat(metadata.namespace_(), "/", metadata.name());
  endpoint.id = PodId(endpoint.name);
  endpoint.labels = WorkloadLabels(metadata, "k8s", account);
  endpoint.profiles = {absl::StrCat("kns.", metadata.namespace_())};
  if (!account.empty()) {
    endpoint.profiles.push_back(absl::StrCat("ksa.", metadata.namespace_(), ".", account));
  }
  RETURN_IF_ERROR(AddAddress(pod.status().pod_ip(), "status.podIP", &endpoint.addresses));
  for (int i = 0; i < pod.status().pod_ips_size(); ++i) {
    RETURN_IF_ERROR(AddAddress(pod.status().pod_ips(i).ip(),
                               absl::StrCat("status.podIPs[", i, "].ip"), &endpoint.addresses));
  }
  RETURN_IF_ERROR(AddContainerPorts(pod.spec().containers(), "spec.containers", &endpoint.ports));
  RETURN_IF_ERROR(
      AddContainerPorts(pod.spec().init_containers(), "spec.initContainers", &endpoint.ports));
  const std::string& phase = pod.status().phase();
  endpoint.active = phase != "Succeeded" && phase != "Failed" && !pod.spec().host_network();
  return endpoint;
}

absl::StatusOr<policy::Endpoint> ConvertWorkload(const v1::WorkloadEndpoint& from) {
  const v1::WorkloadEndpointSpec& spec = from.spec();
  policy::Endpoint endpoint;
  endpoint.name = absl::StrCat(from.metadata().namespace_(), "/", WorkloadName(from));
  if (!spec.endpoint().empty() && spec.endpoint() != "eth0") {
    absl::StrAppend(&endpoint.name, "/", spec.endpoint());
  }
  // Parts that hold the separator could be read in two ways.
  const bool container =
      !spec.container_id().empty() && !spec.endpoint().empty() &&
      absl::StrCat(spec.node(), spec.container_id(), spec.endpoint()).find('/') ==
          std::string::npos;
  endpoint.id = container ? WorkloadId(spec.node(), spec.container_id(), spec.endpoint())
                          : absl::StrCat(kKindWorkloadEndpoint, " ", from.metadata().namespace_(),
                                         "/", from.metadata().name());
  endpoint.labels =
      WorkloadLabels(from.metadata(), spec.orchestrator(), spec.service_account_name());
  endpoint.profiles.assign(spec.profiles().begin(), spec.profiles().end());
  RETURN_IF_ERROR(AddAddresses(spec.ip_networks(), "spec.ipNetworks", &endpoint.addresses));
  for (int i = 0; i < spec.ports_size(); ++i) {
    const v1::WorkloadEndpointPort& port = spec.ports(i);
    RETURN_IF_ERROR(AddPort(port.name(), port.has_protocol() ? ToString(port.protocol()) : "",
                            port.port(), absl::StrCat("spec.ports[", i, "]"), &endpoint.ports));
  }
  return endpoint;
}

absl::StatusOr<policy::HostEndpoint> ConvertHostEndpoint(const v1::HostEndpoint& from) {
  const v1::HostEndpointSpec& spec = from.spec();
  policy::HostEndpoint endpoint;
  endpoint.id = from.metadata().name();
  endpoint.labels = OwnLabels(from.metadata());
  endpoint.profiles.assign(spec.profiles().begin(), spec.profiles().end());
  RETURN_IF_ERROR(
      AddAddresses(spec.expected_ips(), "spec.expectedIPs", &endpoint.expected_addresses));
  for (int i = 0; i < spec.ports_size(); ++i) {
    const v1::EndpointPort& port = spec.ports(i);
    RETURN_IF_ERROR(AddPort(port.name(), port.has_protocol() ? ToString(port.protocol()) : "",
                            port.port(), absl::StrCat("spec.ports[", i, "]"), &endpoint.ports));
  }
  return endpoint;
}

absl::StatusOr<policy::NetworkSet> ConvertNetworkSet(const v1::ObjectMeta& metadata,
                                                     const v1::NetworkSetSpec& spec,
                                                     bool namespaced) {
  policy::NetworkSet set;
  set.labels = OwnLabels(metadata);
  set.id = metadata.name();
  if (namespaced) {
    set.id = absl::StrCat(metadata.namespace_(), "/", metadata.name());
    set.labels[policy::kNamespaceLabel] = metadata.namespace_();
    set.profiles = {absl::StrCat("kns.", metadata.namespace_())};
  }
  ASSIGN_OR_RETURN(set.nets, ParseCidrs(spec.nets(), "spec.nets"));
  return set;
}

absl::StatusOr<policy::Host> ConvertNode(const v1::Node& node, const std::string& this_host) {
  const v1::NodeSpec& spec = node.spec();
  policy::Host host;
  host.name = node.metadata().name();
  host.this_host = host.name == this_host;
  for (const auto& [key, value] : node.metadata().labels()) {
    if (policy::IsLabelKey(key)) host.labels[key] = value;
  }
  // Tunnel addresses too: traffic of the host itself leaves a tunnel device with them.
  for (const auto& [path, text] : std::initializer_list<std::pair<const char*, const std::string*>>{
           {"spec.bgp.ipv4Address", &spec.bgp().ipv4_address()},
           {"spec.bgp.ipv6Address", &spec.bgp().ipv6_address()},
           {"spec.bgp.ipv4IPIPTunnelAddr", &spec.bgp().ipv4_ipip_tunnel_addr()},
           {"spec.ipv4VXLANTunnelAddr", &spec.ipv4_vxlan_tunnel_addr()},
           {"spec.ipv6VXLANTunnelAddr", &spec.ipv6_vxlan_tunnel_addr()},
           {"spec.wireguard.interfaceIPv4Address", &spec.wireguard().interface_ipv4_address()},
           {"spec.wireguard.interfaceIPv6Address", &spec.wireguard().interface_ipv6_address()}}) {
    RETURN_IF_ERROR(AddAddress(*text, path, &host.addresses));
  }
  for (int i = 0; i < spec.addresses_size(); ++i) {
    RETURN_IF_ERROR(AddAddress(spec.addresses(i).address(),
                               absl::StrCat("spec.addresses[", i, "].address"), &host.addresses));
  }
  return host;
}

absl::StatusOr<std::vector<policy::ServiceBackends>> ConvertSlice(const v1::EndpointSlice& slice) {
  const v1::ObjectMeta& metadata = slice.metadata();
  const auto service = metadata.labels().find("kubernetes.io/service-name");
  std::vector<policy::ServiceBackends> out;
  if (service == metadata.labels().end() || service->second.empty() ||
      slice.address_type() == "FQDN") {
    return out;
  }
  policy::ServiceBackends backends;
  backends.service = {metadata.namespace_(), service->second};
  backends.slice = metadata.name();
  for (int i = 0; i < slice.endpoints_size(); ++i) {
    RETURN_IF_ERROR(AddAddresses(slice.endpoints(i).addresses(),
                                 absl::StrCat("endpoints[", i, "].addresses"),
                                 &backends.addresses));
  }
  for (int i = 0; i < slice.ports_size(); ++i) {
    const v1::SlicePort& port = slice.ports(i);
    if (!port.has_port()) continue;
    const std::string path = absl::StrCat("ports[", i, "]");
    const auto protocol = ProtocolNumber(port.protocol().empty() ? "TCP" : port.protocol());
    const auto number = PortNumber(port.port());
    if (!protocol) return BadValue(absl::StrCat(path, ".protocol"), port.protocol(), "is unknown");
    if (!number) {
      return BadValue(absl::StrCat(path, ".port"), absl::StrCat(port.port()), "is not a port");
    }
    backends.ports.push_back({*protocol, *number});
  }
  out.push_back(std::move(backends));
  return out;
}

}  // namespace ripstop::api
