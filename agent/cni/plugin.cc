// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/plugin.h"

#include <sys/stat.h>

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "agent/cni/agent_call.h"

namespace ripstop::agent {
namespace {

using OrderedJson = nlohmann::ordered_json;

constexpr int kCallTimeoutMs = 90'000;  // below the kubelet's patience with a sandbox
constexpr char kAbout[] = "ripstop-cni: CNI plugin of the Ripstop agent";
constexpr char kLatestVersion[] = "1.1.0";
const std::vector<std::string> kVersions = {"0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"};

std::string Get(const std::map<std::string, std::string>& map, const std::string& key) {
  const auto it = map.find(key);
  return it == map.end() ? "" : it->second;
}

PluginOutcome Fail(const std::string& version, const CniError& error) {
  OrderedJson json = {{"cniVersion", version}, {"code", error.code}, {"msg", error.message}};
  if (!error.details.empty()) json["details"] = error.details;
  return {1, json.dump(4, ' ', false, OrderedJson::error_handler_t::replace) + "\n", ""};
}

struct Call {
  std::string command, container_id, netns, interface;
  std::map<std::string, std::string> args;
};

std::optional<CniError> ReadEnvironment(const std::map<std::string, std::string>& environment,
                                        Call* ret_call) {
  const std::map<std::string, std::vector<std::string>> required = {
      {"CNI_CONTAINERID", {"ADD", "CHECK", "DEL"}},
      {"CNI_NETNS", {"ADD", "CHECK"}},
      {"CNI_IFNAME", {"ADD", "CHECK", "DEL"}},
      {"CNI_PATH", {"ADD"}}};
  ret_call->command = Get(environment, "CNI_COMMAND");
  ret_call->container_id = Get(environment, "CNI_CONTAINERID");
  ret_call->netns = Get(environment, "CNI_NETNS");
  ret_call->interface = Get(environment, "CNI_IFNAME");
  ret_call->args = ParseCniArgs(Get(environment, "CNI_ARGS"));
  std::vector<std::string> missing;
  // In the order in which the skeleton lists them.
  for (const char* name : {"CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"}) {
    const std::vector<std::string>& commands = required.at(name);
    const bool needed =
        std::find(commands.begin(), commands.end(), ret_call->command) != commands.end();
    if (needed && Get(environment, name).empty()) missing.push_back(name);
  }
  if (missing.empty()) return std::nullopt;
  return CniError{
      kCniBadEnvironment,
      absl::StrCat("required env variables [", absl::StrJoin(missing, ","), "] missing"), ""};
}

std::optional<CniError> CheckNames(const Call& call) {
  const std::string& id = call.container_id;
  const bool good_id = absl::ascii_isalnum(id[0]) && std::all_of(id.begin(), id.end(), [](char c) {
                         return absl::ascii_isalnum(c) || c == '_' || c == '.' || c == '-';
                       });
  if (!good_id) return CniError{kCniBadEnvironment, "invalid characters in containerID", id};
  const std::string& name = call.interface;
  if (name.size() > 15) {
    return CniError{kCniBadEnvironment, "interface name is too long",
                    "interface name should be less than 16 characters"};
  }
  if (name == "." || name == "..") {
    return CniError{kCniBadEnvironment, "interface name is . or ..", ""};
  }
  if (std::any_of(name.begin(), name.end(),
                  [](char c) { return c == '/' || c == ':' || absl::ascii_isspace(c); })) {
    return CniError{kCniBadEnvironment, "interface name contains / or : or whitespace characters",
                    ""};
  }
  return std::nullopt;
}

std::optional<CniError> CheckNetns(const Call& call,
                                   const std::map<std::string, std::string>& environment) {
  const std::string override = absl::AsciiStrToUpper(Get(environment, "CNI_NETNS_OVERRIDE"));
  if (override == "TRUE" || override == "1") return std::nullopt;
  struct stat own{}, other{};
  if (stat("/proc/self/ns/net", &own) == 0 && stat(call.netns.c_str(), &other) == 0 &&
      own.st_dev == other.st_dev && own.st_ino == other.st_ino) {
    return CniError{kCniInvalidNetns,
                    "plugin's netns and netns from CNI_NETNS should not be the same", ""};
  }
  return std::nullopt;
}

// absl::StatusCode, as the agent has it. Numbers, since nothing else of Abseil's status is
// worth being carried here.
enum AgentCode {
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kUnavailable = 14,
};

CniError FromAgent(const v1::CniAnswer& answer, const Call& call, const std::string& socket) {
  const std::string& text = answer.message();
  if (call.command == "STATUS") return {kCniNotAvailable, "plugin is not available", text};
  switch (answer.code()) {
    case kUnavailable:
    case kDeadlineExceeded:
    case kAborted:
      return {kCniTryAgain, absl::StrCat("ripstop-agent at ", socket, ": try again"), text};
    case kInvalidArgument: return {kCniBadConfig, text, ""};
    case kNotFound:
      return {call.command == "ADD" ? kCniInvalidNetns : kCniUnknownContainer, text, ""};
    case kResourceExhausted: return {kCniNoAddress, text, ""};
    case kAlreadyExists: return {kCniConflict, text, ""};
    case kFailedPrecondition: return {kCniNotAsMade, text, ""};
    default: return {kCniInternal, text, ""};
  }
}

v1::CniRequest RequestFor(const Call& call, const PluginConfig& config) {
  v1::CniRequest request;
  request.set_container_id(call.container_id);
  request.set_netns(call.netns);
  request.set_interface_name(call.interface);
  request.set_network(config.name);
  request.set_pod_namespace(Get(call.args, "K8S_POD_NAMESPACE"));
  request.set_pod_name(Get(call.args, "K8S_POD_NAME"));
  request.set_pod_uid(Get(call.args, "K8S_POD_UID"));
  for (const std::string& ip : config.requested_ips) request.add_requested_ips(ip);
  if (const std::string ip = Get(call.args, "IP"); !ip.empty() && config.requested_ips.empty()) {
    request.add_requested_ips(ip);
  }
  const std::string mac = Get(call.args, "MAC");
  request.set_requested_mac(config.requested_mac.empty() ? mac : config.requested_mac);
  request.set_mtu(config.mtu);
  request.mutable_labels()->insert(config.labels.begin(), config.labels.end());
  request.set_service_account(config.service_account);
  request.mutable_annotations()->insert(config.annotations.begin(), config.annotations.end());
  for (const auto& port : config.ports) *request.add_ports() = port;
  return request;
}

PluginOutcome Version(const std::string& input) {
  const nlohmann::json asked = nlohmann::json::parse(input, nullptr, false);
  std::string version = kLatestVersion;
  if (asked.is_object()) {
    if (const auto* given = FindKey(asked, "cniVersion"); given && given->is_string()) {
      version = given->get<std::string>();
    }
  }
  const OrderedJson json = {{"cniVersion", version}, {"supportedVersions", kVersions}};
  return {0, json.dump() + "\n", ""};
}

v1::CniCall CallFor(const Call& call, const PluginConfig& config) {
  v1::CniCall message;
  if (call.command == "ADD") {
    *message.mutable_add() = RequestFor(call, config);
  } else if (call.command == "DEL") {
    *message.mutable_del() = RequestFor(call, config);
  } else if (call.command == "CHECK") {
    *message.mutable_check() = RequestFor(call, config);
  } else if (call.command == "GC" && config.valid_attachments.has_value()) {
    message.mutable_gc()->set_network(config.name);
    for (const auto& [id, interface] : *config.valid_attachments) {
      auto* item = message.mutable_gc()->add_valid();
      item->set_container_id(id);
      item->set_interface_name(interface);
    }
  } else {
    message.mutable_status();
  }
  return message;
}

// With the namespace the interface is gone too, and the agent releases the address when it
// is back and sees that; a node can be drained without its agent. While the namespace
// lives, the runtime must come again.
PluginOutcome WithoutAgent(const Call& call, const PluginConfig& config) {
  const std::string nobody = absl::StrCat("no ripstop-agent at ", config.socket);
  if (call.command == "STATUS") {
    return Fail(config.cni_version, {kCniNotAvailable, "plugin is not available", nobody});
  }
  struct stat unused{};
  if (call.command == "DEL" && (call.netns.empty() || stat(call.netns.c_str(), &unused) != 0)) {
    return {};
  }
  return Fail(config.cni_version, {kCniTryAgain, nobody + ": try again",
                                   "start it with: systemctl start ripstop-agent"});
}

PluginOutcome Delegate(const Call& call, const PluginConfig& config) {
  v1::CniAnswer answer;
  switch (CallAgent(config.socket, CallFor(call, config), config.connect_timeout_ms, kCallTimeoutMs,
                    &answer)) {
    case CallOutcome::kAnswered: break;
    case CallOutcome::kNoAgent: return WithoutAgent(call, config);
    case CallOutcome::kNoAnswer:
      return Fail(config.cni_version,
                  {call.command == "STATUS" ? kCniNotAvailable : kCniTryAgain,
                   absl::StrCat("ripstop-agent at ", config.socket, ": no answer: try again"), ""});
    case CallOutcome::kNotTheAgent:
      return Fail(config.cni_version,
                  {kCniBadConfig,
                   absl::StrCat("socket ", config.socket, " is not the agent's for the plugin"),
                   "the agent names it with --cni-socket: cni.sock beside its agent.sock"});
  }
  if (answer.code() != 0) return Fail(config.cni_version, FromAgent(answer, call, config.socket));
  if (call.command != "ADD") return {};
  return {
      0,
      ResultFor(config.cni_version, answer.add(), call.interface, call.netns, config.dns).dump(4) +
          "\n",
      ""};
}

}  // namespace

OrderedJson ResultFor(const std::string& version, const v1::CniAddReply& reply,
                      const std::string& interface, const std::string& netns,
                      const nlohmann::json& dns) {
  const bool old = version[0] == '0';      // has ips[].version
  const bool newest = version == "1.1.0";  // has interfaces[].mtu
  OrderedJson host = {{"name", reply.host_interface()}, {"mac", reply.host_mac()}};
  OrderedJson pod = {{"name", interface}, {"mac", reply.container_mac()}};
  if (newest) host["mtu"] = pod["mtu"] = reply.mtu();
  pod["sandbox"] = netns;
  OrderedJson ips = OrderedJson::array(), routes = OrderedJson::array();
  for (const auto& ip : reply.ips()) {
    const bool v4 = ip.address().find(':') == std::string::npos;
    OrderedJson item = OrderedJson::object();
    if (old) item["version"] = v4 ? "4" : "6";
    item["interface"] = 1;
    item["address"] = ip.address();
    item["gateway"] = ip.gateway();
    ips.push_back(std::move(item));
    if (!ip.default_route()) continue;
    routes.push_back({{"dst", v4 ? "0.0.0.0/0" : "::/0"}, {"gw", ip.gateway()}});
  }
  return {{"cniVersion", version},
          {"interfaces", {host, pod}},
          {"ips", ips},
          {"routes", routes},
          {"dns", OrderedJson(dns)}};
}

PluginOutcome RunPlugin(const std::map<std::string, std::string>& environment,
                        const std::string& input) {
  Call call;
  const std::optional<CniError> bad_environment = ReadEnvironment(environment, &call);
  if (call.command.empty()) {
    return {0, "",
            absl::StrCat(kAbout, "\nCNI protocol versions supported: ",
                         absl::StrJoin(kVersions, ", "), "\n")};
  }
  if (call.command == "VERSION") return Version(input);
  PluginConfig config;
  const std::optional<CniError> bad_config = ParsePluginConfig(input, &config);
  const std::string version = config.cni_version;
  if (bad_environment.has_value()) return Fail(version, *bad_environment);
  static const std::vector<std::string> commands = {"ADD", "DEL", "CHECK", "GC", "STATUS"};
  if (std::find(commands.begin(), commands.end(), call.command) == commands.end()) {
    return Fail(version,
                {kCniBadEnvironment, absl::StrCat("unknown CNI_COMMAND: ", call.command), ""});
  }
  if (bad_config.has_value()) return Fail(version, *bad_config);
  const bool one_pod = call.command != "GC" && call.command != "STATUS";
  if (one_pod) {
    if (const auto error = CheckNames(call)) return Fail(version, *error);
  }
  if (std::find(kVersions.begin(), kVersions.end(), version) == kVersions.end()) {
    return Fail(version, {kCniIncompatibleVersion, "incompatible CNI versions",
                          absl::StrCat("config is \"", version, "\", plugin supports [\"",
                                       absl::StrJoin(kVersions, "\" \""), "\"]")});
  }
  const bool since_040 = version != "0.3.0" && version != "0.3.1";
  const bool since_110 = version == "1.1.0";
  if ((call.command == "CHECK" && !since_040) || (!one_pod && !since_110)) {
    return Fail(version, {kCniIncompatibleVersion,
                          absl::StrCat("config version does not allow ", call.command), ""});
  }
  if (call.command == "ADD" || call.command == "CHECK") {
    if (const auto error = CheckNetns(call, environment)) return Fail(version, *error);
  }
  if (call.command != "ADD") return Delegate(call, config);
  PluginOutcome outcome = Delegate(call, config);
  if (!config.unheeded.empty()) {
    absl::StrAppend(&outcome.error, "ripstop-cni: network ", config.name, ": nothing acts on ",
                    absl::StrJoin(config.unheeded, ", "), "\n");
  }
  return outcome;
}

}  // namespace ripstop::agent
