// SPDX-License-Identifier: Apache-2.0
#include "api/codec/problem.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace ripstop::api {

std::string Problem::ToString() const {
  std::string text;
  if (!file.empty()) {
    absl::StrAppend(&text, file, ":");
    if (line > 0) absl::StrAppend(&text, line, ":");
    if (line > 0 && column > 0) absl::StrAppend(&text, column, ":");
    absl::StrAppend(&text, " ");
  }
  if (!resource.empty()) absl::StrAppend(&text, resource, ": ");
  if (!path.empty()) absl::StrAppend(&text, path, ": ");
  if (!value.empty()) absl::StrAppend(&text, value, " ");
  absl::StrAppend(&text, what);
  if (!remedy.empty()) absl::StrAppend(&text, "; ", remedy);
  return text;
}

std::string ShownValue(const std::string& text, bool quoted) {
  constexpr size_t kShownMax = 80;
  std::string shown;
  for (const char c : text.substr(0, kShownMax)) {
    if (absl::ascii_iscntrl(c)) {
      absl::StrAppend(&shown, c == '\n' ? "\\n" : absl::StrFormat("\\x%02x", c));
    } else {
      if (quoted && c == '"') shown.push_back('\\');
      shown.push_back(c);
    }
  }
  if (text.size() > kShownMax) absl::StrAppend(&shown, "…");
  return quoted ? absl::StrCat("\"", shown, "\"") : shown;
}

std::string ToString(const std::vector<Problem>& problems) {
  std::string text;
  for (const Problem& problem : problems) {
    absl::StrAppend(&text, text.empty() ? "" : "\n", problem.ToString());
  }
  return text;
}

}  // namespace ripstop::api
