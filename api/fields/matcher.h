// SPDX-License-Identifier: Apache-2.0
//
// The rows of a kind that do not act, as a tree along its message: finding them in a
// resource costs a look at these fields only. An agent asks for each of 100,000 endpoints.
#ifndef RIPSTOP_API_FIELDS_MATCHER_H_
#define RIPSTOP_API_FIELDS_MATCHER_H_

#include <memory>
#include <string>
#include <vector>

#include "api/fields/field_path.h"
#include "api/fields/judge.h"
#include "google/protobuf/message.h"

namespace ripstop::api {

class FieldMatcher {
 public:
  // `prototype`: of the kind. Rows whose path its message does not have are left out.
  FieldMatcher(const KindRow& kind, const google::protobuf::Message& prototype);

  void Match(const google::protobuf::Message& message, FieldReport* report) const;

 private:
  using Message = google::protobuf::Message;
  using Field = google::protobuf::FieldDescriptor;

  struct Node {
    const Field* field = nullptr;
    std::string key;  // of a map
    const FieldRow* row = nullptr;
    std::vector<Node> children;
  };
  // One walk: each row is reported once.
  struct Walk;

  static void Add(const std::vector<PathStep>& steps, size_t at,
                  const google::protobuf::Descriptor* type, const FieldRow* row, Node* node);

  Node root_;
};

// Whether writing `value` for the field of `row` loses nothing. Case does not count.
bool IsHarmless(const FieldRow& row, const std::string& value);

}  // namespace ripstop::api

#endif  // RIPSTOP_API_FIELDS_MATCHER_H_
