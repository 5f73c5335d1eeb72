// SPDX-License-Identifier: Apache-2.0
#include "api/codec/problem.h"

#include "absl/strings/str_cat.h"

namespace ripstop::api {

std::string Problem::ToString() const {
  std::string text;
  if (!file.empty()) {
    absl::StrAppend(&text, file, ":");
    if (line > 0) absl::StrAppend(&text, line, ":");
    absl::StrAppend(&text, " ");
  }
  if (!resource.empty()) absl::StrAppend(&text, resource, ": ");
  if (!path.empty()) absl::StrAppend(&text, path, ": ");
  if (!value.empty()) absl::StrAppend(&text, value, " ");
  absl::StrAppend(&text, what);
  if (!remedy.empty()) absl::StrAppend(&text, "; ", remedy);
  return text;
}

std::string ToString(const std::vector<Problem>& problems) {
  std::string text;
  for (const Problem& problem : problems) {
    absl::StrAppend(&text, text.empty() ? "" : "\n", problem.ToString());
  }
  return text;
}

absl::Status ToStatus(const std::vector<Problem>& problems) {
  return problems.empty() ? absl::OkStatus() : absl::InvalidArgumentError(ToString(problems));
}

}  // namespace ripstop::api
