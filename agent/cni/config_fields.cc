// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/config_fields.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace ripstop::agent {
namespace {

using Json = nlohmann::json;

// As Go's encoding/json matches them.
bool Acts(const std::string& name) {
  const auto& acting = ActingConfigFields();
  return std::any_of(acting.begin(), acting.end(),
                     [&](const std::string& known) { return absl::EqualsIgnoreCase(known, name); });
}

// What the runtime writes for itself (CNI specification, section 1, "reserved").
bool IsReserved(const std::string& name) { return absl::StartsWith(name, "cni.dev/"); }

bool IsEmpty(const Json& value) { return value.is_null() || (value.is_object() && value.empty()); }

}  // namespace

const std::vector<std::string>& ActingConfigFields() {
  static const auto* fields = new std::vector<std::string>{
      "cniVersion",
      "cniVersions",
      "name",
      "type",
      "capabilities",
      "disableCheck",
      "disableGC",
      "loadOnlyInlinedPlugins",
      "prevResult",
      "dns",
      "socket",
      "connectTimeoutMs",
      "mtu",
      "labels",
      "serviceAccount",
      "ports",
      "runtimeConfig.ips",
      "runtimeConfig.mac",
      "runtimeConfig.io.kubernetes.cri.pod-annotations",
  };
  return *fields;
}

std::vector<std::string> UnheededConfigFields(const Json& config) {
  std::vector<std::string> unheeded;
  for (const auto& [name, value] : config.items()) {
    if (absl::EqualsIgnoreCase(name, "runtimeConfig") && value.is_object()) {
      for (const auto& [capability, argument] : value.items()) {
        const std::string path = absl::StrCat("runtimeConfig.", capability);
        if (!Acts(path) && !IsEmpty(argument)) unheeded.push_back(path);
      }
    } else if (!Acts(name) && !IsReserved(name) && !IsEmpty(value)) {
      unheeded.push_back(name);
    }
  }
  return unheeded;
}

}  // namespace ripstop::agent
