// SPDX-License-Identifier: Apache-2.0
//
// What a network configuration says and nothing acts on (docs/fields.md).
#ifndef RIPSTOP_AGENT_CNI_CONFIG_FIELDS_H_
#define RIPSTOP_AGENT_CNI_CONFIG_FIELDS_H_

#include <string>
#include <vector>

#include "nlohmann/json.hpp"

namespace ripstop::agent {

// The fields that act, as "mtu" or "runtimeConfig.mac".
const std::vector<std::string>& ActingConfigFields();

// The names of all others in `config`, in its order.
std::vector<std::string> UnheededConfigFields(const nlohmann::json& config);

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_CNI_CONFIG_FIELDS_H_
