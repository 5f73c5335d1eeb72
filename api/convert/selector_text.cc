// SPDX-License-Identifier: Apache-2.0
#include "api/convert/selector_text.h"

#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "policy/selector.h"
#include "policy/status_macros.h"

namespace ripstop::api {
namespace {

bool IsLabelCharacter(char c) { return policy::IsLabelKey({&c, 1}); }

// Rewrites a selector that parses. A label stands where a term begins, that is at the
// start and after ( ! & |, or inside has(); everything else is an operator or a value.
std::string WithPrefix(const std::string& selector, const std::string& prefix,
                       const std::string& all) {
  std::string out;
  bool term = true;
  for (size_t i = 0; i < selector.size();) {
    const char c = selector[i];
    if (c == '\'' || c == '"') {
      const size_t end = selector.find(c, i + 1);
      absl::StrAppend(&out, selector.substr(i, end + 1 - i));
      i = end + 1;
      term = false;
    } else if (term && IsLabelCharacter(c)) {
      size_t end = i;
      while (end < selector.size() && IsLabelCharacter(selector[end])) ++end;
      const std::string word = selector.substr(i, end - i);
      const size_t next = selector.find_first_not_of(" \t", end);
      const bool call = next != std::string::npos && selector[next] == '(';
      if (call && word == "has") {
        absl::StrAppend(&out, "has(");
        i = next + 1;  // and a label follows
      } else if (call) {
        absl::StrAppend(&out,
                        word == "all" ? all : absl::StrCat("!has(", policy::kNamespaceLabel, ")"));
        i = selector.find(')', next) + 1;
        term = false;
      } else {
        absl::StrAppend(&out, prefix, word);
        i = end;
        term = false;
      }
    } else {
      if (c == '(' || c == '!' || c == '&' || c == '|') term = true;
      // `!=` is an operator, after a label, and starts no term.
      if (c == '!' && i + 1 < selector.size() && selector[i + 1] == '=') term = false;
      out.push_back(c);
      ++i;
    }
  }
  return out;
}

absl::StatusOr<std::string> Rewritten(const std::string& selector, const std::string& prefix,
                                      const char* all_label) {
  RETURN_IF_ERROR(policy::Selector::Parse(selector, policy::kWrittenSelector).status());
  const std::string all = absl::StrCat("has(", all_label, ")");
  if (absl::StripAsciiWhitespace(selector).empty()) return all;
  return WithPrefix(selector, prefix, all);
}

// Keys come from documents: one must be a label, never a piece of a selector.
absl::Status CheckKey(const std::string& key) {
  if (policy::IsLabelKey(key)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("\"", key, "\" is not a label"));
}

}  // namespace

absl::StatusOr<std::string> NamespaceSelectorText(const std::string& selector) {
  return Rewritten(selector, policy::kNamespacePrefix, policy::kNamespaceLabel);
}

absl::StatusOr<std::string> ServiceAccountSelectorText(const std::string& selector) {
  return Rewritten(selector, policy::kServiceAccountPrefix, policy::kServiceAccountLabel);
}

std::string InNamespace(const std::string& ns) {
  return absl::StrCat(policy::kNamespaceLabel, " == '", ns, "'");
}

absl::StatusOr<std::string> Quoted(const std::string& value) {
  const bool single = value.find('\'') != std::string::npos;
  const bool both = single && value.find('"') != std::string::npos;
  if (both || value.find('\n') != std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", value,
                     "\" cannot be written in a selector: it has both kinds of "
                     "quotes or a newline"));
  }
  const char* quote = single ? "\"" : "'";
  return absl::StrCat(quote, value, quote);
}

absl::StatusOr<std::string> LabelSelectorText(const v1::LabelSelector& selector,
                                              const std::string& prefix) {
  std::vector<std::string> parts;
  const std::map<std::string, std::string> labels(selector.match_labels().begin(),
                                                  selector.match_labels().end());
  for (const auto& [key, value] : labels) {
    RETURN_IF_ERROR(CheckKey(key));
    ASSIGN_OR_RETURN(const std::string quoted, Quoted(value));
    parts.push_back(absl::StrCat(prefix, key, " == ", quoted));
  }
  for (const v1::LabelSelectorRequirement& requirement : selector.match_expressions()) {
    RETURN_IF_ERROR(CheckKey(requirement.key()));
    const std::string key = absl::StrCat(prefix, requirement.key());
    const std::string& op = requirement.operator_();
    if (op == "Exists") {
      parts.push_back(absl::StrCat("has(", key, ")"));
    } else if (op == "DoesNotExist") {
      parts.push_back(absl::StrCat("!has(", key, ")"));
    } else if ((op == "In" || op == "NotIn") && requirement.values_size() > 0) {
      std::vector<std::string> values;
      for (const std::string& value : requirement.values()) {
        ASSIGN_OR_RETURN(values.emplace_back(), Quoted(value));
      }
      parts.push_back(
          absl::StrCat(key, op == "In" ? " in {" : " not in {", absl::StrJoin(values, ", "), "}"));
    } else {
      return absl::InvalidArgumentError(
          absl::StrCat("operator \"", op, "\" of \"", requirement.key(), "\" with ",
                       requirement.values_size(), " values is not known"));
    }
  }
  std::string text = absl::StrJoin(parts, " && ");
  // Kubernetes sets no limit, so this one is far beyond what its own objects can hold.
  constexpr size_t kBytesMax = policy::kJoinedSelector.length / 2;
  if (text.size() > kBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("a label selector of ", text.size(), " bytes; at most ", kBytesMax));
  }
  return text;
}

std::string AllOf(const std::vector<std::string>& parts) {
  std::vector<std::string> kept;
  for (const std::string& part : parts) {
    if (!absl::StripAsciiWhitespace(part).empty()) kept.push_back(part);
  }
  if (kept.size() < 2) return kept.empty() ? "" : kept[0];
  return absl::StrCat("(", absl::StrJoin(kept, ") && ("), ")");
}

}  // namespace ripstop::api
