// SPDX-License-Identifier: Apache-2.0
//
// The part of NodeReader that reads what has no message: any value, as JSON.
#include <limits>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "api/codec/node_reader.h"
#include "api/codec/scalar.h"

namespace ripstop::api {

using nlohmann::json;

void NodeReader::ReadTree(const YamlNode& node, const std::string& path, v1::Tree* tree) {
  if (!node.IsMap()) {
    return Report(node, path, "is not a map", "write fields below it, each as `name: value`");
  }
  tree->set_json(ReadTreeValue(node, path).dump(-1, ' ', false, json::error_handler_t::replace));
}

json NodeReader::ReadTreeValue(const YamlNode& node, const std::string& path) {
  if (HasFault(node, path)) return nullptr;
  if (node.IsScalar()) return ReadTreeScalar(node, path);
  if (depth_ >= kDocumentDepthMax) {
    Report(node, path, absl::StrCat("is nested deeper than ", kDocumentDepthMax),
           "no field is that deep; remove it");
    return nullptr;
  }
  ++depth_;
  json value = json::array();
  if (node.IsMap()) {
    value = ReadTreeMap(node, path);
  } else {
    for (const YamlNode* item : node.items) {
      const std::string at = absl::StrCat(path, "[", value.size(), "]");
      if (!Enter(*item, at)) break;
      if (lines_ != nullptr) lines_->emplace_back(at, item->line);
      value.push_back(ReadTreeValue(*item, at));
    }
  }
  --depth_;
  return value;
}

json NodeReader::ReadTreeMap(const YamlNode& node, const std::string& path) {
  json map = json::object();
  for (size_t i = 0; i + 1 < node.items.size(); i += 2) {
    const YamlNode &name = *node.items[i], &value_node = *node.items[i + 1];
    if (!Enter(value_node, path)) break;
    std::string key;
    if (!ReadString(name, absl::StrCat(path, " key"), &key)) continue;
    const std::string at = absl::StrCat(path, ".", key);
    if (map.contains(key)) {
      Report(name, at, "appears twice", "keep one of the two");
      continue;
    }
    if (lines_ != nullptr) lines_->emplace_back(at, name.line);
    json value = ReadTreeValue(value_node, at);
    if (!value.is_null()) map[key] = std::move(value);  // null is absent
  }
  return map;
}

json NodeReader::ReadTreeScalar(const YamlNode& node, const std::string& path) {
  const std::string& text = node.text;
  const ScalarType type = node.quoted ? ScalarType::kString : PlainScalarType(text);
  switch (type) {
    case ScalarType::kNull: return nullptr;
    case ScalarType::kBool:
      if (const auto value = Boolean(text)) return *value;
      Report(node, path, "is a boolean to some and a word to others",
             absl::StrCat("write true or false, or quote it: \"", text, "\""));
      return nullptr;
    case ScalarType::kInteger:
      if (const auto number = DecimalInteger(text)) return *number;
      break;
    case ScalarType::kFloat: {
      double number = 0;
      if (absl::SimpleAtod(text, &number) &&
          std::abs(number) <= std::numeric_limits<double>::max()) {
        return number;
      }
      break;
    }
    case ScalarType::kString: return text;
  }
  Report(node, path, "is not a number that is read alike everywhere",
         absl::StrCat("write it in decimal, or quote it: \"", text, "\""));
  return nullptr;
}

}  // namespace ripstop::api
