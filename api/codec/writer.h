// SPDX-License-Identifier: Apache-2.0
//
// Resources to documents, in the form that users write: apiVersion, kind, metadata, spec.
// What reader.h makes of the result is the same message again.
#ifndef RIPSTOP_API_CODEC_WRITER_H_
#define RIPSTOP_API_CODEC_WRITER_H_

#include <string>
#include <vector>

#include "api/resource.h"
#include "nlohmann/json.hpp"

namespace ripstop::api {

nlohmann::ordered_json ToJsonValue(const Resource& resource);

// The field at `path`, such as "spec.ingress[0].source.nets", as compact JSON; empty when it
// is not there. Costs as much as the path and that field, not as the message.
std::string FieldText(const google::protobuf::Message& message, const std::string& path);

// Indented, with a newline at the end.
std::string ToJson(const Resource& resource);
std::string ToYaml(const Resource& resource);

// Several: a `kind: List` in JSON, documents separated by --- in YAML.
std::string ToJson(const std::vector<Resource>& resources);
std::string ToYaml(const std::vector<Resource>& resources);

// Any JSON value as block YAML, with every string that a reader could take for something
// else in quotes.
std::string JsonToYaml(const nlohmann::ordered_json& value);

}  // namespace ripstop::api

#endif  // RIPSTOP_API_CODEC_WRITER_H_
