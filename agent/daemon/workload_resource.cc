// SPDX-License-Identifier: Apache-2.0
#include "agent/daemon/workload_resource.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "api/convert/endpoint_join.h"
#include "policy/base/stable_hash.h"

namespace ripstop::agent {
namespace {

constexpr char kOrchestrator[] = "k8s";

constexpr size_t kNameMax = 253;  // RFC 1123 subdomain
constexpr size_t kHashDigits = 16;

bool IsResourceName(const std::string& name) {
  if (name.size() > kNameMax) return false;
  const auto alnum = [](char c) { return absl::ascii_islower(c) || absl::ascii_isdigit(c); };
  for (const absl::string_view part : absl::StrSplit(name, '.')) {
    const bool good =
        !part.empty() && alnum(part.front()) && alnum(part.back()) &&
        std::all_of(part.begin(), part.end(), [&](char c) { return alnum(c) || c == '-'; });
    if (!good) return false;
  }
  return true;
}

std::string Escaped(const std::string& part) { return absl::StrReplaceAll(part, {{"-", "--"}}); }

}  // namespace

std::string WorkloadEndpointName(const std::string& node, const std::string& pod,
                                 const std::string& interface) {
  std::string name =
      absl::StrCat(Escaped(node), "-", kOrchestrator, "-", Escaped(pod), "-", Escaped(interface));
  if (IsResourceName(name)) return name;
  // A container or interface may be called what no document may be (c_1, ETH0), or its parts
  // be too long together: what is left of the name, and a hash of all of it.
  const uint64_t hash = StableHash(name);
  name.resize(std::min(name.size(), kNameMax - kHashDigits - 1));
  for (char& c : name) c = absl::ascii_isalnum(c) ? absl::ascii_tolower(c) : '-';
  return absl::StrCat(name, "-", absl::Hex(hash, absl::kZeroPad16));
}

api::Resource MakeWorkloadEndpoint(const LocalEndpoint& endpoint, const std::string& node) {
  api::Resource resource = api::Resource::Make<api::v1::WorkloadEndpoint>();
  auto* workload = resource.MutableAs<api::v1::WorkloadEndpoint>();
  api::v1::ObjectMeta* metadata = workload->mutable_metadata();
  metadata->set_name(WorkloadEndpointName(node, endpoint.pod_name, endpoint.interface_name));
  metadata->set_namespace_(endpoint.pod_namespace);
  metadata->mutable_labels()->insert(endpoint.labels.begin(), endpoint.labels.end());
  if (!endpoint.pod_uid.empty()) {
    (*metadata->mutable_annotations())[api::kPodUidAnnotation] = endpoint.pod_uid;
  }
  api::v1::WorkloadEndpointSpec* spec = workload->mutable_spec();
  spec->set_orchestrator(kOrchestrator);
  spec->set_node(node);
  spec->set_pod(endpoint.pod_name);
  spec->set_endpoint(endpoint.interface_name);
  spec->set_container_id(endpoint.container_id);
  spec->set_interface_name(endpoint.host_interface);
  spec->set_mac(endpoint.container_mac.ToString());
  for (const policy::Address& address : endpoint.addresses()) {
    spec->add_ip_networks(absl::StrCat(address.ToString(), address.is_v4() ? "/32" : "/128"));
  }
  spec->set_service_account_name(endpoint.service_account);
  spec->add_profiles("kns." + endpoint.pod_namespace);
  if (!endpoint.service_account.empty()) {
    spec->add_profiles(absl::StrCat("ksa.", endpoint.pod_namespace, ".", endpoint.service_account));
  }
  for (const policy::NamedPort& port : endpoint.ports) {
    api::v1::WorkloadEndpointPort* declared = spec->add_ports();
    declared->set_name(port.name);
    declared->mutable_protocol()->set_number(port.protocol);
    declared->set_port(port.port);
  }
  return resource;
}

}  // namespace ripstop::agent
