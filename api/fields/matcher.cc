// SPDX-License-Identifier: Apache-2.0
#include "api/fields/matcher.h"

#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace ripstop::api {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

namespace {

const FieldDescriptor* FieldNamed(const Descriptor* type, const std::string& name) {
  for (int i = 0; i < type->field_count(); ++i) {
    if (type->field(i)->json_name() == name) return type->field(i);
  }
  return nullptr;
}

// A list that is absent or empty, or a message with only a list in it.
bool IsList(const FieldDescriptor* field) {
  return field->message_type() != nullptr &&
         field->message_type()->options().GetExtension(v1::as_list);
}

std::string ScalarText(const Message& message, const FieldDescriptor* field, int index) {
  const Reflection* r = message.GetReflection();
  const bool item = index >= 0;
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      return item ? r->GetRepeatedString(message, field, index) : r->GetString(message, field);
    case FieldDescriptor::CPPTYPE_BOOL: return r->GetBool(message, field) ? "true" : "false";
    case FieldDescriptor::CPPTYPE_INT64: return absl::StrCat(r->GetInt64(message, field));
    case FieldDescriptor::CPPTYPE_UINT32: return absl::StrCat(r->GetUInt32(message, field));
    case FieldDescriptor::CPPTYPE_DOUBLE: return absl::StrCat(r->GetDouble(message, field));
    default: return "";
  }
}

}  // namespace

bool IsHarmless(const FieldRow& row, const std::string& value) {
  return std::any_of(row.harmless.begin(), row.harmless.end(), [&](const std::string& known) {
    return absl::EqualsIgnoreCase(known, value);
  });
}

struct FieldMatcher::Walk {
  FieldReport* report;
  std::set<const FieldRow*> seen;

  void Found(const FieldRow& row, const std::string& path, const std::string& value) {
    if (IsHarmless(row, value) || !seen.insert(&row).second) return;
    auto& list = row.effect == Effect::kKept ? report->kept : report->refused;
    list.push_back({path, row.effect, row.why});
  }

  void Children(const Message& message, const Node& node, const std::string& path) {
    for (const Node& child : node.children) {
      const std::string at = absl::StrCat(path, path.empty() ? "" : ".", child.field->json_name());
      if (child.field->is_map()) {
        Map(message, child, at);
      } else if (child.field->is_repeated()) {
        List(message, child.field, child, at);
      } else if (message.GetReflection()->HasField(message, child.field)) {
        One(message, child, at);
      }
    }
  }

  void One(const Message& message, const Node& node, const std::string& path) {
    if (node.row != nullptr) {
      return Found(*node.row, path, ScalarText(message, node.field, -1));
    }
    if (node.field->message_type() == nullptr) return;
    const Message& inner = message.GetReflection()->GetMessage(message, node.field);
    if (IsList(node.field)) return List(inner, inner.GetDescriptor()->field(0), node, path);
    Children(inner, node, path);
  }

  void List(const Message& message, const FieldDescriptor* field, const Node& node,
            const std::string& path) {
    const int size = message.GetReflection()->FieldSize(message, field);
    for (int i = 0; i < size; ++i) {
      if (node.row != nullptr) {
        Found(*node.row, path, ScalarText(message, field, i));
      } else if (field->message_type() != nullptr) {
        Children(message.GetReflection()->GetRepeatedMessage(message, field, i), node,
                 absl::StrCat(path, "[", i, "]"));
      }
    }
  }

  void Map(const Message& message, const Node& node, const std::string& path) {
    const Reflection* r = message.GetReflection();
    const Descriptor* entry = node.field->message_type();
    for (int i = 0; i < r->FieldSize(message, node.field); ++i) {
      const Message& pair = r->GetRepeatedMessage(message, node.field, i);
      const std::string key = pair.GetReflection()->GetString(pair, entry->map_key());
      if (!node.key.empty() && key != node.key) continue;
      Found(*node.row, absl::StrCat(path, "[", key, "]"),
            pair.GetReflection()->GetString(pair, entry->map_value()));
    }
  }
};

FieldMatcher::FieldMatcher(const KindRow& kind, const Message& prototype) {
  for (const FieldRow& row : kind.fields) {
    if (row.effect == Effect::kActs || row.effect == Effect::kLeftOut) continue;
    Add(SplitFieldPath(row.path), 0, prototype.GetDescriptor(), &row, &root_);
  }
}

void FieldMatcher::Add(const std::vector<PathStep>& steps, size_t at, const Descriptor* type,
                       const FieldRow* row, Node* node) {
  const PathStep& step = steps[at];
  const FieldDescriptor* field = type == nullptr ? nullptr : FieldNamed(type, step.name);
  if (field == nullptr) return;
  auto child = std::find_if(node->children.begin(), node->children.end(), [&](const Node& one) {
    return one.field == field && one.key == step.key;
  });
  if (child == node->children.end()) {
    child = node->children.insert(child, Node{field, step.key, nullptr, {}});
  }
  if (at + 1 == steps.size()) {
    child->row = row;
  } else if (child->row == nullptr) {  // a part that does not act says all of its fields
    const Descriptor* inner = field->message_type();
    if (IsList(field)) inner = inner->field(0)->message_type();
    Add(steps, at + 1, inner, row, &*child);
  }
}

void FieldMatcher::Match(const Message& message, FieldReport* report) const {
  if (root_.children.empty()) return;
  Walk walk{report, {}};
  walk.Children(message, root_, "");
}

}  // namespace ripstop::api
