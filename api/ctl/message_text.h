// SPDX-License-Identifier: Apache-2.0
//
// Replies of the agent as JSON, by reflection: names in camelCase, every field
// present, 64-bit numbers as numbers (protobuf's own JSON writes them as strings, which
// is not what jq's users expect).
#ifndef RIPSTOP_API_CTL_MESSAGE_TEXT_H_
#define RIPSTOP_API_CTL_MESSAGE_TEXT_H_

#include <google/protobuf/message.h>

#include <nlohmann/json.hpp>

namespace ripstop::ctl {

nlohmann::ordered_json ToJson(const google::protobuf::Message& message);

}  // namespace ripstop::ctl

#endif  // RIPSTOP_API_CTL_MESSAGE_TEXT_H_
