// SPDX-License-Identifier: Apache-2.0
#include "api/fields/field_path.h"

namespace ripstop::api {

std::vector<PathStep> SplitFieldPath(std::string_view path) {
  std::vector<PathStep> steps;
  while (!path.empty()) {
    PathStep step;
    const size_t end = std::min(path.find_first_of(".[{"), path.size());
    step.name = std::string(path.substr(0, end));
    path.remove_prefix(end);
    if (path.starts_with("[]")) {
      step.items = true;
      path.remove_prefix(2);
    } else if (path.starts_with("{")) {
      step.values = true;
      const size_t close = path.find('}');
      step.key = std::string(path.substr(1, close - 1));
      path.remove_prefix(close + 1);
    }
    if (path.starts_with(".")) path.remove_prefix(1);
    steps.push_back(std::move(step));
  }
  return steps;
}

}  // namespace ripstop::api
