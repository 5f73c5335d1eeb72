// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/plugin_config.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "agent/cni/config_fields.h"

namespace ripstop::agent {
namespace {

using Json = nlohmann::json;

CniError DecodeError(const std::string& what) {
  return {kCniDecode, "error unmarshall network config: " + what, ""};
}

// Reads a string, or leaves the default; anything else is an error of the field's name.
std::optional<CniError> ReadString(const Json& object, const std::string& key,
                                   std::string* ret_value) {
  const Json* value = FindKey(object, key);
  if (value == nullptr || value->is_null()) return std::nullopt;
  if (!value->is_string()) return DecodeError(absl::StrCat(key, " is not a string"));
  *ret_value = value->get<std::string>();
  return std::nullopt;
}

std::optional<CniError> ReadStrings(const Json& object, const std::string& key,
                                    std::map<std::string, std::string>* ret_map) {
  const Json* value = FindKey(object, key);
  if (value == nullptr || value->is_null()) return std::nullopt;
  if (!value->is_object()) return DecodeError(absl::StrCat(key, " is not an object"));
  for (const auto& [name, item] : value->items()) {
    if (!item.is_string()) return DecodeError(absl::StrCat(key, ".", name, " is not a string"));
    (*ret_map)[name] = item.get<std::string>();
  }
  return std::nullopt;
}

std::optional<CniError> ReadPorts(const Json& config, PluginConfig* ret_config) {
  const Json* ports = FindKey(config, "ports");
  if (ports == nullptr || ports->is_null()) return std::nullopt;
  if (!ports->is_array()) return DecodeError("ports is not a list");
  for (const Json& item : *ports) {
    ripstop::agent::v1::CniRequest::Port port;
    std::string name, protocol;
    if (!item.is_object()) return DecodeError("ports has an entry that is not an object");
    if (auto error = ReadString(item, "name", &name)) return error;
    if (auto error = ReadString(item, "protocol", &protocol)) return error;
    const Json* number = FindKey(item, "port");
    if (number == nullptr) number = FindKey(item, "containerPort");
    if (number == nullptr || !number->is_number_unsigned() || *number == 0 || *number > 65535) {
      return DecodeError(absl::StrCat("port ", name, " has no number from 1 to 65535"));
    }
    port.set_name(name);
    port.set_protocol(protocol);
    port.set_port(number->get<uint32_t>());
    ret_config->ports.push_back(std::move(port));
  }
  return std::nullopt;
}

// What the runtime passes for declared capabilities. Unknown parts are its own affair.
std::optional<CniError> ReadRuntimeConfig(const Json& config, PluginConfig* ret_config) {
  const Json* runtime = FindKey(config, "runtimeConfig");
  if (runtime == nullptr || !runtime->is_object()) return std::nullopt;
  if (auto error = ReadString(*runtime, "mac", &ret_config->requested_mac)) return error;
  if (auto error =
          ReadStrings(*runtime, "io.kubernetes.cri.pod-annotations", &ret_config->annotations)) {
    return error;
  }
  if (const Json* ips = FindKey(*runtime, "ips"); ips != nullptr && ips->is_array()) {
    for (const Json& ip : *ips) {
      if (!ip.is_string())
        return DecodeError("runtimeConfig.ips has an entry that is not a string");
      ret_config->requested_ips.push_back(ip.get<std::string>());
    }
  }
  return std::nullopt;
}

std::optional<CniError> ReadAttachments(const Json& config, PluginConfig* ret_config) {
  const Json* valid = FindKey(config, "cni.dev/valid-attachments");
  if (valid == nullptr) return std::nullopt;
  ret_config->valid_attachments.emplace();
  if (valid->is_null()) return std::nullopt;  // an empty list, as libcni writes it
  if (!valid->is_array()) return DecodeError("cni.dev/valid-attachments is not a list");
  for (const Json& item : *valid) {
    std::string id, interface;
    if (!item.is_object()) return DecodeError("cni.dev/valid-attachments has a bad entry");
    if (auto error = ReadString(item, "containerID", &id)) return error;
    if (auto error = ReadString(item, "ifname", &interface)) return error;
    ret_config->valid_attachments->emplace_back(id, interface);
  }
  return std::nullopt;
}

bool GoodName(const std::string& name) {
  return absl::ascii_isalnum(name[0]) && std::all_of(name.begin(), name.end(), [](char c) {
           return absl::ascii_isalnum(c) || c == '_' || c == '.' || c == '-';
         });
}

}  // namespace

const Json* FindKey(const Json& object, const std::string& key) {
  const Json* found = nullptr;
  for (auto it = object.begin(); it != object.end(); ++it) {
    if (it.key() == key) return &*it;
    if (absl::EqualsIgnoreCase(it.key(), key)) found = &*it;
  }
  return found;
}

std::optional<CniError> ParsePluginConfig(const std::string& text, PluginConfig* ret_config) {
  const Json config = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (config.is_discarded()) return DecodeError("standard input is not JSON");
  if (!config.is_object()) return DecodeError("standard input is not a JSON object");
  if (auto error = ReadString(config, "cniVersion", &ret_config->cni_version)) return error;
  if (ret_config->cni_version.empty()) ret_config->cni_version = "0.1.0";
  if (auto error = ReadString(config, "name", &ret_config->name)) return error;
  if (ret_config->name.empty()) return CniError{kCniBadConfig, "missing network name", ""};
  if (!GoodName(ret_config->name)) {
    return CniError{kCniBadConfig, "invalid characters found in network name", ret_config->name};
  }
  ret_config->unheeded = UnheededConfigFields(config);
  if (auto error = ReadString(config, "socket", &ret_config->socket)) return error;
  if (const Json* mtu = FindKey(config, "mtu"); mtu != nullptr && !mtu->is_null()) {
    if (!mtu->is_number_unsigned() || *mtu > 65535)
      return DecodeError("mtu is not a number up to 65535");
    ret_config->mtu = mtu->get<uint32_t>();
  }
  if (const Json* wait = FindKey(config, "connectTimeoutMs"); wait != nullptr) {
    if (!wait->is_number_unsigned() || *wait > 600000) {
      return DecodeError("connectTimeoutMs is not a number up to 600000");
    }
    ret_config->connect_timeout_ms = wait->get<int>();
  }
  if (const Json* dns = FindKey(config, "dns"); dns != nullptr && dns->is_object()) {
    ret_config->dns = *dns;
  }
  if (auto error = ReadStrings(config, "labels", &ret_config->labels)) return error;
  if (auto error = ReadString(config, "serviceAccount", &ret_config->service_account)) return error;
  if (auto error = ReadPorts(config, ret_config)) return error;
  if (auto error = ReadRuntimeConfig(config, ret_config)) return error;
  return ReadAttachments(config, ret_config);
}

std::map<std::string, std::string> ParseCniArgs(const std::string& text) {
  std::map<std::string, std::string> args;
  for (const absl::string_view piece : absl::StrSplit(text, ';', absl::SkipEmpty())) {
    const std::string item(piece);
    const size_t equals = item.find('=');
    if (equals != std::string::npos) args[item.substr(0, equals)] = item.substr(equals + 1);
  }
  return args;
}

}  // namespace ripstop::agent
