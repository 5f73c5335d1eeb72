// SPDX-License-Identifier: Apache-2.0
#include "api/codec/yaml_error.h"

#include <algorithm>
#include <string_view>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace ripstop::api {
namespace {

// Line and column, from 1, of the byte at `offset`.
Problem ProblemAtByte(const YamlSource& source, size_t offset, const std::string& what,
                      const std::string& remedy) {
  const std::string_view before = source.text.substr(0, std::min(offset, source.text.size()));
  const size_t line_start = before.rfind('\n') + 1;  // npos + 1 is 0
  const auto characters = [](std::string_view text) {
    return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; });
  };
  return {.file = source.file,
          .line = source.lines_before +
                  static_cast<int>(std::count(before.begin(), before.end(), '\n')) + 1,
          .column = static_cast<int>(characters(before.substr(line_start))) + 1,
          .what = what,
          .remedy = remedy};
}

std::string_view LineOf(const YamlSource& source, size_t line) {
  std::string_view rest = source.text;
  for (; line > 0 && !rest.empty(); --line) {
    rest.remove_prefix(std::min(rest.find('\n'), rest.size() - 1) + 1);
  }
  return rest.substr(0, rest.find('\n'));
}

// Whether a value of the line begins with `c`: after a colon, a dash, a bracket or a comma.
bool HasValueThatBegins(std::string_view line, char c) {
  char before = ':';
  for (size_t i = 0; i < line.size(); ++i) {
    if (line[i] == c && std::string_view(":-[{,").find(before) != std::string_view::npos)
      return true;
    if (line[i] != ' ' && line[i] != '\t') before = line[i];
  }
  return false;
}

// libyaml's words say what it met; this says what the writer most likely meant.
std::string Remedy(const YamlSource& source, const yaml_parser_t& parser) {
  const std::string problem = parser.problem;
  const std::string context = parser.context == nullptr ? "" : parser.context;
  const std::string_view line = LineOf(source, parser.problem_mark.line);
  const size_t indent = std::min(line.find_first_not_of(" \t"), line.size());
  if (line.substr(0, indent).find('\t') != std::string_view::npos) {
    return "indent with spaces: YAML takes no tab there";
  }
  for (const char c : {'!', '*', '&'}) {
    if (HasValueThatBegins(line, c))
      return absl::StrCat("quote a value that begins with ", std::string(1, c));
  }
  if (absl::StrContains(problem, "cannot start any token")) {
    return "quote a value that begins with this character";
  }
  if (absl::StrContains(problem, "mapping values are not allowed")) {
    return "quote a value that has a colon and a space in it, or correct the indentation";
  }
  if (absl::StrContains(context, "flow")) return "close the bracket, or quote the value";
  if (absl::StrContains(context, "quoted scalar")) return "close the quotes";
  if (absl::StrContains(problem, "expected <document start>")) {
    return "write --- before a new document, or correct the indentation";
  }
  return "correct the indentation or the quotes, here or in the line before";
}

}  // namespace

Problem ProblemAt(const YamlSource& source, const yaml_mark_t& mark, const std::string& what,
                  const std::string& remedy) {
  return {.file = source.file,
          .line = source.lines_before + static_cast<int>(mark.line) + 1,
          .column = static_cast<int>(mark.column) + 1,
          .what = what,
          .remedy = remedy};
}

Problem SyntaxProblem(const YamlSource& source, const yaml_parser_t& parser) {
  const std::string problem = parser.problem == nullptr ? "memory is short" : parser.problem;
  if (parser.error == YAML_READER_ERROR) {
    if (absl::StrContains(problem, "control characters")) {
      return ProblemAtByte(source, parser.problem_offset, "is a control character",
                           "remove it; in double quotes it can be written as \\x and two digits");
    }
    return ProblemAtByte(source, parser.problem_offset, "is not UTF-8", "save the file as UTF-8");
  }
  return ProblemAt(
      source, parser.problem_mark,
      absl::StrCat("is neither YAML nor JSON: ",
                   parser.context == nullptr ? "" : absl::StrCat(parser.context, " "), problem),
      parser.problem == nullptr ? "split the file" : Remedy(source, parser));
}

std::optional<Problem> LineEndProblem(const YamlSource& source) {
  const std::string_view text = source.text;
  for (size_t i = text.find('\r'); i != std::string_view::npos; i = text.find('\r', i + 1)) {
    if (text.substr(i).starts_with("\r\n")) continue;
    return ProblemAtByte(source, i, "is a carriage return without a line feed",
                         "end lines with \\n or \\r\\n");
  }
  for (const std::string_view end : {"\xc2\x85", "\xe2\x80\xa8", "\xe2\x80\xa9"}) {
    const size_t i = text.find(end);
    if (i == std::string_view::npos) continue;
    return ProblemAtByte(source, i, "is an invisible line end (U+0085, U+2028 or U+2029)",
                         "end lines with \\n; in double quotes write \\N, \\L or \\P");
  }
  return std::nullopt;
}

}  // namespace ripstop::api
