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

void NodeReader::ReadTree(const YAML::Node& node, const std::string& path, v1::Tree* tree) {
  if (!node.IsMap()) {
    return Report(node, path, "is not a map", "write fields below it, each as `name: value`");
  }
  tree->set_json(ReadTreeValue(node, path).dump(-1, ' ', false, json::error_handler_t::replace));
}

json NodeReader::ReadTreeValue(const YAML::Node& node, const std::string& path) {
  if (!node.IsMap() && !node.IsSequence()) return ReadTreeScalar(node, path);
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
    for (const YAML::Node& item : node) {
      const std::string at = absl::StrCat(path, "[", value.size(), "]");
      if (!Enter(item, at)) break;
      if (lines_ != nullptr) lines_->emplace(at, item.Mark().line + 1);
      value.push_back(ReadTreeValue(item, at));
    }
  }
  --depth_;
  return value;
}

json NodeReader::ReadTreeMap(const YAML::Node& node, const std::string& path) {
  json map = json::object();
  for (const auto& entry : node) {
    if (!Enter(entry.second, path)) break;
    std::string key;
    if (!ReadString(entry.first, absl::StrCat(path, " key"), &key)) continue;
    const std::string at = absl::StrCat(path, ".", key);
    if (map.contains(key)) {
      Report(entry.first, at, "appears twice", "keep one of the two");
      continue;
    }
    if (lines_ != nullptr) lines_->emplace(at, entry.first.Mark().line + 1);
    json value = ReadTreeValue(entry.second, at);
    if (!value.is_null()) map[key] = std::move(value);  // null is absent
  }
  return map;
}

json NodeReader::ReadTreeScalar(const YAML::Node& node, const std::string& path) {
  if (!node.IsScalar()) return nullptr;
  const std::string& text = node.Scalar();
  const ScalarType type = IsQuoted(node) ? ScalarType::kString : PlainScalarType(text);
  switch (type) {
    case ScalarType::kNull: return nullptr;
    case ScalarType::kBool:
      if ((text[0] | 0x20) == 't') return true;
      if ((text[0] | 0x20) == 'f') return false;
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
    case ScalarType::kString:
      if (IsUtf8(text)) return text;
      Report(node, path, "is not UTF-8", "save the file as UTF-8");
      return nullptr;
  }
  Report(node, path, "is not a number that is read alike everywhere",
         absl::StrCat("write it in decimal, or quote it: \"", text, "\""));
  return nullptr;
}

}  // namespace ripstop::api
