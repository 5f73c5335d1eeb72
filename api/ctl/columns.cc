// SPDX-License-Identifier: Apache-2.0
#include "api/ctl/columns.h"

#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace ripstop::ctl {
namespace {

using nlohmann::ordered_json;

const std::map<std::string, std::vector<Column>>& KindColumns() {
  static const std::vector<Column> policy = {{"TIER", "/spec/tier", "default"},
                                             {"ORDER", "/spec/order"},
                                             {"SELECTOR", "/spec/selector", "all()", true},
                                             {"TYPES", "/spec/types", "-", true}};
  static const auto& columns = *new std::map<std::string, std::vector<Column>>{
      {api::kKindNetworkPolicy, policy},
      {api::kKindGlobalNetworkPolicy, policy},
      {api::kKindStagedNetworkPolicy, policy},
      {api::kKindStagedGlobalNetworkPolicy, policy},
      {api::kKindKubernetesNetworkPolicy,
       {{"POD-SELECTOR", "/spec/podSelector", "<none>"},
        {"TYPES", "/spec/policyTypes", "-", true}}},
      {api::kKindClusterNetworkPolicy, {{"TIER", "/spec/tier"}, {"PRIORITY", "/spec/priority"}}},
      {api::kKindTier,
       {{"ORDER", "/spec/order"}, {"DEFAULTACTION", "/spec/defaultAction", "Deny"}}},
      {api::kKindNode,
       {{"ASN", "/spec/bgp/asNumber", "(global)"},
        {"IPV4", "/spec/bgp/ipv4Address"},
        {"IPV6", "/spec/bgp/ipv6Address"}}},
      {api::kKindIPPool,
       {{"CIDR", "/spec/cidr"},
        {"VXLANMODE", "/spec/vxlanMode", "Never"},
        {"NAT", "/spec/natOutgoing", "false"},
        {"DISABLED", "/spec/disabled", "false"},
        {"STATUS", "/metadata/deletionTimestamp", "Active", false, "Terminating"},
        {"SELECTOR", "/spec/nodeSelector", "all()"},
        {"BLOCKSIZE", "/spec/blockSize", "-", true},
        {"DISABLEBGPEXPORT", "/spec/disableBGPExport", "false", true}}},
      {api::kKindNetworkSet, {{"NETS", "/spec/nets"}}},
      {api::kKindGlobalNetworkSet, {{"NETS", "/spec/nets"}}},
      {api::kKindBGPConfiguration,
       {{"LOGSEVERITY", "/spec/logSeverityScreen"},
        {"MESHENABLED", "/spec/nodeToNodeMeshEnabled", "true"},
        {"ASNUMBER", "/spec/asNumber", "64512"}}},
      {api::kKindBGPPeer,
       {{"PEERIP", "/spec/peerIP"},
        {"NODE", "/spec/node", "(global)"},
        {"ASN", "/spec/asNumber"},
        {"NODESELECTOR", "/spec/nodeSelector", "-", true},
        {"PEERSELECTOR", "/spec/peerSelector", "-", true}}},
      {api::kKindWorkloadEndpoint,
       {{"NODE", "/spec/node"},
        {"NETWORKS", "/spec/ipNetworks"},
        {"INTERFACE", "/spec/interfaceName"},
        {"PROFILES", "/spec/profiles", "-", true}}},
      {api::kKindHostEndpoint,
       {{"NODE", "/spec/node"},
        {"INTERFACE", "/spec/interfaceName"},
        {"IPS", "/spec/expectedIPs"},
        {"PROFILES", "/spec/profiles", "-", true}}},
      {api::kKindPod,
       {{"IP", "/status/podIP"}, {"NODE", "/spec/nodeName"}, {"PHASE", "/status/phase"}}},
      {api::kKindService, {{"TYPE", "/spec/type", "ClusterIP"}, {"IP", "/spec/clusterIP"}}},
  };
  return columns;
}

std::string Requirement(const ordered_json& expression) {
  const std::string key = expression.value("key", ""), op = expression.value("operator", "");
  if (op == "Exists") return key;
  if (op == "DoesNotExist") return "!" + key;
  std::vector<std::string> values;
  if (const auto it = expression.find("values"); it != expression.end())
    for (const ordered_json& value : *it) values.push_back(value.get<std::string>());
  return absl::StrCat(key, op == "NotIn" ? " notin (" : " in (", absl::StrJoin(values, ","), ")");
}

std::string Text(const ordered_json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_float()) return absl::StrCat(value.get<double>());  // 1000, not 1000.0
  std::vector<std::string> parts;
  if (value.is_array()) {
    for (const ordered_json& item : value) parts.push_back(Text(item));
    return absl::StrJoin(parts, ",");
  }
  if (!value.is_object()) return value.dump();
  for (const auto& [key, item] : value.items()) {
    if (key == "matchLabels") {
      parts.push_back(Text(item));
    } else if (key == "matchExpressions") {
      for (const ordered_json& expression : item) parts.push_back(Requirement(expression));
    } else {
      parts.push_back(absl::StrCat(key, "=", Text(item)));
    }
  }
  return absl::StrJoin(parts, ",");
}

}  // namespace

std::vector<Column> ColumnsOf(const api::KindInfo& kind) {
  std::vector<Column> columns;
  if (const auto it = KindColumns().find(kind.store_kind); it != KindColumns().end())
    columns = it->second;
  columns.push_back({"LABELS", "/metadata/labels", "-", true});
  columns.push_back({"REVISION", "/metadata/resourceVersion", "-", true});
  return columns;
}

std::string Cell(const ordered_json& document, const Column& column) {
  const ordered_json::json_pointer pointer(column.pointer);
  if (!document.contains(pointer)) return column.absent;
  if (!column.present.empty()) return column.present;
  std::string text = Text(document.at(pointer));
  return text.empty() ? column.absent : text;
}

}  // namespace ripstop::ctl
