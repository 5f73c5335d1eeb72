// SPDX-License-Identifier: Apache-2.0
//
// Fields that this version does not know. Documents with one are refused (api/codec/reader.h);
// but the store holds binary messages, and a writer of a later version may have put into one
// what an older agent has no name for. Such a field may narrow what a rule matches, so a rule
// that has one fails closed (FailClosed in converters.h).
#ifndef RIPSTOP_API_CONVERT_UNKNOWN_FIELDS_H_
#define RIPSTOP_API_CONVERT_UNKNOWN_FIELDS_H_

#include "google/protobuf/message.h"

namespace ripstop::api {

// In the message itself.
bool HasUnknownFields(const google::protobuf::Message& message);
// In it or in any message inside it, but not in RuleMetadata, which matches nothing.
bool HasUnknownFieldsInside(const google::protobuf::Message& message);

}  // namespace ripstop::api

#endif  // RIPSTOP_API_CONVERT_UNKNOWN_FIELDS_H_
