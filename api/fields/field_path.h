// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_API_FIELDS_FIELD_PATH_H_
#define RIPSTOP_API_FIELDS_FIELD_PATH_H_

#include <string>
#include <string_view>
#include <vector>

namespace ripstop::api {

// One step of a path as rows write it: "nets[]", "labels{}", "annotations{a.b/c}".
struct PathStep {
  std::string name;
  bool items = false;   // of a list
  bool values = false;  // of a map
  std::string key;      // of the map; empty: any
  bool operator==(const PathStep&) const = default;
};

std::vector<PathStep> SplitFieldPath(std::string_view path);

}  // namespace ripstop::api

#endif  // RIPSTOP_API_FIELDS_FIELD_PATH_H_
