// SPDX-License-Identifier: Apache-2.0
#include "api/codec/writer.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "api/codec/json_text.h"
#include "api/codec/scalar.h"

namespace ripstop::api {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using Json = nlohmann::ordered_json;

Json MessageToJson(const Message& message);

Json Number(double value) {
  // 1000, not 1000.0: what users write.
  if (value == std::floor(value) && std::abs(value) < 1e15) return static_cast<int64_t>(value);
  return value;
}

Json ValueToJson(const Message& message, const FieldDescriptor* field, int index) {
  const Reflection* r = message.GetReflection();
  const bool repeated = index >= 0;
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return MessageToJson(repeated ? r->GetRepeatedMessage(message, field, index)
                                    : r->GetMessage(message, field));
    case FieldDescriptor::CPPTYPE_STRING:
      return repeated ? r->GetRepeatedString(message, field, index) : r->GetString(message, field);
    case FieldDescriptor::CPPTYPE_BOOL: return r->GetBool(message, field);
    case FieldDescriptor::CPPTYPE_INT64: return r->GetInt64(message, field);
    case FieldDescriptor::CPPTYPE_UINT32: return r->GetUInt32(message, field);
    case FieldDescriptor::CPPTYPE_DOUBLE: return Number(r->GetDouble(message, field));
    default: return nullptr;  // resources.proto has no other types
  }
}

Json ListToJson(const Message& message, const FieldDescriptor* field) {
  Json list = Json::array();
  const int size = message.GetReflection()->FieldSize(message, field);
  for (int i = 0; i < size; ++i) list.push_back(ValueToJson(message, field, i));
  return list;
}

Json MapToJson(const Message& message, const FieldDescriptor* field) {
  const Reflection* r = message.GetReflection();
  const Descriptor* entry = field->message_type();
  std::map<std::string, std::string> sorted;
  for (int i = 0; i < r->FieldSize(message, field); ++i) {
    const Message& pair = r->GetRepeatedMessage(message, field, i);
    sorted[pair.GetReflection()->GetString(pair, entry->map_key())] =
        pair.GetReflection()->GetString(pair, entry->map_value());
  }
  Json object = Json::object();
  for (const auto& [key, value] : sorted) object[key] = value;
  return object;
}

Json MessageToJson(const Message& message) {
  const Descriptor* descriptor = message.GetDescriptor();
  if (descriptor == v1::IntOrString::descriptor()) {
    const auto& value = static_cast<const v1::IntOrString&>(message);
    if (value.has_number()) return value.number();
    return value.text();
  }
  if (descriptor == v1::Tree::descriptor()) {
    const Json tree = Json::parse(static_cast<const v1::Tree&>(message).json(), nullptr, false);
    return tree.is_discarded() ? Json() : tree;  // a discarded value cannot be printed
  }
  if (descriptor->options().GetExtension(v1::as_list)) {
    return ListToJson(message, descriptor->field(0));
  }
  Json object = Json::object();
  for (int i = 0; i < descriptor->field_count(); ++i) {
    const FieldDescriptor* field = descriptor->field(i);
    if (field->is_map()) {
      if (message.GetReflection()->FieldSize(message, field) == 0) continue;
      object[field->json_name()] = MapToJson(message, field);
    } else if (field->is_repeated()) {
      if (message.GetReflection()->FieldSize(message, field) == 0) continue;
      object[field->json_name()] = ListToJson(message, field);
    } else if (message.GetReflection()->HasField(message, field)) {
      object[field->json_name()] = ValueToJson(message, field, -1);
    }
  }
  return object;
}

bool IsPlainSafe(const std::string& text) {
  if (text.empty() || PlainScalarType(text) != ScalarType::kString) return false;
  constexpr char kLetters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  const bool digit_first = text[0] >= '0' && text[0] <= '9';
  if (!digit_first && text[0] != '/' && text[0] != '_' &&
      std::string_view(kLetters).find(text[0]) == std::string_view::npos) {
    return false;
  }
  // 80:90 is a number to some readers of YAML 1.1, 2026-01-01 a date.
  const char* allowed = digit_first ? "./" : "._/-=!()'\"&|{}, :";
  for (const char c : text) {
    const bool alphanumeric =
        (c >= '0' && c <= '9') || std::string_view(kLetters).find(c) != std::string_view::npos;
    if (!alphanumeric && std::string_view(allowed).find(c) == std::string_view::npos) return false;
  }
  return text.back() != ' ' && text.back() != ':' && !absl::StrContains(text, ": ");
}

std::string Scalar(const Json& value) {
  if (!value.is_string()) return value.dump();
  const std::string& text = value.get_ref<const std::string&>();
  if (IsPlainSafe(text)) return text;
  // With that, a JSON string is a YAML double-quoted scalar.
  return EscapedForYaml(value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

void EmitYaml(const Json& value, int indent, std::string* out);

void EmitEntry(const Json& value, int indent, std::string* out) {
  if (value.is_object() && !value.empty()) {
    absl::StrAppend(out, "\n");
    EmitYaml(value, indent + 2, out);
  } else if (value.is_array() && !value.empty()) {
    absl::StrAppend(out, "\n");
    EmitYaml(value, indent, out);  // kubectl's style: dashes under the key
  } else {
    absl::StrAppend(out, " ", Scalar(value), "\n");
  }
}

void EmitYaml(const Json& value, int indent, std::string* out) {
  const std::string margin(indent, ' ');
  if (value.is_object() && !value.empty()) {
    for (const auto& [key, child] : value.items()) {
      absl::StrAppend(out, margin, Scalar(Json(key)), ":");
      EmitEntry(child, indent, out);
    }
  } else if (value.is_array() && !value.empty()) {
    for (const Json& item : value) {
      if (item.is_structured() && !item.empty()) {
        std::string block;
        EmitYaml(item, indent + 2, &block);
        block.replace(indent, 2, "- ");  // the first line's margin
        absl::StrAppend(out, block);
      } else {
        absl::StrAppend(out, margin, "- ", Scalar(item), "\n");
      }
    }
  } else {
    absl::StrAppend(out, margin, Scalar(value), "\n");
  }
}

std::string Dump(const Json& value) {
  return absl::StrCat(value.dump(2, ' ', false, nlohmann::json::error_handler_t::replace), "\n");
}

const FieldDescriptor* FieldNamed(const Message& message, const std::string& name) {
  const Descriptor* descriptor = message.GetDescriptor();
  for (int i = 0; i < descriptor->field_count(); ++i) {
    if (descriptor->field(i)->json_name() == name) return descriptor->field(i);
  }
  return nullptr;
}

// `path` as FieldText has it, from the tree on: ".controllers.node", "[2].net".
std::string TreeFieldText(const Message& tree, std::string_view path) {
  const Json root = MessageToJson(tree);
  const Json* at = &root;
  while (!path.empty()) {
    const bool item = path[0] == '[';
    const size_t end = item ? path.find(']') : std::min(path.find_first_of(".[", 1), path.size());
    if (end == std::string_view::npos) return "";
    const std::string name(path.substr(1, end - 1));
    size_t index = 0;
    if (at->is_object() && at->contains(name)) {
      at = &(*at)[name];
    } else if (item && at->is_array() && absl::SimpleAtoi(name, &index) && index < at->size()) {
      at = &(*at)[index];
    } else {
      return "";
    }
    path.remove_prefix(item ? end + 1 : end);
  }
  return at->dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

std::string FieldText(const Message& root, const std::string& path) {
  const auto text = [](const Json& value) {
    return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  };
  const Message* message = &root;
  for (size_t at = 0;;) {
    // A list that is a message of its own has the index for its name.
    const bool as_list = message->GetDescriptor()->options().GetExtension(v1::as_list);
    const size_t end = as_list ? at : std::min(path.find_first_of(".[", at), path.size());
    const FieldDescriptor* field = as_list ? message->GetDescriptor()->field(0)
                                           : FieldNamed(*message, path.substr(at, end - at));
    if (field == nullptr) return "";
    const Reflection* r = message->GetReflection();
    const bool there =
        field->is_repeated() ? r->FieldSize(*message, field) > 0 : r->HasField(*message, field);
    if (!there) return "";
    int index = -1;
    at = end;
    if (field->is_map()) {
      const Json map = MapToJson(*message, field);
      if (at == path.size()) return text(map);
      const std::string key = path.substr(at + 1, path.size() - at - 2);
      return map.contains(key) ? text(map[key]) : "";
    }
    if (field->is_repeated()) {
      if (at == path.size()) return text(ListToJson(*message, field));
      const size_t close = path.find(']', at);
      if (path[at] != '[' || close == std::string::npos ||
          !absl::SimpleAtoi(path.substr(at + 1, close - at - 1), &index) || index < 0 ||
          index >= r->FieldSize(*message, field)) {
        return "";
      }
      at = close + 1;
    }
    if (at >= path.size()) return text(ValueToJson(*message, field, index));
    if (field->message_type() == v1::Tree::descriptor()) {
      return TreeFieldText(r->GetMessage(*message, field), path.substr(at));
    }
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) return "";
    message = index >= 0 ? &r->GetRepeatedMessage(*message, field, index)
                         : &r->GetMessage(*message, field);
    if (path[at] == '.') ++at;
  }
}

Json ToJsonValue(const Resource& resource) {
  Json object = Json::object();
  object["apiVersion"] = resource.kind().api_version;
  object["kind"] = resource.kind().kind;
  object.update(MessageToJson(resource.message()));
  return object;
}

std::string JsonToYaml(const Json& value) {
  std::string out;
  EmitYaml(value, 0, &out);
  return out;
}

std::string ToJson(const Resource& resource) { return Dump(ToJsonValue(resource)); }

std::string ToYaml(const Resource& resource) { return JsonToYaml(ToJsonValue(resource)); }

std::string ToJson(const std::vector<Resource>& resources) {
  Json list = {{"apiVersion", "v1"}, {"kind", "List"}, {"items", Json::array()}};
  for (const Resource& resource : resources) list["items"].push_back(ToJsonValue(resource));
  return Dump(list);
}

std::string ToYaml(const std::vector<Resource>& resources) {
  std::string out;
  for (const Resource& resource : resources) {
    absl::StrAppend(&out, out.empty() ? "" : "---\n", ToYaml(resource));
  }
  return out;
}

}  // namespace ripstop::api
