// SPDX-License-Identifier: Apache-2.0
#include "api/codec/node_reader.h"

#include <algorithm>
#include <limits>
#include <set>

#include "absl/container/flat_hash_set.h"
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

std::string Shown(const YamlNode& node) {
  if (node.IsMap()) return "a map";
  if (node.IsList()) return "a list";
  if (node.IsNull()) return "null";
  return ShownValue(node.text, node.quoted);
}

}  // namespace

void NodeReader::Report(const YamlNode& node, const std::string& path, const std::string& what,
                        const std::string& remedy) {
  problems_->push_back({.file = file_,
                        .line = node.line,
                        .column = node.column,
                        .resource = resource_,
                        .path = path,
                        .value = Shown(node),
                        .what = what,
                        .remedy = remedy});
}

bool NodeReader::HasFault(const YamlNode& node, const std::string& path) {
  if (!node.fault) return false;
  problems_->push_back({.file = file_,
                        .line = node.line,
                        .column = node.column,
                        .resource = resource_,
                        .path = path,
                        .value = node.fault->value,
                        .what = node.fault->what,
                        .remedy = node.fault->remedy});
  return true;
}

void NodeReader::ReadDocument(const YamlNode& node, Message* message, LineMap* lines) {
  lines_ = lines;
  depth_ = 0;
  if (!HasFault(node, "")) ReadMessage(node, "", message);
  lines_ = nullptr;
}

// Aliases make a tree of the graph that was written, so count what is walked, not what
// was read: nine lines of aliases to aliases are a billion nodes.
bool NodeReader::Enter(const YamlNode& node, const std::string& path) {
  if (exhausted_) return false;
  if (++nodes_ > nodes_max_) {
    exhausted_ = true;
    Report(node, path, absl::StrCat("is beyond the limit of ", nodes_max_, " values a document"),
           "split the document, or remove the aliases that repeat it");
    return false;
  }
  return true;
}

void NodeReader::ReadMessage(const YamlNode& node, const std::string& path, Message* message) {
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
  absl::flat_hash_set<std::string_view> seen;
  for (size_t i = 0; i + 1 < node.items.size(); i += 2) {
    const YamlNode &key = *node.items[i], &value = *node.items[i + 1];
    if (!Enter(value, path)) break;
    const std::string field_path = path.empty() ? key.text : absl::StrCat(path, ".", key.text);
    if (HasFault(key, field_path)) continue;
    if (!key.IsScalar() || key.text.empty()) {
      Report(key, path, "is not the name of a field", "write fields as `name: value`");
    } else if (!seen.insert(key.text).second) {
      Report(key, field_path, "appears twice", "keep one of the two");
    } else if (!path.empty() || (key.text != "apiVersion" && key.text != "kind")) {
      ReadEntry(key, value, field_path, key.text, message);
    }
  }
  --depth_;
}

void NodeReader::ReadEntry(const YamlNode& key, const YamlNode& value, const std::string& path,
                           const std::string& name, Message* message) {
  const Descriptor* descriptor = message->GetDescriptor();
  if (const FieldDescriptor* field = FindField(descriptor, name); field != nullptr) {
    if (lines_ != nullptr) lines_->emplace_back(path, key.line);
    return ReadField(value, path, field, message);
  }
  if (path == "status" || descriptor->options().GetExtension(v1::lenient) ||
      (descriptor == v1::ObjectMeta::descriptor() && IsServerMetadata(name))) {
    return;
  }
  UnknownField(key, value, path, name, *message);
}

void NodeReader::UnknownField(const YamlNode& key, const YamlNode& value, const std::string& path,
                              const std::string& name, const Message& message) {
  std::vector<std::string> known;
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
    known.push_back(message.GetDescriptor()->field(i)->json_name());
  }
  std::string remedy;
  if (const std::string nearest = Nearest(name, known); !nearest.empty()) {
    remedy = absl::StrCat("did you mean `", nearest, "`?");
  } else {
    std::sort(known.begin(), known.end());
    remedy = "fields here: ";
    for (size_t i = 0; i < known.size(); ++i) absl::StrAppend(&remedy, i ? ", " : "", known[i]);
  }
  problems_->push_back({.file = file_,
                        .line = key.line,
                        .column = key.column,
                        .resource = resource_,
                        .path = path,
                        .value = Shown(value),
                        .what = "is an unknown field",
                        .remedy = remedy});
}

void NodeReader::ReadField(const YamlNode& node, const std::string& path, const Field* field,
                           Message* message) {
  if (HasFault(node, path)) return;
  if (node.IsNull()) return;  // absent; servers write creationTimestamp: null
  if (field->is_map()) return ReadMap(node, path, field, message);
  if (field->is_repeated()) return ReadList(node, path, field, message);
  ReadValue(node, path, field, message);
}

// Only maps of strings occur.
void NodeReader::ReadMap(const YamlNode& node, const std::string& path, const Field* field,
                         Message* message) {
  if (!node.IsMap()) return Report(node, path, "is not a map", "write `key: value` lines below it");
  const Reflection* reflection = message->GetReflection();
  const Descriptor* entry_type = field->message_type();
  absl::flat_hash_set<std::string> seen;
  for (size_t i = 0; i + 1 < node.items.size(); i += 2) {
    const YamlNode &key_node = *node.items[i], &value_node = *node.items[i + 1];
    if (!Enter(value_node, path)) return;
    std::string key, value;
    if (!ReadString(key_node, absl::StrCat(path, " key"), &key)) continue;
    const std::string entry_path = absl::StrCat(path, "[", key, "]");
    if (lines_ != nullptr) lines_->emplace_back(entry_path, key_node.line);
    if (!seen.insert(key).second) {
      Report(key_node, entry_path, "appears twice", "keep one of the two");
      continue;
    }
    // Kubernetes reads a missing value as the empty string.
    if (value_node.fault || !value_node.IsNull()) {
      if (!ReadString(value_node, entry_path, &value) && value.empty()) continue;
    }
    Message* pair = reflection->AddMessage(message, field);
    pair->GetReflection()->SetString(pair, entry_type->map_key(), key);
    pair->GetReflection()->SetString(pair, entry_type->map_value(), value);
  }
}

void NodeReader::ReadList(const YamlNode& node, const std::string& path, const Field* field,
                          Message* message) {
  if (!node.IsList()) {
    return Report(
        node, path, "is not a list",
        node.IsScalar() ? absl::StrCat("write [", node.text, "]") : "start each item with `- `");
  }
  int index = 0;
  for (const YamlNode* entry : node.items) {
    const YamlNode& item = *entry;
    const std::string item_path = absl::StrCat(path, "[", index++, "]");
    if (!Enter(item, item_path)) return;
    if (lines_ != nullptr) lines_->emplace_back(item_path, item.line);
    if (HasFault(item, item_path)) continue;
    if (item.IsNull()) {
      Report(item, item_path, "is an empty item", "remove it or write {} for an empty map");
      continue;
    }
    ReadValue(item, item_path, field, message);
  }
}

void NodeReader::ReadValue(const YamlNode& node, const std::string& path, const Field* field,
                           Message* message) {
  const Reflection* reflection = message->GetReflection();
  if (field->cpp_type() == Field::CPPTYPE_MESSAGE) {
    return ReadMessage(node, path,
                       field->is_repeated() ? reflection->AddMessage(message, field)
                                            : reflection->MutableMessage(message, field));
  }
  if (field->cpp_type() != Field::CPPTYPE_STRING) return ReadScalar(node, path, field, message);
  std::string text;
  if (!ReadString(node, path, &text) && text.empty()) return;
  if (field->is_repeated()) {
    reflection->AddString(message, field, std::move(text));
  } else {
    reflection->SetString(message, field, std::move(text));
  }
}

// Numbers and booleans, which no list has.
void NodeReader::ReadScalar(const YamlNode& node, const std::string& path, const Field* field,
                            Message* message) {
  const Reflection* reflection = message->GetReflection();
  if (field->options().GetExtension(v1::format) == v1::FORMAT_AS_NUMBER) {
    const std::optional<uint32_t> number = node.IsScalar() ? AsNumber(node.text) : std::nullopt;
    if (number) return reflection->SetUInt32(message, field, *number);
    return Report(node, path, "is not an AS number",
                  "write 1 to 4294967295, or the dotted form such as 1.10");
  }
  const bool plain = node.IsScalar() && !node.quoted;
  switch (field->cpp_type()) {
    case Field::CPPTYPE_BOOL: {
      const std::optional<bool> value = plain ? Boolean(node.text) : std::nullopt;
      if (value) return reflection->SetBool(message, field, *value);
      return Report(node, path, "is not a boolean", "write true or false, without quotes");
    }
    case Field::CPPTYPE_INT64: {
      const std::optional<int64_t> number = plain ? DecimalInteger(node.text) : std::nullopt;
      if (number) return reflection->SetInt64(message, field, *number);
      const bool quoted_number = node.IsScalar() && DecimalInteger(node.text).has_value();
      return Report(node, path, "is not a whole number",
                    quoted_number ? absl::StrCat("write ", node.text, " without quotes")
                                  : "write a decimal number without quotes");
    }
    case Field::CPPTYPE_DOUBLE: {
      const ScalarType type = plain ? PlainScalarType(node.text) : ScalarType::kString;
      double number = 0;
      if ((type == ScalarType::kInteger || type == ScalarType::kFloat) &&
          absl::SimpleAtod(node.text, &number) &&
          std::abs(number) <= std::numeric_limits<double>::max()) {
        return reflection->SetDouble(message, field, number);
      }
      return Report(node, path, "is not a number", "write a number such as 100 or 0.5");
    }
    default: return Report(node, path, "has a type this reader does not know", "");
  }
}

// False where there is none; `text` is then empty, or what would be one in quotes.
bool NodeReader::ReadString(const YamlNode& node, const std::string& path, std::string* text) {
  if (HasFault(node, path)) return false;
  if (!node.IsScalar()) {
    Report(node, path, "is not a string", "write one value");
    return false;
  }
  *text = node.text;
  if (node.quoted) return true;
  const ScalarType type = PlainScalarType(*text);
  if (type == ScalarType::kString || type == ScalarType::kNull) return true;
  const char* kind = type == ScalarType::kBool ? "is a boolean" : "is a number";
  Report(node, path, absl::StrCat(kind, " where a string is expected"),
         absl::StrCat("quote it: \"", *text, "\""));
  problems_->back().taken_as_text = true;
  return false;
}

void NodeReader::ReadIntOrString(const YamlNode& node, const std::string& path,
                                 v1::IntOrString* value) {
  const bool plain = node.IsScalar() && !node.quoted;
  const ScalarType type = plain ? PlainScalarType(node.text) : ScalarType::kString;
  if (node.IsScalar() && type == ScalarType::kString) return value->set_text(node.text);
  const std::optional<int64_t> number = plain ? DecimalInteger(node.text) : std::nullopt;
  if (number) return value->set_number(*number);
  Report(node, path, "is neither a whole number nor a name",
         "write a number such as 80, or a string in quotes");
  if (!node.IsScalar()) return;
  value->set_text(node.text);
  problems_->back().taken_as_text = true;
}

}  // namespace ripstop::api
