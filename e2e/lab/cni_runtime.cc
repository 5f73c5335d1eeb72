// SPDX-License-Identifier: Apache-2.0
#include "e2e/lab/cni_runtime.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "e2e/lab/netns.h"
#include "e2e/lab/process.h"
#include "policy/status_macros.h"

namespace ripstop::lab {
namespace {

using nlohmann::json;

}  // namespace

absl::StatusOr<std::string> CniCall(const std::string& verb, const std::string& plugin,
                                    const PodState& pod, const std::string& node_netns,
                                    const std::string& interface) {
  const std::string ns = pod.key.substr(0, pod.key.find('/'));
  const std::string name = pod.key.substr(pod.key.find('/') + 1);
  const bool path = !pod.netns.empty() && pod.netns[0] == '/';
  const std::string netns = path                     ? pod.netns
                            : NetnsExists(pod.netns) ? absl::StrCat("/run/netns/", pod.netns)
                                                     : "";
  ASSIGN_OR_RETURN(
      Output output,
      Run({.argv = {plugin},
           .env = {absl::StrCat("CNI_COMMAND=", verb),
                   absl::StrCat("CNI_CONTAINERID=", pod.container_id),
                   absl::StrCat("CNI_NETNS=", netns), absl::StrCat("CNI_IFNAME=", interface),
                   absl::StrCat("CNI_PATH=", std::filesystem::path(plugin).parent_path().string()),
                   absl::StrCat("CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=", ns, ";K8S_POD_NAME=",
                                name, ";K8S_POD_INFRA_CONTAINER_ID=", pod.container_id,
                                ";K8S_POD_UID=", pod.container_id)},
           .netns = node_netns,
           .input = pod.config,
           .timeout = absl::Minutes(2)}));
  if (output.exit_code == 0) return std::move(output.out);
  const json error = json::parse(output.out, nullptr, false);
  std::string what = error.is_object()
                         ? absl::StrCat("code ", error.value("code", 0), ": ",
                                        error.value("msg", ""), " ", error.value("details", ""))
                         : output.out + output.err;
  return absl::InternalError(
      absl::StrCat("CNI ", verb, " of pod ", pod.key, " on ", pod.node, ": ", what));
}

std::string CniConfig(const Pod& pod, const std::string& cni_socket) {
  json ports = json::array();
  for (const Port& port : pod.ports) {
    ports.push_back({{"name", port.name}, {"protocol", port.protocol}, {"port", port.port}});
  }
  json config = {{"cniVersion", "1.0.0"}, {"name", "ripstop"},    {"type", "ripstop-cni"},
                 {"socket", cni_socket},  {"labels", pod.labels}, {"ports", ports}};
  if (!pod.service_account.empty()) config["serviceAccount"] = pod.service_account;
  if (!pod.ips.empty()) config["runtimeConfig"] = {{"ips", pod.ips}};
  return config.dump();
}

absl::StatusOr<std::vector<std::string>> CniAdd(const std::string& plugin, const PodState& pod,
                                                const std::string& node_netns,
                                                const std::string& interface) {
  ASSIGN_OR_RETURN(const std::string text, CniCall("ADD", plugin, pod, node_netns, interface));
  const json result = json::parse(text, nullptr, false);
  std::vector<std::string> addresses;
  if (result.is_object() && result.contains("ips") && result["ips"].is_array()) {
    for (const json& ip : result["ips"]) {
      const std::string address = ip.value("address", "");
      addresses.push_back(address.substr(0, address.find('/')));
    }
  }
  if (addresses.empty()) {
    return absl::InternalError(
        absl::StrCat("CNI ADD of pod ", pod.key, " gave no address: ", text));
  }
  return addresses;
}

absl::Status CniDel(const std::string& plugin, const PodState& pod, const std::string& node_netns) {
  return CniCall("DEL", plugin, pod, node_netns).status();
}

}  // namespace ripstop::lab
