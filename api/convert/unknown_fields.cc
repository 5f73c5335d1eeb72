// SPDX-License-Identifier: Apache-2.0
#include "api/convert/unknown_fields.h"

#include <vector>

#include "api/proto/resources.pb.h"
#include "google/protobuf/unknown_field_set.h"

namespace ripstop::api {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

bool HasUnknownFields(const Message& message) {
  return !message.GetReflection()->GetUnknownFields(message).empty();
}

bool HasUnknownFieldsInside(const Message& message) {
  if (message.GetDescriptor() == v1::RuleMetadata::descriptor()) return false;
  if (HasUnknownFields(message)) return true;
  const Reflection* reflection = message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection->ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) continue;
    // A map's entries are a key and a value.
    if (field->is_map()) continue;
    if (!field->is_repeated()) {
      if (HasUnknownFieldsInside(reflection->GetMessage(message, field))) return true;
      continue;
    }
    for (int i = 0; i < reflection->FieldSize(message, field); ++i) {
      if (HasUnknownFieldsInside(reflection->GetRepeatedMessage(message, field, i))) return true;
    }
  }
  return false;
}

}  // namespace ripstop::api
