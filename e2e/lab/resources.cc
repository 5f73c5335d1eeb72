// SPDX-License-Identifier: Apache-2.0
#include "e2e/lab/resources.h"

#include <map>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"

namespace ripstop::lab {
namespace {

using nlohmann::json;

std::string Document(const std::string& api_version, const std::string& kind, json metadata,
                     const json& spec) {
  json document = {{"apiVersion", api_version}, {"kind", kind}, {"metadata", std::move(metadata)}};
  if (!spec.is_null()) document["spec"] = spec;
  return absl::StrCat("---\n", document.dump(), "\n");
}

}  // namespace

std::string NodeDocument(const Topology& topology, const Node& node) {
  const Subnet& subnet = *topology.FindSubnet(node.subnet);
  json bgp = {{"asNumber", topology.as_number}};
  if (!node.v4.empty()) bgp["ipv4Address"] = WithPrefixOf(node.v4, subnet.v4);
  if (!node.v6.empty()) bgp["ipv6Address"] = WithPrefixOf(node.v6, subnet.v6);
  return Document("projectcalico.org/v3", "Node", {{"name", node.name}}, {{"bgp", bgp}});
}

std::string ResourceDocuments(const Topology& topology) {
  std::string documents;
  for (const Node& node : topology.nodes) documents += NodeDocument(topology, node);
  for (const Pool& pool : topology.pools) {
    json spec = {{"cidr", pool.cidr}, {"vxlanMode", pool.vxlan_mode}};
    if (pool.block_size != 0) spec["blockSize"] = pool.block_size;
    documents += Document("projectcalico.org/v3", "IPPool", {{"name", pool.name}}, spec);
  }
  documents += Document("projectcalico.org/v3", "BGPConfiguration", {{"name", "default"}},
                        {{"asNumber", topology.as_number}, {"nodeToNodeMeshEnabled", true}});
  std::map<std::string, std::map<std::string, std::string>> namespaces;
  for (const Pod& pod : topology.pods) namespaces[pod.ns];
  for (const NamespaceSpec& ns : topology.namespaces) namespaces[ns.name] = ns.labels;
  for (auto& [name, labels] : namespaces) {
    labels["kubernetes.io/metadata.name"] = name;  // as the Kubernetes API server sets it
    documents += Document("v1", "Namespace", {{"name", name}, {"labels", labels}}, nullptr);
  }
  return documents;
}

}  // namespace ripstop::lab
