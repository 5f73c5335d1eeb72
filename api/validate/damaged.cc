// SPDX-License-Identifier: Apache-2.0
#include "api/validate/damaged.h"

#include <algorithm>
#include <string_view>

#include "api/validate/validate.h"

namespace ripstop::api {
namespace {

// `path` is `outer` or a place in it.
bool IsWithin(std::string_view path, std::string_view outer) {
  return path.starts_with(outer) &&
         (path.size() == outer.size() || path[outer.size()] == '.' || path[outer.size()] == '[');
}

std::string_view ParentOf(std::string_view path) {
  const size_t dot = path.rfind('.');
  return path.substr(0, dot == std::string_view::npos ? 0 : dot);
}

bool MayFollow(const Problem& content, const Problem& form) {
  if (IsWithin(content.path, form.path) || IsWithin(form.path, content.path)) return true;
  return content.what.starts_with("is missing") && ParentOf(content.path) == ParentOf(form.path);
}

// Where quotes would not help: what is wrong with the value even so, at the place where it stands.
void Supersede(const Problem& content, std::vector<Problem>& forms) {
  for (Problem& form : forms) {
    if (!form.taken_as_text || form.path != content.path) continue;
    form.what = content.what;
    form.remedy = content.remedy;
    form.taken_as_text = false;  // the first that is wrong, as elsewhere
    return;
  }
}

}  // namespace

std::vector<Problem> ValidateDamaged(const DamagedResource& damaged) {
  std::vector<Problem> problems = damaged.problems;
  std::vector<Problem> contents = Validate(damaged.resource);
  for (const Problem& content : contents) Supersede(content, problems);
  for (Problem& content : contents) {
    const bool follows = std::any_of(damaged.problems.begin(), damaged.problems.end(),
                                     [&](const Problem& form) { return MayFollow(content, form); });
    if (!follows) problems.push_back(std::move(content));
  }
  std::stable_sort(problems.begin(), problems.end(),
                   [](const Problem& a, const Problem& b) { return a.line < b.line; });
  return problems;
}

}  // namespace ripstop::api
