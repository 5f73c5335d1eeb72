// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_CNI_PLUGIN_CONFIG_H_
#define RIPSTOP_AGENT_CNI_PLUGIN_CONFIG_H_

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "api/proto/cni.pb.h"

namespace ripstop::agent {

// CNI's error codes (specification, section "Error"), and ours from 100.
enum CniCode : int {
  kCniIncompatibleVersion = 1,
  kCniUnsupportedField = 2,
  kCniUnknownContainer = 3,
  kCniBadEnvironment = 4,
  kCniIo = 5,
  kCniDecode = 6,
  kCniBadConfig = 7,
  kCniInvalidNetns = 8,
  kCniTryAgain = 11,
  kCniNotAvailable = 50,
  kCniNoAddress = 101,
  kCniConflict = 102,
  kCniNotAsMade = 103,
  kCniInternal = 999,
};

struct CniError {
  int code = kCniInternal;
  std::string message;
  std::string details;
};

// The value of `key` in `object`, matched as Go's encoding/json does: whatever the case;
// containerd relies on it. Null where absent.
const nlohmann::json* FindKey(const nlohmann::json& object, const std::string& key);

struct PluginConfig {
  std::string cni_version = "0.1.0";  // what a configuration without one means
  std::string name;
  std::string socket = "/run/ripstop/cni.sock";
  int connect_timeout_ms = 5000;
  uint32_t mtu = 0;
  nlohmann::json dns = nlohmann::json::object();
  std::map<std::string, std::string> labels;
  std::string service_account;
  std::map<std::string, std::string> annotations;
  std::vector<ripstop::agent::v1::CniRequest::Port> ports;
  std::vector<std::string> requested_ips;
  std::string requested_mac;
  std::optional<std::vector<std::pair<std::string, std::string>>> valid_attachments;
  std::vector<std::string> unheeded;  // fields that nothing acts on
};

// Reads the network configuration from standard input. An unset error means success.
std::optional<CniError> ParsePluginConfig(const std::string& text, PluginConfig* ret_config);

// "K=V;K=V" of CNI_ARGS.
std::map<std::string, std::string> ParseCniArgs(const std::string& text);

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_CNI_PLUGIN_CONFIG_H_
