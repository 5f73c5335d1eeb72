// SPDX-License-Identifier: Apache-2.0
#include "api/codec/node_reader.h"

#include <algorithm>
#include <limits>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "api/codec/scalar.h"

namespace ripstop::api {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Reflection;

const FieldDescriptor* FindField(const Descriptor* descriptor, const std::string& name) {
  for (int i = 0; i < descriptor->field_count(); ++i) {
    if (descriptor->field(i)->json_name() == name) return descriptor->field(i);
  }
  return nullptr;
}

// What a server puts into metadata and nobody writes for a reason.
bool IsServerMetadata(const std::string& name) {
  static const auto* names =
      new std::set<std::string>{"managedFields",   "selfLink",   "generation",
                                "ownerReferences", "finalizers", "deletionGracePeriodSeconds",
                                "clusterName"};
  return names->count(name) > 0;
}

std::string Shown(const YAML::Node& node) {
  if (node.IsMap()) return "a map";
  if (node.IsSequence()) return "a list";
  if (node.IsNull()) return "null";
  if (!node.IsScalar()) return "nothing";
  return ShownValue(node.Scalar(), IsQuoted(node));
}

bool IsAbsent(const YAML::Node& node) {
  return node.IsNull() || (node.IsScalar() && !IsQuoted(node) &&
                           PlainScalarType(node.Scalar()) == ScalarType::kNull);
}

}  // namespace

// yaml-cpp tags a quoted or block scalar "!", a plain one "?" or not at all.
bool IsQuoted(const YAML::Node& node) {
  return node.Tag() == "!" || node.Tag() == "tag:yaml.org,2002:str";
}

void NodeReader::Report(const YAML::Node& node, const std::string& path, const std::string& what,
                        const std::string& remedy) {
  problems_->push_back({.file = file_,
                        .line = node.Mark().line + 1,
                        .resource = resource_,
                        .path = path,
                        .value = Shown(node),
                        .what = what,
                        .remedy = remedy});
}

void NodeReader::ReadDocument(const YAML::Node& node, Message* message, LineMap* lines) {
  lines_ = lines;
  depth_ = 0;
  ReadMessage(node, "", message);
  lines_ = nullptr;
}

// Aliases make a tree of the graph that was written, so count what is walked, not what
// was read: nine lines of aliases to aliases are a billion nodes.
bool NodeReader::Enter(const YAML::Node& node, const std::string& path) {
  if (exhausted_) return false;
  if (++nodes_ > nodes_max_) {
    exhausted_ = true;
    Report(node, path, absl::StrCat("is beyond the limit of ", nodes_max_, " values a file"),
           "split the file, or remove the aliases that repeat it");
    return false;
  }
  return true;
}

void NodeReader::ReadMessage(const YAML::Node& node, const std::string& path, Message* message) {
  const Descriptor* descriptor = message->GetDescriptor();
  if (descriptor == v1::IntOrString::descriptor()) {
    return ReadIntOrString(node, path, static_cast<v1::IntOrString*>(message));
  }
  if (descriptor == v1::Tree::descriptor()) {
    return ReadTree(node, path, static_cast<v1::Tree*>(message));
  }
  if (descriptor->options().GetExtension(v1::as_list)) {
    return ReadList(node, path, descriptor->field(0), message);
  }
  if (!node.IsMap()) {
    return Report(node, path, "is not a map", "write fields below it, each as `name: value`");
  }
  if (depth_ >= kDocumentDepthMax) {
    return Report(node, path, absl::StrCat("is nested deeper than ", kDocumentDepthMax),
                  "no field is that deep; remove it");
  }
  ++depth_;
  std::set<std::string> seen;
  for (const auto& entry : node) {
    if (!Enter(entry.second, path)) break;
    const std::string name = entry.first.IsScalar() ? entry.first.Scalar() : "?";
    const std::string field_path = path.empty() ? name : absl::StrCat(path, ".", name);
    if (!seen.insert(name).second) {
      Report(entry.first, field_path, "appears twice", "keep one of the two");
      continue;
    }
    const bool top = path.empty();
    if (top && (name == "apiVersion" || name == "kind")) continue;
    const FieldDescriptor* field = FindField(descriptor, name);
    if (field != nullptr) {
      if (lines_ != nullptr) lines_->emplace(field_path, entry.first.Mark().line + 1);
      ReadField(entry.second, field_path, field, message);
    } else if (!(top && name == "status") && !descriptor->options().GetExtension(v1::lenient) &&
               !(descriptor == v1::ObjectMeta::descriptor() && IsServerMetadata(name))) {
      UnknownField(entry.first, entry.second, field_path, name, *message);
    }
  }
  --depth_;
}

void NodeReader::UnknownField(const YAML::Node& key, const YAML::Node& value,
                              const std::string& path, const std::string& name,
                              const Message& message) {
  std::vector<std::string> known;
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
    known.push_back(message.GetDescriptor()->field(i)->json_name());
  }
  std::string remedy;
  if (name == "<<") {
    remedy = "merge keys are not read; write the fields out";
  } else if (const std::string nearest = Nearest(name, known); !nearest.empty()) {
    remedy = absl::StrCat("did you mean `", nearest, "`?");
  } else {
    std::sort(known.begin(), known.end());
    remedy = "fields here: ";
    for (size_t i = 0; i < known.size(); ++i) absl::StrAppend(&remedy, i ? ", " : "", known[i]);
  }
  problems_->push_back({.file = file_,
                        .line = key.Mark().line + 1,
                        .resource = resource_,
                        .path = path,
                        .value = Shown(value),
                        .what = "is an unknown field",
                        .remedy = remedy});
}

void NodeReader::ReadField(const YAML::Node& node, const std::string& path, const Field* field,
                           Message* message) {
  if (IsAbsent(node)) return;  // absent; servers write creationTimestamp: null
  if (field->is_map()) return ReadMap(node, path, field, message);
  if (field->is_repeated()) return ReadList(node, path, field, message);
  ReadValue(node, path, field, message);
}

// Only maps of strings occur.
void NodeReader::ReadMap(const YAML::Node& node, const std::string& path, const Field* field,
                         Message* message) {
  if (!node.IsMap()) return Report(node, path, "is not a map", "write `key: value` lines below it");
  const Reflection* reflection = message->GetReflection();
  const Descriptor* entry_type = field->message_type();
  std::set<std::string> seen;
  for (const auto& entry : node) {
    if (!Enter(entry.second, path)) return;
    std::string key, value;
    if (!ReadString(entry.first, absl::StrCat(path, " key"), &key)) continue;
    const std::string entry_path = absl::StrCat(path, "[", key, "]");
    if (lines_ != nullptr) lines_->emplace(entry_path, entry.first.Mark().line + 1);
    if (!seen.insert(key).second) {
      Report(entry.first, entry_path, "appears twice", "keep one of the two");
      continue;
    }
    // Kubernetes reads a missing value as the empty string.
    if (!IsAbsent(entry.second) && !ReadString(entry.second, entry_path, &value)) continue;
    Message* pair = reflection->AddMessage(message, field);
    pair->GetReflection()->SetString(pair, entry_type->map_key(), key);
    pair->GetReflection()->SetString(pair, entry_type->map_value(), value);
  }
}

void NodeReader::ReadList(const YAML::Node& node, const std::string& path, const Field* field,
                          Message* message) {
  if (!node.IsSequence()) {
    return Report(node, path, "is not a list",
                  node.IsScalar() ? absl::StrCat("write [", node.Scalar(), "]")
                                  : "start each item with `- `");
  }
  int index = 0;
  for (const YAML::Node& item : node) {
    const std::string item_path = absl::StrCat(path, "[", index++, "]");
    if (!Enter(item, item_path)) return;
    if (lines_ != nullptr) lines_->emplace(item_path, item.Mark().line + 1);
    if (IsAbsent(item)) {
      Report(item, item_path, "is an empty item", "remove it or write {} for an empty map");
      continue;
    }
    ReadValue(item, item_path, field, message);
  }
}

void NodeReader::ReadValue(const YAML::Node& node, const std::string& path, const Field* field,
                           Message* message) {
  const Reflection* reflection = message->GetReflection();
  if (field->cpp_type() == Field::CPPTYPE_MESSAGE) {
    return ReadMessage(node, path,
                       field->is_repeated() ? reflection->AddMessage(message, field)
                                            : reflection->MutableMessage(message, field));
  }
  if (field->cpp_type() == Field::CPPTYPE_STRING) {
    std::string text;
    if (!ReadString(node, path, &text)) return;
    if (field->is_repeated()) {
      reflection->AddString(message, field, text);
    } else {
      reflection->SetString(message, field, text);
    }
    return;
  }
  if (field->options().GetExtension(v1::format) == v1::FORMAT_AS_NUMBER) {
    const std::optional<uint32_t> number = node.IsScalar() ? AsNumber(node.Scalar()) : std::nullopt;
    if (number) return reflection->SetUInt32(message, field, *number);
    return Report(node, path, "is not an AS number",
                  "write 1 to 4294967295, or the dotted form such as 1.10");
  }
  const bool plain = node.IsScalar() && !IsQuoted(node);
  const ScalarType type = plain ? PlainScalarType(node.Scalar()) : ScalarType::kString;
  switch (field->cpp_type()) {
    case Field::CPPTYPE_BOOL:
      if (type == ScalarType::kBool && (node.Scalar()[0] | 0x20) == 't') {
        return reflection->SetBool(message, field, true);
      }
      if (type == ScalarType::kBool && (node.Scalar()[0] | 0x20) == 'f') {
        return reflection->SetBool(message, field, false);
      }
      return Report(node, path, "is not a boolean", "write true or false, without quotes");
    case Field::CPPTYPE_INT64: {
      const std::optional<int64_t> number = plain ? DecimalInteger(node.Scalar()) : std::nullopt;
      if (number) return reflection->SetInt64(message, field, *number);
      const bool quoted_number = node.IsScalar() && DecimalInteger(node.Scalar()).has_value();
      return Report(node, path, "is not a whole number",
                    quoted_number ? absl::StrCat("write ", node.Scalar(), " without quotes")
                                  : "write a decimal number without quotes");
    }
    case Field::CPPTYPE_DOUBLE: {
      double number = 0;
      if ((type == ScalarType::kInteger || type == ScalarType::kFloat) &&
          absl::SimpleAtod(node.Scalar(), &number) &&
          std::abs(number) <= std::numeric_limits<double>::max()) {
        return reflection->SetDouble(message, field, number);
      }
      return Report(node, path, "is not a number", "write a number such as 100 or 0.5");
    }
    default: return Report(node, path, "has a type this reader does not know", "");
  }
}

bool NodeReader::ReadString(const YAML::Node& node, const std::string& path, std::string* text) {
  if (!node.IsScalar()) {
    Report(node, path, "is not a string", "write one value");
    return false;
  }
  *text = node.Scalar();
  if (!IsUtf8(*text)) {
    Report(node, path, "is not UTF-8", "save the file as UTF-8");
    return false;
  }
  if (IsQuoted(node)) return true;
  const ScalarType type = PlainScalarType(*text);
  if (type == ScalarType::kString || type == ScalarType::kNull) return true;
  const char* kind = type == ScalarType::kBool ? "is a boolean" : "is a number";
  Report(node, path, absl::StrCat(kind, " where a string is expected"),
         absl::StrCat("quote it: \"", *text, "\""));
  return false;
}

void NodeReader::ReadIntOrString(const YAML::Node& node, const std::string& path,
                                 v1::IntOrString* value) {
  const bool plain = node.IsScalar() && !IsQuoted(node);
  const ScalarType type = plain ? PlainScalarType(node.Scalar()) : ScalarType::kString;
  if (node.IsScalar() && type == ScalarType::kString) {
    if (!IsUtf8(node.Scalar())) return Report(node, path, "is not UTF-8", "save the file as UTF-8");
    return value->set_text(node.Scalar());
  }
  const std::optional<int64_t> number = plain ? DecimalInteger(node.Scalar()) : std::nullopt;
  if (number) return value->set_number(*number);
  Report(node, path, "is neither a whole number nor a name",
         "write a number such as 80, or a string in quotes");
}

}  // namespace ripstop::api
